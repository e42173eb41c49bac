"""How each node was over the last day, in Redis: a list a node, one point a minute. See worker.core.history."""

from __future__ import annotations

import json
from typing import Any

import redis

from tasks.redis import translated
from worker.core.health import NodeState
from worker.core.history import MINUTE, MOST_POINTS, Point, merged

PREFIX = "nbr:seen:history:"  # and the node's name: list of JSON arrays, the newest last
FORGET_AFTER = 2 * MINUTE * MOST_POINTS  # seconds; of nodes that are not looked at any more


class HistorySeen:
    """All methods raise tasks.redis.StoreUnavailable where Redis does not answer."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis: Any = client  # see JobStore

    def note(self, node: str, now: float, latency: float | None, lag: int | None, state: NodeState) -> None:
        """One look. For one sweep at a time (tasks.locks.alone)."""
        key = PREFIX + node
        with translated():
            last = _read(self._redis.lindex(key, -1))
            point = merged(last, now, latency, lag, state)
            text = json.dumps([point.at, point.latency, point.longest, point.lag, point.state.value])
            pipeline = self._redis.pipeline()
            if last is not None and last.at == point.at:
                pipeline.lset(key, -1, text)
            else:
                pipeline.rpush(key, text).ltrim(key, -MOST_POINTS, -1)
            pipeline.expire(key, FORGET_AFTER)
            pipeline.execute()

    def of(self, node: str, since: float) -> list[Point]:
        """The points that began at `since` or later, oldest first."""
        with translated():
            rows = self._redis.lrange(PREFIX + node, 0, -1)
        points = [_read(row) for row in rows]
        return [point for point in points if point is not None and point.at >= since]


def _read(text: str | None) -> Point | None:
    """What another version of ours wrote may have another form: it is left out."""
    try:
        at, latency, longest, lag, state = json.loads(text or "")
        return Point(at, latency, longest, lag, NodeState(state))
    except (TypeError, ValueError):
        return None
