"""What routes work with, made once in `create_app` and found through the Flask app: no globals, no singletons."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from flask import current_app

from api.auth import Gate
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

_KEY = "notebook-replication"


class Slots:
    """How many requests may hold a thread for long (waits and event streams together).

    The server has a fixed number of threads: were all of them waiting, nobody could be told anything, not
    even that the job is done.
    """

    def __init__(self, threads: int) -> None:
        self.most = max(1, threads * 3 // 4)
        self._free = threading.BoundedSemaphore(self.most)

    def take(self) -> bool:
        """Never blocks: False where all are taken."""
        return self._free.acquire(blocking=False)

    def give_back(self) -> None:
        self._free.release()


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
    slots: Slots
    clock: Callable[[], float]
    shown_settings: Mapping[str, Any]
    openapi: bytes  # the document, made once
    keep_alive_seconds: float


def install(extensions: dict[str, Any], context: Context) -> None:
    extensions[_KEY] = context


def context() -> Context:
    return current_app.extensions[_KEY]  # type: ignore[no-any-return]
