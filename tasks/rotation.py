"""The body of the job that changes passwords on all nodes (worker.ops.rotation): have all else stand still, change,
and have the links made again.

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
from tasks.jobs import Job, Kind, Request, State
from tasks.locks import LEASE, alone, is_held
from tasks.reconcile import AUTOMATIC
from tasks.redis import StoreUnavailable
from tasks.runner import GOES_ON
from tasks.store import Filter
from tasks.submit import BeingMade
from tasks.wiring import Parts
from worker.core.errors import Cancelled, HalfChanged, NotQuiet, ProcessUnaware, Unsupported
from worker.core.logins import Which
from worker.couch.cluster import Cluster
from worker.ops.control import Control
from worker.ops.rotation import Rotation, rotate

log = get(__name__)
QUIET_PATIENCE = 30.0  # seconds for which what runs may end; with all the rest less than a sweep may be old
LINKS_PATIENCE = 60.0  # seconds until a set-up has found a free worker, and has made the links again
LOOK_EVERY = 0.2  # seconds


def run_rotation(parts: Parts, cluster: Cluster, job: Job, control: Control) -> dict[str, Any]:
    to, began = Which(job.params["to"]), time.time()
    _require_aware(parts)
    if not cluster.logins:
        raise Unsupported(
            "no node has a password that could be changed: each has one of its own in its URL (COUCHDB_URL, "
            "REPLICATION_NODES). Take it out there, and set COUCHDB_USER, COUCHDB_PASSWORD_PREVIOUS to the one that "
            "they have and COUCHDB_PASSWORD to the one that they are to get"
        )
    control.report("quiet")
    try:
        with _standing_still(parts, control):
            _wait_until_quiet(parts, job, control)
            changed = _rotate(parts, cluster, to, control)
    except (HalfChanged, Cancelled) as error:
        _tell_half(parts, cluster, job, to, error)
        raise
    finally:
        with suppress(StoreUnavailable):
            parts.publisher.soon("reconcile")  # however it ended: links may have to be made again
    control.report("link")
    links = _links_again(parts, control)
    _tell_done(parts, job, changed)
    own = [node.name for node in parts.settings.nodes if node.user]
    return {**changed.as_json(), "links": links, "own_passwords": own, "seconds": round(time.time() - began, 1)}


def _rotate(parts: Parts, cluster: Cluster, to: Which, control: Control) -> Rotation:
    def ready() -> None:
        _require_aware(parts)
        if not parts.in_force.paused():
            raise NotQuiet("other work goes on: Redis was away, or this machine stood still for a while")

    # its own: what others learn while it works must not change how it calls a node
    own, noted = cluster.twin(), parts.in_force.noted(cluster)
    return rotate(own, to, noted, parts.in_force.note, control, ready)


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
    """Who knows one password alone would lock the other out as soon as it is changed.

    Whoever asked for the change knows both (api.rotation), so a worker that does not is the one to be named, and not
    all the others whose word it cannot read.
    """
    now, own = time.time(), parts.in_force.process
    if not parts.in_force.changing:
        raise ProcessUnaware(
            f"{own}: knows one password alone. Set COUCHDB_PASSWORD_PREVIOUS (or REPLICATION_PASSWORD_PREVIOUS) for it "
            "as for the API, restart it, and ask again"
        )
    alive = {*parts.seen.workers(now), *parts.replication.watchers(now)}
    unaware = parts.in_force.unaware(alive, now)
    if unaware:
        raise ProcessUnaware(
            f"{', '.join(unaware)}: started before both passwords were in the settings, or with others than {own}, "
            "which was to change them. Restart what is named, in any order, and ask again"
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
    for other in parts.store.list(Filter(state=State.RUNNING), limit=100).jobs:
        if other.kind not in GOES_ON and other.id != job.id:
            return f"job {other.id} ({other.kind.value})"
    for name in LEASE:
        if name not in {PAUSE, "reap"} and is_held(parts.redis, name):
            return f"the scheduled task {name}"
    count = parts.dirty.counts()["busy"]
    return f"{count} syncs of what changed" if count else None


def _links_again(parts: Parts, control: Control) -> dict[str, Any] | None:
    """Have a set-up make them, as the schedule would, and wait for its end, for a while. None where none are wanted."""
    if not parts.settings.continuous_replication:
        return None
    with suppress(BeingMade):
        made = parts.jobs.submit(Request(Kind.SETUP, None, AUTOMATIC)).job
        until = time.monotonic() + LINKS_PATIENCE
        while time.monotonic() < until:
            control.check()
            now = parts.store.get(made.id)
            if now is None or now.ended:
                return {"job": made.id, "state": now.state.value if now else "gone"}
            time.sleep(LOOK_EVERY)
        return {"job": made.id, "state": "not yet"}
    return {"job": None, "state": "not yet"}


def _tell_half(parts: Parts, cluster: Cluster, job: Job, to: Which, error: Exception) -> None:
    """Also where somebody stopped it in the middle: nobody must take the new password for that of all nodes."""
    with suppress(StoreUnavailable):
        noted = parts.in_force.noted(cluster)
        done = [f"{name} ({whose.value})" for (name, whose), which in noted.items() if which is to]
        if not done or len(done) == len(noted):
            return
        words = str(error) if isinstance(error, HalfChanged) else f"it was stopped; {', '.join(done)} has the new one"
        _record(parts, job, "passwords.half-changed", "error", words, to)


def _tell_done(parts: Parts, job: Job, changed: Rotation) -> None:
    if changed.changed or job.attempts > 1:
        words = ", ".join(f"{name} ({whose.value})" for name, whose in changed.done)
        detail = f"the {changed.to.value} password is on all nodes now: {words}"
        _record(parts, job, "passwords.changed", "info", detail, changed.to)


def _record(parts: Parts, job: Job, type: str, severity: str, detail: str, to: Which) -> None:
    with suppress(StoreUnavailable):
        parts.events.record(type, at=time.time(), detail=detail, severity=severity, job=job.id, to=to.value)
