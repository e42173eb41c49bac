"""The restore job in its three modes: what it refuses, what it makes on the other nodes, and what it tells."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from embedded.waiting import wait_until
from tasks.jobs import Job, Kind
from tasks.restore import run_restore
from tests.fakes.couchdb import FakeCouch
from tests.unit.tasks.backing import back_up, backing, blobs, damage, fill, running, told
from tests.unit.tasks.world import World
from worker.core.errors import (
    BackupsOff,
    BackupUnknown,
    DatabaseExists,
    NotFound,
    ObjectDamaged,
    StoreUnavailable,
    Unreachable,
)
from worker.core.manifest import hashed
from worker.core.names import OWN_DATABASE, SCRATCH
from worker.couch.cluster import Cluster
from worker.couch.database import Database
from worker.ops.control import Unattended
from worker.ops.restore.everything import DONE

PARAMS = {
    "backup": "latest",
    "as": None,
    "node": None,
    "mode": "new",
    "ids": None,
    "selector": None,
    "made_since": "keep",
    "dry_run": False,
}


@pytest.fixture
def world() -> World:
    return backing()


@pytest.fixture
def pdfs(world: World, cluster: Cluster) -> dict[str, Database]:
    """On all nodes, and in a backup: doc-0 to doc-4, each with its number."""
    found = fill(cluster, "pdfs", count=5)
    fill(cluster, "notes")
    back_up(world, cluster)
    return found


def asked(database: str | None = "pdfs", *, failures: int = 0, **params: Any) -> Job:
    """`into`: what the job calls "as"."""
    params = {"as" if name == "into" else name: value for name, value in params.items()}
    return running(Kind.RESTORE, {**PARAMS, "database": database, **params}, database=database, failures=failures)


def restore(world: World, cluster: Cluster, database: str | None = "pdfs", **params: Any) -> dict[str, Any]:
    return run_restore(world.parts, cluster, asked(database, **params), Unattended())


def drop(couch: FakeCouch, database: str, *nodes: str) -> None:
    for name in nodes or couch.nodes:
        couch[name].drop(database)


def numbers(couch: FakeCouch, node: str, database: str = "pdfs") -> dict[str, Any]:
    """Document -> its number, of all that are not deleted."""
    kept = couch[node].databases[database]
    live = {key: document.revisions[document.leaves()[0]] for key, document in kept.documents.items()}
    return {key: leaf.body.get("n") for key, leaf in sorted(live.items()) if leaf.body is not None and not leaf.deleted}


ALL = {f"doc-{number}": number for number in range(5)}


# new


def test_a_database_that_is_gone_comes_back_on_every_node(
    world: World, couch: FakeCouch, cluster: Cluster, pdfs: dict[str, Database]
) -> None:
    drop(couch, "pdfs")

    result = restore(world, cluster)

    assert (result["mode"], result["database"], result["into"], result["node"]) == ("new", "pdfs", "pdfs", "a")
    assert (result["documents"], result["refused"]["count"], result["not_found"]) == (5, 0, None)
    assert result["replicated"] is True
    assert [numbers(couch, node) for node in couch.nodes] == [ALL, ALL, ALL]
    (event,) = told(world, "restore.finished")
    assert (event.severity.value, event.database, event.data["mode"]) == ("info", "pdfs", "new")
    assert event.data["backup"] == result["backup"]


def test_it_may_have_another_name_and_be_on_another_node(
    world: World, couch: FakeCouch, cluster: Cluster, pdfs: dict[str, Database]
) -> None:
    result = restore(world, cluster, into="pdfs-restored", node="c")

    assert (result["into"], result["node"]) == ("pdfs-restored", "c")
    assert numbers(couch, "b", "pdfs-restored") == ALL


def test_the_acting_primary_is_written_to(world: World, cluster: Cluster, pdfs: dict[str, Database]) -> None:
    world.seen.save_primary("b")

    assert restore(world, cluster, into="copy")["node"] == "b"


@pytest.mark.parametrize(
    "more", [{"continuous_replication": "false"}, {"replication_include": "notes*"}, {"replication_exclude": "copy"}]
)
def test_what_is_not_replicated_stays_on_its_node(
    world: World, couch: FakeCouch, cluster: Cluster, pdfs: dict[str, Database], more: dict[str, str]
) -> None:
    other = backing(**more)
    other.vaults = world.vaults

    assert restore(other, cluster, into="copy")["replicated"] is False
    assert "copy" not in couch["b"].databases


def test_with_no_other_node_that_answers_it_is_on_one_for_now(
    world: World, couch: FakeCouch, cluster: Cluster, pdfs: dict[str, Database]
) -> None:
    couch["b"].fail("refused")
    couch["c"].fail("refused")

    assert restore(world, cluster, into="copy")["replicated"] is False
    assert numbers(couch, "a", "copy") == ALL


def test_a_database_that_another_node_has_is_not_mixed_with_it(
    world: World, couch: FakeCouch, cluster: Cluster, pdfs: dict[str, Database]
) -> None:
    drop(couch, "pdfs", "a")

    with pytest.raises(DatabaseExists, match="b, c has a database pdfs") as refused:
        restore(world, cluster)

    assert (refused.value.node, refused.value.database) == ("b", "pdfs")
    assert "pdfs" not in couch["a"].databases
    (event,) = told(world, "restore.failed")
    assert event.data["error"] == "database-exists"


def test_a_database_that_is_there_is_not_touched(
    world: World, couch: FakeCouch, cluster: Cluster, pdfs: dict[str, Database]
) -> None:
    drop(couch, "pdfs", "b", "c")
    pdfs["a"].put({"_id": "later"})
    before = numbers(couch, "a")

    with pytest.raises(DatabaseExists, match="rollback"):
        restore(world, cluster)

    assert numbers(couch, "a") == before


def test_single_documents_are_restored_and_those_that_there_are_not_counted(
    world: World, couch: FakeCouch, cluster: Cluster, pdfs: dict[str, Database]
) -> None:
    result = restore(world, cluster, into="copy", ids=["doc-1", "doc-3", "never", "nor-this"])

    assert (result["documents"], result["not_found"]) == (2, 2)
    assert numbers(couch, "a", "copy") == {"doc-1": 1, "doc-3": 3}


def test_documents_that_match_a_selector_are_restored(
    world: World, couch: FakeCouch, cluster: Cluster, pdfs: dict[str, Database]
) -> None:
    result = restore(world, cluster, into="copy", selector={"n": 2})
    assert (numbers(couch, "a", "copy"), result["not_found"]) == ({"doc-2": 2}, None)

    restore(world, cluster, into="more", selector={"n": 2}, ids=["doc-4"])
    assert numbers(couch, "a", "more") == {"doc-2": 2, "doc-4": 4}
    assert not any(name.startswith(SCRATCH) for node in couch.nodes.values() for name in node.databases)


def test_documents_that_the_node_does_not_take_are_a_warning(
    world: World, couch: FakeCouch, cluster: Cluster, pdfs: dict[str, Database]
) -> None:
    couch["a"].refuses = lambda document: document["_id"] == "doc-2"

    result = restore(world, cluster, into="copy")

    assert result["refused"]["count"] == 1
    (event,) = told(world, "restore.finished")
    assert (event.severity.value, event.data["refused"]) == ("warning", 1)
    assert event.detail.endswith("; 1 documents were refused")


# what is asked for and is not there


@pytest.mark.parametrize("mode", ["new", "rollback"])
def test_a_database_that_is_not_in_the_backup_is_told_with_the_nearest(
    world: World, cluster: Cluster, pdfs: dict[str, Database], mode: str
) -> None:
    with pytest.raises(BackupUnknown, match=r"has no database 'pdf'; did you mean pdfs\?"):
        restore(world, cluster, "pdf", mode=mode)
    with pytest.raises(BackupUnknown, match=r"has no database 'something-else'; it has _users, notes, pdfs"):
        restore(world, cluster, "something-else", mode=mode)

    assert [event.data["error"] for event in told(world, "restore.failed")] == ["backup-unknown"] * 2


def test_a_backup_that_there_is_not_is_told_with_the_newest(
    world: World, cluster: Cluster, pdfs: dict[str, Database]
) -> None:
    newest = world.backups.all()[0]["id"]

    with pytest.raises(BackupUnknown, match=f"has no backup 20200101T000000Z-abcdef; the newest are: {newest}"):
        restore(world, cluster, backup="20200101T000000Z-abcdef")

    (event,) = told(world, "restore.failed")
    assert event.data["backup"] == "20200101T000000Z-abcdef"


def test_a_node_that_is_not_configured_any_more_is_told(
    world: World, cluster: Cluster, pdfs: dict[str, Database]
) -> None:
    with pytest.raises(NotFound, match="z is not one of the configured nodes: a, b, c"):
        restore(world, cluster, into="copy", node="z")


def test_without_a_store_there_is_nothing_to_restore(cluster: Cluster) -> None:
    with pytest.raises(BackupsOff):
        restore(backing(backup_url=""), cluster)


# what fails


def test_what_may_pass_is_told_with_the_last_attempt_alone(
    world: World, cluster: Cluster, pdfs: dict[str, Database]
) -> None:
    blobs(world, cluster).fail(StoreUnavailable("no answer"), call="get")

    for failures in range(world.settings.job_max_attempts):
        assert told(world, "restore.failed") == []
        with pytest.raises(StoreUnavailable):
            restore(world, cluster, into="copy", failures=failures)

    (event,) = told(world, "restore.failed")
    assert (event.database, event.data["error"]) == ("pdfs", "backup-store-unavailable")


def test_one_that_fails_in_the_middle_is_gone_on_with(
    world: World, couch: FakeCouch, cluster: Cluster, pdfs: dict[str, Database]
) -> None:
    couch["a"].fail("refused", path="_bulk_docs", times=20)

    with pytest.raises(Unreachable, match="the same restore goes on from there"):
        restore(world, cluster, into="copy")

    couch["a"].heal()
    result = restore(world, cluster, into="copy")
    assert result["resumed"] is True
    assert numbers(couch, "a", "copy") == ALL


def test_damage_is_told_with_the_object(world: World, cluster: Cluster, pdfs: dict[str, Database]) -> None:
    made = back_up(world, cluster, "pdfs", full=True)["backup_id"]
    name = damage(world, cluster, f"{made}/db/")

    with pytest.raises(ObjectDamaged, match=name):
        restore(world, cluster, into="copy", backup=made)

    assert name in told(world, "restore.failed")[0].detail


# rollback


def ruin(databases: dict[str, Database]) -> None:
    """The same garbage on all nodes, as replication carries it."""
    for database in databases.values():
        found = database.get("doc-1")
        assert found is not None
        database.put({**found, "n": "garbage"})
        found = database.get("doc-2")
        assert found is not None
        database.delete("doc-2", found["_rev"])
        database.put({"_id": "made-since", "n": "new"})


@pytest.mark.parametrize(("made_since", "extra"), [("keep", {"made-since": "new"}), ("delete", {})])
def test_the_old_state_is_back_on_every_node(
    world: World,
    couch: FakeCouch,
    cluster: Cluster,
    pdfs: dict[str, Database],
    made_since: str,
    extra: dict[str, str],
) -> None:
    ruin(pdfs)

    result = restore(world, cluster, mode="rollback", made_since=made_since)

    assert [numbers(couch, node) for node in couch.nodes] == [{**ALL, **extra}] * 3
    gone = int(made_since == "delete")
    assert result["counts"] == {"unchanged": 3, "update": 1, "recreate": 1, "delete": gone, "keep": 1 - gone}
    assert (result["dry_run"], result["not_reached"]) == (False, [])
    (event,) = told(world, "restore.finished")
    assert event.data["mode"] == "rollback"


@pytest.mark.parametrize("chosen", [{"ids": ["doc-1"]}, {"selector": {"n": 1}}])
def test_single_documents_are_rolled_back_alone(
    world: World, couch: FakeCouch, cluster: Cluster, pdfs: dict[str, Database], chosen: dict[str, Any]
) -> None:
    ruin(pdfs)

    result = restore(world, cluster, mode="rollback", made_since="delete", **chosen)

    assert result["counts"]["update"] == sum(result["counts"].values()) == 1
    assert numbers(couch, "b") == {"doc-0": 0, "doc-1": 1, "doc-3": 3, "doc-4": 4, "made-since": "new"}


def test_a_dry_run_changes_nothing_and_tells_nobody_else(
    world: World, couch: FakeCouch, cluster: Cluster, pdfs: dict[str, Database]
) -> None:
    ruin(pdfs)
    before = {name: dict(node.databases["pdfs"].changed) for name, node in couch.nodes.items()}

    result = restore(world, cluster, mode="rollback", dry_run=True, made_since="delete")

    assert {one["id"]: one["action"] for one in result["documents"]} == {
        "doc-1": "update",
        "doc-2": "recreate",
        "made-since": "delete",
    }
    assert {name: dict(node.databases["pdfs"].changed) for name, node in couch.nodes.items()} == before
    assert told(world, "restore.finished") == []


def test_a_dry_run_that_fails_tells_nobody_else_either(
    world: World, cluster: Cluster, pdfs: dict[str, Database]
) -> None:
    with pytest.raises(BackupUnknown):
        restore(world, cluster, "pdf", mode="rollback", dry_run=True)

    assert told(world, "restore.failed") == []


def test_a_database_that_there_is_not_is_not_rolled_back(
    world: World, couch: FakeCouch, cluster: Cluster, pdfs: dict[str, Database]
) -> None:
    with pytest.raises(NotFound):
        restore(world, cluster, mode="rollback", into="copy")

    assert "copy" not in couch["a"].databases


def test_a_node_that_is_away_is_told(
    world: World, couch: FakeCouch, cluster: Cluster, pdfs: dict[str, Database]
) -> None:
    ruin(pdfs)
    couch["c"].fail("refused")

    result = restore(world, cluster, mode="rollback")

    (missed,) = result["not_reached"]
    assert missed["node"] == "c"
    assert "connection refused" in missed["reason"]
    assert numbers(couch, "b") == {**ALL, "made-since": "new"}


def test_with_no_other_node_that_answers_one_is_rolled_back_and_it_is_told(
    world: World, couch: FakeCouch, cluster: Cluster, pdfs: dict[str, Database]
) -> None:
    ruin(pdfs)
    couch["b"].fail("refused")
    couch["c"].fail("refused")

    result = restore(world, cluster, mode="rollback")

    assert numbers(couch, "a") == {**ALL, "made-since": "new"}
    assert result["not_reached"][0]["node"] == "others"


# everything


def test_everything_comes_back_onto_empty_nodes_and_is_compared(
    world: World, couch: FakeCouch, cluster: Cluster, pdfs: dict[str, Database]
) -> None:
    drop(couch, "pdfs")
    drop(couch, "notes")

    result = restore(world, cluster, None, mode="cluster")

    assert (result["node"], result["databases"], result["refused"]) == ("a", 3, {"count": 0})
    assert result["verified"] == {"equal": 2, "differing": []}
    assert [numbers(couch, node) for node in couch.nodes] == [ALL, ALL, ALL]
    (event,) = told(world, "restore.finished")
    assert (event.database, event.data["mode"]) == (None, "cluster")
    assert event.detail.startswith("all databases of backup ")


@pytest.mark.parametrize("mode", ["new", "cluster"])
def test_a_worker_that_died_when_it_had_just_made_a_database(
    world: World, couch: FakeCouch, cluster: Cluster, pdfs: dict[str, Database], mode: str
) -> None:
    """By now the other nodes may have been given it."""
    for name in ("pdfs", "notes"):
        drop(couch, name)
    for node in couch.nodes if mode == "new" else ("a",):
        Database(cluster[node], "pdfs").create()
    job = asked("pdfs" if mode == "new" else None, mode=mode)
    with pytest.raises(DatabaseExists):
        run_restore(world.parts, cluster, job, Unattended())

    run_restore(world.parts, cluster, replace(job, attempts=2), Unattended())

    assert [numbers(couch, node) for node in couch.nodes] == [ALL, ALL, ALL]


def test_what_is_on_one_node_alone_is_told(couch: FakeCouch, cluster: Cluster) -> None:
    world = backing(replication_exclude="drafts")
    for name in ("pdfs", "drafts"):
        fill(cluster, name)
    back_up(world, cluster, "*", "_users")
    for name in ("pdfs", "drafts"):
        drop(couch, name)

    result = restore(world, cluster, None, mode="cluster")

    assert result["not_replicated"] == ["_users", "drafts"]
    assert result["verified"] == {"equal": 1, "differing": []}


def test_refusals_of_databases_that_an_attempt_before_has_finished_are_told(
    world: World, couch: FakeCouch, cluster: Cluster, pdfs: dict[str, Database]
) -> None:
    for name in ("pdfs", "notes"):
        drop(couch, name)
    couch["a"].refuses = lambda document: document["_id"] == "doc-0"
    own = Database(cluster["a"], OWN_DATABASE)

    def away_once_notes_is_done(call: str, name: str) -> None:
        if call == "get" and f"{hashed('pdfs')}/000000" in name:
            assert wait_until(lambda: "notes" in (own.get(DONE) or {}).get("databases", {}), 10)
            raise StoreUnavailable("away")

    blobs(world, cluster).before = away_once_notes_is_done
    with pytest.raises(StoreUnavailable):
        restore(world, cluster, None, mode="cluster")
    couch["a"].refuses = lambda document: False
    blobs(world, cluster).heal()
    result = restore(world, cluster, None, mode="cluster")

    assert result["refused"]["count"] == 1
    told = {one["database"]: (one["resumed"], one["refused"]["documents"]) for one in result["restored"]}
    assert told["notes"][0] is True
    assert [one["id"] for one in told["notes"][1]] == ["doc-0"]
    assert told["pdfs"] == (True, [])


def test_users_are_restored_on_one_node_after_the_other(couch: FakeCouch, cluster: Cluster) -> None:
    world = backing()
    ann = {"_id": "org.couchdb.user:ann", "name": "ann", "type": "user", "roles": [], "n": 1}
    Database(cluster["a"], "_users").put(ann)
    back_up(world, cluster, "_users")
    for node in couch.nodes:
        couch[node].drop("_users")
        Database(cluster[node], "_users").create()

    for node in couch.nodes:
        assert restore(world, cluster, "_users", node=node)["refused"]["count"] == 0

    assert [numbers(couch, node, "_users") for node in couch.nodes] == [{ann["_id"]: 1}] * 3


def test_nodes_that_are_not_empty_are_not_written_to(
    world: World, couch: FakeCouch, cluster: Cluster, pdfs: dict[str, Database]
) -> None:
    drop(couch, "pdfs")

    with pytest.raises(DatabaseExists, match="is not empty: it has notes"):
        restore(world, cluster, None, mode="cluster")

    assert "pdfs" not in couch["a"].databases
