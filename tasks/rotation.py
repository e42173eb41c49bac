"""The body of the job that changes passwords on all nodes (worker.ops.rotation): have all else stand still, change,
and make the links again.

Other work stands still by a lease, so it goes on by itself where this worker dies; what each node has is noted before
and after, so the next attempt, and all other work, know.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from config.logs import get
from tasks.in_force import PAUSE
from tasks.jobs import Job, State
from tasks.locks import LEASE, alone
from tasks.policy import gives_up
from tasks.reconcile import wanted_of
from tasks.redis import StoreUnavailable
from tasks.runner import GOES_ON
from tasks.store import Filter
from tasks.wiring import Parts
from worker.core.errors import HalfChanged, NotQuiet, ProcessUnaware, ReplicationError, Unsupported
from worker.core.logins import Which
from worker.couch.cluster import Cluster
from worker.ops.control import Control, Quiet
from worker.ops.rotation import rotate
from worker.ops.setup import setup

log = get(__name__)
QUIET_PATIENCE = 60.0  # seconds for which what runs may end
LOOK_EVERY = 0.2  # seconds


def run_rotation(parts: Parts, cluster: Cluster, job: Job, control: Control) -> dict[str, Any]:
    to = Which(job.params["to"])
    if not cluster.logins:
        raise Unsupported(
            "no node has a password that could be changed: set COUCHDB_PASSWORD_PREVIOUS (or "
            "REPLICATION_PASSWORD_PREVIOUS) to the one that it has, and COUCHDB_PASSWORD to the one that it is to get"
        )
    _require_aware(parts)
    began = time.time()
    control.report("quiet")
    with _standing_still(parts, control):
        _wait_until_quiet(parts, job, control)
        try:
            changed = rotate(cluster, to, parts.in_force.noted(cluster), parts.in_force.note, control)
        except ReplicationError as error:
            if isinstance(error, HalfChanged) and gives_up(error, job, parts.settings.job_max_attempts):
                _record(parts, job, "passwords.half-changed", "error", str(error), to)
            _link(parts, cluster, control)
            raise
        control.report("link")
        troubles = _link(parts, cluster, control)
    parts.publisher.soon("reconcile")
    own = [node.name for node in parts.settings.nodes if node.user]
    result = {**changed.as_json(), "links_made": not troubles, "own_passwords": own}
    if changed.changed:
        words = ", ".join(f"{name} ({whose.value})" for name, whose in changed.changed)
        _record(parts, job, "passwords.changed", "info", f"{words} has the {to.value} password now", to)
    return {**result, "troubles": troubles, "seconds": round(time.time() - began, 1)}


@contextmanager
def _standing_still(parts: Parts, control: Control) -> Iterator[None]:
    """Nothing else begins meanwhile. A worker that died in it holds it for a while yet."""
    until = time.monotonic() + LEASE[PAUSE] + QUIET_PATIENCE
    while True:
        with alone(parts.redis, PAUSE) as mine:
            if mine:
                yield
                return
        if time.monotonic() > until:
            raise NotQuiet("another worker is changing passwords")
        control.check()
        time.sleep(LOOK_EVERY)


def _require_aware(parts: Parts) -> None:
    """Who knows one password alone would lock the other out as soon as it is changed."""
    now = time.time()
    alive = {*parts.seen.workers(now), *parts.replication.watchers(now)}
    unaware = parts.in_force.unaware(alive)
    if unaware:
        raise ProcessUnaware(
            f"{', '.join(unaware)}: started before both passwords were in the settings, or with others. Restart them, "
            "in any order, and ask again; nothing was changed"
        )


def _wait_until_quiet(parts: Parts, job: Job, control: Control) -> None:
    until = time.monotonic() + QUIET_PATIENCE
    while busy := _busy(parts, job):
        if time.monotonic() > until:
            raise NotQuiet(f"{busy} did not end within {QUIET_PATIENCE:g} s: wait for its end, or cancel it")
        control.check()
        time.sleep(LOOK_EVERY)


def _busy(parts: Parts, job: Job) -> str | None:
    """What still runs, in words."""
    running = parts.store.list(Filter(state=State.RUNNING), limit=100).jobs
    for other in running:
        if other.kind not in GOES_ON and other.id != job.id:
            return f"job {other.id} ({other.kind.value})"
    scheduled = next((name for name in LEASE if name != PAUSE and parts.redis.exists(f"nbr:alone:{name}")), None)
    if scheduled and scheduled != "reap":
        return f"the scheduled task {scheduled}"
    count = parts.dirty.counts()["busy"]
    return f"{count} syncs of what changed" if count else None


def _link(parts: Parts, cluster: Cluster, control: Control) -> list[str]:
    """Make the links again, with what each node has now. Returns what went wrong: the schedule tries on."""
    if not parts.settings.continuous_replication:
        return []  # none are wanted
    try:
        result = setup(cluster, wanted_of(parts), Quiet(control))
    except ReplicationError as error:
        log.warning("links not made again: the next reconcile will", error=str(error))
        return [str(error)]
    return [str(trouble) for trouble in result.applied.failures]


def _record(parts: Parts, job: Job, type: str, severity: str, detail: str, to: Which) -> None:
    with suppress(StoreUnavailable):
        parts.events.record(type, at=time.time(), detail=detail, severity=severity, job=job.id, to=to.value)
