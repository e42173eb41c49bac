"""Where clients may go, and which node acts as the primary. Pure: (what is said of the nodes) -> routes.

Two dangers are weighed against each other: sending clients to a node that lacks what they wrote elsewhere, and sending
them nowhere because of what we think. So a node is held back only while a better one is let in.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from worker.core.health import Failure, NodeState

ANSWERING = (NodeState.HEALTHY, NodeState.SUSPECT, NodeState.RECOVERING, NodeState.MAINTENANCE, NodeState.REPLACED)


class Way(StrEnum):
    """What a proxy is told about a node."""

    READY = "ready"
    DRAIN = "drain"  # what is under way may end there; nothing new
    DOWN = "down"


@dataclass(frozen=True)
class Standing:
    """What is known of one node. `lag`: changes of others that it has not confirmed; None is unknown."""

    state: NodeState
    reason: str | None = None
    lag: int | None = None
    failure: Failure | None = None


@dataclass(frozen=True)
class Route:
    way: Way
    reason: str | None = None


Standings = Mapping[str, Standing]


def routes(standings: Standings, max_lag: int, drained: Collection[str] = ()) -> dict[str, Route]:
    """Node -> what a proxy is told. `max_lag`: changes by which a node may lag and still be sent clients; one of those
    `drained` has to lag by no more than half of it to be let in again.

    A suspect node stays: the proxy looks for itself, and sooner. Where no node is left, those that are least wrong are
    let in: first nodes that lag, then nodes that are still recovering, then those that only we cannot reach. Never an
    emptied node, which would answer that nothing exists, and never one that a person has taken out.
    """
    found = {
        name: _route(standing, max_lag // 2 if name in drained else max_lag) for name, standing in standings.items()
    }
    if any(route.way is Way.READY for route in found.values()):
        return found
    for let_in in (
        (NodeState.HEALTHY, NodeState.SUSPECT, NodeState.UNKNOWN),
        (NodeState.RECOVERING,),
        (NodeState.DOWN,),
    ):
        names = [name for name, standing in standings.items() if standing.state in let_in]
        if names:
            left = {name: Route(Way.READY, f"no better node is left; {found[name].reason}") for name in names}
            return {**found, **left}
    return found


def _route(standing: Standing, max_lag: int) -> Route:
    state, lag = standing.state, standing.lag
    if state is NodeState.MAINTENANCE:
        return Route(Way.DRAIN, standing.reason)
    if state in {NodeState.DOWN, NodeState.RECOVERING, NodeState.REPLACED}:
        return Route(Way.DOWN, f"{state.value}: {standing.reason}" if standing.reason else state.value)
    if standing.failure is Failure.DISK:
        return Route(Way.DRAIN, standing.reason)
    if lag is not None and lag > max_lag:
        return Route(Way.DRAIN, f"lags by {lag} changes, more than {max_lag}")
    return Route(Way.READY, standing.reason)


def acting_primary(names: Sequence[str], standings: Standings, current: str | None, max_lag: int) -> str | None:
    """The node that stands for the primary: where syncs gather, and where one primary is wanted.

    The configured primary (the first of `names`) where it is healthy and does not lag; else whoever acts now, while
    that is so of it; else the healthy node with the least lag. To come back the primary has to lag by no more than half
    of what it may have lost its place for: at the very bound it would go to and fro.
    """
    if not names:
        return None
    first = names[0]
    acting = current if current in names else None
    if _fit(standings, first, max_lag if acting in {None, first} else max_lag // 2, stays=acting == first):
        return first
    if acting is not None and _fit(standings, acting, max_lag, stays=True):
        return acting
    ranked = sorted(
        (name for name in names if _state(standings, name) in ANSWERING),
        key=lambda name: (ANSWERING.index(_state(standings, name)), _lag(standings, name), names.index(name)),
    )
    # with nobody to move to it stays where it is
    return ranked[0] if ranked else acting or first


def _fit(standings: Standings, name: str, max_lag: int, *, stays: bool) -> bool:
    """`stays`: it acts now, and one bad look does not end that."""
    state = _state(standings, name)
    if state is not NodeState.HEALTHY and not (stays and state in {NodeState.SUSPECT, NodeState.UNKNOWN}):
        return False
    if name in standings and standings[name].failure is Failure.DISK:
        return False
    lag = standings[name].lag if name in standings else None
    # healthy means that it was caught up when it came in; without any knowledge of lag that has to do
    return lag is None or lag <= max_lag


def _state(standings: Standings, name: str) -> NodeState:
    return standings[name].state if name in standings else NodeState.UNKNOWN


def _lag(standings: Standings, name: str) -> float:
    lag = standings[name].lag
    return float("inf") if lag is None else float(lag)
