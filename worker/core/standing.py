"""How one database stands, from how each of its links does. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from worker.core.lag import BROKEN

FAILING = "failing"  # on change: the last sync of the database failed
_BROKEN = frozenset({*(state.value for state in BROKEN), FAILING})


class DatabaseState(StrEnum):
    IN_STEP = "in-step"
    BEHIND = "behind"  # changes are on their way
    BROKEN = "broken"  # a link carries nothing, and will not without help or a long wait
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class DatabaseStanding:
    """`lag`: changes that some node has not confirmed; None: unknown."""

    state: DatabaseState
    lag: int | None


def standing(links: Iterable[tuple[str | None, int | None]]) -> DatabaseStanding:
    """(state, lag) of each of its links, continuous or on change. One that is known to be behind makes the database so,
    whatever is unknown of the others; in step it is only where all are known to be."""
    given = list(links)
    lags = [lag for _, lag in given]
    most = max((lag for lag in lags if lag is not None), default=0)
    lag = most if most or (lags and None not in lags) else None
    states = {state for state, _ in given}
    if states & _BROKEN:
        return DatabaseStanding(DatabaseState.BROKEN, lag)
    if most or "behind" in states:
        return DatabaseStanding(DatabaseState.BEHIND, lag)
    if lag is None or None in states or "unknown" in states:
        return DatabaseStanding(DatabaseState.UNKNOWN, lag)
    return DatabaseStanding(DatabaseState.IN_STEP, lag)
