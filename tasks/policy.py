"""What to do with a job that met an error: by the error's class, never by its message. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tasks.jobs import Job, Kind
from worker.core.errors import DeliveryFailed, HalfChanged, LockedOut, Permanent, ReplicationError

FIRST_DELAY = 5.0  # seconds
LONGEST_DELAY = 120.0
LOCK_OUT = 300.0  # CouchDB's [chttpd_auth_lockout] max_lifetime: asking sooner only proves the lock again
# Seconds after each failed start, of kinds that have a schedule of their own; they give up after the last. What is down
# at the other end of a webhook may be so over a weekend: this is the schedule that Standard Webhooks recommends.
_MINUTE, _HOUR = 60.0, 3_600.0
PAUSES: Mapping[Kind, Sequence[float]] = {
    Kind.WEBHOOK: (
        5.0,
        5 * _MINUTE,
        30 * _MINUTE,
        *(hours * _HOUR for hours in (2, 5, 10, 14, 20, 24)),
    )
}
SPREAD = 0.1  # part of such a pause that chance adds


@dataclass(frozen=True)
class Retry:
    delay: float  # seconds


@dataclass(frozen=True)
class GiveUp:
    retryable: bool  # whether the same request may succeed later


def starts(kind: Kind, max_attempts: int) -> int:
    """How many starts of a job may end with a lost worker or a transient error; `max_attempts`: of kinds without a
    schedule of their own."""
    return len(PAUSES[kind]) + 1 if kind in PAUSES else max_attempts


def gives_up(error: Exception, job: Job, max_attempts: int) -> bool:
    """Whether this error ends the job: then it is time to tell people."""
    most = starts(job.kind, max_attempts)
    return isinstance(decide(error, job.failures + 1, most, 0, PAUSES.get(job.kind, ())), GiveUp)


def decide(error: Exception, attempt: int, most: int, chance: float, pauses: Sequence[float] = ()) -> Retry | GiveUp:
    """Retry a transient error while starts are left; give up on everything else.

    `attempt` counts from 1, `most` is what `starts` says, `pauses` are the kind's own. `chance` in [0, 1) spreads the
    delay (over its upper half, where it is ours: equal jitter), so that jobs which failed together do not come back
    together. An exception from outside our tree is a defect of ours: it is not repeated.
    """
    if not isinstance(error, ReplicationError) or isinstance(error, Permanent):
        return GiveUp(retryable=False)
    if attempt >= most:
        return GiveUp(retryable=True)
    if isinstance(error, LockedOut) or (isinstance(error, HalfChanged) and error.locked_out):
        return Retry(LOCK_OUT)
    if pauses:
        pause = pauses[min(attempt, len(pauses)) - 1]
        asked = min(error.retry_after, pauses[-1]) if isinstance(error, DeliveryFailed) else 0
        return Retry(max(pause, asked) * (1 + SPREAD * chance))
    delay = min(LONGEST_DELAY, FIRST_DELAY * 2 ** (attempt - 1))
    return Retry(delay / 2 + delay / 2 * chance)
