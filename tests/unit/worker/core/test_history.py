"""Several looks in one minute make one point."""

from __future__ import annotations

import pytest

from worker.core.health import NodeState
from worker.core.history import Point, merged, minute_of

HEALTHY, SUSPECT, DOWN = NodeState.HEALTHY, NodeState.SUSPECT, NodeState.DOWN


def test_a_minute_has_its_last_latency_and_lag_its_longest_latency_and_its_worst_state() -> None:
    first = merged(None, 125.0, 2.0, 0, HEALTHY)
    second = merged(first, 135.0, 9.5, None, SUSPECT)
    third = merged(second, 179.9, 3.0, 4, HEALTHY)

    assert first == Point(120, 2.0, 2.0, 0, HEALTHY)
    assert third == Point(120, 3.0, 9.5, 4, SUSPECT)


def test_the_next_minute_begins_anew() -> None:
    before = Point(120, 2.0, 9.0, 5, DOWN)

    assert merged(before, 180.0, 1.0, 0, HEALTHY) == Point(180, 1.0, 1.0, 0, HEALTHY)


def test_a_node_that_does_not_answer_has_no_latency() -> None:
    answered = merged(None, 120.0, 2.0, 0, HEALTHY)

    assert merged(None, 120.0, None, None, DOWN) == Point(120, None, None, None, DOWN)
    assert merged(answered, 130.0, None, None, DOWN) == Point(120, None, 2.0, None, DOWN)


@pytest.mark.parametrize("state", list(NodeState))
def test_every_state_has_its_place_and_none_is_better_than_healthy(state: NodeState) -> None:
    assert merged(merged(None, 0.0, 1.0, 0, HEALTHY), 1.0, 1.0, 0, state).state is state
    assert merged(merged(None, 0.0, 1.0, 0, state), 1.0, 1.0, 0, HEALTHY).state is state
    assert merged(merged(None, 0.0, 1.0, 0, state), 1.0, 1.0, 0, DOWN).state is DOWN


@pytest.mark.parametrize(("now", "minute"), [(0.0, 0), (59.999, 0), (60.0, 60), (1_795_446_059.9, 1_795_446_000)])
def test_minutes_begin_on_the_minute(now: float, minute: int) -> None:
    assert minute_of(now) == minute
