"""What is done for each kind of job."""

from __future__ import annotations

from tasks.audit import run_audit
from tasks.backup import run_backup
from tasks.backup_care import run_check, run_hold, run_prune
from tasks.deliver import run_webhook
from tasks.jobs import Job, Kind
from tasks.reconcile import run_setup
from tasks.rejoin import run_rejoin
from tasks.replication import abandon_sync, run_sync
from tasks.restore import run_restore
from tasks.rotation import run_rotation
from tasks.runner import Work
from tasks.verify import abandon_verify, run_verify
from tasks.wiring import Parts
from worker.couch.cluster import Cluster


def nothing_to_abandon(parts: Parts, cluster: Cluster, job: Job) -> list[str]:
    """Nothing is left running on the nodes, or (of a rejoin) only what any sync would join."""
    return []


WORKS = {
    Kind.SYNC: Work(run_sync, abandon_sync),
    Kind.SETUP: Work(run_setup, nothing_to_abandon),
    Kind.VERIFY: Work(run_verify, abandon_verify),
    Kind.REJOIN: Work(run_rejoin, nothing_to_abandon),
    Kind.WEBHOOK: Work(run_webhook, nothing_to_abandon),
    Kind.BACKUP: Work(run_backup, nothing_to_abandon),
    Kind.RESTORE: Work(run_restore, nothing_to_abandon),
    Kind.CHECK: Work(run_check, nothing_to_abandon),
    Kind.HOLD: Work(run_hold, nothing_to_abandon),
    Kind.PRUNE: Work(run_prune, nothing_to_abandon),
    Kind.ROTATE: Work(run_rotation, nothing_to_abandon),
    Kind.AUDIT: Work(run_audit, nothing_to_abandon),
}
