"""How far each node lags, put together from the last look at the links and the last periodic pass. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from worker.core.lag import added

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


def lags_behind(names: Iterable[str], sources: Collection[str], summary: Known, found: Known) -> dict[str, int | None]:
    """The same, of what these `sources` have: a node that is away, or is only being filled, keeps its changes to
    itself, and nobody is worse than the others for lacking them."""
    lags = node_lags(names, {**summary, "lag": {}} if summary else None, found)
    behind = (summary or {}).get("behind", {})
    for name in lags:
        for source, lag in behind.get(name, {}).items():
            if source in sources:
                lags[name] = added(lags[name], lag)
    return lags


def seen_at(summary: Known, found: Known) -> float | None:
    """When the older of the two was found out, in seconds since the epoch."""
    times = [known["observed_at"] for known in (summary, found) if known and known.get("observed_at") is not None]
    return min(times, default=None)
