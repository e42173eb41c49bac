"""What is known just now of whether the data is safe: read once, handed to the pure part (api.dashboard.safety)."""

from __future__ import annotations

from api import observed
from api.backup_schemas import BackupsQuery, BackupSummary
from api.backups import listed
from api.context import Context
from api.dashboard.processes import processes
from api.dashboard.safety import Bounds, Known
from api.health import look_at
from api.topology_schemas import TopologyBody
from tasks.backups_seen import newest_good
from tasks.fresh import longest_pass
from tasks.jobs import Kind, State
from tasks.store import Filter

HOUR = 3_600.0
STORE_OLD = 1_800.0  # seconds; it is read every five minutes (tasks.catalogue)


def known(parts: Context, whole: TopologyBody) -> Known:
    """Raises StoreUnavailable."""
    now, settings = parts.clock(), parts.settings
    reconcile = parts.replication.reconcile() or {}
    service, needs_watcher = look_at(parts), observed.needs_watcher(settings, parts.replication)
    controls = sum(name.startswith("control") for name in parts.seen.workers(now))
    return Known(
        whole=whole,
        service=service,
        backups=listed(parts, BackupsQuery()) if parts.backup_plan.on else None,
        last_good=_last_good(parts, now),
        bounds=Bounds(
            max_lag=settings.ready_max_lag,
            look=longest_pass(settings),
            store=STORE_OLD,
            backup=settings.backup_stale_hours * HOUR,
        ),
        now=now,
        failed_lately=_failed_since(parts, now - HOUR),
        waiting_since=_waiting_since(parts),
        needs_watcher=needs_watcher,
        ours=[*processes(service, controls, parts.seen.heard.last(), needs_watcher=needs_watcher)],
        removed=reconcile.get("removed", {}),
        differing=(parts.replication.security() or {}).get("differing", {}),
    )


def _last_good(parts: Context, now: float) -> BackupSummary | None:
    found = newest_good(parts.backups.all(), now) if parts.backup_plan.on else None
    return BackupSummary.of(found, now) if found else None


def _failed_since(parts: Context, since: float) -> int:
    """One page at most: more than that is many."""
    found = parts.jobs.list(Filter(state=State.FAILED), cursor=None, limit=50).jobs
    return sum((job.finished_at or 0.0) >= since for job in found)


def _waiting_since(parts: Context) -> float | None:
    """Without webhooks, which wait for days for a receiver that is away."""
    backlog = parts.jobs.backlog()
    waiting = [one.oldest_at for kind, one in backlog.items() if kind is not Kind.WEBHOOK and one.oldest_at is not None]
    return min(waiting, default=None)
