"""Runs a job's message: claim, work, finish. The life of a job (tasks.jobs) as a worker lives it."""

from __future__ import annotations

import random
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import structlog

from config.logs import get
from tasks import policy
from tasks.attempt import Attempt
from tasks.finished import tell_finished
from tasks.jobs import Job, JobError, Kind, State
from tasks.redis import StoreUnavailable
from tasks.wiring import Parts
from worker.core.errors import Cancelled, HandedBack, LeaseLost, ReplicationError
from worker.core.redact import scrub
from worker.couch.cluster import Cluster
from worker.ops.control import Control

log = get(__name__)
PAUSED_DELAY = 3.0  # seconds until a job that came while a password was changed is looked at again
# kinds that go on meanwhile: one calls no node, the other is what changes it
GOES_ON = frozenset({Kind.WEBHOOK, Kind.ROTATE})
FINISH_PATIENCE = 120.0  # seconds a finished job's result waits for Redis to come back


@dataclass(frozen=True)
class Work:
    """How a kind of job is done, and how the nodes are told to drop what an earlier attempt began."""

    run: Callable[[Parts, Cluster, Job, Control], dict[str, Any]]
    abandon: Callable[[Parts, Cluster, Job], list[str]]  # what could not be stopped, in words


class Runner:
    """One a worker process. `stopping` is set when the process is to end."""

    def __init__(self, parts: Parts, cluster: Cluster, works: dict[Kind, Work], stopping: threading.Event) -> None:
        self._parts = parts
        self._cluster = cluster
        self._works = works
        self._stopping = stopping

    def run(self, job_id: str) -> None:
        """Take the job if it is to be had, and see it through. Messages may come twice or late: harmless."""
        if self._stopping.is_set():
            # not back on the queue, where this very process might take it again: the reaper sees to it
            self._parts.store.expedite(job_id)
            return
        nonce = uuid.uuid4().hex
        claim = self._parts.store.claim(job_id, nonce, time.time())
        self._wake(claim.wake)
        job = self._parts.store.get(job_id) if claim.what == "claimed" else None
        if job is None:
            log.debug("job not taken", job_id=job_id, why=claim.what)
            self._tell_exhausted(job_id, claim.what)
            return
        with structlog.contextvars.bound_contextvars(job_id=job_id, kind=job.kind.value, database=job.database):
            log.info("job started", attempt=claim.token)
            attempt = Attempt(
                self._parts.store, job_id, claim.token, nonce, self._parts.settings.job_lease_seconds, self._stopping
            )
            with attempt:
                self._attempt(job, claim.token, attempt)

    def _tell_exhausted(self, job_id: str, why: str) -> None:
        """A job that failed with its claim, because its last worker was lost."""
        job = self._parts.store.get(job_id) if why == "exhausted" else None
        if job is not None:
            self._tell(job, time.time())

    def _tell(self, ended: Job, now: float) -> None:
        self._parts.tallies.job_ended(ended)
        tell_finished(self._parts.events, ended, now)

    def _attempt(self, job: Job, token: int, attempt: Attempt) -> None:
        work = self._works[job.kind]
        try:
            # after the claim, so that whoever makes others stand still either sees this job run or is seen
            if job.kind not in GOES_ON and self._parts.in_force.paused():
                self._release(job, token, PAUSED_DELAY)
                return
            if job.kind is not Kind.WEBHOOK:  # which calls no node
                self._parts.in_force.settle(self._cluster)
            if job.cancel_requested:
                raise Cancelled(work.abandon(self._parts, self._cluster, job))
            result = work.run(self._parts, self._cluster, job, attempt)
        except Cancelled as cancelled:
            left = cancelled.still_running
            self._finish(job, token, State.CANCELLED, result={"still_running": left} if left else None)
        except LeaseLost:
            log.warning("lease lost: another worker owns the job, nothing written")
        except HandedBack:
            self._release(job, token)
        except ReplicationError as error:
            self._failed(job, token, error)
        except StoreUnavailable:
            log.warning("Redis went away in mid-job: the reaper gives the job to a worker when it is back")
        except Exception as error:  # the job must not stay "running" for a defect of ours
            log.exception("job broke")
            self._failed(job, token, error)
        else:
            self._finish(job, token, State.SUCCEEDED, result=result)

    def _failed(self, job: Job, token: int, error: Exception) -> None:
        most = policy.starts(job.kind, self._parts.settings.job_max_attempts)
        chance = random.random()  # noqa: S311 - jitter
        verdict = policy.decide(error, job.failures + 1, most, chance, policy.PAUSES.get(job.kind, ()))
        if isinstance(verdict, policy.Retry):
            log.warning("job will be tried again", error=str(error), delay=round(verdict.delay, 1))
            self._release(job, token, verdict.delay, failed=True)
        else:
            self._finish(
                job, token, State.FAILED, error=job_error(error, verdict.retryable, self._parts.settings.secrets)
            )

    def _finish(
        self,
        job: Job,
        token: int,
        state: State,
        result: dict[str, Any] | None = None,
        error: JobError | None = None,
    ) -> None:
        now = time.time()

        def write() -> tuple[bool, Sequence[str]]:
            return self._parts.store.finish(job.id, token, state, now, result=result, error=error)

        written, wake = _patiently(write)
        if written:
            log.info("job ended", state=state.value, error=error.detail if error else None)
        else:
            log.warning("job's end not written: another worker owns it, or Redis was emptied")
        self._wake(wake)
        if written:
            self._tell(replace(job, state=state, error=error, finished_at=now), now)

    def _release(self, job: Job, token: int, delay: float = 0, *, failed: bool = False) -> None:
        now = time.time()
        not_before = now + delay if delay else 0

        def write() -> tuple[bool, Sequence[str]]:
            return self._parts.store.release(job.id, token, now, not_before=not_before, failed=failed)

        written, wake = _patiently(write)
        log.info("job given back" if written else "job not given back: it is not ours any more", delay=round(delay, 1))
        self._wake(wake)

    def _wake(self, ids: Sequence[str]) -> None:
        try:
            self._parts.jobs.wake(ids)
        except StoreUnavailable:
            log.warning("jobs not woken: the reaper will", count=len(ids))


def _patiently(write: Callable[[], tuple[bool, Sequence[str]]]) -> tuple[bool, Sequence[str]]:
    """Write, and where Redis is away wait for it: the work is done and its result is worth keeping."""
    deadline = time.monotonic() + FINISH_PATIENCE
    while True:
        try:
            return write()
        except StoreUnavailable:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)


def job_error(error: Exception, retryable: bool, secrets: Sequence[str]) -> JobError:
    """The error as it is stored and told: without credentials, and of a defect of ours no more than its class."""
    if not isinstance(error, ReplicationError):
        detail = f"a defect in NoteBook Replication: {type(error).__name__}; the worker's log has the details"
        return JobError("internal", detail, retryable)
    context = {"node": error.node, "database": error.database, "result": error.result}
    return JobError(
        error.slug,
        scrub(str(error), secrets),
        retryable,
        {name: value for name, value in context.items() if value is not None},
    )
