"""Tells webhook receivers that a job has ended. Its record is written by then, so nothing here can fail the job.

Best effort: a worker that dies between the two tells nobody. Whoever has to know asks for the job.
"""

from __future__ import annotations

from config.logs import get
from tasks.events import Events
from tasks.jobs import Job, Kind, State
from tasks.redis import StoreUnavailable
from worker.core.events import Event, EventType, Severity, complete

log = get(__name__)


def tell_finished(events: Events, job: Job, now: float) -> None:
    """`job`: as it has ended. That an event was delivered, or not, is no event itself."""
    if job.kind is Kind.WEBHOOK:
        return
    try:
        events.announce(event_of(job, now))
    except StoreUnavailable as error:
        log.warning("end of a job not sent", job_id=job.id, error=str(error))
    except Exception:  # a defect of ours, or a record that cannot be read: neither is the job's fault
        log.exception("end of a job not sent", job_id=job.id)


def event_of(job: Job, now: float) -> Event:
    """Without what was asked for and what came out: the job has that, for who may ask for it. Its id is the same
    however often it is told."""
    about = job.database or "several databases"
    error = job.error.type if job.error else None
    data = {"kind": job.kind.value, "state": job.state.value, "job": job.id, "error": error}
    return Event(
        id=f"job-{job.id}",
        type=EventType.JOB_FINISHED,
        at=job.finished_at or now,
        severity=Severity.WARNING if job.state is State.FAILED else Severity.INFO,
        detail=f"{job.kind.value} of {about} {job.state.value}" + (f": {error}" if error else ""),
        database=job.database,
        data=complete(EventType.JOB_FINISHED, data),
    )
