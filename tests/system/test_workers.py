"""Workers that die or are told to go in the middle of a job: another one takes it, and it is done once.

`held` keeps a job in the middle of a pull: what happens to the worker then is no race against its end.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.system.conftest import Fresh
from tests.system.couch import Couch
from tests.system.harness import System, hung, kill_dash_nine, wait_until
from tests.system.test_sync import assert_same

pytestmark = pytest.mark.system

LEASE = 3  # seconds
REAPED = LEASE + 5 + 5  # the lease runs out, the reaper comes every 5 s, and 5 s for a busy machine


@pytest.fixture(scope="module")
def pair(nodes: list[Couch], tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """Two workers with a short lease; each test leaves two behind."""
    with System(nodes, tmp_path_factory.mktemp("workers"), {"JOB_LEASE_SECONDS": str(LEASE)}) as made:
        made.start("worker", "worker", "control", "beat", "api")
        yield made


@pytest.fixture
def two(pair: System) -> Iterator[System]:
    yield pair
    for name in ("worker", "worker-2"):
        if pair.processes[name].poll() is not None:
            pair.processes[name].start()
            pair.wait_ready(pair.processes[name])


def assert_ran_once_after(system: System, job_id: str, attempts: int) -> None:
    """Each attempt was begun once, one at a time, and one of them wrote the end."""
    starts = system.logged("job started", job_id=job_id)
    assert [entry["attempt"] for entry in starts] == list(range(1, attempts + 1))
    ends = system.logged("job ended", job_id=job_id)
    assert [(entry["state"], entry["process"]) for entry in ends] == [("succeeded", starts[-1]["process"])]


def test_kill_9_of_a_worker_in_mid_job_with_the_shipped_settings_is_made_good_within_30_seconds(
    nodes: list[Couch], tmp_path_factory: pytest.TempPathFactory, fresh: Fresh
) -> None:
    settings = {"REPLICATION_INCLUDE": "none-*"}  # no periodic pass over databases of other tests; else as shipped
    with System(nodes, tmp_path_factory.mktemp("shipped"), settings, quick=False) as system:
        system.start("worker", "worker", "control", "beat", "api")
        database = fresh(on=nodes)
        nodes[1].fill(database, 50)
        with system.held("replica1") as road:
            job_id = system.start_held_sync(database, road)
            victim = system.worker_of(job_id)
            kill_dash_nine(victim)
            killed_at = time.monotonic()

        job = system.api.wait_succeeded(job_id, deadline=30)

        assert time.monotonic() - killed_at < 30
        assert job["attempts"] == 2
        assert system.worker_of(job_id) is not victim
        assert_ran_once_after(system, job_id, attempts=2)
        assert job["result"]["caught_up"] is True
        assert_same(database, nodes)


def test_kill_9_of_a_worker_in_mid_job_lets_the_other_worker_finish_it(
    two: System, nodes: list[Couch], fresh: Fresh
) -> None:
    database, api = fresh(on=nodes), two.api
    nodes[1].fill(database, 10)
    with two.held("replica1") as road:
        job_id = two.start_held_sync(database, road)
        waiting = api.start_sync(database)  # finds the database locked by a worker that will never let go of it
        victim = two.worker_of(job_id)
        kill_dash_nine(victim)
        wait_until(lambda: api.job(job_id)["attempts"] == 2, "the job is taken over", REAPED)

    assert api.wait_succeeded(job_id)["attempts"] == 2
    assert_ran_once_after(two, job_id, attempts=2)
    assert two.worker_of(job_id) is not victim
    assert api.wait_succeeded(waiting)["attempts"] == 1
    assert_same(database, nodes)


def test_kill_9_of_all_workers_leaves_the_job_to_one_that_is_started_later(
    two: System, nodes: list[Couch], fresh: Fresh
) -> None:
    database, api = fresh(on=nodes), two.api
    with two.held("replica1") as road:
        job_id = two.start_held_sync(database, road)
        for name in ("worker", "worker-2"):
            kill_dash_nine(two.processes[name])
    assert api.job(job_id)["state"] == "running"  # nobody is there yet who could know better

    two.processes["worker"].start()

    # beat's ticks of the time without workers have expired: the next one comes within 5 s
    assert api.wait_succeeded(job_id, REAPED + 5)["attempts"] == 2
    assert_ran_once_after(two, job_id, attempts=2)


def test_a_hung_worker_loses_its_job_and_writes_nothing_when_it_wakes(
    two: System, nodes: list[Couch], fresh: Fresh
) -> None:
    database, api = fresh(on=nodes), two.api
    with two.held("replica1") as road:
        job_id = two.start_held_sync(database, road)
        sleeper = two.worker_of(job_id)
        with hung(sleeper):
            wait_until(lambda: api.job(job_id)["attempts"] == 2, "the job is taken over", REAPED)
        wait_until(lambda: two.logged("lease lost: another worker owns the job, nothing written"), "it notices")
        assert api.job(job_id)["state"] == "running"

    assert api.wait_succeeded(job_id)["attempts"] == 2
    assert_ran_once_after(two, job_id, attempts=2)
    assert sleeper.poll() is None


def test_sigterm_hands_a_running_job_to_another_worker_within_seconds(
    two: System, nodes: list[Couch], fresh: Fresh
) -> None:
    database, api = fresh(on=nodes), two.api
    with two.held("replica1") as road:
        job_id = two.start_held_sync(database, road)
        leaving = two.worker_of(job_id)

        leaving.terminate()

        # at once, or by the reaper where the leaving worker was handed the message of its own job once more
        wait_until(lambda: len(two.logged("job started", job_id=job_id)) == 2, "the other worker has it", REAPED)
        wait_until(lambda: leaving.poll() is not None, "the worker has ended", 10)
        assert leaving.poll() == 0
        assert [entry["process"] for entry in two.logged("job given back", job_id=job_id)] == [leaving.name]

    assert api.wait_succeeded(job_id)["attempts"] == 2
    assert two.worker_of(job_id) is not leaving
    assert_ran_once_after(two, job_id, attempts=2)


def test_sigterm_of_the_only_worker_leaves_the_job_queued(two: System, nodes: list[Couch], fresh: Fresh) -> None:
    database, api = fresh(on=nodes), two.api
    two.processes["worker-2"].stop()
    with two.held("replica1") as road:
        job_id = two.start_held_sync(database, road)
        two.processes["worker"].terminate()
        wait_until(lambda: two.processes["worker"].poll() is not None, "the worker has ended", 10)
        assert api.job(job_id)["state"] == "queued"

    two.processes["worker"].start()

    assert api.wait_succeeded(job_id, REAPED + 10)["attempts"] == 2


def test_a_job_whose_workers_always_die_is_failed_in_the_end(
    nodes: list[Couch], tmp_path_factory: pytest.TempPathFactory, fresh: Fresh
) -> None:
    settings = {"JOB_LEASE_SECONDS": "2", "JOB_MAX_ATTEMPTS": "1"}
    with System(nodes, tmp_path_factory.mktemp("deadly"), settings) as system:
        system.start("worker", "control", "beat", "api")
        database = fresh(on=nodes)
        with system.held("replica1") as road:
            job_id = system.start_held_sync(database, road)
            kill_dash_nine(system.processes["worker"])
        system.start("worker")

        job = system.api.wait_state(job_id, "failed", deadline=REAPED + 5)

        assert job["attempts"] == 1
        assert job["error"]["type"] == "worker-lost"
        assert job["error"]["retryable"] is True
        # and its database is free for the next one
        assert system.api.sync(database, wait=True).json()["state"] == "succeeded"


def test_every_process_ends_in_good_order_on_sigterm(
    nodes: list[Couch], tmp_path_factory: pytest.TempPathFactory
) -> None:
    with System(nodes, tmp_path_factory.mktemp("orderly")) as system:
        processes = system.start("worker", "control", "beat", "api")
        wait_until(lambda: system.api.get("/api/health").json()["beat"]["ok"], "beat ticks")

        for process in processes:
            process.terminate()

        for process in processes:
            wait_until(lambda one=process: one.poll() is not None, f"{process.name} has ended", 10)
        assert {process.name: process.poll() for process in processes} == dict.fromkeys(system.processes, 0)
        with system.store() as store:
            assert store.zcard("nbr:seen:workers") == 0, "workers that left in good order are no longer counted"
