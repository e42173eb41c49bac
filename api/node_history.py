"""How a node was over the last hours, minute by minute, as the sweeps saw it."""

from __future__ import annotations

from api.context import Context
from api.database_schemas import HistoryBody, HistoryPoint
from worker.core.history import MINUTE


def history(parts: Context, node: str, hours: int) -> HistoryBody:
    """`node` is one that is configured."""
    now = parts.clock()
    points = parts.seen.history.of(node, now - hours * 3_600, now)
    return HistoryBody(
        node=node,
        observed_at=(parts.seen.sweep() or {}).get("observed_at"),
        step_seconds=MINUTE,
        points=[
            HistoryPoint.model_validate(
                {
                    "at": point.at,
                    "latency_ms": point.latency,
                    "latency_max_ms": point.longest,
                    "lag": point.lag,
                    "state": point.state,
                }
            )
            for point in points
        ],
    )
