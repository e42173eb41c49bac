"""Sync of one database over all nodes, as a user of the system sees it."""

from __future__ import annotations

import pytest

from embedded import census
from tests import builders
from tests.contract.conftest import Site
from worker.core.errors import DocumentsRefused, NotFound
from worker.core.model import Link
from worker.couch.cluster import Cluster
from worker.couch.database import Database
from worker.ops.control import Unattended
from worker.ops.drift import find_drift
from worker.ops.sync import SyncResult, cancel_sync, sync

pytestmark = pytest.mark.contract

PDF = b"%PDF-1.4\n" + bytes(range(256)) * 200


def run(cluster: Cluster, name: str, *, create_missing: bool = True) -> SyncResult:
    return sync(cluster, name, Unattended(), create_missing=create_missing)


def assert_same_everywhere(cluster: Cluster, name: str) -> census.Census:
    """Leaves and attachments' bytes are the same on all nodes; returns what they hold."""
    found = {node: census.take(Database(server, name)) for node, server in cluster.servers.items()}
    assert census.differing(found) == []
    return next(iter(found.values()))


def written(result: SyncResult) -> int:
    return sum(pull.docs_written for pull in result.pulls)


@pytest.mark.parametrize("names", ["ab", "abc"])
def test_documents_conflicts_deletions_and_attachments_are_on_all_nodes(site: Site, names: str) -> None:
    cluster, name = site.cluster_of(*names), site.name()
    databases = builders.databases(cluster, name)
    for node, database in databases.items():
        database.put({"_id": f"from-{node}", "_attachments": {"file.pdf": builders.attachment(PDF + node.encode())}})
        database.put({"_id": "edited-everywhere", "by": node})
        database.put({"_id": "the-same-everywhere", "n": 1})
    last = databases[names[-1]]
    last.delete("gone", last.put({"_id": "gone"}))

    result = run(cluster, name)

    held = assert_same_everywhere(cluster, name)
    assert set(held.leaves) == {f"from-{node}" for node in names} | {"edited-everywhere", "the-same-everywhere", "gone"}
    assert len(held.leaves["edited-everywhere"]) == len(names)
    assert len(held.leaves["the-same-everywhere"]) == 1
    assert held.deleted == 1
    assert held.attachment_bytes == len(names) * (len(PDF) + 1)
    assert result.caught_up
    assert result.nodes == list(names)
    assert result.skipped == {}
    assert result.after == dict.fromkeys(names, len(names) + 2)
    assert set(result.lag) == {Link(name, *pair) for other in names[1:] for pair in (("a", other), (other, "a"))}


def test_a_deletion_wins_on_every_node(site: Site) -> None:
    name = site.name()
    databases = builders.databases(site.cluster, name)
    databases["a"].put({"_id": "one", "_attachments": {"file.pdf": builders.attachment(PDF)}})
    run(site.cluster, name)
    there = databases["c"].get("one")
    assert there is not None
    databases["c"].delete("one", there["_rev"])

    run(site.cluster, name)

    assert [database.get("one") for database in databases.values()] == [None] * 3
    assert_same_everywhere(site.cluster, name)


def test_an_edit_of_a_replicated_document_is_no_conflict(site: Site) -> None:
    name = site.name()
    databases = builders.databases(site.cluster, name)
    databases["a"].put({"_id": "one", "n": 1})
    run(site.cluster, name)
    there = databases["b"].get("one")
    assert there is not None
    edited = databases["b"].put({**there, "n": 2})

    run(site.cluster, name)

    assert {dict(database.leaves())["one"] for database in databases.values()} == {(edited,)}


def test_a_second_sync_writes_nothing(site: Site) -> None:
    name = site.name()
    databases = builders.databases(site.cluster, name)
    databases["a"].bulk([{"_id": f"a-{i}"} for i in range(5)])
    databases["b"].bulk([{"_id": f"b-{i}"} for i in range(3)])
    first = run(site.cluster, name)

    second = run(site.cluster, name)

    assert written(first) == 8 * 2
    assert written(second) == 0
    assert second.rounds == 1
    assert second.caught_up
    assert len(second.pulls) == 4


def test_figures_are_those_of_this_sync_and_not_of_all_before(site: Site) -> None:
    cluster, name = site.cluster_of("a", "b"), site.name()
    databases = builders.databases(cluster, name)
    databases["b"].bulk([{"_id": f"first-{i}"} for i in range(7)])
    first = run(cluster, name)
    databases["b"].bulk([{"_id": f"second-{i}"} for i in range(2)])

    second = run(cluster, name)

    gathered = [pull for pull in first.pulls if pull.phase == "gather" and pull.round == 1]
    assert [(pull.source, pull.target, pull.docs_written) for pull in gathered] == [("b", "a", 7)]
    assert written(second) == 2
    assert all(pull.doc_write_failures == 0 for pull in second.pulls)
    assert (second.before, second.after) == ({"a": 7, "b": 9}, {"a": 9, "b": 9})


def test_an_empty_database_is_caught_up(site: Site) -> None:
    name = site.name()
    builders.databases(site.cluster, name)

    result = run(site.cluster, name)

    assert result.caught_up
    assert written(result) == 0


def test_a_missing_database_is_made_and_filled(site: Site) -> None:
    name = site.name()
    databases = builders.databases(site.cluster, name, ["b"])
    databases["b"].put({"_id": "one"})
    wanted = {"admins": {"names": ["ann"], "roles": []}, "members": {"names": ["bob"], "roles": []}}
    databases["b"].set_security(wanted)

    result = run(site.cluster, name)

    assert sorted(result.created_on) == ["a", "c"]
    assert_same_everywhere(site.cluster, name)
    for server in site.cluster.servers.values():
        assert Database(server, name).security()["members"]["names"] == ["bob"]
    assert result.after == {"a": 1, "b": 1, "c": 1}


def test_a_missing_database_gets_the_shape_it_has_elsewhere(scheduled: Site) -> None:
    name = scheduled.name()
    Database(scheduled.cluster["c"], name).create(partitioned=True, shards=3)

    run(scheduled.cluster, name)

    for server in scheduled.cluster.servers.values():
        info = Database(server, name).info()
        assert info is not None
        assert (info.partitioned, info.shards) == (True, 3)


def test_a_missing_database_is_skipped_and_named_where_it_is_not_to_be_made(site: Site) -> None:
    name = site.name()
    databases = builders.databases(site.cluster, name, ["a", "c"])
    databases["a"].put({"_id": "one"})

    result = run(site.cluster, name, create_missing=False)

    assert result.nodes == ["a", "c"]
    assert list(result.skipped) == ["b"]
    assert "missing" in result.skipped["b"]
    assert Database(site.cluster["b"], name).info() is None
    assert databases["c"].get("one") is not None


def test_a_database_nobody_has_is_not_found_and_the_nearest_is_named(site: Site) -> None:
    name = site.name("reports")
    builders.databases(site.cluster, name, ["b"])

    with pytest.raises(NotFound) as error:
        run(site.cluster, f"{name}x")

    assert name in error.value.detail
    assert all(Database(server, f"{name}x").info() is None for server in site.cluster.servers.values())


def test_the_sequences_of_a_sync_tell_that_nothing_changed_since(site: Site) -> None:
    name = site.name()
    databases = builders.databases(site.cluster, name)
    databases["a"].put({"_id": "one"})
    result = run(site.cluster, name)

    def drift() -> tuple[set[str], set[str]]:
        found = find_drift(site.cluster, {name: result.sequences}, lambda known: known == name)
        return set(found.changed), set(found.in_step)

    assert drift() == (set(), {name})
    databases["c"].put({"_id": "two"})
    assert drift() == ({name}, set())


def test_names_that_need_encoding_are_synced(site: Site) -> None:
    for like in ("a+b", "a$b(c)", *(["a/b"] if site.scheduler else [])):
        name = site.name(like)
        builders.databases(site.cluster, name, ["c"])["c"].put({"_id": "x/ü +%2F"})

        assert run(site.cluster, name).caught_up

        assert set(assert_same_everywhere(site.cluster, name).leaves) == {"x/ü +%2F"}


def test_more_documents_than_one_batch(site: Site) -> None:
    cluster, name = site.cluster_of("a", "b"), site.name()
    databases = builders.databases(cluster, name)
    databases["b"].bulk([{"_id": f"doc-{i:04}"} for i in range(700)])

    result = run(cluster, name)

    assert written(result) == 700
    assert result.after == {"a": 700, "b": 700}


def test_documents_that_a_node_refuses_are_told_every_time(site: Site) -> None:
    """The target confirms the sequence they came with, so replication itself never mentions them again."""
    cluster, name = site.cluster_of("a", "b"), site.name()
    databases = builders.databases(cluster, name)
    databases["a"].bulk([{"_id": "refused-1"}, {"_id": "taken-1"}])
    site.refuse(name, "b", "refused-1")

    for _ in range(2):
        with pytest.raises(DocumentsRefused) as error:
            run(cluster, name)
        assert error.value.result is not None
        assert error.value.result["missing"] == [{"source": "a", "target": "b", "documents": 1, "ids": ["refused-1"]}]
        assert error.value.result["caught_up"] is False
    assert databases["b"].get("taken-1") is not None
    assert databases["b"].get("refused-1") is None


def test_cancelling_where_nothing_runs_is_harmless(site: Site) -> None:
    name = site.name()
    databases = builders.databases(site.cluster, name)

    cancel_sync(site.cluster, name)

    databases["a"].put({"_id": "one"})
    assert run(site.cluster, name).caught_up
