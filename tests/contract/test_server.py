"""A node: what it is, who may come in, what it has."""

from __future__ import annotations

import dataclasses
import os
import uuid

import pytest

from embedded.ports import any_free
from tests.contract.conftest import Site, configured_nodes
from worker.core import details
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


def test_a_node_says_what_it_is_in_one_answer(site: Site) -> None:
    for name in site.cluster.names:
        known, found = site.cluster[name].capabilities(), site.cluster[name].identity(within=5)

        assert (found.kind, found.version, found.uuid) == (known.kind, known.version, known.uuid)
        assert site.cluster[name].not_ready(within=5) is None


def test_a_node_tells_of_its_tasks_its_load_and_its_jobs_as_far_as_it_can(site: Site) -> None:
    server = site.cluster["a"]

    assert details.active_tasks(server.tells("_active_tasks", within=5))["counts"] is not None
    system = server.tells("_node", "_local", "_system", within=5)
    jobs = server.tells("_node", "_local", "_stats", "couch_replicator", "jobs", within=5)
    if not site.scheduler:
        assert (system, jobs) == (None, None)
        return
    assert details.uptime(system) > 0
    assert details.load(system)["memory_bytes"] > 0
    assert details.load(system).keys() == {"run_queue", "messages", "memory_bytes"}
    found = details.replication_jobs(jobs)
    assert found["total"] >= found["running"] >= 0


def test_a_node_tells_the_sizes_of_databases_in_one_call(site: Site) -> None:
    names = [site.name() for _ in range(3)]
    for name in names[:2]:
        Database(site.cluster["a"], name).create()
    Database(site.cluster["a"], names[0]).put({"_id": "one", "text": "x" * 2_000})

    found = site.cluster["a"].figures(names, within=5)

    if not site.scheduler:
        assert found is None
        return
    assert found is not None
    assert {one.name: one.documents for one in found} == {names[0]: 1, names[1]: 0}
    sizes = {one.name: one.size for one in found if one.size}
    assert sizes[names[0]].file >= sizes[names[0]].active > 0
    assert sizes[names[1]].active == 0


def test_a_stranger_is_told_nothing_of_a_nodes_work(scheduled: Site) -> None:
    """And that is no wrong password: the node goes on as before."""
    stranger = scheduled.server(dataclasses.replace(scheduled.nodes[0], credentials=None))

    assert stranger.tells("_active_tasks", within=5) is None
    assert stranger.tells("_node", "_local", "_system", within=5) is None
    assert stranger.figures(["_users"], within=5) is None


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
