"""Syncs of what changed: found by feeds (tasks.watcher) and by the periodic pass, worked off a few at a time.

They have a queue of their own, and no more than ON_CHANGE_CONCURRENCY of them are on it, so a sync that somebody asks
for finds a free worker. Whoever ends one puts the next on the queue: the watcher's death stops nothing.
"""

from __future__ import annotations

import threading
import time

from config.logs import get
from tasks.attempt import Attempt
from tasks.dirty import Keeper
from tasks.replication import record_sync, route_for
from tasks.rules import rules_of
from tasks.travels import on_change_filter
from tasks.wiring import Parts
from worker.core.errors import Interrupted, ReplicationError
from worker.couch.cluster import Cluster
from worker.ops.control import Control
from worker.ops.drift import find_drift, same, sequences
from worker.ops.sync import sync

log = get(__name__)
FIRST_PAUSE = 2.0  # seconds after a failure; doubles
LONGEST_PAUSE = 300.0  # CouchDB's lock-out after wrong passwords lasts as long
AGAIN = 5.0  # seconds after which one that is written to all the time is looked at once more


def dispatch(parts: Parts, now: float) -> int:
    """Put on the queue what is ripe and fits. Returns how many. Raises StoreUnavailable."""
    settings = parts.settings
    taken = parts.dirty.take(now, settings.on_change_debounce_ms / 1000, settings.on_change_concurrency)
    for one in taken:
        parts.publisher.on_change(one.database, one.token)
    return len(taken)


def run_on_change(parts: Parts, cluster: Cluster, database: str, token: str, stopping: threading.Event) -> None:
    """Sync one database that changed, if it is still ours to sync and not in step already."""
    if stopping.is_set() or not parts.dirty.keep(database, token, time.time()):
        return  # another one has it, or will have when this lease has run out
    keeper = Keeper(parts.dirty, time.time)
    again_at: float | None = None
    failed = False
    try:
        with Attempt(keeper, database, 0, token, parts.settings.job_lease_seconds, stopping) as control:
            caught_up = _bring_in_step(parts, cluster, database, control)
        again_at = None if caught_up else time.time() + AGAIN
        parts.replication.on_change_worked(database)
    except Interrupted:
        again_at = time.time()  # this worker shuts down, or lost the lease: then `done` changes nothing
    except ReplicationError as error:
        failed = True
        again_at = time.time() + min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(parts.dirty.failures(database), 10))
        parts.replication.on_change_failed(database, error.slug, str(error), time.time())
        log.warning("changed database not synced", database=database, error=str(error))
    parts.dirty.done(database, token, again_at=again_at, failed=failed)
    if not stopping.is_set():
        dispatch(parts, time.time())


def _bring_in_step(parts: Parts, cluster: Cluster, database: str, control: Control) -> bool:
    """Whether it is in step now, as far as there is somebody to be in step with."""
    known, here = parts.seen.synced(database), sequences(cluster, database)
    if len(here) < 2:
        return True  # deleted, on one node alone, or the others are away: the pass finds it when that has changed
    if known and same(known, here):
        return True  # an echo: this is what our own sync wrote
    route = route_for(parts, cluster, database)
    result = sync(cluster, database, control, create_missing=False, route=route)
    if result.caught_up:
        record_sync(parts, database, result)
    return result.caught_up


def run_pass(parts: Parts, cluster: Cluster) -> None:
    """The periodic pass: mark every database that differs from what it was when it was last in step."""
    wanted = on_change_filter(parts)
    if wanted is None:
        return
    recorded = {database: entry["sequences"] for database, entry in parts.seen.syncs().items()}
    rules = rules_of(parts.settings)
    drift = find_drift(cluster, recorded, wanted, lambda name: rules.of(name).selector)
    now = time.time()
    parts.seen.save_pass(
        {
            "changed": drift.changed,
            "lag": drift.lag,
            "in_step_count": len(drift.in_step),
            "unseen": drift.unseen,
            "observed_at": now,
        }
    )
    # in step, or gone from all nodes
    over = [
        name
        for name in parts.replication.on_change_failures()
        if name in drift.in_step or not (name in drift.changed or drift.unseen)
    ]
    parts.replication.on_change_worked(*over)
    # as changed a debounce ago, so that it is ripe now: nobody may be there to do it later
    parts.dirty.mark(drift.changed, now - parts.settings.on_change_debounce_ms / 1000)
    dispatch(parts, now)
