"""A canary's way from every node to every other, whatever carries it; here it is a sync."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import permutations

import pytest

from embedded.waiting import wait_until
from tests.builders import Listener, databases
from tests.contract.conftest import DEADLINE, Site
from worker.core.model import Credentials, Link
from worker.core.replication import link_document
from worker.couch.database import Database
from worker.couch.replicator import DATABASE as REPLICATOR
from worker.ops.canary import Arrival, measure
from worker.ops.control import Unattended
from worker.ops.own import REVS_LIMIT, SHARDS, ensure_own_database
from worker.ops.sync import sync

pytestmark = pytest.mark.contract


@pytest.fixture
def own(site: Site) -> str:
    """A database like our own; the nodes may be somebody's, whose own one is left alone."""
    name = site.name("own")
    for server in site.cluster.servers.values():
        ensure_own_database(server, name)
    return name


@contextmanager
def syncs(site: Site, name: str) -> Iterator[None]:
    """One sync after the other, as long as it takes."""
    over = threading.Event()

    def run() -> None:
        while not over.is_set():
            sync(site.cluster, name, Unattended())

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def pairs(arrivals: list[Arrival]) -> list[tuple[str, str]]:
    return [(arrival.source, arrival.target) for arrival in arrivals]


def test_a_write_arrives_on_every_other_node(site: Site, own: str) -> None:
    listener = Listener()
    with syncs(site, own):
        arrivals = measure(site.cluster, site.cluster.names, listener, DEADLINE, database=own)

    assert pairs(arrivals) == list(permutations(site.cluster.names, 2))
    for arrival in arrivals:
        assert arrival.error is None
        assert arrival.overdue is None
        assert arrival.seconds is not None
        assert arrival.precision is not None
        assert 0 <= arrival.precision <= arrival.seconds < DEADLINE
    assert listener.phases == ["measure"]


def test_the_next_measurement_has_marks_of_its_own(site: Site, own: str) -> None:
    with syncs(site, own):
        measure(site.cluster, ["a", "b"], Unattended(), DEADLINE, database=own)

    later = measure(site.cluster, ["a", "b"], Unattended(), 0.5, database=own)

    assert [arrival.seconds for arrival in later] == [None, None]
    assert all(arrival.overdue is not None and arrival.error is None for arrival in later)


def test_a_write_that_goes_one_way_arrives_one_way(scheduled: Site) -> None:
    name = scheduled.name("own")
    for server in scheduled.cluster.servers.values():
        ensure_own_database(server, name)
    here, there = databases(scheduled.cluster, name, "ab").values()
    replicator = Database(scheduled.cluster["b"], REPLICATOR)
    replicator.create()
    replicator.put(link_document(Link(name, "a", "b"), *scheduled.nodes[:2]))
    here.put({"_id": "first"})
    assert wait_until(lambda: there.get("first") is not None, DEADLINE), "the link runs"

    onward, back = measure(scheduled.cluster, ["a", "b"], Unattended(), 2.0, database=name)

    assert onward.seconds is not None
    assert (back.source, back.seconds) == ("b", None)
    assert back.overdue is not None


def test_our_own_database_is_made_once(site: Site) -> None:
    name = site.name("own")
    server = site.cluster["a"]

    assert ensure_own_database(server, name)
    assert not ensure_own_database(server, name)

    info = Database(server, name).info()
    assert info is not None
    assert info.shards == (SHARDS if site.scheduler else None)


def test_our_own_database_remembers_few_revisions(scheduled: Site) -> None:
    name = scheduled.name("own")
    database = Database(scheduled.cluster["a"], name)
    database.create()

    assert database.revs_limit() != REVS_LIMIT
    assert ensure_own_database(scheduled.cluster["a"], name), "made by an attempt that did not come so far"
    assert database.revs_limit() == REVS_LIMIT


def test_documents_are_had_by_their_ids(site: Site, own: str) -> None:
    database = Database(site.cluster["a"], own)
    database.put({"_id": "canary:ü/x", "n": 1})
    database.delete("gone", database.put({"_id": "gone"}))

    found = database.by_ids(["canary:ü/x", "gone", "never"])

    assert {identity: document["n"] for identity, document in found.items()} == {"canary:ü/x": 1}
    assert database.by_ids([]) == {}


def test_the_user_of_the_peers_is_let_in(scheduled: Site) -> None:
    name = scheduled.name("own")
    server = scheduled.server(replace(scheduled.nodes[0], peer_credentials=Credentials("replicator", "of-nobody")))

    ensure_own_database(server, name)

    assert Database(server, name).security()["admins"]["names"] == ["replicator"]
