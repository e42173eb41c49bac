"""The security report: the body of its job, and the watch that has one made every day.

A day is counted from the last report, whoever asked for it. Where there is none one is asked for at beat's first tick,
a minute after the first start; one that failed, or that no worker took, is asked for again an hour later.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from tasks.audit_own import own_of
from tasks.jobs import Job, Kind, Request, State
from tasks.store import Filter
from tasks.submit import BeingMade
from tasks.wiring import Parts
from worker.core.audit.checks import Grade
from worker.core.audit.report import fresh, told_of
from worker.core.passwords import is_default
from worker.core.redact import scrub, scrub_all
from worker.couch.cluster import Cluster
from worker.ops.audit.admins import Tried
from worker.ops.audit.databases import Before
from worker.ops.audit.look import Memory
from worker.ops.audit.run import audit
from worker.ops.control import Control

EVERY = 86_400.0  # seconds
AGAIN = 3_600.0


def request() -> Request:
    """The same whoever asks, so that two who ask at once get one."""
    return Request(Kind.AUDIT, None, {})


def run_watch(parts: Parts) -> None:
    now = time.time()
    if not parts.settings.nodes:
        return
    report, tried = parts.seen.audits.report(), parts.seen.audits.tried_at()
    if _within(report["observed_at"] if report else None, now, EVERY) or _within(tried, now, AGAIN):
        return
    for state in (State.RUNNING, State.QUEUED):
        if parts.store.list(Filter(kind=Kind.AUDIT, state=state), limit=1).jobs:
            return
    with suppress(BeingMade):
        parts.jobs.submit(request())
        parts.seen.audits.tried(now)


def _within(at: float | None, now: float, seconds: float) -> bool:
    """False too for a time that is yet to come: the clock was ahead then."""
    return at is not None and 0 <= now - at < seconds


def run_audit(parts: Parts, cluster: Cluster, job: Job, control: Control) -> dict[str, Any]:
    seen, now = parts.seen.audits, time.time()
    memory = {name: _memory(raw) for name, raw in seen.memory().items()}
    made = audit(cluster, own_of(parts.settings), memory, now, control)
    report = _scrubbed(made.report, parts.settings.secrets)
    told = seen.told()
    for findings in fresh(report, told):
        _tell(parts, findings, now)
    # after the telling: where that is cut short, people are told twice rather than never
    seen.save(report, {name: _kept(one) for name, one in made.memory.items()}, told_of(report, told))
    return report


def _scrubbed(report: dict[str, Any], secrets: Iterable[str]) -> dict[str, Any]:
    """Whatever a node's words were, none of our secrets goes on from here. Those that anybody tries first are left:
    they are words of the language, and masking each "admin" in a text would tell the password."""
    masked = [secret for secret in secrets if not is_default("", secret)]
    clean: dict[str, Any] = scrub_all(report)
    for finding in clean["findings"]:
        finding["detail"] = scrub(finding["detail"], masked)
    for each in clean["checked"]:
        for row in [*each["unknown"], *each["not_applicable"]]:
            row["why"] = scrub(row["why"], masked)
    return clean


def _tell(parts: Parts, findings: list[dict[str, Any]], now: float) -> None:
    first, count = findings[0], len(findings)
    more = f" (and {count - 1} more of the kind)" if count > 1 else ""
    parts.events.record(
        "security.finding",
        at=now,
        severity="error" if first["severity"] == Grade.CRITICAL else "warning",
        detail=f"{first['detail']}{more}",
        node=first["node"],
        database=first["database"] if count == 1 else None,
        check=first["check"],
        grade=first["severity"],
        count=count,
        remedy=first["remedy"],
    )


def _memory(raw: dict[str, Any]) -> Memory:
    tried = Tried(**raw["tried"]) if raw["tried"] else None
    return Memory(Before(raw["last"], tuple(raw["open"])), tried)


def _kept(memory: Memory) -> dict[str, Any]:
    return {
        "last": memory.before.last,
        "open": list(memory.before.open),
        "tried": vars(memory.tried) if memory.tried else None,
    }
