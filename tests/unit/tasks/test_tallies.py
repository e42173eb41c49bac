"""What is counted of jobs and changes, and that it costs no job anything where it cannot be."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tasks.jobs import Job, Kind, State
from tasks.redis import StoreUnavailable, connect
from tasks.tallies import CHANGE_BOUNDS, JOB_BOUNDS, Tallies
from tests.unit.tasks.world import NOW, World, job, sync

SUCCEEDED, FAILED, CANCELLED = ((Kind.SYNC, state) for state in (State.SUCCEEDED, State.FAILED, State.CANCELLED))


def ended(state: State = State.SUCCEEDED, seconds: float | None = 1.0) -> Job:
    """A sync that took so long; None: no worker had it."""
    started = None if seconds is None else NOW - seconds
    return replace(job(sync()), state=state, started_at=started, finished_at=NOW)


def test_jobs_are_counted_by_kind_and_by_how_they_ended(world: World) -> None:
    for state in (State.SUCCEEDED, State.SUCCEEDED, State.FAILED):
        world.tallies.job_ended(ended(state))

    found = world.tallies.read()

    assert {pair: count for pair, count in found.ended.items() if count} == {SUCCEEDED: 2, FAILED: 1}
    assert len(found.ended) == len(Kind) * 3
    assert found.durations.keys() == {SUCCEEDED, FAILED}


@pytest.mark.parametrize(
    ("seconds", "bound"),
    [(0.0, 0.1), (0.1, 0.1), (0.11, 0.5), (59.9, 60.0), (3_600.0, 3_600.0), (3_600.1, None), (-5.0, 0.1)],
)
def test_a_duration_is_below_its_bound(world: World, seconds: float, bound: float | None) -> None:
    world.tallies.job_ended(ended(seconds=seconds))

    histogram = world.tallies.read().durations[SUCCEEDED]

    at = histogram.counts.index(1)
    assert ([*JOB_BOUNDS, None][at], histogram.total) == (bound, 1)
    assert histogram.seconds == pytest.approx(max(0.0, seconds))


def test_one_that_no_worker_had_took_no_time(world: World) -> None:
    world.tallies.job_ended(ended(State.CANCELLED, None))

    found = world.tallies.read()

    assert found.ended[CANCELLED] == 1
    assert found.durations == {}


def test_delays_of_changes_add_up(world: World) -> None:
    for seconds in (0.05, 0.3, 400.0):
        world.tallies.change_carried(seconds)

    delays = world.tallies.read().delays

    assert (delays.bounds, delays.total, delays.seconds) == (CHANGE_BOUNDS, 3, pytest.approx(400.35))
    assert (delays.counts[0], delays.counts[2], delays.counts[-1]) == (1, 1, 1)


def test_all_processes_count_in_one_place(world: World) -> None:
    world.tallies.job_ended(ended())
    Tallies(world.redis).job_ended(ended())

    assert Tallies(world.redis).read().ended[SUCCEEDED] == 2


def test_without_redis_nothing_is_counted_and_nothing_fails() -> None:
    tallies = Tallies(connect("redis://127.0.0.1:1/0"))

    tallies.job_ended(ended())
    tallies.change_carried(1.0)
    with pytest.raises(StoreUnavailable):
        tallies.read()


def test_where_redis_was_emptied_they_begin_anew(world: World) -> None:
    world.tallies.job_ended(ended())
    world.redis.flushall()
    world.tallies.job_ended(ended(State.FAILED))

    assert {pair for pair, count in world.tallies.read().ended.items() if count} == {FAILED}


def test_a_job_that_is_cancelled_on_the_queue_is_counted(world: World) -> None:
    world.jobs.cancel(world.queued())

    assert world.tallies.read().ended[CANCELLED] == 1
