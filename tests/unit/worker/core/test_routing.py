from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.core.health import NodeState
from worker.core.routing import Standing, Way, acting_primary, routes

H, S, D, R = NodeState.HEALTHY, NodeState.SUSPECT, NodeState.DOWN, NodeState.RECOVERING
M, N, U = NodeState.MAINTENANCE, NodeState.REPLACED, NodeState.UNKNOWN
NAMES = ("a", "b", "c")
MAX_LAG = 100


def standings(*states: NodeState | tuple[NodeState, int | None]) -> dict[str, Standing]:
    pairs = [state if isinstance(state, tuple) else (state, 0) for state in states]
    return {name: Standing(state, f"why {name}", lag) for name, (state, lag) in zip(NAMES, pairs, strict=False)}


def ways(*states: NodeState | tuple[NodeState, int | None]) -> str:
    """One letter a node: r(eady), d(rain), D(own)."""
    letters = {Way.READY: "r", Way.DRAIN: "d", Way.DOWN: "D"}
    return "".join(letters[route.way] for route in routes(standings(*states), MAX_LAG).values())


@pytest.mark.parametrize(
    ("states", "wanted"),
    [
        ((H, H, H), "rrr"),
        ((H, S, U), "rrr"),  # the proxy looks for itself
        ((H, D, H), "rDr"),
        ((H, R, N), "rDD"),
        ((H, M, H), "rdr"),
        (((H, 101), H, H), "drr"),
        (((H, 100), H, H), "rrr"),
        (((H, None), H, H), "rrr"),
        # nobody better is left
        (((H, 101), (H, 500), D), "rrD"),
        ((R, R, D), "rrD"),
        ((R, D, D), "rDD"),
        ((D, D, D), "rrr"),  # only we cannot reach them, perhaps
        ((N, D, D), "Drr"),  # an emptied node would say that nothing exists
        ((M, D, D), "drr"),
        ((M, M, M), "ddd"),
        ((N, N, N), "DDD"),
    ],
)
def test_where_clients_may_go(states: tuple[NodeState, ...], wanted: str) -> None:
    assert ways(*states) == wanted


def test_reasons_are_told() -> None:
    found = routes(standings(D, (H, 101), H), MAX_LAG)

    assert found["a"].reason == "down: why a"
    assert found["b"].reason == "lags by 101 changes, more than 100"
    assert routes(standings(R), MAX_LAG)["a"].reason == "no better node is left; recovering: why a"


@pytest.mark.parametrize(
    ("states", "current", "wanted"),
    [
        ((H, H, H), None, "a"),
        ((U, U, U), None, "a"),
        ((S, H, H), "a", "a"),  # one bad look does not move it
        ((D, H, H), "a", "b"),
        ((D, (H, 5), (H, 3)), "a", "c"),
        ((D, (H, None), (H, 3)), "a", "c"),
        ((D, S, (H, 90)), "a", "c"),
        ((R, H, (H, 3)), "c", "c"),  # it stays where it is until the primary is back
        (((H, 50), H, (H, 3)), "c", "a"),
        (((H, 51), H, (H, 3)), "c", "c"),  # not at the very bound
        (((H, 100), H, H), "a", "a"),
        (((H, 101), (H, 5), (H, 3)), "a", "c"),
        ((D, D, H), "b", "c"),
        ((D, D, R), "b", "c"),
        ((D, D, D), "b", "b"),
        ((M, H, H), "a", "b"),
        ((N, H, H), "a", "b"),
        ((H, H, H), "gone", "a"),
        ((D, H, H), "gone", "b"),
    ],
)
def test_who_acts_as_the_primary(states: tuple[NodeState, ...], current: str | None, wanted: str) -> None:
    assert acting_primary(NAMES, standings(*states), current, MAX_LAG) == wanted


state = st.sampled_from(list(NodeState))
lag = st.none() | st.integers(0, 300)


@given(st.lists(st.tuples(state, lag), min_size=3, max_size=3), st.sampled_from([None, *NAMES]))
def test_without_news_nobody_moves(nodes: list[tuple[NodeState, int | None]], current: str | None) -> None:
    said = standings(*nodes)
    acting = acting_primary(NAMES, said, current, MAX_LAG)

    assert acting_primary(NAMES, said, acting, MAX_LAG) == acting


@given(st.lists(st.tuples(state, lag), min_size=3, max_size=3))
def test_clients_have_somewhere_to_go_unless_a_person_or_emptiness_forbids(
    nodes: list[tuple[NodeState, int | None]],
) -> None:
    found = routes(standings(*nodes), MAX_LAG)

    nowhere = all(route.way is not Way.READY for route in found.values())
    assert nowhere == all(state in {M, N} for state, _ in nodes)


def test_without_nodes_there_is_no_primary() -> None:
    assert acting_primary((), {}, None, MAX_LAG) is None
