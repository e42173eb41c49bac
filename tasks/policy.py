"""What to do with a job that met an error: by the error's class, never by its message. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from worker.core.errors import LockedOut, Permanent, ReplicationError

FIRST_DELAY = 5.0  # seconds
LONGEST_DELAY = 120.0
LOCK_OUT = 300.0  # CouchDB's [chttpd_auth_lockout] max_lifetime: asking sooner only proves the lock again


@dataclass(frozen=True)
class Retry:
    delay: float  # seconds


@dataclass(frozen=True)
class GiveUp:
    retryable: bool  # whether the same request may succeed later


def decide(error: Exception, attempt: int, max_attempts: int, chance: float) -> Retry | GiveUp:
    """Retry a transient error while starts are left; give up on everything else.

    `attempt` counts from 1. `chance` in [0, 1) spreads the delay over its upper half (equal jitter), so
    that jobs which failed together do not come back together. An exception from outside our tree is a
    defect of ours: it is not repeated.
    """
    if not isinstance(error, ReplicationError) or isinstance(error, Permanent):
        return GiveUp(retryable=False)
    if attempt >= max_attempts:
        return GiveUp(retryable=True)
    if isinstance(error, LockedOut):
        return Retry(LOCK_OUT)
    delay = min(LONGEST_DELAY, FIRST_DELAY * 2 ** (attempt - 1))
    return Retry(delay / 2 + delay / 2 * chance)
