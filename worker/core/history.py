"""How a node was, minute by minute: what several looks in one minute come to. Pure.

Minutes in which nobody looked have no point: unknown is not zero.
"""

from __future__ import annotations

from dataclasses import dataclass

from worker.core.health import NodeState

MINUTE = 60  # seconds
MOST_POINTS = 1_440  # a day
# the worst last
_ORDER = (
    NodeState.HEALTHY,
    NodeState.UNKNOWN,
    NodeState.MAINTENANCE,
    NodeState.RECOVERING,
    NodeState.SUSPECT,
    NodeState.REPLACED,
    NodeState.DOWN,
)


@dataclass(frozen=True)
class Point:
    """Of the minute that began at `at` (seconds since the epoch). `latency` and `lag` as they were last, `longest`: the
    longest latency, `state`: the worst."""

    at: int
    latency: float | None
    longest: float | None
    lag: int | None
    state: NodeState


def minute_of(now: float) -> int:
    return int(now // MINUTE) * MINUTE


def merged(last: Point | None, now: float, latency: float | None, lag: int | None, state: NodeState) -> Point:
    """The point of this minute after one more look. `last`: the one there is; of another minute it counts
    for nothing."""
    at = minute_of(now)
    if last is None or last.at != at:
        return Point(at, latency, latency, lag, state)
    longest = max((one for one in (last.longest, latency) if one is not None), default=None)
    return Point(at, latency, longest, lag, max(last.state, state, key=_ORDER.index))
