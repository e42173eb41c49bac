"""One attempt at a job: keeps its lease alive, carries its progress out, and brings orders to stop in.

A side thread beats; the operation itself only looks at flags, so telling progress costs it nothing. A Redis
that does not answer is tolerated until the lease must have run out: from then on another worker may own the
job, and this one stops without writing.
"""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import Protocol

from config.logs import get
from tasks.jobs import Progress, eta
from tasks.redis import StoreUnavailable
from worker.core.errors import Cancelled, HandedBack, LeaseLost

log = get(__name__)
PROGRESS_EVERY = 0.5  # seconds


class Keeper(Protocol):
    """Where a lease is kept: the job store, or the set of databases that changed."""

    def beat(self, work_id: str, token: int, nonce: str, progress: Progress | None = None, /) -> str:
        """Extend the lease, and write progress where there is some. Returns ok, cancel or lost."""
        ...


class Attempt:
    """A worker.ops.control.Control. Use as a context manager around the work."""

    def __init__(
        self, store: Keeper, job_id: str, token: int, nonce: str, lease_seconds: float, stopping: threading.Event
    ) -> None:
        self._store = store
        self._job = (job_id, token, nonce)
        self._lease = lease_seconds
        self._stopping = stopping
        self._over = threading.Event()
        self._cancelled = False
        self._lost = False
        self._progress: Progress | None = None
        self._told: Progress | None = None
        self._phase_began = time.monotonic()
        self._thread = threading.Thread(target=self._keep, daemon=True, name=f"lease {job_id}")

    def __enter__(self) -> Attempt:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()

    def report(self, phase: str, done: int | None = None, total: int | None = None, unit: str | None = None) -> None:
        if self._progress is None or self._progress.phase != phase:
            self._phase_began = time.monotonic()
        elapsed = time.monotonic() - self._phase_began
        self._progress = Progress(phase, done, total, unit, eta(done, total, elapsed))

    def check(self) -> None:
        if self._lost:
            raise LeaseLost
        if self._cancelled:
            raise Cancelled
        if self._stopping.is_set():
            raise HandedBack

    def beat(self) -> None:
        """Extend the lease now, and learn what is new. Raises StoreUnavailable."""
        progress = self._progress if self._progress != self._told else None
        answer = self._store.beat(*self._job, progress)
        self._told = progress or self._told
        self._lost = self._lost or answer == "lost"
        self._cancelled = self._cancelled or answer == "cancel"

    def _keep(self) -> None:
        pause = min(PROGRESS_EVERY, self._lease / 4)
        good_until = time.monotonic() + self._lease
        while not self._over.wait(pause) and not self._lost:
            began = time.monotonic()
            try:
                self.beat()
                good_until = began + self._lease
            except StoreUnavailable:
                self._lost = time.monotonic() > good_until
            except Exception:  # whatever it is: a job whose lease nobody keeps must not go on unnoticed
                log.exception("heartbeat broke", job_id=self._job[0])
                self._lost = time.monotonic() > good_until
