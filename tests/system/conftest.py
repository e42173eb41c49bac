"""Nodes and systems for the tests.

COUCHDB_TEST_URLS (comma-separated, with credentials) names the nodes to work on; without it the tests start
three of their own. Tests that stop a node always start it themselves: a real CouchDB where COUCHDB_BIN names
one, else a stand-in. Databases have random names and are deleted afterwards, replication documents too: on stand-ins
after each file, because every later sweep looks at all that is left.

What all tests here share ends with the last of them. A system ends with its file: it sweeps and syncs all the time, and
all others would wait for that.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from embedded.nodes import EmbeddedNode, make
from embedded.ports import any_free
from embedded.redis import EmbeddedRedis
from embedded.standin import StandinNode
from tests.system.couch import Couch, drop_everywhere
from tests.system.harness import Api, System
from worker.core.model import Credentials

NAMES = ("primary", "replica1", "replica2")
AUTO = f"auto-{secrets.token_hex(4)}-"  # databases with this prefix are in the periodic pass of `system`
REAL_COUCHDB = bool(os.environ.get("COUCHDB_TEST_URLS") or os.environ.get("COUCHDB_BIN"))

Fresh = Callable[..., str]


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """With a failure, show the end of every process's log."""
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]
    if report.failed:
        report.sections += System.fallen
        for system in System.live:
            report.sections += system.last_lines()
    System.fallen.clear()


def own_nodes(folder: Path) -> list[Couch]:
    """Three nodes of ours, running."""
    admin = Credentials("admin", f"node-secret-{secrets.token_hex(8)}")
    ports: list[int] = []
    made: list[EmbeddedNode] = []
    for name in NAMES:
        ports.append(any_free(ports))
        kind = make if os.environ.get("COUCHDB_BIN") else StandinNode
        made.append(kind(name, ports[-1], folder / name, admin))
    for node in made:
        node.start()
    for node in made:
        node.wait_ready()
    return [Couch(node.name, node.url, admin.user, admin.password, node) for node in made]


@contextmanager
def running_nodes(folder: Path) -> Iterator[list[Couch]]:
    """Three nodes of ours, killed afterwards."""
    made = own_nodes(folder)
    yield made
    for node in made:
        assert node.embedded is not None
        node.embedded.process.kill()


# stand-ins that all tests here share
_STANDINS: list[Couch] = []


@pytest.fixture(scope="module", autouse=True)
def _cleared() -> Iterator[None]:
    """Asked for first, so it comes last: the systems of the file are gone by then."""
    yield
    for node in _STANDINS:
        for database in () if node.is_dead() else node.databases():
            node.drop(database)


@pytest.fixture(scope="package")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Couch]]:
    """Three nodes that no test stops."""
    urls = [url for url in os.environ.get("COUCHDB_TEST_URLS", "").split(",") if url]
    if urls:
        if len(urls) < 3:
            pytest.skip("COUCHDB_TEST_URLS has to name three nodes for the system tests")
        yield [Couch.at(name, url) for name, url in zip(NAMES, urls, strict=False)]
        return
    yield from _shared(tmp_path_factory.mktemp("nodes"))


@pytest.fixture(scope="package")
def _mortals(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Couch]]:
    yield from _shared(tmp_path_factory.mktemp("mortal-nodes"))


def _shared(folder: Path) -> Iterator[list[Couch]]:
    with running_nodes(folder) as made:
        standins = [node for node in made if not node.schedules]
        _STANDINS.extend(standins)
        yield made
        for node in standins:
            _STANDINS.remove(node)


@pytest.fixture
def mortals(_mortals: list[Couch]) -> Iterator[list[Couch]]:
    """Three nodes of our own that a test may kill; all of them run when it begins."""
    yield _mortals
    for node in _mortals:
        if node.is_dead():
            node.revive()


@pytest.fixture(scope="package")
def fresh(nodes: list[Couch]) -> Iterator[Fresh]:
    """Names for databases that nobody has; `on` makes them there.

    Deleted at the very end, because deleting has echoes: CouchDB, while it ends a deleted link's connections,
    can crash a new link that wants to use one of them, and tries it again only 30 s later.
    """
    names: list[str] = []

    def name(prefix: str = "t-", on: Sequence[Couch] = ()) -> str:
        names.append(f"{prefix}{secrets.token_hex(6)}")
        for node in on:
            node.create(names[-1])
        return names[-1]

    yield name
    drop_everywhere([node for node in nodes if node.embedded is None], names)


@pytest.fixture(scope="module")
def system(nodes: list[Couch], tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """All processes over the nodes, for tests that break nothing."""
    settings = {
        "CONTINUOUS_REPLICATION": "true",
        "REPLICATION_RETRY_SECONDS": "2",
        "REPLICATION_INCLUDE": f"{AUTO}*",
        "JOB_LEASE_SECONDS": "15",
    }
    with System(nodes, tmp_path_factory.mktemp("shared-system"), settings) as made:
        made.start("worker", "control", "beat", "api")
        yield made


@pytest.fixture
def api(system: System) -> Api:
    return system.api


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedRedis]:
    """A private redis-server, for tests of what runs on one machine."""
    server = EmbeddedRedis(tmp_path / "redis")
    server.start()
    yield server
    server.stop()
