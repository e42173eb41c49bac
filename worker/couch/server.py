"""One server: what it is, what it can do, which databases it has.

Capabilities are asked once and again after the node was away (it may have come back as something else).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from worker.core.errors import (
    BadAnswer,
    BadRequest,
    Forbidden,
    LockedOut,
    NotFound,
    ReplicationError,
    TimedOut,
    Unauthorized,
    Unsupported,
)
from worker.core.figures import Figures, figures
from worker.core.model import Capabilities, DatabaseInfo, Identity, Node, NodeKind
from worker.couch.client import CouchClient

ASK_TIMEOUT = 5.0  # seconds; these answers cost a server nothing
FAILURE_SHARED = 2.0  # seconds
HOLD_OFF = 120.0  # seconds; fewer than five looks in the 300 s that CouchDB remembers failures
DBS_INFO_BATCH = 100  # names a call, CouchDB's [chttpd] max_db_number_for_dbs_info_req
NOT_READY = ("maintenance_mode", "nolb", "seeding")  # what /_up says with its 404


class Server:
    """A node and its client. Safe to share between threads."""

    def __init__(self, client: CouchClient) -> None:
        self.client = client
        self._capabilities: Capabilities | None = None
        self._failure: tuple[ReplicationError, float] | None = None
        self._asking = threading.Lock()
        self.being_looked_at = threading.Lock()  # held by the one look of a sweep that may be under way

    @property
    def node(self) -> Node:
        return self.client.node

    def __repr__(self) -> str:
        return f"Server({self.node.name})"

    def forget(self) -> None:
        """Ask for the capabilities again next time: the node was away."""
        self._capabilities = None

    def renew(self) -> None:
        """It is called with other credentials from now on: that the ones before were refused means nothing any more."""
        self._failure = None
        self.forget()

    @property
    def refuses(self) -> bool:
        """Whether it refused our password lately, as far as that is remembered."""
        return isinstance(self._remembered(), Unauthorized)

    def capabilities(self) -> Capabilities:
        """Raises what the server failed with. Some failures are remembered instead of asked for again. A refused
        password for a while, because asking on and on with a wrong one locks the right one out, for everybody
        (CouchDB: five failures, then up to 300 s). A time-out for a moment, so that twenty jobs that ask a hung
        node wait for one and not for one after the other."""
        known = self._capabilities
        if known is not None:
            return known
        with self._asking:
            if self._capabilities is not None:
                return self._capabilities
            if failure := self._remembered():
                raise failure
            try:
                with self._holding_off():
                    found = self._ask()
            except TimedOut as error:
                self._failure = (error, time.monotonic() + FAILURE_SHARED)
                raise
            self._capabilities = found
            return found

    @contextmanager
    def _holding_off(self) -> Iterator[None]:
        try:
            yield
        except (Unauthorized, LockedOut) as error:
            self._failure = (error, time.monotonic() + HOLD_OFF)
            raise

    def _remembered(self) -> ReplicationError | None:
        if self._failure is None or time.monotonic() >= self._failure[1]:
            return None
        error = self._failure[0]
        # a new one each time: threads that raise it write into it
        return type(error)(error.detail, node=self.node.name)

    def identity(self, *, within: float) -> Identity:
        """What it is now. For a look that comes again and again: a refused password is remembered as by `capabilities`,
        for both, and nothing else is asked. Another server than before has its capabilities asked again."""
        failure = self._remembered()
        if isinstance(failure, Unauthorized | LockedOut):
            raise failure
        with self._holding_off():
            found = _identity(self.welcome(tries=1, within=within))
        known = self._capabilities
        if known is not None and (known.kind, known.uuid, known.version) != (found.kind, found.uuid, found.version):
            self.forget()
        return found

    def welcome(self, *, tries: int = 3, **options: Any) -> dict[str, Any]:
        """`GET /`, which also proves that our credentials are taken. Raises BadAnswer where it is no CouchDB."""
        said = self.client.get(tries=tries, **options)
        if not isinstance(said, dict) or not ({"couchdb", "express-pouchdb"} & said.keys()):
            raise BadAnswer("something answers at this URL, but it is not CouchDB", node=self.node.name)
        return said

    def is_up(self, **options: Any) -> bool:
        """False in maintenance mode. A server without `/_up` is up when it answers at all."""
        return self.not_ready(**options) is None

    def not_ready(self, **options: Any) -> str | None:
        """CouchDB's word for why it is not to be used now, where there is one."""
        try:
            self.client.get("_up", tries=1, **options)
        except NotFound as error:
            return next((word for word in NOT_READY if word in error.detail), None)
        return None

    def databases(self, *, tries: int = 3, **options: Any) -> list[str]:
        """All names, system databases included."""
        return [str(name) for name in self.client.get("_all_dbs", tries=tries, **options)]

    def figures(self, names: Sequence[str], *, within: float) -> list[Figures] | None:
        """Of those of `names` (DBS_INFO_BATCH at most) that exist, in one call; None as by `tells`."""
        rows = self._tells("POST", "_dbs_info", json={"keys": list(names)}, within=within)
        return None if rows is None else [figures(str(row["key"]), row["info"]) for row in rows if row.get("info")]

    def figures_of(self, name: str, *, within: float) -> Figures | None:
        """Of one database, on servers that tell of several one by one; None where there is no such database."""
        try:
            return figures(name, self.client.get(name, tries=1, within=within))
        except NotFound:
            return None

    def tells(self, *path: str, within: float) -> Any:
        """One of the server's own figures (`_active_tasks`, `_node/_local/...`); None where it has no such call, or
        not for our user, or a proxy does not hand it on."""
        return self._tells("GET", *path, within=within)

    def _tells(self, method: str, *path: str, **options: Any) -> Any:
        try:
            return self.client.call(method, *path, repeatable=True, tries=1, **options)
        except (NotFound, BadRequest, Unsupported, Forbidden, Unauthorized):
            return None

    def infos(self, names: Sequence[str]) -> dict[str, DatabaseInfo]:
        """What each of `names` that exists says of itself, with as few calls as the server allows."""
        if self.capabilities().dbs_info:
            return dict(self._infos_in_bulk(names))
        found = {}
        for name in names:
            try:
                found[name] = database_info(name, self.client.get(name))
            except NotFound:
                continue
        return found

    def sequences(self, names: Sequence[str]) -> dict[str, str]:
        """update_seq of each of `names` that exists."""
        return {name: info.update_seq for name, info in self.infos(names).items()}

    def _infos_in_bulk(self, names: Sequence[str]) -> Iterator[tuple[str, DatabaseInfo]]:
        for start in range(0, len(names), DBS_INFO_BATCH):
            keys = list(names[start : start + DBS_INFO_BATCH])
            for row in self.client.post("_dbs_info", json={"keys": keys}, repeatable=True):
                if row.get("info"):
                    yield str(row["key"]), database_info(str(row["key"]), row["info"])

    def configuration(self, section: str) -> dict[str, str]:
        """What is set in one section of the server's configuration; defaults are not listed. {} where this server
        tells nothing of it (a stand-in, or no server admin)."""
        try:
            said = self.client.get("_node", "_local", "_config", section, read_timeout=ASK_TIMEOUT)
        except (NotFound, BadRequest, Unsupported, Forbidden):
            return {}
        return {str(key): str(value) for key, value in said.items()}

    def configure(self, section: str, key: str, value: str) -> None:
        """Set one value; the server keeps it in its last .ini file."""
        self.client.put("_node", "_local", "_config", section, key, json=value, repeatable=True)

    def _ask(self) -> Capabilities:
        identity = _identity(self.welcome(tries=1, read_timeout=ASK_TIMEOUT))
        standin = identity.kind is NodeKind.STANDIN
        return Capabilities(
            kind=identity.kind,
            version=identity.version,
            uuid=identity.uuid,
            scheduler=self._has("GET", "_scheduler", "jobs"),
            dbs_info=not standin and self._has("POST", "_dbs_info"),
            up=self._has_up(),
            feed=not standin and self._has_feed(),
            selective=not standin,
            ancestors=not standin,
        )

    def _has(self, method: str, *path: str) -> bool:
        """Whether the server knows the call. A server that is merely failing must not look incapable, so only
        a clear "no such thing" counts as no."""
        try:
            self.client.call(
                method,
                *path,
                params={"limit": 1} if method == "GET" else None,
                json={"keys": []} if method == "POST" else None,
                repeatable=True,
                tries=2,
                read_timeout=ASK_TIMEOUT,
            )
        except (NotFound, BadRequest, Unsupported):
            return False
        return True

    def _has_feed(self) -> bool:
        """CouchDB answers 404 for the feed where its database is missing, but that can be made: then it has one."""
        try:
            self.client.get("_db_updates", params={"limit": 0}, tries=2, read_timeout=ASK_TIMEOUT)
        except NotFound as error:
            return "Database does not exist" in error.detail
        except (BadRequest, Unsupported, Forbidden):
            return False
        return True

    def _has_up(self) -> bool:
        try:
            self.client.get("_up", read_timeout=ASK_TIMEOUT)
        except NotFound as error:
            # CouchDB in maintenance mode answers 404 as well, with another body
            return any(word in error.detail for word in NOT_READY)
        except (BadRequest, Unsupported):
            return False
        return True


def _identity(said: Mapping[str, Any]) -> Identity:
    kind = NodeKind.STANDIN if "express-pouchdb" in said else NodeKind.COUCHDB
    return Identity(kind, str(said.get("version") or ""), str(said["uuid"]) if said.get("uuid") else None)


def database_info(name: str, said: Mapping[str, Any]) -> DatabaseInfo:
    """From what `GET /db` says, or the `info` of a row of `_dbs_info`."""
    return DatabaseInfo(
        name=name,
        doc_count=int(said["doc_count"]),
        doc_del_count=int(said.get("doc_del_count") or 0),
        update_seq=str(said["update_seq"]),
        partitioned=bool((said.get("props") or {}).get("partitioned")),
        shards=(said.get("cluster") or {}).get("q"),
        copies=(said.get("cluster") or {}).get("n"),
        purge_seq=_optional(said.get("purge_seq")),
        instance_start_time=_optional(said.get("instance_start_time")),
        external_bytes=(said.get("sizes") or {}).get("external"),
    )


def _optional(value: Any) -> str | None:
    return None if value is None else str(value)
