from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from worker.core.errors import Cancelled, NotFound, Unreachable
from worker.ops.parallel import ahead, batches, each, start, values


def test_all_run_at_once_and_come_back_in_order() -> None:
    gate = threading.Barrier(5)

    def work(key: int) -> int:
        gate.wait(5)  # passes only where all five are inside
        return key * 10

    found = each(range(5), work)

    assert list(found) == [0, 1, 2, 3, 4]
    assert values(found) == {key: key * 10 for key in range(5)}


def test_an_error_of_ours_is_kept_with_its_key() -> None:
    def work(key: str) -> str:
        if key == "b":
            raise Unreachable("away")
        return key

    found = each(["a", "b"], work)

    assert found["a"].value == "a"
    assert isinstance(found["b"].error, Unreachable)
    with pytest.raises(Unreachable):
        values(found)


@pytest.mark.parametrize("defect", [ZeroDivisionError(), Cancelled()])
def test_a_defect_is_raised_and_never_kept(defect: Exception) -> None:
    def work(key: str) -> None:
        raise defect

    with pytest.raises(type(defect)):
        each(["a"], work)


def test_nothing_to_do() -> None:
    assert each([], lambda key: NotFound("x")) == {}


def test_outcomes_arrive_as_they_end() -> None:
    gate = threading.Event()

    def work(key: str) -> str:
        if key == "slow":
            gate.wait(5)
        return key

    outcomes = start(["slow", "quick"], work)

    assert outcomes.get(timeout=5).key == "quick"
    gate.set()
    assert outcomes.get(timeout=5).key == "slow"


def test_batches_cover_everything_once() -> None:
    assert list(batches([1, 2, 3, 4, 5], 2)) == [[1, 2], [3, 4], [5]]
    assert list(batches([], 2)) == []


def test_the_next_item_is_made_while_the_caller_works_on_the_one_before() -> None:
    made: list[int] = []
    second = threading.Event()

    def items() -> Iterator[int]:
        for number in range(3):
            made.append(number)
            if number == 1:
                second.set()
            yield number

    reader = ahead(items())

    assert next(reader) == 0
    assert second.wait(5)  # made though nobody asked for it
    assert list(reader) == [1, 2]
    assert made == [0, 1, 2]


def test_no_more_than_one_item_is_made_ahead() -> None:
    closed = threading.Event()
    made: list[int] = []

    def items() -> Iterator[int]:
        try:
            for number in range(100):
                made.append(number)
                yield number
        finally:
            closed.set()

    reader = ahead(items())
    next(reader)
    reader.close()

    assert closed.wait(5)
    assert made == [0, 1]


@pytest.mark.parametrize("error", [Unreachable("away"), ZeroDivisionError()])
def test_what_goes_wrong_ahead_is_raised_where_it_is_read(error: Exception) -> None:
    def items() -> Iterator[int]:
        yield 1
        raise error

    reader = ahead(items())

    assert next(reader) == 1
    with pytest.raises(type(error)):
        next(reader)
