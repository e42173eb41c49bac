"""The API's view of jobs: ask for one, look at it, cancel it. The only verbs that reach Redis from there.

Order matters when Redis dies in the middle. The record is written first but only on probation (it evaporates
in seconds); then the message goes out; then the record is confirmed. So a caller who is told "503, nothing
was done" is told the truth, and a caller who is told 202 has a record that survives.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from tasks.jobs import Job, Kind, Request, State, fingerprint
from tasks.redis import StoreUnavailable, Uncertain
from tasks.store import Backlog, Created, Filter, JobStore, Page

MAKING_LOOKS = 25
MAKING_PAUSE = 0.02  # seconds


class IdempotencyMismatch(Exception):
    """This Idempotency-Key was used with another request."""


class BeingMade(Exception):
    """An equal request is just being taken: its job has no message yet. Ask again in a moment."""


class UnknownDatabase(Exception):
    """No node was seen with this database. Nothing was written."""


class JobEnded(Exception):
    """The job is over: there is nothing to cancel."""

    def __init__(self, job: Job) -> None:
        super().__init__(f"job {job.id} is over: {job.state.value}")
        self.job = job


@dataclass(frozen=True)
class Submitted:
    """`reused` tells why no new job was made: deduplicated or replayed; else None."""

    job: Job
    reused: str | None


class Jobs:
    """`publish(job id, request)` puts a job's message on its queue, or raises StoreUnavailable. `ended(job)` is told of
    one that was cancelled while it was queued: of all others their worker tells."""

    def __init__(
        self,
        store: JobStore,
        publish: Callable[[str, Request], None],
        clock: Callable[[], float] = time.time,
        ended: Callable[[Job], None] = lambda job: None,
    ) -> None:
        self._store = store
        self._publish = publish
        self._clock = clock
        self._ended = ended

    def submit(self, request: Request, *, idempotency_key: str | None = None, only_known: bool = False) -> Submitted:
        """`only_known`: refuse a database that no sweep has seen.

        Raises StoreUnavailable (nothing was done), IdempotencyMismatch, BeingMade and UnknownDatabase.
        """
        now = self._clock()
        asked: dict[str, Any] = {"kind": request.kind.value, "params": request.params}
        idempotency = (idempotency_key, fingerprint(asked)) if idempotency_key else None
        created = self._create(request, now, idempotency, only_known)
        if created.what == "created":
            self._enqueue(created.id, request, now)
            # as it was written: reading it back would cost another round trip
            return Submitted(Job(created.id, request.kind, State.QUEUED, request.database, request.params, now), None)
        if created.what == "advanced":
            self._publish(created.id, request)
        if created.what == "making":
            raise BeingMade("an equal request is just being taken")
        if created.what == "unknown":
            raise UnknownDatabase(request.database)
        if created.what == "mismatch":
            raise IdempotencyMismatch(
                "this Idempotency-Key came with another request before: use a new key for a new request"
            )
        job = self._store.get(created.id)
        if job is None:
            raise StoreUnavailable("the job's record is gone: Redis was emptied or restarted in between")
        return Submitted(job, "deduplicated" if created.what == "advanced" else created.what)

    def _create(self, request: Request, now: float, idempotency: tuple[str, str] | None, only_known: bool) -> Created:
        """Create, and wait a moment for an equal request that is on its way: mostly it takes milliseconds."""
        for _ in range(MAKING_LOOKS):
            created = self._store.create(request, now, idempotency=idempotency, only_known=only_known)
            if created.what != "making":
                break
            time.sleep(MAKING_PAUSE)
        return created

    def _enqueue(self, job_id: str, request: Request, now: float) -> None:
        try:
            self._publish(job_id, request)
        except StoreUnavailable:
            with suppress(StoreUnavailable):  # where this fails too, the record evaporates by itself
                self._store.discard(job_id)
            raise
        try:
            if not self._store.confirm(job_id, now):
                raise StoreUnavailable("the queue took the message too late")
        except StoreUnavailable as error:
            raise Uncertain("Redis went away after the job was put on the queue: it may run") from error

    def get(self, job_id: str) -> Job | None:
        return self._store.get(job_id)

    def list(self, wanted: Filter, *, cursor: str | None, limit: int) -> Page:
        return self._store.list(wanted, cursor=cursor, limit=limit)

    def counts(self) -> dict[str, int]:
        """How many jobs are in each state."""
        return self._store.counts()

    def backlog(self) -> dict[Kind, Backlog]:
        return self._store.backlog()

    def cancel(self, job_id: str) -> Job | None:
        """Ask for the end of a job: at once where it is queued, else as soon as its worker looks.

        Returns the job, or None where there is none. Raises JobEnded.
        """
        what, wake = self._store.cancel(job_id, self._clock())
        try:
            job = self._store.get(job_id)
            if job is not None and what == "ended":
                raise JobEnded(job)
            # one that waits for its retry is to be looked at now
            self.wake([*wake, job_id] if what == "requested" else wake)
        except StoreUnavailable as error:
            raise Uncertain("Redis went away after the cancel was written: the job will end") from error
        if job is not None and what == "cancelled":
            self._ended(job)
        return job

    def wake(self, ids: Any) -> None:
        """Put jobs on the queue again; a claim makes duplicates harmless."""
        for job_id in ids:
            job = self._store.get(job_id)
            if job is not None and not job.ended:
                self._publish(job_id, Request(job.kind, job.database, job.params))

    def watch(self, job_id: str, poll_seconds: float) -> Iterator[Job | None]:
        return self._store.watch(job_id, poll_seconds)

    def changes(self, poll_seconds: float) -> Iterator[set[str]]:
        return self._store.changes(poll_seconds)

    def wait(self, job_id: str, seconds: float) -> Job | None:
        """The job once it has ended, or as it is after `seconds`; None where there is none."""
        deadline = self._clock() + seconds
        last: Job | None = None
        for job in self._store.watch(job_id, min(0.5, seconds)):
            last = job or last
            if self._clock() >= deadline:
                break
        return last
