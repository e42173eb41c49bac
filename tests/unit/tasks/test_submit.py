"""Asking for a job: what is left when Redis or the broker dies in the middle, and what is woken."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from tasks.jobs import State
from tasks.redis import StoreUnavailable, Uncertain, connect
from tasks.store import Filter, JobStore
from tasks.submit import BeingMade, IdempotencyMismatch, JobEnded, Jobs, UnknownDatabase
from tests.unit.tasks.world import NOW, World, sync


def test_a_job_is_written_before_its_message_goes_out_and_kept_after(world: World) -> None:
    seen: list[State] = []
    world.publisher.on_job = lambda job_id: seen.append(world.job(job_id).state)

    submitted = world.jobs.submit(sync())

    assert seen == [State.QUEUED]
    assert submitted.reused is None
    assert submitted.job == world.job(submitted.job.id)
    assert world.publisher.sent == [submitted.job.id]
    assert world.redis.ttl(f"nbr:job:{submitted.job.id}") == -1


def test_nothing_is_left_where_the_message_did_not_go_out(world: World) -> None:
    world.publisher.away = True

    with pytest.raises(StoreUnavailable):
        world.jobs.submit(sync(), idempotency_key="key")

    assert world.store.list(Filter()).jobs == []
    assert list(world.redis.keys("nbr:job:*")) == []
    world.publisher.away = False
    again = world.jobs.submit(sync(), idempotency_key="key")
    assert again.reused is None


def test_nothing_stays_where_redis_died_as_well(world: World) -> None:
    """The record cannot be taken back, so it has to go by itself."""

    class Dying(JobStore):
        def discard(self, job_id: str) -> None:
            raise StoreUnavailable("gone")

    store = Dying(world.redis, result_ttl=60, lease_seconds=15, max_attempts=3)
    world.publisher.away = True
    with pytest.raises(StoreUnavailable):
        Jobs(store, world.publisher.job).submit(sync())

    (key,) = world.redis.keys("nbr:job:*")
    assert 0 < world.redis.ttl(key) <= 30
    assert store.list(Filter()).jobs == []


def test_a_dead_redis_is_told(world: World) -> None:
    store = JobStore(connect("redis://127.0.0.1:1/0"), result_ttl=60, lease_seconds=15, max_attempts=3)

    with pytest.raises(StoreUnavailable):
        Jobs(store, world.publisher.job).submit(sync())
    assert world.publisher.sent == []


def test_an_equal_request_sends_no_second_message(world: World) -> None:
    first = world.jobs.submit(sync())
    second = world.jobs.submit(sync())

    assert (second.job.id, second.reused) == (first.job.id, "deduplicated")
    assert world.publisher.sent == [first.job.id]


def test_an_equal_request_that_is_being_taken_is_waited_for(world: World) -> None:
    """The second request comes between the record and the message of the first."""
    second: list[object] = []

    def ask_meanwhile(job_id: str) -> None:
        world.publisher.on_job = lambda job_id: None
        with pytest.raises(BeingMade):
            world.jobs.submit(sync())
        asking = threading.Thread(target=lambda: second.append(world.jobs.submit(sync()).reused), daemon=True)
        asking.start()
        threads.append(asking)

    threads: list[threading.Thread] = []
    world.publisher.on_job = ask_meanwhile
    world.jobs.submit(sync())
    threads[0].join(10)

    assert second == ["deduplicated"]
    assert len(world.publisher.sent) == 1


def test_a_message_that_went_out_too_late_is_told(world: World) -> None:
    def given_up(job_id: str) -> None:
        world.redis.delete(f"nbr:job:{job_id}")

    world.publisher.on_job = given_up

    with pytest.raises(StoreUnavailable):
        world.jobs.submit(sync())
    assert world.store.list(Filter()).jobs == []


def test_an_equal_request_brings_a_waiting_retry_forward(world: World) -> None:
    job_id = world.queued()
    token = world.store.claim(job_id, "worker-1", NOW).token
    world.store.release(job_id, token, NOW, not_before=time.time() + 300, failed=True)

    again = world.jobs.submit(sync())

    assert (again.job.id, again.reused) == (job_id, "deduplicated")
    assert world.publisher.sent == [job_id]
    assert world.store.claim(job_id, "worker-2", time.time()).what == "claimed"


def test_redis_that_dies_after_the_message_went_out_leaves_it_uncertain(world: World) -> None:
    class Dying(JobStore):
        def confirm(self, job_id: str, now: float) -> bool:
            raise StoreUnavailable("gone")

    store = Dying(world.redis, result_ttl=60, lease_seconds=15, max_attempts=3)
    with pytest.raises(Uncertain):
        Jobs(store, world.publisher.job).submit(sync())


def test_a_repeated_key_sends_no_second_message(world: World) -> None:
    first = world.jobs.submit(sync(), idempotency_key="key")
    second = world.jobs.submit(sync(), idempotency_key="key")

    assert (second.job.id, second.reused) == (first.job.id, "replayed")
    assert world.publisher.sent == [first.job.id]
    with pytest.raises(IdempotencyMismatch):
        world.jobs.submit(sync("other"), idempotency_key="key")


def test_an_unknown_database_gets_no_job_where_that_is_asked(world: World) -> None:
    with pytest.raises(UnknownDatabase):
        world.jobs.submit(sync(), only_known=True)
    assert world.publisher.sent == []

    world.seen.save_sweep({"observed_at": 1.0}, {"pdfs": ["a"]})
    assert world.jobs.submit(sync(), only_known=True).reused is None


def test_cancelling_a_queued_job_ends_it(world: World) -> None:
    job_id = world.queued()

    job = world.jobs.cancel(job_id)

    assert job is not None
    assert job.state is State.CANCELLED
    with pytest.raises(JobEnded) as error:
        world.jobs.cancel(job_id)
    assert error.value.job.id == job_id


def test_cancelling_a_running_job_asks_its_worker(world: World) -> None:
    job_id = world.queued()
    token = world.store.claim(job_id, "worker-1", NOW).token

    job = world.jobs.cancel(job_id)

    assert job is not None
    assert (job.state, job.cancel_requested) == (State.RUNNING, True)
    assert world.store.beat(job_id, token, "worker-1") == "cancel"


def test_cancelling_a_job_that_waits_for_a_retry_calls_a_worker_at_once(world: World) -> None:
    job_id = world.queued()
    token = world.store.claim(job_id, "worker-1", NOW).token
    world.store.release(job_id, token, NOW, not_before=NOW + 300)

    world.jobs.cancel(job_id)

    assert world.publisher.sent == [job_id]


def test_cancelling_nothing(world: World) -> None:
    assert world.jobs.cancel("01234567-0000-7000-8000-000000000000") is None


def test_waking_passes_over_what_has_ended_or_is_gone(world: World) -> None:
    queued, ended = world.queued(), world.queued(sync("other"))
    world.jobs.cancel(ended)
    world.publisher.sent.clear()

    world.jobs.wake([queued, ended, "01234567-0000-7000-8000-000000000000"])

    assert world.publisher.sent == [queued]


def test_waiting_ends_with_the_job(world: World) -> None:
    job_id = world.queued()
    token = world.store.claim(job_id, "worker-1", NOW).token
    world.store.finish(job_id, token, State.SUCCEEDED, NOW, result={"n": 1})

    job = world.jobs.wait(job_id, 30)

    assert job is not None
    assert job.result == {"n": 1}


def test_waiting_ends_with_the_callers_patience(world: World) -> None:
    ticks: list[float] = [float(i) for i in range(100)]
    jobs = Jobs(world.store, world.publisher.job, clock=lambda: ticks.pop(0))
    job_id = world.queued()

    job = jobs.wait(job_id, 0.01)

    assert job is not None
    assert job.state is State.QUEUED
    assert jobs.wait("01234567-0000-7000-8000-000000000000", 0.01) is None


def test_counts_are_those_of_the_store(world: World) -> None:
    world.queued()
    counts: dict[str, Any] = world.jobs.counts()

    assert counts["queued"] == 1
