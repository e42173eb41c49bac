"""What routes work with, made once in `create_app` and found through the Flask app: no globals, no singletons."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from flask import current_app

from api.auth import Gate
from api.latency import Latency
from api.sessions import Sessions
from config.settings import Settings
from tasks.audit_log import AuditLog
from tasks.backup_plan import BackupPlan
from tasks.backups_seen import BackupsSeen
from tasks.events import Events
from tasks.lookup import Lookup
from tasks.observations import Observations
from tasks.receivers import Receivers
from tasks.replication_seen import ReplicationSeen
from tasks.submit import Jobs
from tasks.workload import Workload

_KEY = "notebook-replication"


class Slots:
    """How many requests may hold a thread for long (waits and event streams together).

    The server has a fixed number of threads: were all of them waiting, nobody could be told anything, not
    even that the job is done. No caller has more than half of them.
    """

    def __init__(self, threads: int) -> None:
        self.most = max(1, threads * 3 // 4)
        self.each = min(self.most, max(2, self.most // 2))
        self._taken: Counter[str] = Counter()
        self._lock = threading.Lock()

    def take(self, caller: str) -> bool:
        """Never blocks: False where all are taken, or too many by this caller."""
        with self._lock:
            if self._taken.total() >= self.most or self._taken[caller] >= self.each:
                return False
            self._taken[caller] += 1
            return True

    def give_back(self, caller: str) -> None:
        with self._lock:
            self._taken[caller] -= 1
            if not self._taken[caller]:
                del self._taken[caller]


@dataclass(frozen=True)
class Context:
    settings: Settings
    jobs: Jobs
    seen: Observations
    lookup: Lookup
    replication: ReplicationSeen
    soon: Callable[[str], None]
    events: Events
    backups: BackupsSeen
    backup_plan: BackupPlan
    audit: AuditLog
    gate: Gate
    sessions: Sessions
    receivers: Receivers
    workload: Workload
    latency: Latency
    slots: Slots
    clock: Callable[[], float]
    shown_settings: Mapping[str, Any]
    openapi: bytes  # the document, made once
    keep_alive_seconds: float


def install(extensions: dict[str, Any], context: Context) -> None:
    extensions[_KEY] = context


def context() -> Context:
    return current_app.extensions[_KEY]  # type: ignore[no-any-return]
