"""From what was seen of a node to what we say about it. Pure: (earlier verdict, look, now) -> verdict.

One bad look does not make a node down, and one good look does not bring it back (flapping would move
clients and hubs to and fro): the counts in a row decide, and both bounds are settings.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class NodeState(StrEnum):
    UNKNOWN = "unknown"  # never looked at
    HEALTHY = "healthy"
    SUSPECT = "suspect"  # failing, not yet often enough to be called down
    DOWN = "down"


class ClusterState(StrEnum):
    UNKNOWN = "unknown"
    HEALTHY = "healthy"
    DEGRADED = "degraded"
    DOWN = "down"


@dataclass(frozen=True)
class Look:
    """One look at one node. `reason` is an error's slug and words where it failed; figures not had are None."""

    node: str
    ok: bool
    reason: str | None = None
    latency_ms: float | None = None
    version: str | None = None
    uuid: str | None = None
    kind: str | None = None


@dataclass(frozen=True)
class Verdict:
    """What we say about a node, since when (seconds since the epoch) and why."""

    node: str
    state: NodeState
    since: float
    reason: str | None
    failures: int  # in a row
    successes: int  # in a row


@dataclass(frozen=True)
class Bounds:
    failures: int
    successes: int


def judge(earlier: Verdict | None, look: Look, now: float, bounds: Bounds) -> Verdict:
    """The verdict after one more look."""
    failures = 0 if look.ok else (earlier.failures if earlier else 0) + 1
    successes = (earlier.successes if earlier else 0) + 1 if look.ok else 0
    was = earlier.state if earlier else NodeState.UNKNOWN
    state, reason = _next(was, look, failures, successes, bounds)
    since = earlier.since if earlier and earlier.state is state else now
    return Verdict(look.node, state, since, reason, failures, successes)


def _next(was: NodeState, look: Look, failures: int, successes: int, bounds: Bounds) -> tuple[NodeState, str | None]:
    if look.ok:
        if was is NodeState.DOWN and successes < bounds.successes:
            return NodeState.DOWN, f"answers again: {successes} of {bounds.successes} good looks in a row"
        return NodeState.HEALTHY, None
    if was is NodeState.DOWN or failures >= bounds.failures:
        return NodeState.DOWN, look.reason
    return NodeState.SUSPECT, look.reason


def cluster(states: Iterable[NodeState]) -> ClusterState:
    """healthy: every node is. down: no node answers. degraded: anything between."""
    seen = list(states)
    if not seen or all(state is NodeState.UNKNOWN for state in seen):
        return ClusterState.UNKNOWN
    if all(state is NodeState.HEALTHY for state in seen):
        return ClusterState.HEALTHY
    if all(state in {NodeState.DOWN, NodeState.UNKNOWN} for state in seen):
        return ClusterState.DOWN
    return ClusterState.DEGRADED
