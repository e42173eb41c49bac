"""Short ways to the things tests need: clusters on a transport, documents, a control that listens."""

from __future__ import annotations

import base64
import hashlib
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.fakes.couchdb import PASSWORD, USER, FakeCouch
from worker.core.model import Credentials, Node
from worker.couch.client import CouchClient
from worker.couch.cluster import Cluster
from worker.couch.database import Database
from worker.couch.server import Server
from worker.couch.transport import Timeouts, Transport

ADMIN = Credentials(USER, PASSWORD)


def node(name: str = "a", url: str | None = None, credentials: Credentials | None = ADMIN) -> Node:
    url = url or f"http://{name}.test:5984"
    return Node(name, url, url, credentials, credentials)


def server(transport: Transport, at: Node, timeouts: Timeouts = Timeouts()) -> Server:
    """Retries do not pause: tests have no time."""
    return Server(CouchClient(at, transport, timeouts, sleep=lambda seconds: None))


def cluster(transport: Transport, nodes: Iterable[Node], timeouts: Timeouts = Timeouts()) -> Cluster:
    return Cluster([server(transport, one, timeouts) for one in nodes])


def fake_cluster(*names: str, standin: bool = False) -> tuple[FakeCouch, Cluster]:
    couch = FakeCouch(*names, standin=standin)
    return couch, cluster(couch, [node(name) for name in names])


def databases(of: Cluster, name: str, on: Sequence[str] | None = None) -> dict[str, Database]:
    """The database on each node (or on those named), made where it is missing."""
    found = {node_name: Database(of[node_name], name) for node_name in on or of.names}
    for database in found.values():
        database.create()
    return found


def let_calls_end() -> None:
    """Those that an operation which was broken off has left to their time-outs."""
    for thread in threading.enumerate():
        if thread.name.startswith(("node-call", "ahead")):
            thread.join(5)


def attachment(content: bytes, content_type: str = "application/pdf") -> dict[str, Any]:
    return {"content_type": content_type, "data": base64.b64encode(content).decode()}


def revision(generation: int, text: str) -> str:
    """A revision id that is always the same for the same words."""
    return f"{generation}-{hashlib.md5(text.encode()).hexdigest()}"  # noqa: S324 - what CouchDB uses


@dataclass
class Listener:
    """A Control that remembers what it was told. `stop_when(self)` gives the interruption to raise, or None."""

    stop_when: Callable[[Listener], Exception | None] = lambda listener: None
    told: list[tuple[str, int | None, int | None, str | None]] = field(default_factory=list)

    def report(self, phase: str, done: int | None = None, total: int | None = None, unit: str | None = None) -> None:
        self.told.append((phase, done, total, unit))

    def check(self) -> None:
        error = self.stop_when(self)
        if error:
            raise error

    @property
    def phases(self) -> list[str]:
        return list(dict.fromkeys(phase for phase, *_ in self.told))
