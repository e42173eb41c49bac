from __future__ import annotations

import threading

import pytest

from worker.core.errors import Cancelled, NotFound, Unreachable
from worker.ops.parallel import batches, each, start, values


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
