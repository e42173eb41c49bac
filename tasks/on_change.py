"""Syncs of what changed: found by feeds (tasks.watcher) and by the periodic pass, worked off a few at a time.

They have a queue of their own, and no more than ON_CHANGE_CONCURRENCY of them are on it, so a sync that somebody asks
for finds a free worker. Whoever ends one puts the next on the queue: the watcher's death stops nothing.
"""

from __future__ import annotations

import threading
import time
from contextlib import suppress

from config.logs import get
from tasks.attempt import Attempt
from tasks.away import away
from tasks.dirty import Keeper
from tasks.redis import StoreUnavailable
from tasks.replication import moved, record_sync
from tasks.route import route_for
from tasks.runner import job_error
from tasks.travels import on_change_filter
from tasks.wiring import Parts
from worker.core.errors import DocumentsRefused, Interrupted, NotEnoughNodes, ReplicationError
from worker.couch.cluster import Cluster
from worker.ops.control import Control
from worker.ops.drift import Drift, find_drift, same, sequences
from worker.ops.sync import sync

log = get(__name__)
FIRST_PAUSE = 2.0  # seconds after a failure; doubles
LONGEST_PAUSE = 300.0  # CouchDB's lock-out after wrong passwords lasts as long
REFUSED = DocumentsRefused.slug
AGAIN = 5.0  # seconds after which one that is written to all the time is looked at once more


def dispatch(parts: Parts, now: float) -> int:
    """Put on the queue what is ripe and fits. Returns how many. Raises StoreUnavailable."""
    settings = parts.settings
    # one thread at least is left to what people ask for, however small a worker is
    at_once = max(1, min(settings.on_change_concurrency, settings.worker_concurrency - 1))
    taken = parts.dirty.take(now, settings.on_change_debounce_ms / 1000, at_once)
    for number, one in enumerate(taken):
        try:
            parts.publisher.on_change(one.database, one.token)
        except StoreUnavailable:
            for left in taken[number:]:
                parts.dirty.done(left.database, left.token, again_at=now)
            raise
    return len(taken)


def run_on_change(parts: Parts, cluster: Cluster, database: str, token: str, stopping: threading.Event) -> None:
    """Sync one database that changed, if it is still ours to sync and not in step already."""
    if stopping.is_set() or not parts.dirty.keep(database, token, time.time()):
        return  # another one has it, or will have when this lease has run out
    if parts.in_force.paused():
        parts.dirty.done(database, token, again_at=time.time() + AGAIN)
        return
    parts.in_force.settle(cluster)
    again_in: float | None = None
    failed = carried = False
    wanted = on_change_filter(parts)
    try:
        if wanted is None or wanted(database):  # else the settings have changed since it was marked
            with Attempt(Keeper(parts.dirty, time.time), database, 0, token, _lease(parts), stopping) as control:
                in_step, carried = _bring_in_step(parts, cluster, database, control)
                again_in = None if in_step else AGAIN
    except Interrupted:
        again_in = 0.0  # this worker shuts down, or lost the lease: then `done` changes nothing
    except StoreUnavailable:
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is: unheard of, it would be tried again without a pause
        failed = True
        again_in = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(parts.dirty.failures(database), 10))
        _tell(parts, database, error)
    since = _since(parts, database) if carried and again_in is None else None
    again_at = None if again_in is None else time.time() + again_in
    still_ours = parts.dirty.done(database, token, again_at=again_at, failed=failed) >= 0
    if since is not None and still_ours:  # else whoever took it over counts it
        parts.tallies.change_carried(time.time() - since)
    if not stopping.is_set():
        dispatch(parts, time.time())


def _since(parts: Parts, database: str) -> float | None:
    with suppress(StoreUnavailable):  # of a figure: not worth the sync
        return parts.dirty.carrying_since(database)
    return None


def _lease(parts: Parts) -> float:
    return float(parts.settings.job_lease_seconds)


def _tell(parts: Parts, database: str, error: Exception) -> None:
    told = job_error(error, True, parts.settings.secrets)
    if isinstance(error, ReplicationError):
        log.warning("changed database not synced", database=database, error=told.detail)
    else:
        log.exception("sync of a changed database broke", database=database)
    parts.replication.on_change_failed(database, told.type, told.detail, time.time())


def _bring_in_step(parts: Parts, cluster: Cluster, database: str, control: Control) -> tuple[bool, bool]:
    """Whether it is in step now, as far as there is somebody to be in step with, and whether anything was carried: a
    target's own echo of our sync is none that somebody waited for."""
    known = parts.seen.synced(database)
    gone = away(parts, cluster)
    here, silent = sequences(cluster, database, gone)
    if len(here) < 2 and silent:
        raise NotEnoughNodes(f"only {', '.join(here) or 'no node'} can take part: no answer of {', '.join(silent)}")
    if len(here) < 2:
        return True, False  # deleted, or on one node alone: the pass finds it when that has changed
    if known and not silent and same(known["sequences"], here):
        return True, False  # an echo: this is what our own sync wrote
    route = route_for(parts, cluster, database)
    try:
        told = known["refused"] if known and parts.replication.on_change_failure(database) == REFUSED else None
        result = sync(
            cluster,
            database,
            control,
            create_missing=False,
            route=route,
            told_refusals=told,
            away=gone,
            hub=parts.seen.primary(),
        )
    except DocumentsRefused as error:
        # all that could move has moved: it is told, and the next change is as quick as ever
        _tell(parts, database, error)
        record_sync(parts, database, error.sync)
        return True, moved(error.sync)
    if result.caught_up:
        record_sync(parts, database, result, still_refused=told is not None)
    return result.caught_up, moved(result)


def run_pass(parts: Parts, cluster: Cluster) -> None:
    """The periodic pass: mark every database that differs from what it was when it was last in step."""
    wanted = on_change_filter(parts)
    if wanted is None:
        return
    recorded = {database: entry["sequences"] for database, entry in parts.seen.syncs().items()}
    drift = find_drift(cluster, recorded, wanted, parts.rules.selector_of, away(parts, cluster))
    now = time.time()
    back = set((parts.seen.last_pass() or {}).get("unseen", [])) - set(drift.unseen)
    parts.seen.save_pass(
        {
            "changed": drift.changed,
            "lag": drift.lag,
            "in_step_count": len(drift.in_step),
            "unseen": drift.unseen,
            "observed_at": now,
        }
    )
    _forget_failures(parts, drift)
    # as changed a debounce ago, so that it is ripe now: nobody may be there to do it later. What failed because a node
    # was away need not wait any longer once it is back
    parts.dirty.mark(drift.changed, now - parts.settings.on_change_debounce_ms / 1000, sooner=bool(back))
    dispatch(parts, now)


def _forget_failures(parts: Parts, drift: Drift) -> None:
    """Of databases that are in step now (by a sync that somebody asked for), or gone from all nodes. Documents that
    were refused stay told: the sequences do not tell of them."""
    over = [
        name
        for name, failure in parts.replication.on_change_failures().items()
        if (name in drift.in_step and failure["type"] != REFUSED)
        or not (name in drift.changed or name in drift.in_step or drift.unseen)
    ]
    parts.replication.on_change_worked(*over)
