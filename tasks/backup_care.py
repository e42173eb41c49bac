"""The bodies of the jobs that look after backups: check, drill, hold, prune."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from tasks import catalogue
from tasks.backup_nodes import candidates
from tasks.jobs import Job, Kind, State
from tasks.policy import gives_up
from tasks.redis import StoreUnavailable
from tasks.store import Filter
from tasks.wiring import Parts
from worker.blobs.vault import Vault
from worker.core.errors import DrillFailed, ObjectDamaged, ObjectMissing, ReplicationError
from worker.core.manifest import Manifest
from worker.couch.cluster import Cluster
from worker.ops.backup import notes
from worker.ops.backup.catalogue import Catalogue
from worker.ops.backup.check import check
from worker.ops.backup.drill import drill
from worker.ops.backup.prune import prune
from worker.ops.control import Control
from worker.ops.scratch import clear_scratch

PAGE = 200  # jobs
CHECK, DRILL = "check", "drill"
# what says that something is wrong with the backup, and not with the way to it
_FINDINGS = (DrillFailed, ObjectDamaged, ObjectMissing)


def prune_all(parts: Parts, cluster: Cluster, control: Control, *, dry_run: bool) -> dict[str, Any]:
    """By retention, at both locations; and scratch databases that nobody uses any more."""
    policy, now = parts.backup_plan.retention, time.time()
    # what is being restored or checked, or will be, stays as long, and all that it needs
    in_use = {str(job.params["backup"]) for job in _readers(parts)}
    told = prune(parts.vaults.main(cluster), policy, now, control, in_use=in_use, dry_run=dry_run).as_json()
    other = parts.vaults.copy(cluster)
    told["copy"] = prune(other, policy, now, control, in_use=in_use, dry_run=dry_run).as_json() if other else None
    if not dry_run:
        told["scratch"] = clear_scratch(cluster, lambda: {scratch_tag(job) for job in _readers(parts)})
    return told


def _readers(parts: Parts) -> Iterator[Job]:
    """The jobs that read backups now, or will."""
    for kind in (Kind.RESTORE, Kind.CHECK):
        for state in (State.QUEUED, State.RUNNING):
            cursor: str | None = None
            while True:
                page = parts.store.list(Filter(kind=kind, state=state), cursor=cursor, limit=PAGE)
                yield from page.jobs
                cursor = page.next_cursor
                if cursor is None:
                    break


def scratch_tag(job: Job) -> str:
    """The same for each attempt."""
    return job.id[-12:]


def run_prune(parts: Parts, cluster: Cluster, job: Job, control: Control) -> dict[str, Any]:
    result = prune_all(parts, cluster, control, dry_run=bool(job.params["dry_run"]))
    catalogue.show(parts, cluster)
    return result


def run_check(parts: Parts, cluster: Cluster, job: Job, control: Control) -> dict[str, Any]:
    vault = parts.vaults.main(cluster)
    manifest = _found(parts, job, vault)
    try:
        if not job.params["drill"]:
            told = check(vault, manifest, control).as_json()
            if _note_right(vault, manifest.id, CHECK):
                catalogue.show(parts, cluster)
            return told
        server = cluster[str(job.params["node"] or candidates(parts, cluster)[0])]
        done = drill(vault, manifest, server, control, tag=scratch_tag(job), now=time.time())
    except ReplicationError as error:
        if isinstance(error, DrillFailed) and error.result is not None:
            _note_drill(vault, manifest.id, error.result, error.detail)
        if isinstance(error, _FINDINGS):
            notes.put_damage(vault, manifest.id, notes.Damage(True, _what(job), time.time(), error.detail))
            catalogue.show(parts, cluster)
        if gives_up(error, job, parts.settings.job_max_attempts):
            _tell(parts, job, manifest.id, error)
        raise
    result = done.as_json()
    _note_right(vault, manifest.id, DRILL)
    _note_drill(vault, manifest.id, result, None)
    catalogue.show(parts, cluster)
    parts.events.record(
        "backup.verified",
        at=time.time(),
        severity="info",
        node=done.node,
        detail=f"backup {manifest.id} was restored on {done.node}, and is what it should be: "
        f"{len(done.databases)} databases, {result['seconds']} s",
        backup=manifest.id,
        job=job.id,
    )
    return result


def _what(job: Job) -> str:
    return DRILL if job.params["drill"] else CHECK


def _note_right(vault: Vault, backup: str, by: str) -> bool:
    """A check cannot tell that what a drill has found is right again. Returns whether something was noted."""
    found = notes.damage_of(vault, backup)
    mended = found is not None and found.on and by in {found.by, DRILL}
    if mended:
        notes.put_damage(vault, backup, notes.Damage(False, by, time.time(), None))
    return mended


def _note_drill(vault: Vault, backup: str, result: dict[str, Any], trouble: str | None) -> None:
    done = notes.Drill(
        ok=trouble is None,
        at=result["at"],
        node=result["node"],
        seconds=result["seconds"],
        databases=len(result["databases"]),
        detail=trouble,
    )
    notes.put_drill(vault, backup, done)


def _found(parts: Parts, job: Job, vault: Vault) -> Manifest:
    """Also a manifest that is damaged is a finding, and the worst."""
    backup = str(job.params["backup"])
    try:
        return Catalogue(vault).find(backup)
    except ObjectDamaged as error:
        _tell(parts, job, backup, error)
        raise


def _tell(parts: Parts, job: Job, backup: str, error: ReplicationError) -> None:
    found = isinstance(error, _FINDINGS)
    with suppress(StoreUnavailable):
        parts.events.record(
            "backup.damaged" if found else "backup.not-checked",
            at=time.time(),
            severity="error" if found else "warning",
            detail=f"{_what(job)} of backup {backup} failed: {error.detail}",
            database=error.database,
            backup=backup,
            job=job.id,
            error=error.slug,
        )


def run_hold(parts: Parts, cluster: Cluster, job: Job, control: Control) -> dict[str, Any]:
    params = job.params
    hold = notes.Hold(bool(params["on"]), params["reason"], job.created_at)
    main = parts.vaults.main(cluster)
    manifest = Catalogue(main).find(str(params["backup"]))
    for vault in filter(None, (main, parts.vaults.copy(cluster))):
        notes.put_hold(vault, manifest.id, hold)
    catalogue.show(parts, cluster)
    return {"backup": manifest.id, "on": hold.on, "reason": hold.reason}
