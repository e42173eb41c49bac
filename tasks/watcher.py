"""`python -m tasks watcher`: listens to every node's `_db_updates` and has what changed synced.

Any number may run; one leads, by a lock in Redis that it renews, and the others wait to take over. What it misses (it
was dead, a feed was away, Redis was emptied) the periodic pass finds, so nothing here has to be remembered.

Threads: one a feed puts names into a queue; the main one marks them dirty and puts what is ripe on Celery's queue.
"""

from __future__ import annotations

import queue
import signal
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from os import getpid

from config.logs import get
from tasks.leader import Leader
from tasks.on_change import dispatch
from tasks.redis import StoreUnavailable
from tasks.travels import on_change_filter
from tasks.wiring import Parts
from worker.core.errors import ReplicationError
from worker.core.names import is_own
from worker.couch.cluster import Cluster
from worker.couch.feed import Feed, Update
from worker.couch.server import Server

log = get(__name__)
FIRST_PAUSE = 0.5  # seconds until a feed that broke is opened again; doubles
LONGEST_PAUSE = 30.0
TICK = 0.02  # seconds between two looks at what is ripe, while something is dirty
IDLE = 0.5  # the same while nothing is
BEAT_EVERY = 2.0  # seconds
FILTER_EVERY = 5.0  # seconds for which what is known of the modes is believed
RECONCILE_AFTER = 1.0  # seconds after a database was made or deleted, so that a hundred of them cost one look


def main(parts: Parts, cluster: Cluster) -> int:
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    Watcher(parts, cluster, stopping).run()
    return 0


class Watcher:
    def __init__(self, parts: Parts, cluster: Cluster, stopping: threading.Event) -> None:
        self._parts = parts
        self._cluster = cluster
        self._stopping = stopping
        self._name = f"watcher-{getpid()}@{socket.gethostname()}"
        self._leader = Leader(parts.redis, "watcher", uuid.uuid4().hex)
        self._heard: queue.SimpleQueue[Update] = queue.SimpleQueue()
        self._open: dict[str, float | None] = dict.fromkeys(cluster.names)
        self._wanted: Callable[[str], bool] | None = None
        self._wanted_until = 0.0
        self._beat_at = 0.0
        self._reconcile_at: float | None = None
        self._gap = threading.Event()  # a feed was opened: what changed before that was not heard
        self._pending: set[str] = set()

    def run(self) -> None:
        """Until `stopping` is set."""
        while not self._stopping.is_set():
            if not self._beat(leads=False) or not self._lead():
                self._stopping.wait(1.0)
        self._leave()

    def _lead(self) -> bool:
        """Listen for as long as we lead. False where somebody else does."""
        try:
            if not self._leader.take():
                return False
        except StoreUnavailable:
            return False
        log.info("watcher leads", nodes=self._cluster.names)
        with self._feeds():
            while not self._stopping.is_set() and self._still_leads():
                self._step()
        return True

    def _still_leads(self) -> bool:
        try:
            return self._leader.keep()
        except StoreUnavailable:
            # nobody else can take the lead either, until the lock has run out
            return self._leader.may_be_ours()

    def _step(self) -> None:
        """Hear what changed, for a moment; mark it; put what is ripe on the queue."""
        self._beat(leads=True)
        try:
            counts = self._parts.dirty.counts()
            self._hear(TICK if counts["dirty"] or self._pending else IDLE)
            self._mark()
            dispatch(self._parts, time.time())
            if self._gap.is_set():
                self._gap.clear()
                self._parts.publisher.soon("drift")
            if self._reconcile_at is not None and time.monotonic() >= self._reconcile_at:
                self._reconcile_at = None
                self._parts.publisher.soon("reconcile")
        except StoreUnavailable as error:
            log.warning("watcher waits: Redis is away", error=str(error))
            self._stopping.wait(IDLE)

    def _hear(self, seconds: float) -> None:
        """Wait for one event, at most so long, and take along what else is there."""
        try:
            update = self._heard.get(timeout=seconds)
            while True:
                self._note(update)
                update = self._heard.get_nowait()
        except queue.Empty:
            return

    def _note(self, update: Update) -> None:
        if update.kind != "updated" and not is_own(update.database):
            # made, or deleted: what should be has changed
            self._reconcile_at = self._reconcile_at or time.monotonic() + RECONCILE_AFTER
        if update.kind != "deleted":
            self._pending.add(update.database)

    def _mark(self) -> None:
        if not self._pending:
            return
        # nothing known yet is not believed for long: the first reconcile may just have ended
        if self._wanted is None or time.monotonic() >= self._wanted_until:
            self._wanted = on_change_filter(self._parts)
            self._wanted_until = time.monotonic() + FILTER_EVERY
        wanted = self._wanted
        if wanted is None:
            self._pending.clear()
            return
        names = [name for name in self._pending if wanted(name)]
        if names:
            self._parts.dirty.mark(names, time.time())
        self._pending.clear()

    # --- feeds

    @contextmanager
    def _feeds(self) -> Iterator[None]:
        """A thread for each node's feed; they end with the leadership (a silent one with its next heartbeat)."""
        over = threading.Event()
        for server in self._cluster.servers.values():
            threading.Thread(target=self._listen, args=(server, over), daemon=True, name=f"feed {server}").start()
        try:
            yield
        finally:
            over.set()

    def _listen(self, server: Server, over: threading.Event) -> None:
        feed, name, pause = Feed(server), server.node.name, FIRST_PAUSE
        while not over.is_set() and not self._stopping.is_set():
            try:
                # not while a password is just being changed: each refused one counts
                if not self._settled():
                    over.wait(pause)
                    continue
                if server.capabilities().feed:
                    for update in self._read(feed, over):
                        pause = FIRST_PAUSE
                        if update is not None:
                            self._heard.put(update)
            except ReplicationError as error:
                if self._open[name] is not None:
                    log.warning("feed broke", node=name, error=str(error))
                server.forget()
            except Exception:  # a feed that ends for a defect of ours must not look as if it were open
                log.exception("feed broke", node=name)
            self._open[name] = None
            over.wait(pause)
            pause = min(LONGEST_PAUSE, pause * 2)

    def _settled(self) -> bool:
        if not self._parts.in_force.changing:
            return True
        try:
            if self._parts.in_force.paused():
                return False
            self._parts.in_force.settle(self._cluster)
            return True
        except StoreUnavailable:
            return False

    def _read(self, feed: Feed, over: threading.Event) -> Iterator[Update | None]:
        with closing(feed.updates()) as updates:
            for update in updates:
                if self._open[feed.node] is None:
                    self._open[feed.node] = time.time()
                    self._gap.set()
                    log.info("feed open", node=feed.node)
                if over.is_set() or self._stopping.is_set():
                    return
                yield update

    # --- telling that we live

    def _beat(self, *, leads: bool) -> bool:
        """Whether Redis is there."""
        if time.monotonic() < self._beat_at:
            return True
        self._beat_at = time.monotonic() + BEAT_EVERY
        try:
            now = time.time()
            record = {"at": now, "leads": leads, "feeds": dict(self._open) if leads else {}}
            self._parts.replication.watcher_alive(self._name, record)
            self._parts.seen.heard.note(self._name, now)
            self._parts.in_force.aware(self._name, now)
        except StoreUnavailable:
            return False
        return True

    def _leave(self) -> None:
        try:
            self._leader.leave()
            self._parts.replication.watcher_gone(self._name)
        except StoreUnavailable:
            log.info("watcher ends without its farewell: Redis is away")
