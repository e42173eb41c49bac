"""How far each node lags, put together from the last look at the links and the last periodic pass. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from worker.core.lag import added
from worker.core.rules import Mode

Known = Mapping[str, Any] | None


def on_change(reconcile: Known) -> int:
    """How many databases travel on change. `reconcile`: what it did last (tasks.replication_seen)."""
    return int((reconcile or {}).get("modes", {}).get(Mode.ON_CHANGE.value, 0))


def node_lags(names: Iterable[str], summary: Known, found: Known, *, passes: int = 0) -> dict[str, int | None]:
    """Node -> changes of other nodes that it has not confirmed; None where that of a database is not known. {} before
    anything is. `summary`: of the links (tasks.replication_seen), `found`: of the pass (tasks.observations), `passes`:
    over how many databases it goes: what a node that it did not see has of them, all others may lack."""
    if summary is None and not found:
        return {}
    if passes and (not found or found.get("unseen")):
        return dict.fromkeys(names)
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


def lags_behind(
    names: Iterable[str], sources: Collection[str], summary: Known, found: Known, *, around: bool
) -> dict[str, int | None]:
    """By how much each node lags behind the one of these `sources` that it lags behind most: a node that is away, or is
    only being filled, keeps its changes to itself, and nobody is worse than the others for lacking them. Not added up:
    what one source has, the next one mostly has too. `around`: changes find other ways than a link that stands still.
    """
    lags = node_lags(names, {**summary, "lag": {}} if summary else None, found)
    behind = (summary or {}).get("behind", {})
    still = (summary or {}).get("cut", {}) if around and len(lags) > 2 else {}
    for name, so_far in lags.items():
        of = [lag for at, lag in behind.get(name, {}).items() if at in sources and f"{at} -> {name}" not in still]
        most = None if None in of else max((lag for lag in of if lag is not None), default=0)
        lags[name] = added(so_far, most)
    return lags


def seen_at(summary: Known, found: Known) -> float | None:
    """When the older of the two was found out, in seconds since the epoch."""
    times = [known["observed_at"] for known in (summary, found) if known and known.get("observed_at") is not None]
    return min(times, default=None)
