"""Cancelling: at once where a job is queued; where it runs, the work on the nodes is stopped with it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.system.conftest import Fresh
from tests.system.couch import Couch
from tests.system.harness import System, wait_until

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def own(nodes: list[Couch], tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with System(nodes, tmp_path_factory.mktemp("cancel")) as made:
        made.start("api", "control")
        yield made


def test_a_queued_job_is_cancelled_at_once_and_never_runs(own: System, nodes: list[Couch], fresh: Fresh) -> None:
    database, api = fresh(on=nodes), own.api
    job_id = api.start_sync(database)  # no worker runs yet

    answer = api.cancel(job_id)

    assert answer.status_code == 200
    assert answer.json()["state"] == "cancelled"
    assert answer.json()["finished_at"]
    # a request after that is not answered with the cancelled job
    second = api.start_sync(database)
    assert second != job_id
    own.start("worker")
    api.wait_succeeded(second)
    assert api.job(job_id)["state"] == "cancelled"
    assert own.logged("job started", job_id=job_id) == []


def test_a_running_job_is_cancelled_and_its_pulls_are_stopped(own: System, nodes: list[Couch], fresh: Fresh) -> None:
    if not nodes[0].schedules:
        pytest.skip("a stand-in cannot stop a pull")
    database, api = fresh(on=nodes), own.api
    nodes[1].fill(database, 3_000)
    own.peer_roads["replica1"].delay = 0.2  # every answer: the pull takes many of them
    try:
        job_id = api.start_sync(database)
        wait_until(lambda: nodes[0].pulls(database), "the pull is with the scheduler")

        answer = api.cancel(job_id)

        assert answer.status_code == 202
        job = api.wait_state(job_id, "cancelled", deadline=10)
        assert job["attempts"] == 1
        assert job["result"] is None
        wait_until(lambda: not nodes[0].pulls(database), "the pull is gone from the scheduler", 10)
    finally:
        own.peer_roads["replica1"].delay = 0

    assert len(nodes[0].leaves(database)) < 3_000


def test_a_running_job_is_cancelled_within_seconds_even_when_a_node_hangs(
    own: System, nodes: list[Couch], fresh: Fresh
) -> None:
    database, api = fresh(on=nodes), own.api
    with own.held("replica1") as road:
        job_id = own.start_held_sync(database, road)
        api.cancel(job_id)
        api.wait_state(job_id, "cancelled", deadline=8)
        # the database is free again: nobody waits for a lock that a cancelled job left behind
        waiting = api.start_sync(database)
        api.wait_state(waiting, "running", deadline=5)

    api.wait_succeeded(waiting, deadline=60)


def test_cancelling_one_of_two_jobs_of_a_database_leaves_the_other(
    own: System, nodes: list[Couch], fresh: Fresh
) -> None:
    database, api = fresh(on=nodes), own.api
    with own.held("replica1") as road:
        running = own.start_held_sync(database, road)
        queued = api.start_sync(database)
        assert api.cancel(queued).json()["state"] == "cancelled"
        assert api.job(running)["state"] == "running"

    assert api.wait_succeeded(running)["attempts"] == 1
    assert own.logged("job started", job_id=queued) == []
