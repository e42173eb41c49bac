"""The same request twice: one job, whatever the queue is doing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.system.conftest import Fresh
from tests.system.couch import Couch
from tests.system.harness import System, wait_until

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def idle(nodes: list[Couch], tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """An API with its Redis; the first test starts a worker."""
    with System(nodes, tmp_path_factory.mktemp("dedupe")) as made:
        made.start("api", "control")
        yield made


def test_two_requests_with_no_worker_make_one_job_that_runs_once(
    idle: System, nodes: list[Couch], fresh: Fresh
) -> None:
    database, api = fresh(on=nodes), idle.api

    first, second = api.sync(database), api.sync(database)

    assert first.status_code == second.status_code == 202
    assert first.json()["deduplicated"] is False
    assert second.json()["deduplicated"] is True
    job_id = first.json()["id"]
    assert second.json()["id"] == job_id
    assert [job["id"] for job in api.jobs(database)] == [job_id]
    idle.start("worker")
    assert api.wait_succeeded(job_id)["attempts"] == 1
    assert len(idle.logged("job started", database=database)) == 1


def test_a_request_after_the_job_has_begun_makes_a_new_one(idle: System, nodes: list[Couch], fresh: Fresh) -> None:
    database, api = fresh(on=nodes), idle.api
    with idle.held("replica1") as road:
        running = idle.start_held_sync(database, road)
        # what is written now may be missed by the running job: it must not swallow the request
        queued = api.sync(database)
        assert queued.json()["id"] != running
        assert queued.json()["deduplicated"] is False

    api.wait_succeeded(queued.json()["id"])


def test_an_idempotency_key_returns_the_first_job_even_when_it_is_over(
    idle: System, nodes: list[Couch], fresh: Fresh
) -> None:
    database, api = fresh(on=nodes), idle.api
    key = {"Idempotency-Key": f"key of {database}"}
    first = api.sync(database, headers=key, wait=True)
    assert first.json()["state"] == "succeeded"

    again = api.sync(database, headers=key, wait=True)

    assert again.json()["id"] == first.json()["id"]
    assert again.json()["result"] == first.json()["result"]
    assert len(api.jobs(database)) == 1


def test_an_idempotency_key_with_another_request_is_422(idle: System, nodes: list[Couch], fresh: Fresh) -> None:
    api = idle.api
    one, other = fresh(on=nodes), fresh(on=nodes)
    key = {"Idempotency-Key": f"key of {one}"}
    api.sync(one, headers=key)

    answer = api.sync(other, headers=key)

    assert answer.status_code == 422
    assert answer.json()["type"].endswith(":idempotency-key-reused")
    assert api.jobs(other) == []


def test_a_message_that_comes_five_times_to_two_workers_runs_once(
    idle: System, nodes: list[Couch], fresh: Fresh
) -> None:
    database, api = fresh(on=nodes), idle.api
    idle.start("worker")
    with idle.held("replica1") as road:
        job_id = idle.start_held_sync(database, road)
        job = idle.parts.store.get(job_id)
        assert job is not None
        for _ in range(5):
            idle.parts.jobs.wake([job_id])  # tasks.publish, as the reaper does it
        wait_until(lambda: len(idle.logged("job not taken", job_id=job_id)) == 5, "all five have been looked at")
        assert {entry["process"] for entry in idle.logged("job not taken", job_id=job_id)} == {"worker", "worker-2"}

    assert api.wait_succeeded(job_id)["attempts"] == 1
    assert len(idle.logged("job started", job_id=job_id)) == 1
    assert len(idle.logged("job ended", job_id=job_id)) == 1
