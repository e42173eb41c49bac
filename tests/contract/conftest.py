"""Every CouchDB at hand, behind one fixture: the fake, the stand-in of embedded/, and COUCHDB_TEST_URLS.

A test that takes `site` runs once on each. Databases have random names and go when the test is over, and so
do the replication documents made for them: the nodes of COUCHDB_TEST_URLS may be somebody's own.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

import fakeredis
import pytest
import redis

from embedded.ports import any_free
from embedded.process import StartError
from embedded.redis import EmbeddedRedis
from embedded.standin import StandinNode
from embedded.waiting import wait_until
from tests import builders
from tests.fakes.couchdb import FakeCouch
from worker.core.errors import Conflict
from worker.core.model import Credentials, Node
from worker.couch.cluster import Cluster
from worker.couch.database import Database
from worker.couch.replicator import DATABASE as REPLICATOR
from worker.couch.transport import RequestsTransport, Timeouts, Transport

DEADLINE = 30.0
NAMES = ("a", "b", "c")
KINDS = ["fake", "stand-in", *(["couchdb"] if os.environ.get("COUCHDB_TEST_URLS") else [])]


@dataclass
class Site:
    """Nodes of one kind, with the transport to them."""

    kind: str
    nodes: list[Node]
    transport: Transport
    used: list[str] = field(default_factory=list)
    let_go: Callable[[], None] = lambda: None

    def __post_init__(self) -> None:
        self.cluster = self.cluster_of(*(node.name for node in self.nodes))

    @property
    def scheduler(self) -> bool:
        return self.kind != "stand-in"

    def cluster_of(self, *names: str) -> Cluster:
        return builders.cluster(self.transport, [node for node in self.nodes if node.name in names], Timeouts(3, 30))

    def server(self, node: Node) -> builders.Server:
        return builders.server(self.transport, node)

    def name(self, like: str = "t") -> str:
        """A database name nobody has; it is cleaned up."""
        self.used.append(f"{like}-{uuid.uuid4().hex[:12]}")
        return self.used[-1]

    def slow_database(self, source: str, target: str) -> str:
        """A database whose pull from `source` to `target` takes so long that a test can meet it on its way."""
        name = self.name("slow")
        databases = builders.databases(self.cluster, name, [source, target])
        if isinstance(self.transport, FakeCouch):
            self.transport[target].hold_pulls()
            self.let_go = self.transport[target].let_pulls_go
        count = 100 if isinstance(self.transport, FakeCouch) else 3_000
        for start in range(0, count * 10, count):
            databases[source].bulk([{"_id": f"doc-{start + i:06}", "text": "x" * 500} for i in range(count)])
        return name

    def refuse(self, name: str, node: str, identity: str) -> None:
        """Have this node's database take no document with this id, by a validate_doc_update function."""
        if isinstance(self.transport, FakeCouch):
            self.transport[node].refuses = lambda document: document["_id"] == identity
            return
        body = f"function (doc) {{ if (doc._id === '{identity}') throw({{forbidden: 'not here'}}); }}"
        Database(self.cluster[node], name).put({"_id": "_design/rules", "validate_doc_update": body})

    def purge(self, name: str, node: str, identity: str) -> None:
        """Have this node forget a document as if it had never been there. A stand-in cannot."""
        if isinstance(self.transport, FakeCouch):
            self.transport[node].databases[name].purge(identity)
            return
        server = self.cluster[node]
        revisions = Database(server, name).leaves_of([identity])[identity]
        server.client.post(name, "_purge", json={identity: list(revisions)})

    def clean(self) -> None:
        self.let_go()
        for server in self.cluster.servers.values():
            replicator = Database(server, REPLICATOR)
            for document_id in _ids(replicator) if self.scheduler else []:
                if document_id.rpartition(":")[2] in self.used:
                    _delete(replicator, document_id)
            for name in self.used:
                if Database(server, name).info() is not None:
                    server.client.delete(name)


def _ids(database: Database) -> list[str]:
    return [identity for identity, _ in database.leaves()] if database.info() is not None else []


def _delete(database: Database, document_id: str) -> None:
    """Also while the node's scheduler writes to it."""

    def deleted() -> bool:
        found = database.get(document_id)
        try:
            if found:
                database.delete(document_id, found["_rev"])
        except Conflict:
            return False
        return True

    assert wait_until(deleted, DEADLINE)


@pytest.fixture(scope="session")
def standin_nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Node]]:
    admin, nodes = Credentials("admin", "stand-in-secret-1"), []
    ports: list[int] = []
    for name in NAMES:
        ports.append(any_free(ports))
        nodes.append(StandinNode(name, ports[-1], tmp_path_factory.mktemp(f"standin-{name}"), admin))
    try:
        for node in nodes:
            node.start()
        for node in nodes:
            node.wait_ready()
    except StartError as error:
        if any(node.process.pid for node in nodes):
            raise
        pytest.skip(f"no stand-in nodes: {error}")
    yield [node.node for node in nodes]
    for node in nodes:
        node.stop()


def configured_nodes() -> list[Node]:
    urls = [url.strip() for url in os.environ.get("COUCHDB_TEST_URLS", "").split(",") if url.strip()]
    nodes = []
    for name, url in zip("abcdefgh", urls, strict=False):
        parts = urlsplit(url)
        plain = f"{parts.scheme}://{parts.hostname}:{parts.port or 5984}"
        user = Credentials(unquote(parts.username or ""), unquote(parts.password or ""))
        nodes.append(Node(name, plain, plain, user, user))
    return nodes


def fake_site(couch: FakeCouch) -> Site:
    """Of all its nodes."""
    return Site("fake", [builders.node(name) for name in couch.nodes], couch)


def _site(kind: str, request: pytest.FixtureRequest) -> Iterator[Site]:
    if kind == "fake":
        site = fake_site(FakeCouch(*NAMES))
    elif kind == "stand-in":
        site = Site("stand-in", request.getfixturevalue("standin_nodes"), RequestsTransport())
    else:
        site = Site("couchdb", configured_nodes(), RequestsTransport())
    yield site
    site.clean()


@pytest.fixture(params=KINDS)
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    """Every kind of nodes at hand."""
    yield from _site(request.param, request)


@pytest.fixture
def served(site: Site) -> Site:
    """Every kind that listens, as a command needs it."""
    if site.kind == "fake":
        pytest.skip("a command needs nodes that listen")
    return site


@pytest.fixture(params=[kind for kind in KINDS if kind != "stand-in"])
def scheduled(request: pytest.FixtureRequest) -> Iterator[Site]:
    """Every kind that has a replication scheduler."""
    yield from _site(request.param, request)


@pytest.fixture(scope="session")
def real_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a private redis-server."""
    try:
        server = EmbeddedRedis(tmp_path_factory.mktemp("redis"))
    except StartError as error:
        pytest.skip(str(error))
    server.start()
    yield server.url
    server.stop()


@pytest.fixture(params=["fakeredis", "redis-server"])
def store_redis(request: pytest.FixtureRequest) -> Iterator[redis.Redis]:
    """An empty Redis."""
    if request.param == "fakeredis":
        yield fakeredis.FakeRedis(server=fakeredis.FakeServer(), decode_responses=True)
        return
    with redis.Redis.from_url(request.getfixturevalue("real_redis"), decode_responses=True) as client:
        client.flushall()
        yield client
