"""A live mesh brought back to what a backup says, and that it stays so on every node."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests import builders
from tests.contract import backups
from tests.contract.conftest import Site
from worker.core.errors import BackupUnknown, NotFound
from worker.couch.database import Database
from worker.couch.revisions import Revisions
from worker.ops.backup.catalogue import Catalogue
from worker.ops.control import Unattended
from worker.ops.restore.rollback import RolledBack, roll_back
from worker.ops.restore.select import matching
from worker.ops.sync import sync

pytestmark = pytest.mark.contract

State = dict[str, tuple[dict[str, Any], dict[str, tuple[str, int]]]]


@pytest.fixture
def mesh(site: Site) -> dict[str, Database]:
    """The same database on three nodes."""
    name = site.name()
    databases = builders.databases(site.cluster, name)
    first = databases["a"]
    first.bulk([{"_id": f"doc-{i:02}", "n": i} for i in range(20)])
    first.put(
        {"_id": "scan", "_attachments": {"a.pdf": builders.attachment(b"page one"), "b": builders.attachment(b"B")}}
    )
    first.delete("was-gone", first.put({"_id": "was-gone"}))
    first.put({"_id": "_design/view", "views": {"all": {"map": "function (doc) { emit(doc._id); }"}}})
    sync(site.cluster, name, Unattended())
    return databases


def state(database: Database) -> State:
    """Winners alone, as a client sees them: id -> fields, and attachments by digest."""
    found: State = {}
    rows = database.client.get(database.name, "_all_docs", params={"include_docs": "true"})["rows"]
    for row in rows:
        fields = {name: value for name, value in row["doc"].items() if not name.startswith("_")}
        attached = row["doc"].get("_attachments", {})
        found[row["id"]] = fields, {name: (stub["digest"], stub["length"]) for name, stub in attached.items()}
    return found


def ruin(databases: dict[str, Database]) -> None:
    """Bad data, written on several nodes and replicated everywhere."""
    one, other = databases["a"], databases["c"]
    for identity in ("doc-01", "doc-02"):
        found = one.get(identity)
        assert found is not None
        one.put({**found, "n": "garbage"})
    found = one.get("doc-03")
    assert found is not None
    one.delete("doc-03", found["_rev"])
    found = other.get("doc-04")
    assert found is not None
    ours, theirs = builders.revision(2, "z-one"), builders.revision(2, "a-two")
    ancestor = found["_rev"].partition("-")[2]
    for rev in (ours, theirs):  # a conflict, both of it garbage
        history = {"start": 2, "ids": [rev.partition("-")[2], ancestor]}
        other.bulk([{"_id": "doc-04", "_rev": rev, "_revisions": history, "n": rev}], new_edits=False)
    found = other.get("scan")
    assert found is not None
    kept = {"a.pdf": builders.attachment(b"spoilt"), "b": found["_attachments"]["b"]}
    other.put({**found, "_attachments": kept})
    other.put({"_id": "was-gone", "back": True})
    found = one.get("_design/view")
    assert found is not None
    one.put({**found, "views": {}})
    one.put({"_id": "made-since", "new": True})


def run(site: Site, vault: backups.Vault, database: Database, **options: Any) -> RolledBack:
    chain = backups.chain_of(vault, backups.newest(vault), database.name)
    return roll_back(vault, chain, database, Unattended(), **options)


@pytest.mark.parametrize("delete_newer", [False, True])
def test_the_old_state_wins_on_every_node_and_stays(site: Site, mesh: dict[str, Database], delete_newer: bool) -> None:
    name, vault = mesh["a"].name, backups.memory()
    backups.back_up(site, vault, name)
    before = state(mesh["a"])
    ruin(mesh)
    sync(site.cluster, name, Unattended())
    done = run(site, vault, mesh["b"], delete_newer=delete_newer)
    assert done.refused.count == 0, done.refused.listed
    for _ in range(2):  # and once more: nothing comes back from a peer
        sync(site.cluster, name, Unattended())
    since = {"made-since": ({"new": True}, {}), "was-gone": ({"back": True}, {})}
    extra = {} if delete_newer else since
    for node, database in mesh.items():
        assert state(database) == {**before, **extra}, node
    again = run(site, vault, mesh["c"], delete_newer=delete_newer)
    assert {action.value for action, count in again.counts.items() if count} <= {"unchanged", "keep"}


def test_nothing_is_lost_from_history(site: Site, mesh: dict[str, Database]) -> None:
    name, vault = mesh["a"].name, backups.memory()
    backups.back_up(site, vault, name)
    ruin(mesh)
    sync(site.cluster, name, Unattended())
    spoilt = dict(mesh["a"].leaves())
    run(site, vault, mesh["a"])
    now = Revisions(mesh["a"]).leaves(list(mesh["a"].leaves()))[0]
    known = {one.id: {rev for text in one.revisions for rev in _path(bytes(text))} for one in now}
    for key, revs in spoilt.items():
        assert set(revs) <= known[key], key


def test_a_dry_run_says_what_would_change_and_changes_nothing(site: Site, mesh: dict[str, Database]) -> None:
    name, vault = mesh["a"].name, backups.memory()
    backups.back_up(site, vault, name)
    ruin(mesh)
    sync(site.cluster, name, Unattended())
    before = dict(mesh["b"].leaves())
    told = run(site, vault, mesh["b"], delete_newer=True, dry_run=True).as_json()
    assert dict(mesh["b"].leaves()) == before
    listed = {one["id"]: one["action"] for one in told["documents"]}
    assert listed == {
        "doc-01": "update",
        "doc-02": "update",
        "doc-03": "recreate",
        "doc-04": "update",
        "scan": "update",
        "was-gone": "delete",
        "_design/view": "update",
        "made-since": "delete",
    }
    assert told["counts"]["unchanged"] == 16


def test_single_documents_alone(site: Site, mesh: dict[str, Database]) -> None:
    name, vault = mesh["a"].name, backups.memory()
    backups.back_up(site, vault, name)
    before = state(mesh["a"])
    ruin(mesh)
    spoilt = state(mesh["a"])
    done = run(site, vault, mesh["a"], only={"doc-01", "doc-03"})
    assert sum(done.counts.values()) == 2
    after = state(mesh["a"])
    assert {key: after[key] for key in ("doc-01", "doc-03")} == {key: before[key] for key in ("doc-01", "doc-03")}
    assert after["doc-02"] == spoilt["doc-02"]


def test_documents_by_selector(site: Site, mesh: dict[str, Database]) -> None:
    vault = backups.memory()
    manifest = backups.back_up(site, vault, mesh["a"].name)
    chain = backups.chain_of(vault, manifest, mesh["a"].name)
    tag = site.name("select")
    found = matching(chain, {"n": 7}, site.cluster["a"], tag, Unattended())
    assert found == ["doc-07"]
    assert tag not in " ".join(site.cluster["a"].databases())


def test_what_the_node_refuses_is_listed(site: Site, mesh: dict[str, Database]) -> None:
    name, vault = mesh["a"].name, backups.memory()
    backups.back_up(site, vault, name)
    ruin(mesh)
    site.refuse(name, "a", "doc-01")
    done = run(site, vault, mesh["a"])
    assert [one["id"] for one in done.refused.listed] == ["doc-01"]


def test_a_database_that_is_not_there_is_not_made(site: Site, mesh: dict[str, Database]) -> None:
    vault = backups.memory()
    manifest = backups.back_up(site, vault, mesh["a"].name)
    chain = backups.chain_of(vault, manifest, mesh["a"].name)
    missing = Database(site.cluster["a"], site.name("missing"))
    with pytest.raises(NotFound, match="mode new"):
        roll_back(vault, chain, missing, Unattended())
    assert missing.info() is None
    with pytest.raises(BackupUnknown, match=manifest.id):
        Catalogue(vault).find("20260101T000000Z-abcdef")


def _path(text: bytes) -> list[str]:
    history = json.loads(text)["_revisions"]
    return [f"{history['start'] - i}-{name}" for i, name in enumerate(history["ids"])]
