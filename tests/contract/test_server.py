"""A node: what it is, who may come in, what it has."""

from __future__ import annotations

import dataclasses
import os
import uuid

import pytest

from embedded.ports import any_free
from tests.contract.conftest import Site, configured_nodes
from worker.core.errors import NotFound, Unauthorized, Unreachable, Unsupported
from worker.core.model import Credentials, NodeKind
from worker.couch.database import Database
from worker.couch.replicator import Replicator

pytestmark = pytest.mark.contract


def test_real_couchdb_is_among_the_nodes() -> None:
    if not os.environ.get("COUCHDB_TEST_URLS"):
        pytest.skip("COUCHDB_TEST_URLS is not set: the suite ran on the fake and on stand-ins only")
    assert len(configured_nodes()) >= 2, "COUCHDB_TEST_URLS must name two or more nodes, comma-separated"


def test_a_node_says_what_it_is_and_can_do(site: Site) -> None:
    for name in site.cluster.names:
        found = site.cluster[name].capabilities()

        assert found.kind is (NodeKind.STANDIN if site.kind == "stand-in" else NodeKind.COUCHDB)
        assert found.scheduler is site.scheduler
        assert found.dbs_info is site.scheduler
        assert found.selective is site.scheduler
        assert found.up
        assert found.version


def test_nodes_are_told_apart_by_their_uuid(site: Site) -> None:
    found = [server.capabilities().uuid for server in site.cluster.servers.values()]

    assert None not in found
    assert len(set(found)) == len(found)


def test_a_healthy_node_is_up(site: Site) -> None:
    assert site.cluster["a"].is_up()


def test_a_wrong_password_is_told_as_such(site: Site) -> None:
    # somebody nobody knows: five wrong passwords would lock the real user out
    stranger = Credentials(f"nobody-{uuid.uuid4().hex[:8]}", "wrong-password")
    server = site.server(dataclasses.replace(site.nodes[0], credentials=stranger))

    with pytest.raises(Unauthorized) as error:
        server.welcome()

    assert error.value.node == "a"
    assert "wrong-password" not in str(error.value)


def test_no_password_gets_nowhere(site: Site) -> None:
    server = site.server(dataclasses.replace(site.nodes[0], credentials=None))

    with pytest.raises(Unauthorized):
        server.databases()


def test_a_port_where_nothing_listens_is_unreachable(site: Site) -> None:
    nowhere = dataclasses.replace(site.nodes[0], url=f"http://127.0.0.1:{any_free()}")

    with pytest.raises(Unreachable):
        site.server(nowhere).welcome()


def test_a_node_lists_its_databases(site: Site) -> None:
    name, other = site.name(), site.name()
    Database(site.cluster["a"], name).create()

    assert name in site.cluster["a"].databases()
    assert other not in site.cluster["a"].databases()
    assert name not in site.cluster["b"].databases()


def test_sequences_are_those_of_each_database_and_miss_what_is_missing(site: Site) -> None:
    names = [site.name() for _ in range(3)]
    for name in names[:2]:
        Database(site.cluster["a"], name).create()
    Database(site.cluster["a"], names[0]).put({"_id": "one"})

    found = site.cluster["a"].sequences(names)

    assert set(found) == set(names[:2])
    for name in names[:2]:
        info = Database(site.cluster["a"], name).info()
        assert info is not None
        assert found[name] == info.update_seq


def test_sequences_of_more_databases_than_one_call_takes(site: Site) -> None:
    name = site.name()
    Database(site.cluster["a"], name).create()

    found = site.cluster["a"].sequences([f"missing-{i}" for i in range(150)] + [name])

    assert set(found) == {name}


def test_a_sequence_stays_while_nothing_changes_and_moves_with_a_write(site: Site) -> None:
    name = site.name()
    database = Database(site.cluster["a"], name)
    database.create()
    before = site.cluster["a"].sequences([name])

    assert site.cluster["a"].sequences([name]) == before
    database.put({"_id": "one"})
    assert site.cluster["a"].sequences([name]) != before


def test_a_path_that_is_no_resource_is_not_found(site: Site) -> None:
    name = site.name()
    Database(site.cluster["a"], name).create()

    with pytest.raises(NotFound):
        site.cluster["a"].client.get(name, "no-such-document")


def test_a_node_without_scheduler_says_so_and_one_with_lists_its_jobs(site: Site) -> None:
    replicator = Replicator(site.cluster["a"])

    if site.scheduler:
        assert replicator.progress() is not None
        assert replicator.documents() is not None
    else:
        with pytest.raises(Unsupported):
            replicator.progress()
        with pytest.raises(Unsupported):
            replicator.cancel({"source": {}, "target": {}})
