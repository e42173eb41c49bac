"""The life of a job, as pure data: the record, its states, and the one table of legal transitions.

Nothing here does input or output. The store (`tasks.store`) enforces the same table inside Redis, where two
processes may race; `tests/contract/test_job_store.py` holds the two against each other.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Kind(StrEnum):
    SYNC = "sync"
    SETUP = "setup"
    VERIFY = "verify"
    REJOIN = "rejoin"
    WEBHOOK = "webhook"


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
        if self.kind is Kind.VERIFY:
            return f"verify:{self.database}"  # beside a sync of the same database, never beside another verify
        if self.kind is Kind.REJOIN:
            return f"rejoin:{self.params['node']}"
        if self.kind is Kind.WEBHOOK:
            return f"webhook:{self.params['mark']}"  # a receiver that hangs holds one thread, and not all there are
        return f"database:{self.database}" if self.kind is Kind.SYNC else self.kind.value

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
        return str(self.params["node"]) if self.kind is Kind.REJOIN else self.database or "all"

    @property
    def breadth(self) -> int:
        """Of two equal requests the broader one is carried out: a sync that makes missing databases does what
        one that does not make them would have done."""
        return int(bool(self.params.get("create_missing")))


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


def eta(done: int | None, total: int | None, elapsed: float) -> float | None:
    """Seconds to go at the pace so far, or None where nothing is known yet."""
    if not done or total is None or elapsed <= 0:
        return None
    return round(max(0, total - done) * elapsed / done, 1)
