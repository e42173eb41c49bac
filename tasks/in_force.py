"""Which of two passwords each node has by now, for all processes of ours, while one is being changed.

Kept in Redis under a digest of the pair, so that what was noted of an earlier change is never taken for this one's; of
the passwords nothing can be had from it but by guessing both at once (scrypt). Where nothing is noted (Redis was
emptied, the changing worker died in the middle) one process asks the node, and the others wait for what it finds: each
wrong try counts, and after five CouchDB takes the right password for minutes no more.

Where the settings have no previous password all this is off and costs nothing.
"""

from __future__ import annotations

import functools
import hashlib
import threading
import time
from collections.abc import Iterable
from typing import Any

import redis

from config.logs import get
from config.settings import Settings
from tasks.locks import RELEASE
from tasks.redis import translated
from worker.core.errors import ReplicationError, TimedOut, Unreachable
from worker.core.logins import Which, Whose
from worker.couch.cluster import Cluster
from worker.ops.logins import taken

log = get(__name__)
PREFIX = "nbr:passwords:"
PAUSE = "rotation"  # the name of the lease (tasks.locks.alone) under which other work stands still
ASKING = 30.0  # seconds for which one process asks the nodes alone
WAIT = 5.0  # seconds that others wait for what it finds
REST = 3.0  # seconds before a node that was away is asked again by the same process
LONG_REST = 300.0  # the same where it refused: each refusal counts, for as long as that
KEPT = 30 * 86_400  # seconds
_CHANGING = "changing"


class InForce:
    """Of one process; safe to share between threads. Methods raise tasks.redis.StoreUnavailable."""

    def __init__(self, settings: Settings, client: redis.Redis) -> None:
        self._redis: Any = client  # see JobStore
        self._settings = settings
        self._rest: dict[tuple[str, Whose], float] = {}
        self._lock = threading.Lock()

    @property
    def changing(self) -> bool:
        """Whether the settings have a password that is to be changed into another."""
        settings = self._settings
        previous = settings.couchdb_password_previous, settings.replication_password_previous
        return any(password.get_secret_value() for password in previous)

    @functools.cached_property
    def _key(self) -> str:
        settings = self._settings
        words = [
            settings.couchdb_user,
            settings.couchdb_password.get_secret_value(),
            settings.couchdb_password_previous.get_secret_value(),
            settings.replication_user,
            settings.replication_password.get_secret_value(),
            settings.replication_password_previous.get_secret_value(),
        ]
        pair = hashlib.scrypt("\0".join(words).encode(), salt=b"nbr pair of passwords", n=2**14, r=8, p=1, dklen=16)
        return f"{PREFIX}{pair.hex()}"

    # --- which

    def settle(self, cluster: Cluster) -> None:
        """Have this process call each node with the password that it has. To be called before work begins."""
        if not self.changing:
            return
        with self._lock:
            unknown = self._use(cluster, self.noted(cluster))
            if unknown:
                self._find_out(cluster, unknown)

    def noted(self, cluster: Cluster) -> dict[tuple[str, Whose], Which | None]:
        """What is known; None: not."""
        with translated():
            said = self._redis.hgetall(self._key)
        known = {which.value: which for which in Which}
        return {
            (name, whose): known.get(said.get(_field(name, whose), ""))
            for name, logins in cluster.logins.items()
            for whose in logins
        }

    def note(self, name: str, whose: Whose, which: Which | None) -> None:
        with translated():
            self._redis.hset(self._key, _field(name, whose), which.value if which else _CHANGING)
            self._redis.expire(self._key, KEPT)

    def _use(self, cluster: Cluster, known: dict[tuple[str, Whose], Which | None]) -> list[tuple[str, Whose]]:
        """Returns those of which nothing is known."""
        for (name, whose), which in known.items():
            cluster.use(name, whose, which)
        return [task for task, which in known.items() if which is None]

    def _find_out(self, cluster: Cluster, unknown: list[tuple[str, Whose]]) -> None:
        now = time.monotonic()
        wanted = [task for task in unknown if now >= self._rest.get(task, now)]
        if not wanted:
            return
        key, nonce = f"{self._key}:asking", f"{id(self)}-{now}"
        with translated():
            mine = self._redis.set(key, nonce, nx=True, px=int(ASKING * 1000))
        if not mine:
            self._wait(cluster, wanted)
            return
        try:
            for name, whose in wanted:
                self._rest[(name, whose)] = time.monotonic() + self._ask(cluster, name, whose)
        finally:
            with translated():
                self._redis.eval(RELEASE, 1, key, nonce)

    def _ask(self, cluster: Cluster, name: str, whose: Whose) -> float:
        """Seconds to let it rest, where it told nothing."""
        login = cluster.logins[name][whose]
        try:
            which = taken(cluster[name], login, Which.PREVIOUS)
        except ReplicationError as error:
            return REST if isinstance(error, Unreachable | TimedOut) else LONG_REST
        if which is None:
            log.error("a node takes neither of two passwords", node=name, user=login.current.user)
            return LONG_REST
        log.info("a node was asked which password it has", node=name, whose=whose.value, has=which.value)
        self.note(name, whose, which)
        cluster.use(name, whose, which)
        return REST

    def _wait(self, cluster: Cluster, wanted: list[tuple[str, Whose]]) -> None:
        until = time.monotonic() + WAIT
        while time.monotonic() < until:
            known = self.noted(cluster)
            if all(known[task] is not None for task in wanted):
                self._use(cluster, known)
                return
            time.sleep(0.1)

    # --- who knows, and who stands still

    def aware(self, process: str, now: float) -> None:
        """Tell that this process knows both passwords; with each of its heartbeats."""
        if self.changing:
            with translated():
                self._redis.hset(f"{self._key}:aware", process, now)
                self._redis.expire(f"{self._key}:aware", KEPT)

    def unaware(self, processes: Iterable[str]) -> list[str]:
        """Those of these processes that have not told so."""
        with translated():
            told = self._redis.hkeys(f"{self._key}:aware")
        return sorted(set(processes) - set(told))

    def paused(self) -> bool:
        """Whether a password is just being changed: then nothing else begins."""
        if not self.changing:
            return False
        with translated():
            return bool(self._redis.exists(f"nbr:alone:{PAUSE}"))


def _field(name: str, whose: Whose) -> str:
    return f"{name} {whose.value}"
