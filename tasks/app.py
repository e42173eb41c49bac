"""What Celery runs: the tasks by name, and the life of a worker process.

Task names are what Flower shows, so they are plain words. Bodies live in tasks.replication and tasks.health;
each task here only finds its parts.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from celery import Celery, signals

from config.celery import CONTROL_QUEUE
from config.logs import configure, get
from tasks import audit, backup_watch, canary, conflicts, health, links, on_change, receivers_kept, reconcile, security
from tasks.locks import alone, ask_again, asked_again, take_slot
from tasks.look import run_look
from tasks.reap import run_reap
from tasks.redis import StoreUnavailable
from tasks.runner import Runner
from tasks.wiring import Parts
from tasks.works import WORKS
from worker.core.redact import scrub
from worker.couch.cluster import Cluster

log = get(__name__)
CALL_NO_NODE = frozenset({"reap", "audits"})  # scheduled tasks that need not know how nodes are called
HEARTBEAT_EVERY = 5.0  # seconds


def register(parts: Parts, cluster: Cluster) -> Celery:
    """Add the tasks to the Celery app, and return it. For processes that run tasks."""
    app = parts.celery
    stopping = threading.Event()
    runner = Runner(parts, cluster, WORKS, stopping)
    for kind in WORKS:
        app.task(name=kind.value, shared=False)(_job_task(runner))

    def look(database: str, box: str) -> None:
        parts.in_force.settle(cluster)
        run_look(parts, cluster, database, box)

    def change(database: str, token: str) -> None:
        try:
            on_change.run_on_change(parts, cluster, database, token, stopping)
        except StoreUnavailable as error:
            # its lease runs out, and the periodic pass finds the database again
            log.warning("changed database left: Redis is away", database=database, error=str(error))

    app.task(name="look", shared=False)(look)
    app.task(name="on-change", shared=False)(change)
    bodies: dict[str, Callable[[], None]] = {
        "sweep": lambda: health.run_sweep(parts, cluster),
        "reap": lambda: run_reap(parts),
        "reconcile": lambda: reconcile.run_reconcile(parts, cluster),
        "links": lambda: links.run_links(parts, cluster),
        "drift": lambda: on_change.run_pass(parts, cluster),
        "security": lambda: security.run_security(parts, cluster),
        "canary": lambda: canary.run_canary(parts, cluster),
        "backups": lambda: backup_watch.run_watch(parts, cluster),
        "audits": lambda: audit.run_watch(parts),
        "receivers": lambda: receivers_kept.run_receivers(parts, cluster),
        "conflicts": lambda: conflicts.run_conflicts(parts, cluster),
    }
    for name, body in bodies.items():
        _scheduled(app, parts, cluster, name, body)

    for name in ("reconcile", "drift", "sweep", "links", "backups", "receivers", "conflicts"):
        app.task(name=f"{name}-now", shared=False)(_now(parts, cluster, name, bodies[name]))
    _live(app, parts, cluster, stopping)
    return app


def _job_task(runner: Runner) -> Callable[[str], None]:
    def run(job_id: str) -> None:
        try:
            runner.run(job_id)
        except StoreUnavailable as error:
            # the message is spent, but the record is not: the reaper finds it when Redis is back
            log.warning("job not taken: Redis is away", job_id=job_id, error=str(error))

    return run


def _scheduled(app: Celery, parts: Parts, cluster: Cluster, name: str, body: Callable[[], None]) -> None:
    """A task that beat starts: done once an interval however many beats tick, and never twice at once."""

    def run(interval: float) -> None:
        try:
            if not take_slot(parts.redis, name, time.time(), interval):
                return
        except StoreUnavailable as error:
            log.warning("scheduled task skipped: Redis is away", task=name, error=str(error))
        else:
            _once(parts, cluster, name, body)

    app.task(name=name, shared=False)(run)


def _now(parts: Parts, cluster: Cluster, name: str, body: Callable[[], None]) -> Callable[[], None]:
    def run() -> None:
        try:
            ask_again(parts.redis, name)
        except StoreUnavailable as error:
            log.warning("task skipped: Redis is away", task=name, error=str(error))
        else:
            _once(parts, cluster, name, body)

    return run


def _once(parts: Parts, cluster: Cluster, name: str, body: Callable[[], None]) -> None:
    """Do it, unless somebody is just doing it; and once more where it was asked for meanwhile, because what is done may
    have looked before that."""
    try:
        with alone(parts.redis, name) as mine:
            # after it is ours, so that whoever makes others stand still either sees it or is seen
            if mine and name not in CALL_NO_NODE and parts.in_force.paused():
                return
            if mine:
                asked_again(parts.redis, name)
                if name not in CALL_NO_NODE:
                    parts.in_force.settle(cluster)
                body()
        if mine and asked_again(parts.redis, name):
            _once(parts, cluster, name, body)
    except StoreUnavailable as error:
        log.warning("scheduled task broken off: Redis is away", task=name, error=str(error))


def _live(app: Celery, parts: Parts, cluster: Cluster, stopping: threading.Event) -> None:
    """Logs, heartbeats and the order to stop."""

    def set_up_logs(**_: Any) -> None:
        configure(parts.settings, scrub)

    def begin(sender: Any, **_: Any) -> None:
        threading.Thread(target=_heartbeat, args=(parts, sender.hostname, stopping), daemon=True).start()
        if CONTROL_QUEUE in app.amqp.queues.consume_from:
            # now, and not an interval later: what an earlier run saw may be of other nodes
            threading.Thread(target=_first_look, args=(parts, cluster), daemon=True).start()

    def stop(**_: Any) -> None:
        stopping.set()

    # weak=False: these functions exist nowhere else
    signals.setup_logging.connect(set_up_logs, weak=False)
    signals.worker_ready.connect(begin, weak=False)
    signals.worker_shutting_down.connect(stop, weak=False)


def _first_look(parts: Parts, cluster: Cluster) -> None:
    try:
        parts.in_force.settle(cluster)
        health.sweep_now(parts, cluster)
        parts.publisher.soon("reconcile")
        parts.publisher.soon("backups")
        parts.publisher.soon("receivers")
        parts.publisher.soon("conflicts")
    except StoreUnavailable as error:
        log.warning("first look skipped: Redis is away", error=str(error))


def _heartbeat(parts: Parts, name: str, stopping: threading.Event) -> None:
    while True:
        try:
            parts.seen.worker_alive(name, time.time())
            parts.seen.heard.note(name, time.time())
            parts.in_force.aware(name, time.time())
            if stopping.wait(HEARTBEAT_EVERY):
                parts.seen.worker_gone(name)
                return
        except StoreUnavailable:
            if stopping.wait(HEARTBEAT_EVERY):
                return
