"""Redis is killed and comes back: nothing that was promised is lost, nothing is half-written, everybody recovers.

`test_redis_restarts_while_one_task_runs_and_slots_are_free` is the one that caught Celery 5.7's workers dying
with late acknowledgement: keep it for every upgrade of celery, kombu and redis-py.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
import requests

from tests.system.conftest import Fresh
from tests.system.couch import Couch
from tests.system.harness import Api, System, hung, wait_until
from tests.system.proxy import Proxy
from tests.system.test_sync import assert_same

pytestmark = pytest.mark.system

PROMPTLY = 2.0  # seconds in which a caller hears that Redis is away


@pytest.fixture(scope="module")
def own(nodes: list[Couch], tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with System(nodes, tmp_path_factory.mktemp("redis"), {"JOB_LEASE_SECONDS": "15"}) as made:
        made.start("worker", "control", "beat", "api")
        yield made


@pytest.fixture
def mid(own: System) -> Iterator[System]:
    """The system; its processes are those of the test before, which shows that they recovered."""
    before = {name: process.pid for name, process in own.processes.items()}
    yield own
    assert {name: process.pid for name, process in own.processes.items()} == before, "a process died"


def is_taken(api: Api, database: str) -> str | None:
    answer = api.sync(database)
    return answer.json()["id"] if answer.status_code == 202 else None


def is_unavailable(api: Api) -> bool:
    return api.get("/api/health").status_code == 503


def test_redis_restarts_while_one_task_runs_and_slots_are_free(mid: System, nodes: list[Couch], fresh: Fresh) -> None:
    database, api = fresh(on=nodes), mid.api
    nodes[1].fill(database, 20)
    with mid.held("replica1") as road:
        job_id = mid.start_held_sync(database, road)
        mid.kill_redis()
        wait_until(lambda: is_unavailable(api), "the API has noticed")
        mid.start_redis()
        wait_until(lambda: api.get(f"/api/jobs/{job_id}").status_code == 200, "the API has found Redis again")
        assert api.job(job_id)["state"] == "running"

    job = api.wait_succeeded(job_id)

    assert job["attempts"] == 1, "an outage shorter than the lease costs no attempt"
    assert job["result"]["caught_up"] is True
    assert_same(database, nodes)
    # the worker takes messages from the new Redis, on the control queue and on its own
    assert api.sync(database, wait=True).json()["state"] == "succeeded"


def test_redis_restarts_while_the_worker_is_idle(mid: System, nodes: list[Couch], fresh: Fresh) -> None:
    database, api = fresh(on=nodes), mid.api
    mid.kill_redis()
    wait_until(lambda: is_unavailable(api), "the API has noticed")
    mid.start_redis()

    job_id = wait_until(lambda: is_taken(api, database), "the API takes jobs again")

    assert api.wait_succeeded(job_id)["attempts"] == 1


def test_a_job_that_ends_while_redis_is_away_keeps_its_result(mid: System, nodes: list[Couch], fresh: Fresh) -> None:
    database, api = fresh(on=nodes), mid.api
    nodes[1].fill(database, 20)
    with mid.held("replica1") as road:
        job_id = mid.start_held_sync(database, road)
        mid.kill_redis()
    wait_until(lambda: nodes[2].has(database, "doc-000019"), "the work on the nodes is done without Redis")
    mid.start_redis()

    job = api.wait_succeeded(job_id)

    assert job["attempts"] == 1
    assert job["result"]["caught_up"] is True


def test_while_redis_is_away_callers_hear_so_promptly_and_nothing_is_half_written(
    mid: System, nodes: list[Couch], fresh: Fresh
) -> None:
    database, api = fresh(on=nodes), mid.api
    mid.kill_redis()
    for ask in (
        lambda: api.sync(database),
        lambda: api.sync(database, wait=True),
        lambda: api.setup(database=database),
        lambda: api.get("/api/jobs"),
        lambda: api.cancel("00000000-0000-7000-8000-000000000000"),
        lambda: api.get("/api/replication/status"),
    ):
        refused = ask()
        assert refused.status_code == 503, refused.text
        assert refused.json()["type"].endswith(":store-unavailable")
        assert int(refused.headers["Retry-After"]) >= 1
        assert refused.elapsed.total_seconds() < PROMPTLY
    health = api.get("/api/health")
    assert health.status_code == 503
    assert health.json()["redis"]["ok"] is False
    assert health.json()["workers"]["count"] is None, "unknown, not none"

    mid.start_redis()

    wait_until(lambda: api.get("/api/jobs").status_code == 200, "the API has found Redis again")
    assert api.jobs(database) == []
    with mid.store() as store:
        assert not [key for key in store.scan_iter() if database in key]
    # and no trace that would swallow the next request
    again = api.sync(database)
    assert again.json()["deduplicated"] is False
    api.wait_succeeded(again.json()["id"])


def test_a_hung_redis_is_told_of_as_promptly(mid: System, nodes: list[Couch], fresh: Fresh) -> None:
    database, api = fresh(on=nodes), mid.api
    with hung(mid.redis.process):
        for ask in (lambda: api.sync(database), lambda: api.get("/api/jobs"), lambda: api.get("/api/health")):
            refused = ask()
            assert refused.status_code == 503
            assert refused.elapsed.total_seconds() < PROMPTLY

    wait_until(lambda: api.get("/api/health").status_code == 200, "the API has found Redis again")
    # a Redis that was only slow may get to see the request later: then it is run whole, or not at all
    assert all(api.wait_succeeded(job["id"]) for job in api.jobs(database))


def test_queued_jobs_survive_a_restart_of_redis(
    nodes: list[Couch], tmp_path_factory: pytest.TempPathFactory, fresh: Fresh
) -> None:
    with System(nodes, tmp_path_factory.mktemp("queued")) as system:
        system.start("api", "control")
        databases = [fresh(on=nodes) for _ in range(2)]
        jobs = [system.api.start_sync(database) for database in databases]

        system.kill_redis()
        system.start_redis()
        wait_until(lambda: not_refused(system.api, jobs[0]), "the API has found Redis again")

        assert {system.api.job(job_id)["state"] for job_id in jobs} == {"queued"}
        system.start("worker")
        for job_id in jobs:
            assert system.api.wait_succeeded(job_id)["attempts"] == 1


def not_refused(api: Api, job_id: str) -> requests.Response | None:
    answer = api.get(f"/api/jobs/{job_id}")
    return answer if answer.status_code == 200 else None


def test_a_job_whose_message_cannot_be_queued_was_never_there(
    nodes: list[Couch], tmp_path_factory: pytest.TempPathFactory, fresh: Fresh
) -> None:
    """The moment between the record and its message: the store answers, the broker does not."""
    folder = tmp_path_factory.mktemp("broker")
    with System(nodes, folder) as system:
        broker = Proxy(system.redis.port or 0)
        system.settings["BROKER_URL"] = system.redis.url.replace(f":{system.redis.port}/", f":{broker.port}/")
        try:
            system.start("api", "control")
            database, api = fresh(on=nodes), system.api
            broker.refuse()

            began = time.monotonic()
            refused = api.sync(database)

            assert refused.status_code == 503, refused.text
            assert time.monotonic() - began < PROMPTLY
            assert api.jobs(database) == []
            with system.store() as store:
                assert not [key for key in store.scan_iter() if "job:" in key or "active:" in key]
            broker.accept()
            system.start("worker")
            assert api.sync(database, wait=True).json()["state"] == "succeeded"
            assert len(api.jobs(database)) == 1
        finally:
            broker.close()
