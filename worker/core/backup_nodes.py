"""From which node a backup is read: one that is well and up to date, with the least to do. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from worker.core.health import NodeState

# what a node's data is worth, the best first. One in maintenance serves no clients: nobody is better suited
_RANK = {
    NodeState.HEALTHY: 0,
    NodeState.MAINTENANCE: 0,
    NodeState.UNKNOWN: 1,
    NodeState.SUSPECT: 2,
}


@dataclass(frozen=True)
class Candidate:
    """`place`: in the settings. `lag`: changes of other nodes that it has not confirmed; `busy`: processes that wait
    for a core there. None is unknown."""

    name: str
    place: int
    state: NodeState
    lag: int | None = None
    busy: int | None = None


def best_first(candidates: Iterable[Candidate], max_lag: int) -> list[str]:
    """Those that may be read from: never one that is down, behind, or not yet what it should be. A node that lags more
    than `max_lag` comes after all that do not; one whose lag is unknown in between."""

    def key(one: Candidate) -> tuple[int, int, int, int]:
        behind = 1 if one.lag is None else 2 * (one.lag > max_lag)
        return _RANK[one.state], behind, one.busy or 0, one.place

    return [one.name for one in sorted((one for one in candidates if one.state in _RANK), key=key)]


def fallen_behind(candidates: Iterable[Candidate], max_lag: int) -> frozenset[str]:
    """Those that are not worth going on from, although the backup before was read there, while there is a better one:
    what they have is not what the others have."""
    return frozenset(
        one.name for one in candidates if one.state is NodeState.SUSPECT or (one.lag is not None and one.lag > max_lag)
    )
