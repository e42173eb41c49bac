"""Syncs that go one way, and syncs of the documents that match a selector."""

from __future__ import annotations

import pytest

from tests import builders
from tests.contract.conftest import Site
from worker.core.errors import DocumentsRefused, NotEnoughNodes
from worker.core.model import Link, Route
from worker.couch.cluster import Cluster
from worker.couch.database import Database
from worker.ops.control import Unattended
from worker.ops.sync import cancel_sync, sync
from worker.ops.sync_result import SyncResult

pytestmark = pytest.mark.contract

OUT = Route(gathers=False)
NOTES = Route(selector={"type": "note"})


def run(cluster: Cluster, name: str, route: Route, *, create_missing: bool = True) -> SyncResult:
    return sync(cluster, name, Unattended(), create_missing=create_missing, route=route)


def ids(site: Site, name: str) -> dict[str, set[str]]:
    """Node -> the documents it has."""
    return {node: {key for key, _ in Database(server, name).leaves()} for node, server in site.cluster.servers.items()}


def note(identity: str) -> dict[str, str]:
    return {"_id": identity, "type": "note"}


# --- one way


def test_one_way_goes_from_the_primary_to_all_and_nothing_comes_back(site: Site) -> None:
    name = site.name()
    for node, database in builders.databases(site.cluster, name).items():
        database.put({"_id": f"from-{node}"})

    for _ in range(2):
        result = run(site.cluster, name, OUT)

        assert result.caught_up
        assert result.hub == "a"
        assert set(result.lag) == {Link(name, "a", "b"), Link(name, "a", "c")}
        assert ids(site, name) == {"a": {"from-a"}, "b": {"from-a", "from-b"}, "c": {"from-a", "from-c"}}


def test_a_deletion_goes_one_way_too(site: Site) -> None:
    name = site.name()
    databases = builders.databases(site.cluster, name)
    revision = databases["a"].put({"_id": "one"})
    run(site.cluster, name, OUT)
    databases["a"].delete("one", revision)

    assert run(site.cluster, name, OUT).caught_up
    assert databases["c"].get("one") is None


def test_one_way_without_the_primary_nobody_takes_its_place(site: Site) -> None:
    name = site.name()
    builders.databases(site.cluster, name, ["b", "c"])["b"].put({"_id": "one"})

    with pytest.raises(NotEnoughNodes) as error:
        run(site.cluster, name, OUT, create_missing=False)

    assert "goes one way, from a" in error.value.detail
    assert Database(site.cluster["c"], name).get("one") is None


def test_what_a_node_refuses_is_told_also_one_way(site: Site) -> None:
    name = site.name()
    databases = builders.databases(site.cluster, name)
    databases["a"].bulk([{"_id": "refused-1"}, {"_id": "taken-1"}])
    site.refuse(name, "b", "refused-1")

    with pytest.raises(DocumentsRefused) as error:
        run(site.cluster, name, OUT)

    assert error.value.result is not None
    assert error.value.result["missing"] == [{"source": "a", "target": "b", "documents": 1, "ids": ["refused-1"]}]


# --- by a selector


def test_only_what_matches_travels_and_that_is_called_caught_up(scheduled: Site) -> None:
    name = scheduled.name()
    databases = builders.databases(scheduled.cluster, name)
    for node, database in databases.items():
        database.bulk([note(f"note-{node}"), {"_id": f"draft-{node}", "type": "draft"}, {"_id": f"plain-{node}"}])

    for moved in (6, 0):
        result = run(scheduled.cluster, name, NOTES)

        assert result.caught_up
        assert sum(pull.docs_written for pull in result.pulls) == moved
        notes = {f"note-{node}" for node in databases}
        assert ids(scheduled, name) == {node: {*notes, f"draft-{node}", f"plain-{node}"} for node in databases}


def test_a_document_that_comes_to_match_travels_then(scheduled: Site) -> None:
    name = scheduled.name()
    databases = builders.databases(scheduled.cluster, name)
    revision = databases["b"].put({"_id": "one", "type": "draft"})
    assert run(scheduled.cluster, name, NOTES).caught_up
    assert databases["a"].get("one") is None

    databases["b"].put({**note("one"), "_rev": revision})

    assert run(scheduled.cluster, name, NOTES).caught_up
    assert all(database.get("one") for database in databases.values())


def test_another_selector_looks_at_everything_again(scheduled: Site) -> None:
    """Its checkpoints are its own: what the first left behind is not taken as confirmed."""
    name = scheduled.name()
    databases = builders.databases(scheduled.cluster, name)
    databases["a"].bulk([note("one"), {"_id": "two", "type": "draft"}])
    run(scheduled.cluster, name, NOTES)

    run(scheduled.cluster, name, Route(selector={"type": "draft"}))
    assert databases["c"].get("two") is not None
    databases["a"].put({"_id": "three"})
    assert run(scheduled.cluster, name, Route()).caught_up
    assert databases["c"].get("three") is not None


def test_a_selector_and_one_way_go_together(scheduled: Site) -> None:
    name = scheduled.name()
    for node, database in builders.databases(scheduled.cluster, name).items():
        database.bulk([note(f"note-{node}"), {"_id": f"plain-{node}"}])

    result = run(scheduled.cluster, name, Route(gathers=False, selector={"type": "note"}))

    assert result.caught_up
    assert ids(scheduled, name)["a"] == {"note-a", "plain-a"}
    assert ids(scheduled, name)["b"] == {"note-a", "note-b", "plain-b"}


def test_what_matches_and_is_refused_is_told(scheduled: Site) -> None:
    name = scheduled.name()
    databases = builders.databases(scheduled.cluster, name)
    databases["a"].bulk([note("refused-1"), note("taken-1"), {"_id": "stays"}])
    scheduled.refuse(name, "b", "refused-1")

    with pytest.raises(DocumentsRefused) as error:
        run(scheduled.cluster, name, NOTES)

    assert error.value.result is not None
    missing = {(told["source"], told["target"]): told["ids"] for told in error.value.result["missing"]}
    assert missing["a", "b"] == ["refused-1"]


def test_cancelling_where_nothing_runs_is_harmless(scheduled: Site) -> None:
    name = scheduled.name()
    builders.databases(scheduled.cluster, name)["b"].put(note("one"))

    cancel_sync(scheduled.cluster, name, NOTES)

    assert run(scheduled.cluster, name, NOTES).caught_up
    assert ids(scheduled, name)["c"] == {"one"}
