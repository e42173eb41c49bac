"""The catalogue as the API tells it: read from the store by a worker, kept in Redis."""

from __future__ import annotations

import time
from typing import Any

import msgspec

from config.logs import get
from tasks.wiring import Parts
from worker.core.errors import ReplicationError
from worker.core.manifest import Counts, Manifest
from worker.couch.cluster import Cluster
from worker.ops.backup import notes
from worker.ops.backup.catalogue import Catalogue, Unreadable

log = get(__name__)
EVERY = 300.0  # seconds between two readings without a reason; what we do ourselves is read at once


def refresh(parts: Parts, cluster: Cluster) -> None:
    """Raises what the store raises."""
    vault = parts.vaults.main(cluster)
    catalogue = Catalogue(vault)
    known = parts.backups.known()
    summaries: list[dict[str, Any]] = []
    entries: dict[str, list[Any]] = {}
    for found in catalogue.all():
        if isinstance(found, Unreadable):
            summaries.append(unreadable(found))
            continue
        hold, drill = notes.hold_of(vault, found.id), notes.drill_of(vault, found.id)
        summaries.append(summary(found, hold, drill, notes.damage_of(vault, found.id)))
        if found.id not in known:
            entries[found.id] = [entry(one) for one in found.entries]
    parts.backups.save(summaries, entries, time.time())


def show(parts: Parts, cluster: Cluster) -> None:
    """What was done is to be seen now. Where the store fails at this, it is seen later."""
    try:
        refresh(parts, cluster)
    except ReplicationError as error:
        log.warning("catalogue not read", error=str(error))


def summary(
    manifest: Manifest,
    hold: notes.Hold | None = None,
    drill: notes.Drill | None = None,
    damage: notes.Damage | None = None,
) -> dict[str, Any]:
    counts = Counts()
    for one in manifest.entries:
        counts = counts.plus(one.counts)
    return {
        "id": manifest.id,
        "readable": True,
        "why": None,
        "started_at": manifest.started_at,
        "finished_at": manifest.finished_at,
        "scope": list(manifest.scope),
        "scheduled": manifest.scheduled,
        "good": manifest.good,
        "full": all(one.full for one in manifest.entries),
        "sealed": manifest.key is not None,
        "parents": list(manifest.parents),
        "databases": len(manifest.entries),
        "failed": [msgspec.to_builtins(one) for one in manifest.failed],
        **{name: getattr(counts, name) for name in Counts.__struct_fields__},
        "legal_hold": msgspec.to_builtins(hold) if hold is not None and hold.on else None,
        "damage": msgspec.to_builtins(damage) if damage is not None and damage.on else None,
        "drill": msgspec.to_builtins(drill) if drill else None,
    }


def unreadable(found: Unreadable) -> dict[str, Any]:
    return {"id": found.id, "readable": False, "why": found.why.detail}


def entry(one: Any) -> dict[str, Any]:
    told: dict[str, Any] = msgspec.to_builtins(one)
    counts = told.pop("counts")
    return {**{name: told[name] for name in ("database", "full", "unchanged", "why", "node")}, **counts}
