"""The body of the backup job: from its parameters to an operation, what it means to others, its result back."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from config.logs import get
from tasks import catalogue
from tasks.backup_care import prune_all
from tasks.backup_nodes import ranked
from tasks.backups_seen import newest_good
from tasks.jobs import Job
from tasks.policy import gives_up
from tasks.redis import StoreUnavailable
from tasks.wiring import Parts
from worker.core.errors import BackupIncomplete, Cancelled, NotFound, ReplicationError
from worker.core.manifest import EVERYTHING, Manifest, backup_id, folder
from worker.core.windows import closed
from worker.couch.cluster import Cluster
from worker.ops.backup import choose, notes
from worker.ops.backup import run as backup
from worker.ops.backup.copy import copy
from worker.ops.backup.objects import manifest_name
from worker.ops.backup.pace import Throttle
from worker.ops.control import Control

log = get(__name__)
MEGABYTE = 1_000_000
LOOK_EVERY = 5.0  # seconds between two looks at whether a blackout is over


def run_backup(parts: Parts, cluster: Cluster, job: Job, control: Control) -> dict[str, Any]:
    made = backup_id(job.created_at, job.id)
    try:
        result = _back_up(parts, cluster, job, control, made)
    except Cancelled:
        _remove_broken_off(parts, cluster, made)
        raise
    except ReplicationError as error:
        if gives_up(error, job, parts.settings.job_max_attempts):
            _failed(parts, cluster, job, made, error)
        raise
    return result


def _back_up(parts: Parts, cluster: Cluster, job: Job, control: Control, made: str) -> dict[str, Any]:
    vault = parts.vaults.main(cluster)
    plan, asked = parts.backup_plan, job.params["databases"]
    globs = asked or plan.include
    nodes, behind = ranked(parts, cluster)
    control.report("look")
    found = choose.databases(cluster, nodes, globs, () if asked else plan.exclude, control, asked=bool(asked))
    if not asked and not found.databases and not _before(parts)[1]:
        return {"backup_id": None, "databases": 0}  # a system that has just begun
    order = _order(parts, job, made, found, behind)
    if reason := job.params["legal_hold"]:
        notes.put_hold(vault, made, notes.Hold(True, reason, job.created_at))
    throttle = Throttle(parts.settings.backup_max_mb_per_second * MEGABYTE)
    rest = _rest(parts, control) if order.scheduled else lambda: None
    try:
        manifest = backup.run(cluster, order, vault, control, throttle=throttle, rest=rest)
    except BackupIncomplete as error:
        # a database that fails every night must not keep the others from their copy, nor the store from being tidied
        error.result = {"backup_id": made, **_afterwards(parts, cluster, made, control)}
        raise
    result = _result(manifest)
    lost = f"; {result['lost']} attachments or revisions could not be read from the nodes" if result["lost"] else ""
    parts.events.record(
        "backup.finished",
        at=time.time(),
        severity="warning" if lost else "info",
        detail=f"backup {made}: {result['databases']} databases, {result['stored_bytes']} bytes, {result['seconds']} s"
        + lost,
        backup=made,
        job=job.id,
        databases=result["databases"],
        stored_bytes=result["stored_bytes"],
        seconds=result["seconds"],
    )
    result |= _afterwards(parts, cluster, made, control)
    catalogue.show(parts, cluster)
    return result


def _before(parts: Parts) -> tuple[str, set[str]]:
    """The newest good backup of everything, and its users' databases."""
    found = newest_good(parts.backups.all())
    if found is None:
        return "", set()
    names = {row["database"] for row in parts.backups.entries(found["id"])}
    return found["id"], {name for name in names if not name.startswith("_")}


def _refuse_emptiness(parts: Parts, found: choose.Chosen) -> None:
    """Nodes that have lost everything must not become the newest backup, which is what people restore. Raises
    NotFound."""
    backup_before, names = _before(parts)
    if names and not any(not name.startswith("_") for name in found.databases):
        raise NotFound(
            f"no node has a database any more, and backup {backup_before} has {len(names)}: restore them (mode "
            "cluster); until then only databases that somebody names are backed up"
        )


def _unreached(parts: Parts, found: choose.Chosen) -> dict[str, str]:
    """What the backup before has and nobody tells of now, while a node that may have it cannot be asked."""
    if not found.silent:
        return {}
    why = f"it may be on {', '.join(found.silent)} alone, which cannot be asked now"
    return dict.fromkeys(sorted(_before(parts)[1] - found.databases.keys()), why)


def _order(parts: Parts, job: Job, made: str, found: choose.Chosen, behind: frozenset[str]) -> backup.Order:
    asked = job.params["databases"]
    if not asked:
        _refuse_emptiness(parts, found)
    return backup.Order(
        id=made,
        started_at=job.created_at,
        scope=tuple(asked) if asked else (EVERYTHING,),
        databases=found.databases,
        unreached={} if asked else _unreached(parts, found),
        behind=behind,
        full=bool(job.params["full"]),
        full_after=parts.settings.backup_full_days * 86_400.0,
        scheduled=bool(job.params["scheduled"]),
    )


def _afterwards(parts: Parts, cluster: Cluster, made: str, control: Control) -> dict[str, Any]:
    return {"copied": _copied(parts, cluster, made, control), "pruned": _pruned(parts, cluster, control)}


def _rest(parts: Parts, control: Control) -> Callable[[], None]:
    def rest() -> None:
        while closed(parts.backup_plan.blackout, time.time()) is not None:
            control.report("blackout")
            control.check()
            time.sleep(LOOK_EVERY)

    return rest


def _result(manifest: Manifest) -> dict[str, Any]:
    told = catalogue.summary(manifest)
    kept = ("databases", "documents", "changed", "attachments", "lost", "stored_bytes", "full", "parents")
    return {
        "backup_id": manifest.id,
        **{name: told[name] for name in kept},
        "seconds": round(manifest.finished_at - manifest.started_at, 3),
    }


def _copied(parts: Parts, cluster: Cluster, made: str, control: Control) -> dict[str, Any] | None:
    """To the second location, where there is one. That it fails is told, and does not make the backup a bad one."""
    try:
        target = parts.vaults.copy(cluster)
        return copy(parts.vaults.main(cluster), target, control).as_json() if target else None
    except ReplicationError as error:
        detail = f"backups could not be copied to the second location: {error.detail}"
        parts.events.record(
            "backup.not-copied", at=time.time(), severity="error", detail=detail, backup=made, error=error.slug
        )
        return {"error": error.slug, "detail": error.detail}


def _pruned(parts: Parts, cluster: Cluster, control: Control) -> dict[str, Any]:
    """By retention, at both locations. That it fails is no failure of the backup either."""
    try:
        return prune_all(parts, cluster, control, dry_run=False)
    except ReplicationError as error:
        log.warning("retention not carried out", error=str(error))
        return {"error": error.slug, "detail": error.detail}


def _failed(parts: Parts, cluster: Cluster, job: Job, made: str, error: ReplicationError) -> None:
    with suppress(StoreUnavailable):
        parts.events.record(
            "backup.failed",
            at=time.time(),
            severity="error",
            database=error.database,
            node=error.node,
            detail=f"backup {made} failed: {error.detail}",
            backup=made,
            job=job.id,
            error=error.slug,
        )
        catalogue.show(parts, cluster)


def _remove_broken_off(parts: Parts, cluster: Cluster, made: str) -> None:
    """Of a backup that somebody cancelled: nobody goes on with it. One that is whole is a backup, and stays: only its
    copy, or retention, was broken off."""
    with suppress(ReplicationError):
        vault = parts.vaults.main(cluster)
        found = [one.name for one in vault.blobs.listed(folder(made))]
        if set(found).isdisjoint(vault.record_names(manifest_name(made))):
            vault.blobs.delete(found)
            return
    with suppress(StoreUnavailable):
        catalogue.show(parts, cluster)
