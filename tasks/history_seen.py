"""How each node was over the last day, in Redis: a sorted set a node, one point a minute. See worker.core.history.

Sorted by minute and not by who came last: a clock may be set back (NTP, a machine that was resumed from a snapshot).
A minute that comes twice is one point then. What was noted ahead of now is kept, because nobody can tell which of both
times was right; it is shown when its time has come.
"""

from __future__ import annotations

import json
from typing import Any

import redis

from tasks.redis import translated
from worker.core.health import NodeState
from worker.core.history import MINUTE, MOST_POINTS, Point, merged, minute_of

PREFIX = "nbr:seen:minutes:"  # and the node's name: sorted set of JSON arrays by the minute's beginning
FORGET_AFTER = 2 * MINUTE * MOST_POINTS  # seconds; of nodes that are not looked at any more


class HistorySeen:
    """All methods raise tasks.redis.StoreUnavailable where Redis does not answer."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis: Any = client  # see JobStore

    def note(self, node: str, now: float, latency: float | None, lag: int | None, state: NodeState) -> None:
        """One look. For one sweep at a time (tasks.locks.alone)."""
        key, minute = PREFIX + node, minute_of(now)
        with translated():
            before = [_read(row) for row in self._redis.zrangebyscore(key, minute, minute)]
            point = merged(before[0] if before else None, now, latency, lag, state)
            ahead = self._redis.zcount(key, minute + 1, "+inf")
            text = json.dumps([point.at, point.latency, point.longest, point.lag, point.state.value])
            pipeline = self._redis.pipeline()
            pipeline.zremrangebyscore(key, minute, minute).zadd(key, {text: minute})
            pipeline.zremrangebyrank(key, 0, -(MOST_POINTS + ahead + 1)).expire(key, FORGET_AFTER)
            pipeline.execute()

    def of(self, node: str, since: float, until: float) -> list[Point]:
        """The points that began between both, oldest first."""
        with translated():
            rows = self._redis.zrangebyscore(PREFIX + node, since, until)
        return [point for row in rows if (point := _read(row)) is not None]


def _read(text: str) -> Point | None:
    """What another version of ours wrote may have another form: it is left out."""
    try:
        at, latency, longest, lag, state = json.loads(text)
        return Point(at, latency, longest, lag, NodeState(state))
    except (TypeError, ValueError):
        return None
