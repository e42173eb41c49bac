from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.core.health import Bounds, ClusterState, Look, NodeState, Verdict, cluster, judge

BOUNDS = Bounds(failures=3, successes=2)
GOOD, BAD = Look("a", ok=True), Look("a", ok=False, reason="unreachable: connection refused")


def after(looks: str, bounds: Bounds = BOUNDS) -> list[NodeState]:
    """States after each look; "+" is a good one."""
    verdict: Verdict | None = None
    states = []
    for at, sign in enumerate(looks):
        verdict = judge(verdict, GOOD if sign == "+" else BAD, float(at), bounds)
        states.append(verdict.state)
    return states


H, S, D = NodeState.HEALTHY, NodeState.SUSPECT, NodeState.DOWN


@pytest.mark.parametrize(
    ("looks", "states"),
    [
        ("+", [H]),
        ("-", [S]),
        ("+-", [H, S]),
        ("+--", [H, S, S]),
        ("+---", [H, S, S, D]),
        ("---", [S, S, D]),
        ("+--+--", [H, S, S, H, S, S]),
        ("---+", [S, S, D, D]),
        ("---++", [S, S, D, D, H]),
        ("---+-++", [S, S, D, D, D, D, H]),
    ],
)
def test_counts_in_a_row_decide(looks: str, states: list[NodeState]) -> None:
    assert after(looks) == states


def test_since_is_when_the_state_began_and_reasons_are_told() -> None:
    first = judge(None, BAD, 10.0, BOUNDS)
    second = judge(first, BAD, 20.0, BOUNDS)
    down = judge(second, BAD, 30.0, BOUNDS)
    back = judge(down, GOOD, 40.0, BOUNDS)
    healthy = judge(back, GOOD, 50.0, BOUNDS)

    assert (first.since, second.since, down.since, back.since, healthy.since) == (10, 10, 30, 30, 50)
    assert down.reason == BAD.reason
    assert back.reason == "answers again: 1 of 2 good looks in a row"
    assert healthy.reason is None


@given(st.text("+-", min_size=1, max_size=30), st.integers(1, 5), st.integers(1, 5))
def test_a_node_is_down_only_after_enough_failures_and_back_only_after_enough_successes(
    looks: str, failures: int, successes: int
) -> None:
    states = after(looks, Bounds(failures, successes))

    for at, state in enumerate(states):
        before = states[at - 1] if at else NodeState.UNKNOWN
        if state is D and before is not D:
            assert looks[: at + 1].endswith("-" * failures)
        if before is D and state is not D:
            assert state is H
            assert looks[: at + 1].endswith("+" * successes)
        assert (state is S) <= (looks[at] == "-")
        assert (state is H) <= (looks[at] == "+")


@pytest.mark.parametrize(
    ("states", "wanted"),
    [
        ([], ClusterState.UNKNOWN),
        ([NodeState.UNKNOWN] * 2, ClusterState.UNKNOWN),
        ([H, H], ClusterState.HEALTHY),
        ([H, S], ClusterState.DEGRADED),
        ([H, D], ClusterState.DEGRADED),
        ([H, NodeState.UNKNOWN], ClusterState.DEGRADED),
        ([S, S], ClusterState.DEGRADED),
        ([D, D], ClusterState.DOWN),
        ([D, NodeState.UNKNOWN], ClusterState.DOWN),
    ],
)
def test_the_clusters_state(states: list[NodeState], wanted: ClusterState) -> None:
    assert cluster(states) is wanted
