"""The life of a job, as pure data: the record, its states, and the one table of legal transitions.

Nothing here does input or output. The store (`tasks.store`) enforces the same table inside Redis, where two
processes may race; `tests/contract/test_job_store.py` holds the two against each other.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Kind(StrEnum):
    SYNC = "sync"
    SETUP = "setup"
    VERIFY = "verify"
    REJOIN = "rejoin"
    WEBHOOK = "webhook"
    BACKUP = "backup"
    RESTORE = "restore"
    CHECK = "check-backup"
    HOLD = "hold-backup"
    PRUNE = "prune-backups"
    ROTATE = "rotate"
    AUDIT = "audit"


class State(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


ENDED = frozenset({State.SUCCEEDED, State.FAILED, State.CANCELLED})

# running -> queued: its worker died (the lease ran out), is shutting down, or met an error worth a retry.
# queued -> failed: its last permitted start was lost with its worker.
TRANSITIONS: dict[State, frozenset[State]] = {
    State.QUEUED: frozenset({State.RUNNING, State.CANCELLED, State.FAILED}),
    State.RUNNING: frozenset({State.QUEUED, *ENDED}),
    State.SUCCEEDED: frozenset(),
    State.FAILED: frozenset(),
    State.CANCELLED: frozenset(),
}


@dataclass(frozen=True)
class Progress:
    """How far a job is. `done` and `total` count `unit`s; `total` and the rest are None while unknown."""

    phase: str
    done: int | None = None
    total: int | None = None
    unit: str | None = None
    eta_seconds: float | None = None


@dataclass(frozen=True)
class JobError:
    """Why a job failed: the error's slug (worker.core.errors), words without credentials, and whether the
    same request may succeed later. `context` holds what a program can act on (the nearest names, the links)."""

    type: str
    detail: str
    retryable: bool
    context: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Request:
    """What was asked for. `database` is None where the job is about several.

    `lock` names what the job must own alone while it runs; jobs with equal `dedupe` ask for the same thing.
    """

    kind: Kind
    database: str | None
    params: dict[str, Any]

    @property
    def lock(self) -> str:
        return LOCKS[self.kind](self)

    @property
    def dedupe(self) -> str:
        if self.kind is Kind.SYNC:
            return f"sync:{self.database}"
        # whoever asks for it: the same is done
        wanted = {"node": self.params["node"]} if self.kind is Kind.REJOIN else self.params
        return f"{self.kind.value}:{fingerprint(wanted)}"

    @property
    def about(self) -> str:
        """What Flower shows of it."""
        if self.kind is Kind.WEBHOOK:
            return f"{self.params['event']['type']} to {self.params['receiver']}"
        if self.kind in {Kind.CHECK, Kind.HOLD, Kind.RESTORE}:
            return " ".join(filter(None, (self.params["backup"], self.database)))
        if self.kind is Kind.ROTATE:
            return f"passwords to the {self.params['to']} ones"
        return str(self.params["node"]) if self.kind is Kind.REJOIN else self.database or "all"

    @property
    def breadth(self) -> int:
        """Of two equal requests the broader one is carried out: a sync that makes missing databases does what
        one that does not make them would have done."""
        return int(bool(self.params.get("create_missing")))


def _restore_lock(asked: Request) -> str:
    into = asked.params["as"] or asked.database
    return f"database:{into}" if into else "restore"


# What a job of each kind must own alone while it runs
LOCKS: dict[Kind, Callable[[Request], str]] = {
    Kind.SYNC: lambda asked: f"database:{asked.database}",
    Kind.SETUP: lambda asked: "setup",
    Kind.VERIFY: lambda asked: f"verify:{asked.database}",  # beside a sync of it, never beside another verify
    Kind.REJOIN: lambda asked: f"rejoin:{asked.params['node']}",
    Kind.WEBHOOK: lambda asked: f"webhook:{asked.params['mark']}",  # a receiver that hangs holds one thread, not all
    Kind.BACKUP: lambda asked: "backups",
    Kind.PRUNE: lambda asked: "backups",  # what a backup counts on must not be removed meanwhile
    Kind.RESTORE: _restore_lock,  # never beside a sync of the database
    Kind.CHECK: lambda asked: f"check:{asked.params['backup']}",
    Kind.HOLD: lambda asked: f"hold:{asked.params['backup']}",
    Kind.ROTATE: lambda asked: "passwords",
    Kind.AUDIT: lambda asked: "audit",  # two at once would try default logins twice
}


@dataclass(frozen=True)
class Job:
    """One job. Times are seconds since the epoch (UTC). `attempts` counts its starts, `failures` those that ended
    with a lost worker or a transient error."""

    id: str
    kind: Kind
    state: State
    database: str | None
    params: dict[str, Any]
    created_at: float
    started_at: float | None = None
    finished_at: float | None = None
    attempts: int = 0
    failures: int = 0
    cancel_requested: bool = False
    progress: Progress | None = None
    result: dict[str, Any] | None = None
    error: JobError | None = None

    @property
    def ended(self) -> bool:
        return self.state in ENDED


def fingerprint(value: Any) -> str:
    """SHA-256 of a JSON value, the same for any order of keys."""
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()


def new_id(now: float) -> str:
    """A UUID version 7 (RFC 9562): 48 bits of milliseconds, then chance. Ids sort by time of creation, so
    listings need no other index and a page's cursor is just the last id on it."""
    milliseconds = int(now * 1000) & ((1 << 48) - 1)
    value = (milliseconds << 80) | secrets.randbits(80)
    value = (value & ~(0xF << 76)) | (0x7 << 76)
    value = (value & ~(0x3 << 62)) | (0x2 << 62)
    text = f"{value:032x}"
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


def made_at(job_id: str) -> float:
    """When `new_id` made it, to the millisecond."""
    return int(job_id.replace("-", "")[:12], 16) / 1000


def eta(done: int | None, total: int | None, elapsed: float) -> float | None:
    """Seconds to go at the pace so far, or None where nothing is known yet."""
    if not done or total is None or elapsed <= 0:
        return None
    return round(max(0, total - done) * elapsed / done, 1)
