"""Looks at the backups every half a minute: is one due, or a drill; is the last good one too old; what is there.

It only asks for jobs. What it remembers in Redis may be lost: then at most something is asked for, or told, once more.
"""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any

from config.logs import get
from tasks import catalogue
from tasks.jobs import Kind, Request, State
from tasks.store import Filter
from tasks.submit import BeingMade
from tasks.wiring import Parts
from worker.core.backup_due import Known, backup_due, drill_due, hours_stale
from worker.core.errors import ReplicationError
from worker.core.manifest import EVERYTHING
from worker.couch.cluster import Cluster

log = get(__name__)
SCHEDULED = {"databases": None, "full": False, "legal_hold": None, "scheduled": True}


def run_watch(parts: Parts, cluster: Cluster) -> None:
    if not parts.backup_plan.on or not cluster.names:
        return
    now = time.time()
    if _read(parts, cluster, now):
        _act(parts, cluster, now)


def _read(parts: Parts, cluster: Cluster, now: float) -> bool:
    """Whether it is known what there is. Nothing is asked for as long as the store does not answer: it would fail, and
    what is due may have been done."""
    seen = parts.backups.observed_at()
    if seen is not None and now - seen < catalogue.EVERY:
        return True
    try:
        catalogue.refresh(parts, cluster)
    except ReplicationError as error:
        log.warning("catalogue of backups not read", error=str(error))
        parts.backups.note("trouble", {"at": now, "error": error.slug, "detail": error.detail})
        _tell_if_stale(parts, [one for one in parts.backups.all() if one["readable"]], now)
        return False
    parts.backups.note("trouble", None)
    return True


def _act(parts: Parts, cluster: Cluster, now: float) -> None:
    plan = parts.backup_plan
    found = [one for one in parts.backups.all() if one["readable"]]
    _tell_if_stale(parts, found, now)
    known = known_of(found)
    if backup_due(plan.schedule, known, parts.backups.noted("tried_at"), plan.blackout, now):
        _ask(parts, Request(Kind.BACKUP, None, SCHEDULED), "tried_at", now)
        return
    newest = drill_due(plan.drills, known, parts.backups.noted("drill_tried_at"), plan.blackout, now)
    if newest is not None and parts.vaults.main(cluster).seals.readable:
        _ask(parts, drill_request(newest), "drill_tried_at", now)


def drill_request(backup: str, node: str | None = None) -> Request:
    return Request(Kind.CHECK, None, {"backup": backup, "drill": True, "node": node})


def known_of(found: list[dict[str, Any]]) -> list[Known]:
    """Backups of everything, whoever asked for them: one made by hand this evening is as good as tonight's."""
    return [
        Known(one["id"], one["started_at"], one["good"], (one["drill"] or {}).get("at"))
        for one in found
        if one["scope"] == [EVERYTHING]
    ]


def _ask(parts: Parts, wanted: Request, note: str, now: float) -> None:
    """Unless one is under way: a night that lasts into the next is long enough."""
    for state in (State.RUNNING, State.QUEUED):
        if parts.store.list(Filter(kind=wanted.kind, state=state), limit=1).jobs:
            return
    with suppress(BeingMade):
        parts.jobs.submit(wanted)
        parts.backups.note(note, now)


def _tell_if_stale(parts: Parts, found: list[dict[str, Any]], now: float) -> None:
    """Once when it begins, and once when it is over."""
    if parts.backup_plan.schedule is None:
        return
    since = parts.backups.noted("watched_since")
    if since is None or since > now:  # the clock was ahead then
        since = now
        parts.backups.note("watched_since", now)
    known = known_of(found)
    hours = hours_stale(known, since, parts.settings.backup_stale_hours, now)
    told = bool(parts.backups.noted("stale"))
    if hours is not None and not told:
        detail = f"there has been no good backup of everything for {hours:.0f} hours"
        if trouble := parts.backups.noted("trouble"):
            detail += f": {trouble['detail']}"
        parts.events.record("backup.stale", at=now, severity="error", detail=detail, hours=round(hours, 1))
        parts.backups.note("stale", True)
    good = [one for one in known if one.good and one.started_at <= now]
    if hours is None and told and good:
        newest = max(good, key=lambda one: one.started_at)
        detail = f"there is a good backup of everything again: {newest.id}"
        parts.events.record("backup.fresh", at=now, severity="info", detail=detail, backup=newest.id)
        parts.backups.note("stale", False)
