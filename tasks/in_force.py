"""Which of two passwords each node has by now, for all processes of ours, while one is being changed.

Kept in Redis under a digest of the pair (scrypt: who reads it there can try passwords against it, slowly). Where
nothing is noted (Redis was emptied, the changing worker died in the middle), or where what is noted was refused, one
process asks the node and the others wait for what it finds: each wrong try counts, and after five CouchDB takes the
right password for minutes no more. While the passwords are just being changed nobody asks but who changes them.

Where the settings have no previous password all this is off and costs nothing.
"""

from __future__ import annotations

import functools
import hashlib
import threading
import time
import uuid
from collections.abc import Iterable, Mapping
from typing import Any

import redis

from config.logs import get
from config.settings import Settings
from tasks.locks import ALONE, RELEASE, is_held
from tasks.redis import translated
from worker.core.errors import ReplicationError, TimedOut, Unreachable
from worker.core.logins import Which, Whose
from worker.couch.cluster import Cluster
from worker.ops.logins import taken
from worker.ops.parallel import each
from worker.ops.rotation import Place

log = get(__name__)
PREFIX = "nbr:passwords:"
PAUSE = "rotation"  # the name of the lease (tasks.locks.alone) under which other work stands still
ASKING = 30.0  # seconds for which one process asks the nodes alone
WAIT = 6.0  # seconds that others wait for what it finds
REST = 10.0  # seconds before a node that was away is asked again, by whatever process
LONG_REST = 300.0  # the same where it refused: each refusal counts, for as long as that
AWARE = 30.0  # seconds for which a process that told it knows both is believed
KEPT = 30 * 86_400  # seconds
_CHANGING = "changing"

# Note what a node told, unless something else was noted since it was asked, or somebody is changing it.
# KEYS: what is noted, the lease. ARGV: field, what was noted before or '', what it told, seconds to keep it
_NOTE = """
if redis.call('EXISTS', KEYS[2]) == 1 then return 0 end
if (redis.call('HGET', KEYS[1], ARGV[1]) or '') ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
redis.call('EXPIRE', KEYS[1], ARGV[4])
return 1
"""


class InForce:
    """Of one process; safe to share between threads. Methods raise tasks.redis.StoreUnavailable."""

    def __init__(self, settings: Settings, client: redis.Redis) -> None:
        self._redis: Any = client  # see JobStore
        self._settings = settings
        self._lock = threading.Lock()
        self.process = "this process"  # as it is called in its heartbeats, once it has sent one

    @property
    def changing(self) -> bool:
        """Whether the settings have a password that is to be changed into another."""
        return self._settings.changes_passwords

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
        said = self._said()
        unknown = self._use(cluster, said)
        if unknown and not self.paused() and self._lock.acquire(timeout=WAIT):
            try:
                said = self._said()  # another thread may have asked meanwhile
                self._find_out(cluster, self._use(cluster, said), said)
            finally:
                self._lock.release()

    def noted(self, cluster: Cluster) -> dict[Place, Which | None]:
        """What is known; None: not."""
        return _known(cluster, self._said())

    def note(self, name: str, whose: Whose, which: Which | None) -> None:
        """For who changes them."""
        with translated():
            self._redis.hset(self._key, _field(name, whose), which.value if which else _CHANGING)
            self._redis.expire(self._key, KEPT)

    def _said(self) -> Mapping[str, str]:
        with translated():
            said: Mapping[str, str] = self._redis.hgetall(self._key)
        return said

    def _use(self, cluster: Cluster, said: Mapping[str, str]) -> list[Place]:
        """Returns those that have to be asked: nothing is known of them, or what is known was refused."""
        unknown = []
        for (name, whose), which in _known(cluster, said).items():
            refused = which is not None and whose is Whose.OURS and cluster[name].refuses
            if not refused:
                cluster.use(name, whose, which)
            if which is None or refused:
                unknown.append((name, whose))
        return unknown

    def _find_out(self, cluster: Cluster, unknown: list[Place], said: Mapping[str, str]) -> None:
        key, nonce = f"{self._key}:asking", uuid.uuid4().hex
        with translated():
            resting = {task for task in unknown if self._redis.exists(self._rest(*task))}
            wanted = [task for task in unknown if task not in resting]
            mine = bool(wanted) and self._redis.set(key, nonce, nx=True, px=int(ASKING * 1000))
        if not wanted:
            return
        if not mine:
            self._wait(cluster, key)
            return
        try:
            each(wanted, lambda task: self._ask(cluster, *task, said.get(_field(*task), "")))
        finally:
            with translated():
                self._redis.eval(RELEASE, 1, key, nonce)

    def _ask(self, cluster: Cluster, name: str, whose: Whose, before: str) -> None:
        login = cluster.logins[name][whose]
        # what is noted was refused, or nothing is: before a change nodes have the one from before
        likely = Which.PREVIOUS if before != Which.PREVIOUS.value else Which.CURRENT
        try:
            which = taken(cluster[name], login, likely)
        except ReplicationError as error:
            self._let_rest(name, whose, REST if isinstance(error, Unreachable | TimedOut) else LONG_REST)
            return
        if which is None:
            log.error("a node takes neither of two passwords", node=name, user=login.current.user)
            self._let_rest(name, whose, LONG_REST)
            return
        with translated():
            keys, args = [self._key, f"{ALONE}{PAUSE}"], [_field(name, whose), before, which.value, KEPT]
            noted = self._redis.eval(_NOTE, len(keys), *keys, *args)
        if noted:
            log.info("a node was asked which password it has", node=name, whose=whose.value, has=which.value)
            cluster.use(name, whose, which)
            cluster[name].renew()

    def _let_rest(self, name: str, whose: Whose, seconds: float) -> None:
        with translated():
            self._redis.set(self._rest(name, whose), "1", px=int(seconds * 1000))

    def _rest(self, name: str, whose: Whose) -> str:
        return f"{self._key}:rest:{_field(name, whose)}"

    def _wait(self, cluster: Cluster, asking: str) -> None:
        """Until whoever asks has done so."""
        until = time.monotonic() + WAIT
        while time.monotonic() < until:
            with translated():
                over = not self._redis.exists(asking)
            if over:
                break
            time.sleep(0.05)
        self._use(cluster, self._said())

    # --- who knows, and who stands still

    def aware(self, process: str, now: float) -> None:
        """Tell that this process knows both passwords; with each of its heartbeats."""
        self.process = process
        if self.changing:
            with translated():
                self._redis.hset(f"{self._key}:aware", process, now)
                self._redis.expire(f"{self._key}:aware", KEPT)

    def unaware(self, processes: Iterable[str], now: float) -> list[str]:
        """Those of these processes that have not told so lately: another one may have had the name before."""
        with translated():
            told = self._redis.hgetall(f"{self._key}:aware")
        return sorted(name for name in set(processes) if now - float(told.get(name, 0)) > AWARE)

    def paused(self) -> bool:
        """Whether a password is just being changed: then nothing else begins."""
        return self.changing and is_held(self._redis, PAUSE)


def _known(cluster: Cluster, said: Mapping[str, str]) -> dict[Place, Which | None]:
    which = {one.value: one for one in Which}
    return {
        (name, whose): which.get(said.get(_field(name, whose), ""))
        for name, logins in cluster.logins.items()
        for whose in logins
    }


def _field(name: str, whose: Whose) -> str:
    return f"{name} {whose.value}"
