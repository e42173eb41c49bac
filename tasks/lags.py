"""How far each node lags, put together from the last look at the links and the last periodic pass. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

Lags = Mapping[str, int | None]
Known = Mapping[str, Any] | None


def node_lags(names: Iterable[str], summary: Known, found: Known) -> dict[str, int | None]:
    """Node -> changes of other nodes that it has not confirmed; None where that of a database is not known. {} before
    anything is. `summary`: of the links (tasks.replication_seen), `found`: of the pass (tasks.observations)."""
    if summary is None and not found:
        return {}
    wanted = list(names)
    last = found or {}
    # without links nothing lags by them; before the first look at them nothing is known
    known = dict.fromkeys(wanted, 0) | dict(summary["lag"]) if summary else dict.fromkeys(wanted)
    away = set(last.get("unseen", []))
    return {name: None if name in away else added(known.get(name), _behind(name, last)) for name in wanted}


def _behind(name: str, found: Mapping[str, Any]) -> int | None:
    """Of all databases that travel on change."""
    total: int | None = 0
    for database, nodes in found.get("changed", {}).items():
        measured = found["lag"].get(database, {})
        for source in nodes:
            if source != name and name in nodes:
                total = added(total, measured.get(source))
    return total


def added(one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else one + other


def seen_at(summary: Known, found: Known) -> float | None:
    """When the older of the two was found out, in seconds since the epoch."""
    times = [known["observed_at"] for known in (summary, found) if known and known.get("observed_at") is not None]
    return min(times, default=None)
