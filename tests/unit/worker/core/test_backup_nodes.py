"""From which node a backup is read."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.core.backup_nodes import Candidate, best_first, fallen_behind
from worker.core.health import NodeState

MOST = 100
READABLE = {NodeState.HEALTHY, NodeState.MAINTENANCE, NodeState.UNKNOWN, NodeState.SUSPECT}


def node(name: str, state: NodeState = NodeState.HEALTHY, *, lag: int | None = 0, busy: int | None = 0) -> Candidate:
    """Placed by its name."""
    return Candidate(name, ord(name), state, lag, busy)


@pytest.mark.parametrize(
    ("worse", "better"),
    [
        (node("a", NodeState.SUSPECT), node("b", NodeState.UNKNOWN)),
        (node("a", NodeState.UNKNOWN), node("b")),
        (node("a", NodeState.UNKNOWN), node("b", NodeState.MAINTENANCE, lag=MOST + 1, busy=99)),
        (node("a", lag=MOST + 1), node("b", lag=None)),
        (node("a", lag=None), node("b", lag=MOST)),
        (node("a", lag=MOST + 1), node("b", lag=MOST, busy=99)),
        (node("a", busy=3), node("b", busy=2)),
        (node("b"), node("a")),
        (node("a", busy=1), node("b", busy=None)),
    ],
)
def test_which_of_two_is_read_from(worse: Candidate, better: Candidate) -> None:
    assert best_first([worse, better], MOST) == best_first([better, worse], MOST) == [better.name, worse.name]


def test_a_node_that_serves_nobody_is_as_good_as_a_healthy_one() -> None:
    assert best_first([node("a", busy=1), node("b", NodeState.MAINTENANCE)], MOST) == ["b", "a"]


@pytest.mark.parametrize("state", sorted(set(NodeState) - READABLE))
def test_a_node_that_is_down_or_not_yet_what_it_should_be_is_never_read_from(state: NodeState) -> None:
    assert best_first([node("a", state)], MOST) == []
    assert best_first([node("a", state), node("b", NodeState.SUSPECT)], MOST) == ["b"]


def test_every_state_is_judged() -> None:
    for state in NodeState:
        assert best_first([node("a", state)], MOST) == (["a"] if state in READABLE else [])


candidates = st.lists(
    st.builds(
        Candidate,
        name=st.sampled_from("abcdefgh"),
        place=st.integers(0, 7),
        state=st.sampled_from(NodeState),
        lag=st.none() | st.integers(0, 2 * MOST),
        busy=st.none() | st.integers(0, 9),
    ),
    max_size=4,
    unique_by=(lambda one: one.name, lambda one: one.place),
)


@given(candidates)
def test_the_order_in_which_they_are_given_is_nothing(found: list[Candidate]) -> None:
    answers = [best_first(given, MOST) for given in itertools.permutations(found)]

    assert all(answer == answers[0] for answer in answers)
    assert sorted(answers[0]) == sorted(one.name for one in found if one.state in READABLE)


def test_what_has_fallen_behind_is_not_gone_on_from() -> None:
    found = [
        Candidate("well", 0, NodeState.HEALTHY, lag=0),
        Candidate("unknown", 1, NodeState.HEALTHY),
        Candidate("at-most", 2, NodeState.MAINTENANCE, lag=10),
        Candidate("behind", 3, NodeState.HEALTHY, lag=11),
        Candidate("suspect", 4, NodeState.SUSPECT, lag=0),
    ]
    assert fallen_behind(found, 10) == {"behind", "suspect"}
