"""Who changed what, kept in Redis: the last ten thousand requests that may have changed something, each logged as well,
and the last thousand that were refused, apart, so that nobody pushes what was done out with what was not.

Apart from the events, because it is for other eyes: it names callers and addresses. The log line is the lasting record
(docs/security.md); what is kept here is for looking it up.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import redis

from config.logs import get
from tasks.redis import StoreUnavailable, translated
from tasks.streams import rows

log = get(__name__)
KEY = "nbr:audit"
REFUSED_KEY = "nbr:audit:refused"
KEPT = 10_000
REFUSED_KEPT = 1_000
LONGEST_PATH = 500  # characters


@dataclass(frozen=True)
class Change:
    """One request. `at`: seconds since the epoch. `caller`: the name of a token, or None where nobody was known.
    `status`: of the answer. `about`: what it changed, in a few words. `job`: the id of the job it made or joined.
    `problem`: the kind of problem it was answered with."""

    at: float
    caller: str | None
    role: str | None
    address: str
    method: str
    path: str
    status: int
    about: str | None = None
    job: str | None = None
    problem: str | None = None


@dataclass(frozen=True)
class AuditPage:
    """`changes`: (id, change), newest first. `next`: the id to go on before; None where there is no more."""

    changes: list[tuple[str, Change]]
    next: str | None


class AuditLog:
    def __init__(self, client: redis.Redis) -> None:
        self._redis: Any = client  # see JobStore

    def record(self, change: Change) -> None:
        """Log and keep it. Where Redis is away it is in the log alone: what was done, was done."""
        log.info("audit", **{name: value for name, value in vars(change).items() if name != "at" and value is not None})
        key, most = (KEY, KEPT) if change.problem is None else (REFUSED_KEY, REFUSED_KEPT)
        try:
            with translated():
                self._redis.xadd(key, {"change": json.dumps(vars(change))}, maxlen=most, approximate=True)
        except StoreUnavailable as error:
            log.warning("audit record is in the log alone: Redis is away", error=str(error))

    def page(
        self, *, refused: bool = False, caller: str | None = None, before: str | None = None, limit: int = 50
    ) -> AuditPage:
        """Raises StoreUnavailable."""
        found: list[tuple[str, Change]] = []
        for made, fields in rows(self._redis, REFUSED_KEY if refused else KEY, before=before):
            change = Change(**json.loads(fields["change"]))
            if caller in {None, change.caller}:
                found.append((made, change))
            if len(found) > limit:
                return AuditPage(found[:limit], found[limit - 1][0])
        return AuditPage(found, None)
