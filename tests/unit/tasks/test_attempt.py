"""A lease is kept by a side thread; what it learns reaches the work at its next look."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from embedded.waiting import wait_until
from tasks.attempt import Attempt
from tasks.jobs import Progress
from tasks.redis import StoreUnavailable
from tests.unit.tasks.world import World
from worker.core.errors import Cancelled, HandedBack, LeaseLost

PATIENCE = 10.0


class Beats:
    """A store of which only `beat` is asked: `answer(number of the call)` says what it answers or raises."""

    def __init__(self, answer: Callable[[int], str]) -> None:
        self._answer = answer
        self.calls = 0
        self.progress: list[Progress] = []

    def beat(self, job_id: str, token: int, nonce: str, progress: Progress | None = None) -> str:
        self.calls += 1
        said = self._answer(self.calls)
        if progress:
            self.progress.append(progress)
        return said


def away(call: int) -> str:
    raise StoreUnavailable("Redis does not answer")


def attempt(store: Any, lease: float = 0.1, stopping: threading.Event | None = None) -> Attempt:
    return Attempt(store, "job", 1, "nonce", lease, stopping or threading.Event())


def raised(control: Attempt) -> type[BaseException] | None:
    try:
        control.check()
    except (Cancelled, LeaseLost, HandedBack) as error:
        return type(error)
    return None


def test_all_is_well_while_beats_are_taken() -> None:
    beats = Beats(lambda call: "ok")
    with attempt(beats, lease=0.04) as control:
        assert wait_until(lambda: beats.calls >= 6, PATIENCE)  # longer than the lease
        assert raised(control) is None


def test_beats_come_often_enough_for_the_lease() -> None:
    beats = Beats(lambda call: "ok")
    with attempt(beats, lease=0.4):
        assert wait_until(lambda: beats.calls >= 2, PATIENCE)


def test_beats_end_with_the_work() -> None:
    beats = Beats(lambda call: "ok")
    with attempt(beats, lease=0.02) as control:
        assert wait_until(lambda: beats.calls >= 1, PATIENCE)
    control._thread.join(PATIENCE)

    assert not control._thread.is_alive()


@pytest.mark.parametrize(("answer", "error"), [("cancel", Cancelled), ("lost", LeaseLost)])
def test_what_the_store_says_reaches_the_work(answer: str, error: type[BaseException]) -> None:
    beats = Beats(lambda call: answer)
    with attempt(beats, lease=0.02) as control:
        assert wait_until(lambda: raised(control) is error, PATIENCE)


def test_a_lost_lease_is_not_beaten_for_again() -> None:
    beats = Beats(lambda call: "lost")
    with attempt(beats, lease=0.02) as control:
        assert wait_until(lambda: raised(control) is LeaseLost, PATIENCE)
        control._thread.join(PATIENCE)
    assert beats.calls == 1


def test_a_worker_that_is_to_stop_hands_the_job_back() -> None:
    stopping = threading.Event()
    with attempt(Beats(lambda call: "ok"), stopping=stopping) as control:
        assert raised(control) is None
        stopping.set()
        assert raised(control) is HandedBack


def test_who_lost_the_lease_neither_cancels_nor_hands_back() -> None:
    stopping = threading.Event()
    answers = {1: "cancel"}
    beats = Beats(lambda call: answers.get(call, "lost"))
    with attempt(beats, lease=0.02, stopping=stopping) as control:
        stopping.set()
        assert wait_until(lambda: raised(control) is LeaseLost, PATIENCE)


def test_a_redis_that_is_away_is_tolerated_until_the_lease_is_over() -> None:
    beats = Beats(away)
    with attempt(beats, lease=0.2) as control:
        assert wait_until(lambda: beats.calls >= 2, PATIENCE)
        assert raised(control) is None or beats.calls > 4  # within the lease
        assert wait_until(lambda: raised(control) is LeaseLost, PATIENCE)
    assert beats.calls >= 4


def test_a_short_outage_leaves_no_trace() -> None:
    def answer(call: int) -> str:
        return away(call) if call % 3 == 0 else "ok"

    beats = Beats(answer)
    with attempt(beats, lease=0.6) as control:
        assert wait_until(lambda: beats.calls >= 9, PATIENCE)  # more than two leases
        assert raised(control) is None


def test_progress_is_carried_out_once_and_again_after_a_beat_that_failed() -> None:
    beats = Beats(lambda call: away(call) if call == 1 else "ok")
    control = attempt(beats)
    control.report("gather", 2, 4, "pulls")
    with pytest.raises(StoreUnavailable):
        control.beat()

    control.beat()
    control.beat()

    assert [(one.phase, one.done, one.total, one.unit) for one in beats.progress] == [("gather", 2, 4, "pulls")]


def test_on_the_real_store_a_lease_lives_as_long_as_its_attempt() -> None:
    world = World(lease_seconds=0.2)
    job_id = world.queued()
    claim = world.store.claim(job_id, "nonce", 0)
    lease = f"nbr:lease:{job_id}"

    with Attempt(world.store, job_id, claim.token, "nonce", 0.2, threading.Event()) as control:
        control.report("look")
        assert wait_until(lambda: world.job(job_id).progress is not None, PATIENCE)
        assert world.redis.exists(lease)
        world.jobs.cancel(job_id)
        assert wait_until(lambda: raised(control) is Cancelled, PATIENCE)
    assert wait_until(lambda: not world.redis.exists(lease), PATIENCE)
