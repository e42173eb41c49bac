"""Schedules that are not kept: what is due and has not been done, by how much.

Read from what was done, never from what was asked for: a backup that is asked for every hour and never made is overdue.
Backups are pruned at the end of each one, so that has no schedule of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from prometheus_client.core import Metric

from api.context import Context
from api.metrics.figure import Gauge
from tasks.audit import EVERY as AUDIT_EVERY
from tasks.backup_watch import known_of
from tasks.jobs import Kind, State
from tasks.store import Filter
from worker.core.backup_due import backup_overdue, drill_overdue
from worker.core.manifest import EVERYTHING

OVERDUE = Gauge(
    "schedule_overdue_seconds", "Since the schedule was to be done and was not; 0: it is on time", "schedule"
)
FIGURES = (OVERDUE,)
GRACE = 60.0  # seconds that a thing may take, and a message wait, before it is called overdue


def figures(parts: Context) -> Iterator[Metric]:
    now = parts.clock()
    overdue = {name: overdue_by(last, every, now) for name, (last, every) in _intervals(parts).items()}
    yield from OVERDUE.of({(name,): by for name, by in {**overdue, **_backups(parts, now)}.items()})


def overdue_by(last: float | None, every: float, now: float) -> float | None:
    """What is done every so many seconds may be done once late by as long, and GRACE."""
    if last is None:
        return None
    since_due = now - last - every
    return since_due if since_due > every + GRACE else 0.0


def _intervals(parts: Context) -> dict[str, tuple[float | None, float]]:
    """Schedule -> when it was last done, and how often it is to be."""
    settings, seen, replication = parts.settings, parts.seen, parts.replication
    found: dict[str, tuple[float | None, float]] = {
        "sweep": (_at(seen.sweep()), settings.health_interval),
        "links": (_at(replication.links_summary()), settings.health_interval),
        "security-report": (_at(seen.audits.report()), AUDIT_EVERY),
    }
    if settings.continuous_replication:
        found["reconcile"] = (_at(replication.reconcile()), settings.replication_retry_seconds)
        found["drift"] = (_at(seen.last_pass()), settings.replication_retry_seconds)
        # it writes on one node and waits on another
        if settings.canary_seconds and len(seen.answering([node.name for node in settings.nodes]) or []) > 1:
            found["canary"] = (_at(replication.canary()), settings.canary_seconds)
    return found


def _at(record: Mapping[str, Any] | None) -> float | None:
    return record["observed_at"] if record else None


def _backups(parts: Context, now: float) -> dict[str, float | None]:
    """One that runs is begun, and no longer overdue; one that is queued is."""
    plan, seen = parts.backup_plan, parts.backups
    if not plan.on or seen.observed_at() is None:
        return {}
    known = known_of([one for one in seen.all() if one["readable"]])
    found: dict[str, float | None] = {}
    if plan.schedule is not None:
        found["backup"] = _unless_begun(
            parts, Kind.BACKUP, backup_overdue(plan.schedule, known, seen.noted("watched_since"), now)
        )
    if plan.drills is not None and (plan.keys is None or plan.keys.identities):
        found["drill"] = _unless_begun(parts, Kind.CHECK, drill_overdue(plan.drills, known, now))
    return found


def _unless_begun(parts: Context, kind: Kind, overdue: float | None) -> float | None:
    if not overdue:
        return overdue
    running = parts.jobs.list(Filter(kind=kind, state=State.RUNNING), cursor=None, limit=20).jobs
    return 0.0 if any(_as_scheduled(job.params) for job in running) else overdue


def _as_scheduled(params: Mapping[str, Any]) -> bool:
    """A backup of everything, or a drill: by hand they are as good."""
    return bool(params["drill"]) if "drill" in params else params.get("databases") in (None, [EVERYTHING])
