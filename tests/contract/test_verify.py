"""Verify: what differs between nodes is found, told and repaired, on every kind of node."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from embedded import census
from embedded.waiting import wait_until
from tests import builders
from tests.contract.conftest import DEADLINE, Site
from worker.core.errors import Cancelled, NotFound, ReplicationError
from worker.core.model import Link, Route
from worker.core.replication import database_url, repair_url, selective_body
from worker.couch.database import Database
from worker.couch.replicator import Orders, Replicator
from worker.ops import pulls
from worker.ops.control import Unattended
from worker.ops.repair import cancel_repair
from worker.ops.sync import sync
from worker.ops.verify import verify

pytestmark = pytest.mark.contract

PDF = b"%PDF-1.4\n" + bytes(range(256)) * 20


def run(site: Site, name: str, **options: Any) -> dict[str, Any]:
    return verify(site.cluster, name, Unattended(), **options).as_json()


def filled(site: Site, count: int = 20) -> tuple[str, dict[str, Database]]:
    """A database that is the same on all nodes: documents, a conflict, a deletion, a deleted branch."""
    name = site.name()
    databases = builders.databases(site.cluster, name)
    first = databases["a"]
    first.bulk([{"_id": f"doc-{i:04}"} for i in range(count)])
    first.delete("gone", first.put({"_id": "gone"}))
    one, two = builders.revision(1, "one"), builders.revision(1, "two")
    for identity in ("conflict", "half-gone"):
        first.bulk([{"_id": identity, "_rev": one}, {"_id": identity, "_rev": two}], new_edits=False)
    first.delete("half-gone", one)
    sync(site.cluster, name, Unattended())
    return name, databases


def found(result: dict[str, Any]) -> list[str]:
    assert result["differing"]["count"] == len(result["differing"]["ids"])
    return [entry["id"] for entry in result["differing"]["ids"]]


def everywhere_the_same(databases: dict[str, Database]) -> bool:
    return census.differing({node: census.take(database) for node, database in databases.items()}) == []


def test_equal_databases_are_equal_tombstones_and_conflicts_included(site: Site) -> None:
    name, _ = filled(site)

    result = run(site, name)

    assert (result["equal"], result["complete"], result["skipped"]) == (True, True, [])
    assert result["nodes"] == ["a", "b", "c"]
    assert result["documents"] == dict.fromkeys("abc", 23)
    assert result["differing"] == {"count": 0, "ids": [], "truncated": False}
    assert (result["unconfirmed"], result["repaired"]) == (0, None)


def test_empty_databases_are_equal(site: Site) -> None:
    name = site.name()
    builders.databases(site.cluster, name)

    assert run(site, name)["equal"] is True


def plant_document(database: Database) -> str:
    database.put({"_id": "planted"})
    return "planted"


def plant_edit(database: Database) -> str:
    document = database.get("doc-0003")
    assert document is not None
    database.put({**document, "edited": True})
    return "doc-0003"


def plant_deletion(database: Database) -> str:
    document = database.get("doc-0004")
    assert document is not None
    database.delete("doc-0004", document["_rev"])
    return "doc-0004"


def plant_conflict(database: Database) -> str:
    database.bulk([{"_id": "doc-0005", "_rev": builders.revision(1, "planted")}], new_edits=False)
    return "doc-0005"


def plant_branch(database: Database) -> str:
    """A third leaf beside a live and a deleted one."""
    database.bulk([{"_id": "half-gone", "_rev": builders.revision(1, "three")}], new_edits=False)
    return "half-gone"


def plant_attachment(database: Database) -> str:
    database.put({"_id": "with-bytes", "_attachments": {"file.pdf": builders.attachment(PDF)}})
    return "with-bytes"


PLANTS = [plant_document, plant_edit, plant_deletion, plant_conflict, plant_branch, plant_attachment]


@pytest.mark.parametrize("plant", PLANTS)
def test_one_difference_is_found_with_what_each_node_has_and_repaired(
    site: Site, plant: Callable[[Database], str]
) -> None:
    name, databases = filled(site)
    identity = plant(databases["b"])

    result = run(site, name)

    assert result["equal"] is False
    assert result["differing"]["ids"] == [
        {
            "id": identity,
            "nodes": {
                node: list(database.leaves_of([identity]).get(identity, ())) for node, database in databases.items()
            },
        }
    ]

    repaired = run(site, name, repair=True)

    assert (repaired["equal"], repaired["differing"]["count"]) == (True, 0)
    assert repaired["repaired"] == {"count": 1, "ids": [identity], "truncated": False}
    assert everywhere_the_same(databases)
    assert run(site, name)["equal"] is True


def test_documents_that_each_node_lacks_others_of_are_all_repaired(site: Site) -> None:
    name, databases = filled(site)
    for node, database in databases.items():
        database.bulk([{"_id": f"only-{node}-{i:03}"} for i in range(120)])
        database.put({"_id": "edited-everywhere", "by": node})

    result = run(site, name, repair=True)

    assert (result["equal"], result["repaired"]["count"]) == (True, 361)
    assert (len(result["repaired"]["ids"]), result["repaired"]["truncated"]) == (100, True)
    assert everywhere_the_same(databases)


def test_what_a_node_has_lost_since_it_confirmed_it_comes_back(scheduled: Site) -> None:
    """Its checkpoint says that it has the document: no sync would ever bring it again."""
    name, databases = filled(scheduled)
    plant_document(databases["a"])
    run(scheduled, name, repair=True)
    scheduled.purge(name, "b", "planted")
    assert found(run(scheduled, name)) == ["planted"]

    result = run(scheduled, name, repair=True)

    assert (result["equal"], result["repaired"]["ids"]) == (True, ["planted"])
    assert databases["b"].get("planted") is not None


def test_a_document_that_a_node_refuses_stays_listed_with_the_reason(site: Site) -> None:
    name, databases = filled(site)
    databases["a"].bulk([{"_id": "refused-1"}, {"_id": "taken-1"}])
    site.refuse(name, "b", "refused-1")

    # of two nodes only: a rule is a document too, and what c gets first is a matter of chance
    result = run(site, name, repair=True, nodes=["a", "b"])

    assert result["equal"] is False
    assert found(result) == ["refused-1"]
    assert result["differing"]["ids"][0]["reason"] == "b: forbidden: not here"
    assert "taken-1" in result["repaired"]["ids"]
    assert databases["b"].get("taken-1") is not None
    assert databases["b"].get("refused-1") is None


# --- while writes go on


@contextmanager
def writing(database: Database, *, edits: bool = True) -> Iterator[None]:
    """Inside, somebody adds documents and (where `edits`) edits one, all the time."""
    over = threading.Event()

    def write() -> None:
        revision, number = database.put({"_id": "busy"}), 0
        while not over.is_set():
            number += 1
            if edits:
                revision = database.put({"_id": "busy", "_rev": revision, "n": number})
            database.put({"_id": f"new-{number:06}"})

    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    try:
        assert wait_until(lambda: database.get("new-000002") is not None, DEADLINE)
        yield
    finally:
        over.set()
        writer.join(DEADLINE)


def test_a_difference_is_told_from_what_is_just_on_its_way(site: Site) -> None:
    name, databases = filled(site)
    databases["a"].put({"_id": "planted"})
    site.refuse(name, "b", "planted")
    links = [Link(name, *ends) for ends in (("a", "b"), ("b", "a"), ("a", "c"), ("c", "a"))]

    def replicated() -> bool:
        """What continuous links would have done by now."""
        pulls.retried(site.cluster, links, "links", Unattended())
        return True

    replicated()
    # on a busy machine a stand-in's pull was seen to miss a document that is edited while it reads it
    with writing(databases["a"], edits=site.kind != "stand-in"):
        result = run(site, name, settled=replicated)

    assert found(result) == ["planted"]
    assert (result["equal"], result["unconfirmed"]) == (False, 0)


def test_what_replication_may_still_bring_is_not_called_a_difference(site: Site) -> None:
    name, databases = filled(site)
    databases["a"].put({"_id": "on-its-way"})

    result = run(site, name, settled=lambda: False, patience=0.3, repair=True)

    assert (result["equal"], result["unconfirmed"]) == (None, 1)
    assert (result["differing"]["count"], result["repaired"]["count"]) == (0, 0)


# --- what is compared


def test_only_the_named_nodes_are_compared(site: Site) -> None:
    name, databases = filled(site)
    plant_document(databases["c"])

    assert run(site, name, nodes=["a", "b"])["equal"] is True
    result = run(site, name, nodes=["a", "c"])

    assert (result["equal"], result["nodes"], result["complete"]) == (False, ["a", "c"], True)
    assert set(result["differing"]["ids"][0]["nodes"]) == {"a", "c"}


def test_only_documents_that_match_a_selector_are_compared(site: Site) -> None:
    name, databases = filled(site)
    databases["b"].bulk([{"_id": "planted-book", "kind": "book"}, {"_id": "planted-note", "kind": "note"}])

    result = run(site, name, route=Route(selector={"kind": "book"}))

    assert found(result) == ["planted-book"]
    assert result["documents"] == {"a": 0, "b": 1, "c": 0}
    assert run(site, name, route=Route(selector={"kind": "book"}), repair=True)["equal"] is True
    assert found(run(site, name)) == ["planted-note"]


def test_a_node_without_the_database_is_skipped_and_named(site: Site) -> None:
    name = site.name()
    builders.databases(site.cluster, name, ["a", "c"])

    result = run(site, name)

    assert (result["equal"], result["complete"], result["nodes"]) == (True, False, ["a", "c"])
    assert [(row["node"], row["reason"].partition(":")[0]) for row in result["skipped"]] == [("b", "database-missing")]


def test_a_database_nobody_has_is_not_found(site: Site) -> None:
    with pytest.raises(NotFound):
        run(site, site.name())


def test_names_that_need_encoding_are_verified_and_repaired(site: Site) -> None:
    for like in ("a+b", "a$b(c)", *(["a/b"] if site.scheduler else [])):
        name = site.name(like)
        builders.databases(site.cluster, name)["c"].put({"_id": "x/ü +%2F"})

        assert found(run(site, name)) == ["x/ü +%2F"]
        assert run(site, name, repair=True)["equal"] is True


# --- what a dead worker left


def test_an_abandoned_repair_is_stopped_and_a_sync_of_the_same_database_goes_on(scheduled: Site) -> None:
    name = scheduled.slow_database("a", "b")
    source, target = scheduled.nodes[:2]
    ids = [identity for identity, _ in Database(scheduled.cluster["a"], name).leaves()]
    replicator = Replicator(scheduled.cluster["b"])
    pull = pulls.body_of(scheduled.cluster, Link(name, "a", "b"))
    repair = selective_body(name, source, target, ids, tuned=True)
    plain, tagged = ((url(source, name), database_url(target, name)) for url in (database_url, repair_url))

    def start(body: dict[str, Any]) -> None:
        with suppress(ReplicationError, Cancelled):
            replicator.pull(body, orders=lambda: Orders.LEAVE)

    for body in (pull, repair):
        threading.Thread(target=start, args=(body,), daemon=True).start()
    assert wait_until(lambda: {plain, tagged} <= replicator.progress().keys(), DEADLINE)

    assert cancel_repair(scheduled.cluster, name) == []

    running = replicator.progress()
    assert tagged not in running
    assert plain in running
    replicator.cancel(pull)
    scheduled.let_go()


def test_abandoning_where_nothing_runs_is_harmless(site: Site) -> None:
    name, _ = filled(site)

    assert cancel_repair(site.cluster, name) == []
