"""How fast a backup goes: batches that fit, and a limit that holds whoever shares it."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.core.errors import Cancelled
from worker.ops.backup.pace import FIRST, GROWTH, MOST, TARGET, Batches, Throttle

RATE = 1_000.0  # bytes a second


@dataclass
class Clock:
    """Time that passes only while somebody sleeps, or when the test says so."""

    now: float = 50.0
    slept: list[float] = field(default_factory=list)

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def throttle(clock: Clock, rate: float = RATE) -> Throttle:
    return Throttle(rate, clock=clock, sleep=clock.sleep)


# batches


def sizes(of: int, times: int, batches: Batches | None = None) -> list[int]:
    """What is asked for, one batch after the other, where every document has so many bytes."""
    batches = batches or Batches()
    found = []
    for _ in range(times):
        found.append(batches.size)
        batches.saw(batches.size, batches.size * of)
    return found


def test_small_documents_are_asked_for_in_larger_and_larger_batches() -> None:
    assert sizes(100, 4) == [FIRST, FIRST * GROWTH, FIRST * GROWTH**2, MOST]


def test_large_documents_are_asked_for_one_by_one_from_the_second_batch_on() -> None:
    assert sizes(8_000_000, 3) == [FIRST, 1, 1]


def test_batches_follow_what_the_database_has_next() -> None:
    batches = Batches()
    assert sizes(100, 3, batches)[-1] > FIRST

    assert sizes(TARGET // 2, 2, batches)[-1] == 2
    assert sizes(100, 4, batches) == [2, 2 * GROWTH, 2 * GROWTH**2, 2 * GROWTH**3]


@pytest.mark.parametrize(
    ("expected", "first"),
    [(None, FIRST), (100.0, FIRST), (TARGET / 10, 10), (TARGET * 5.0, 1), (0.5, FIRST), (0.0, FIRST)],
)
def test_the_first_batch_is_no_larger_than_the_server_lets_expect(expected: float | None, first: int) -> None:
    assert Batches(expected).size == first


@pytest.mark.parametrize(("documents", "size"), [(0, 0), (0, 5_000), (7, 0)])
def test_an_empty_answer_teaches_nothing(documents: int, size: int) -> None:
    batches = Batches()
    batches.saw(documents, size)
    assert batches.size == FIRST


@given(st.lists(st.tuples(st.integers(0, 3_000), st.integers(0, 10**9)), max_size=20))
def test_a_batch_has_always_something_and_never_too_much(answers: list[tuple[int, int]]) -> None:
    batches = Batches()
    for documents, size in answers:
        before = batches.size
        batches.saw(documents, size)
        assert 1 <= batches.size <= min(MOST, before * GROWTH)


# the limit


def test_the_rate_holds_from_the_first_byte_on() -> None:
    clock = Clock()
    limited = throttle(clock)

    for _ in range(10):
        limited.took(500)

    assert clock.now == pytest.approx(50 + 5)
    assert clock.slept == [pytest.approx(0.5)] * 10


def test_the_rate_holds_over_all_who_share_it() -> None:
    """Whoever comes while others wait waits behind them."""
    clock, slept, lock = Clock(), [], threading.Lock()

    def sleep(seconds: float) -> None:
        with lock:
            slept.append(seconds)

    limited = Throttle(RATE, clock=clock, sleep=sleep)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(limited.took, [500] * 40))

    assert sorted(slept) == [pytest.approx(0.5 * place) for place in range(1, 41)]


def test_nobody_waits_once_the_work_is_over() -> None:
    limited = Throttle(RATE)
    limited.took(500)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(limited.took, int(RATE) * 3_600)
        limited.stop()
        with pytest.raises(Cancelled):
            waiting.result(timeout=10)
    with pytest.raises(Cancelled):
        limited.took(1)


def test_without_a_limit_streams_end_with_their_work_too() -> None:
    limited = Throttle()
    limited.took(1)
    limited.stop()
    with pytest.raises(Cancelled):
        limited.took(1)


def test_nobody_saves_up_for_a_burst() -> None:
    clock = Clock()
    limited = throttle(clock)
    clock.now += 3_600

    for _ in range(20):
        limited.took(500)

    assert clock.now == pytest.approx(50 + 3_600 + 10 - 1), "one second's worth is free, and no more"


def test_who_is_slower_than_the_limit_never_waits() -> None:
    clock = Clock()
    limited = throttle(clock)
    for _ in range(20):
        clock.now += 1.0
        limited.took(900)
    assert clock.slept == []


@given(st.lists(st.tuples(st.floats(0, 5), st.integers(1, 5_000)), min_size=1, max_size=30))
def test_more_than_the_rate_and_a_second_never_passes(calls: list[tuple[float, int]]) -> None:
    clock = Clock()
    limited = throttle(clock)
    for pause, size in calls:
        clock.now += pause
        limited.took(size)
    taken = sum(size for _, size in calls)
    assert taken <= RATE * (clock.now - 50 + 1) * (1 + 1e-9)


@pytest.mark.parametrize("rate", [0, -1])
def test_without_a_limit_nobody_waits(rate: float) -> None:
    clock = Clock()
    limited = throttle(clock, rate)
    limited.took(10**12)
    assert clock.slept == []


def test_nothing_taken_is_nothing_waited_for() -> None:
    clock = Clock()
    throttle(clock).took(0)
    assert clock.slept == []
