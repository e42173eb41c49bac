"""The life of a job as a worker lives it: each way it can end."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from embedded.waiting import wait_until
from tasks import policy
from tasks.jobs import Job, Kind, State
from tasks.redis import StoreUnavailable
from tasks.runner import Runner, Work
from tasks.store import JobStore
from tasks.wiring import Parts
from tests.builders import fake_cluster
from tests.unit.tasks.world import PASSWORD, Another, World, sync
from worker.core.errors import Cancelled, DocumentsRefused, HandedBack, LeaseLost, LockedOut, NotFound, Unreachable
from worker.couch.cluster import Cluster
from worker.ops.control import Control

PATIENCE = 10.0


class Bench:
    """A runner whose work is a function of the test's."""

    def __init__(self, world: World, body: Callable[[Control], dict[str, Any]]) -> None:
        self.world = world
        self.stopping = threading.Event()
        self.abandoned: list[str] = []
        self.runs = 0

        def run(parts: Parts, cluster: Cluster, job: Job, control: Control) -> dict[str, Any]:
            self.runs += 1
            return body(control)

        self.left: list[str] = []

        def abandon(parts: Parts, cluster: Cluster, job: Job) -> list[str]:
            self.abandoned.append(job.id)
            return self.left

        works = {Kind.SYNC: Work(run, abandon)}
        self.runner = Runner(world.parts, fake_cluster("a", "b")[1], works, self.stopping)

    def run(self, job_id: str) -> Job:
        self.runner.run(job_id)
        return self.world.job(job_id)


def raising(error: BaseException) -> Callable[[Control], dict[str, Any]]:
    def body(control: Control) -> dict[str, Any]:
        raise error

    return body


def test_a_job_that_goes_well(world: World) -> None:
    bench = Bench(world, lambda control: {"caught_up": True})

    job = bench.run(world.queued())

    assert (job.state, job.result, job.attempts, job.error) == (State.SUCCEEDED, {"caught_up": True}, 1, None)
    assert job.started_at is not None
    assert job.finished_at is not None
    tallied = world.tallies.read()
    assert tallied.ended[Kind.SYNC, State.SUCCEEDED] == 1
    assert tallied.durations[Kind.SYNC, State.SUCCEEDED].total == 1


def test_a_message_that_comes_twice_runs_once(world: World) -> None:
    bench = Bench(world, lambda control: {})
    job_id = world.queued()

    bench.run(job_id)
    bench.run(job_id)

    assert bench.runs == 1


def test_a_message_without_a_job_is_passed_over(world: World) -> None:
    bench = Bench(world, lambda control: {})

    bench.runner.run("01234567-0000-7000-8000-000000000000")

    assert bench.runs == 0


def test_a_worker_that_is_to_stop_takes_nothing(world: World) -> None:
    bench = Bench(world, lambda control: {})
    bench.stopping.set()

    job = bench.run(world.queued())

    assert (job.state, job.attempts, bench.runs) == (State.QUEUED, 0, 0)
    assert world.store.reap(job.created_at + 1, dict.fromkeys(Kind, 10.0)) == [job.id]  # for a worker that stays


def test_a_job_that_is_cancelled_on_its_way(world: World) -> None:
    bench = Bench(world, raising(Cancelled()))

    job = bench.run(world.queued())

    assert (job.state, job.error, job.result) == (State.CANCELLED, None, None)


def test_the_order_to_cancel_reaches_the_work(world: World) -> None:
    job_id = world.queued()

    def body(control: Control) -> dict[str, Any]:
        world.jobs.cancel(job_id)
        for _ in range(1_000):
            control.check()
            threading.Event().wait(0.01)
        return {}

    assert Bench(world, body).run(job_id).state is State.CANCELLED


def test_a_job_whose_cancel_was_asked_for_before_it_was_taken_drops_what_an_earlier_attempt_began(world: World) -> None:
    job_id = world.queued()
    token = world.store.claim(job_id, "worker-1", 0).token
    world.store.release(job_id, token, 0)
    world.jobs.cancel(job_id)
    bench = Bench(world, lambda control: {})

    job = bench.run(job_id)

    assert (job.state, job.result, bench.abandoned, bench.runs) == (State.CANCELLED, None, [job_id], 0)


def test_a_cancelled_job_names_what_could_not_be_stopped(world: World) -> None:
    first = Bench(world, raising(Cancelled(["a -> b: unreachable: connection refused"]))).run(world.queued())
    job_id = world.queued(sync("other"))
    world.store.release(job_id, world.store.claim(job_id, "worker-1", 0).token, 0)
    world.jobs.cancel(job_id)
    bench = Bench(world, lambda control: {})
    bench.left = ["a -> c: timed-out: no answer"]

    assert first.result == {"still_running": ["a -> b: unreachable: connection refused"]}
    assert bench.run(job_id).result == {"still_running": ["a -> c: timed-out: no answer"]}


def test_a_job_that_is_handed_back_is_queued_again_at_once(world: World) -> None:
    bench = Bench(world, raising(HandedBack()))
    job_id = world.queued()

    job = bench.run(job_id)

    assert job.state is State.QUEUED
    assert world.publisher.sent == [job_id]
    job = Bench(world, lambda control: {}).run(job_id)
    assert (job.attempts, job.failures) == (2, 0)  # nobody's fault: it does not use up the job's starts


def test_a_job_that_was_lost_to_another_worker_is_not_touched(world: World) -> None:
    job_id = world.queued()

    def body(control: Control) -> dict[str, Any]:
        world.redis.delete(f"nbr:lease:{job_id}", "nbr:lock:database:pdfs")
        world.store.reap(0, dict.fromkeys(Kind, 10.0))
        assert world.store.claim(job_id, "other-worker", 0).what == "claimed"
        raise LeaseLost

    job = Bench(world, body).run(job_id)

    assert (job.state, job.attempts, job.finished_at) == (State.RUNNING, 2, None)
    assert world.store.beat(job_id, 2, "other-worker") == "ok"


def test_a_late_result_of_a_job_that_was_lost_is_not_written(world: World) -> None:
    job_id = world.queued()

    def body(control: Control) -> dict[str, Any]:
        world.redis.delete(f"nbr:lease:{job_id}", "nbr:lock:database:pdfs")
        world.store.reap(0, dict.fromkeys(Kind, 10.0))
        world.store.claim(job_id, "other-worker", 0)
        return {"by": "the old one"}

    job = Bench(world, body).run(job_id)

    assert (job.state, job.result) == (State.RUNNING, None)


def test_a_transient_error_gives_the_job_another_start_later(world: World) -> None:
    job_id = world.queued()
    bench = Bench(world, raising(Unreachable("connection refused", node="b")))

    job = bench.run(job_id)

    assert (job.state, job.error) == (State.QUEUED, None)
    assert world.publisher.sent == []  # not before its time
    assert world.store.claim(job_id, "n", job.started_at or 0).what == "early"


def test_a_transient_error_fails_the_job_when_its_starts_are_used_up(world: World) -> None:
    job_id = world.queued()
    bench = Bench(world, raising(Unreachable("connection refused", node="b", database="pdfs")))
    for _ in range(world.settings.job_max_attempts):
        world.redis.hset(f"nbr:job:{job_id}", "not_before", "0")
        bench.run(job_id)

    job = world.job(job_id)
    assert job.error is not None
    assert (job.state, job.attempts) == (State.FAILED, world.settings.job_max_attempts)
    assert (job.error.type, job.error.retryable) == ("unreachable", True)
    assert job.error.detail == "b: connection refused"
    assert job.error.context == {"node": "b", "database": "pdfs"}


def test_a_lock_out_is_waited_out(world: World) -> None:
    job_id = world.queued()

    Bench(world, raising(LockedOut("temporarily locked"))).run(job_id)

    waits = float(world.redis.hget(f"nbr:job:{job_id}", "not_before") or 0) - (world.job(job_id).started_at or 0)
    assert waits >= policy.LOCK_OUT


def test_a_permanent_error_fails_the_job_with_what_was_done(world: World) -> None:
    error = DocumentsRefused("documents were skipped", database="pdfs")
    error.result = {"pulls": []}

    job = Bench(world, raising(error)).run(world.queued())

    assert job.error is not None
    assert (job.state, job.attempts, job.result) == (State.FAILED, 1, None)
    assert (job.error.type, job.error.retryable) == ("documents-refused", False)
    assert job.error.context["result"] == {"pulls": []}


def test_a_defect_fails_the_job_and_tells_nothing_of_itself(world: World) -> None:
    job = Bench(world, raising(RuntimeError(f"http://admin:{PASSWORD}@a.test"))).run(world.queued())

    assert job.error is not None
    assert (job.state, job.error.type, job.error.retryable) == (State.FAILED, "internal", False)
    assert "RuntimeError" in job.error.detail
    assert PASSWORD not in job.error.detail


def test_a_secret_in_an_errors_words_is_masked(world: World) -> None:
    job = Bench(world, raising(NotFound(f"the password {PASSWORD} was shown"))).run(world.queued())

    assert job.error is not None
    assert PASSWORD not in job.error.detail


def test_the_end_of_a_job_wakes_those_that_wait_for_its_database(world: World) -> None:
    first, second = world.queued(), world.queued(Another(Kind.SYNC, "pdfs", {}))

    def body(control: Control) -> dict[str, Any]:
        assert world.store.claim(second, "worker-2", 0).what == "busy"
        return {}

    Bench(world, body).run(first)

    assert world.publisher.sent == [second]


def test_a_queue_that_is_away_does_not_undo_a_jobs_end(world: World) -> None:
    first, second = world.queued(), world.queued(Another(Kind.SYNC, "pdfs", {}))

    def body(control: Control) -> dict[str, Any]:
        world.store.claim(second, "worker-2", 0)
        world.publisher.away = True
        return {}

    assert Bench(world, body).run(first).state is State.SUCCEEDED


def test_redis_that_goes_away_in_the_work_leaves_the_job_to_the_reaper(world: World) -> None:
    job_id = world.queued()

    job = Bench(world, raising(StoreUnavailable("gone"))).run(job_id)

    assert (job.state, job.error) == (State.RUNNING, None)
    world.redis.delete(f"nbr:lease:{job_id}")
    assert world.store.reap(0, dict.fromkeys(Kind, 10.0)) == [job_id]


def test_redis_that_is_away_when_a_job_ends_is_waited_for(world: World) -> None:
    class Away(JobStore):
        tries = 0

        def finish(self, *args: Any, **more: Any) -> Any:
            self.tries += 1
            if self.tries == 1:
                raise StoreUnavailable("gone")
            return super().finish(*args, **more)

    world.store = Away(world.redis, result_ttl=60, lease_seconds=15, max_attempts=3)

    job = Bench(world, lambda control: {"n": 1}).run(world.queued())

    assert (job.state, job.result) == (State.SUCCEEDED, {"n": 1})


def test_progress_of_the_work_reaches_the_record() -> None:
    world = World(lease_seconds=2)
    job_id = world.queued()

    def body(control: Control) -> dict[str, Any]:
        control.report("gather", 1, 2, "pulls")
        assert wait_until(lambda: world.job(job_id).progress is not None, PATIENCE)
        progress = world.job(job_id).progress
        assert progress is not None
        assert (progress.phase, progress.done, progress.total) == ("gather", 1, 2)
        return {}

    job = Bench(world, body).run(job_id)

    assert job.state is State.SUCCEEDED
    assert job.progress is None, "a job that is done is not on its way"
