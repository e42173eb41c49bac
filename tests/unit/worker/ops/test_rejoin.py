"""A node is brought up to date, or it is told what is not. On a fake cluster."""

from __future__ import annotations

from typing import Any

import pytest

from tests import builders
from tests.builders import Listener, fake_cluster
from tests.fakes.couchdb import FakeCouch, Request
from worker.core.errors import Cancelled, NotCaughtUp, NotEnoughNodes, Unreachable
from worker.core.model import Link, Route
from worker.couch.cluster import Cluster
from worker.couch.database import Database
from worker.ops.rejoin import Means, rejoin
from worker.ops.rejoin_result import Rejoined
from worker.ops.sync_result import SyncResult
from worker.ops.verify_result import VerifyResult


def means(**more: Any) -> Means:
    given: dict[str, Any] = {
        "selected": lambda name: not name.startswith("_"),
        "route_of": lambda database: Route(),
        "deleted": frozenset(),
        **more,
    }
    return Means(**given)


@pytest.fixture
def filled(quick: None) -> tuple[FakeCouch, Cluster]:
    """Two databases on all nodes; b was away and lacks what the others have, and has something of its own."""
    couch, cluster = fake_cluster("a", "b", "c")
    for name in ("notes", "pdfs"):
        for node, database in builders.databases(cluster, name).items():
            database.put({"_id": f"from-{node}"})
    return couch, cluster


def documents(couch: FakeCouch, database: str) -> list[set[str]]:
    return [set(couch[name].databases[database].documents) for name in "abc"]


def run(cluster: Cluster, *, emptied: bool = False, listener: Listener | None = None, **more: Any) -> Rejoined:
    return rejoin(cluster, "b", means(**more), listener or Listener(), emptied=emptied)


def test_every_database_is_brought_up_to_date(filled: tuple[FakeCouch, Cluster]) -> None:
    couch, cluster = filled
    synced: dict[str, SyncResult] = {}

    listener = Listener()
    done = run(cluster, listener=listener, synced=synced.__setitem__)

    for name in ("notes", "pdfs"):
        assert documents(couch, name) == [{"from-a", "from-b", "from-c"}] * 3
    assert (done.databases, done.written, done.verified, done.failed) == (2, 4, 0, {})
    assert {name: result.caught_up for name, result in synced.items()} == {"notes": True, "pdfs": True}
    assert listener.phases == ["look", "sync"]


def test_an_emptied_node_gets_its_databases_and_is_compared_leaf_by_leaf(filled: tuple[FakeCouch, Cluster]) -> None:
    couch, cluster = filled
    for name in ("notes", "pdfs"):
        couch["b"].drop(name)

    listener = Listener()
    done = run(cluster, emptied=True, listener=listener)

    assert documents(couch, "pdfs") == [{"from-a", "from-c"}] * 3, "nothing was taken for deleted"
    assert (done.databases, done.verified, done.failed) == (2, 2, {})
    assert listener.phases == ["look", "create", "sync", "verify"]


def test_what_a_node_confirmed_and_does_not_have_is_found_and_fetched(filled: tuple[FakeCouch, Cluster]) -> None:
    couch, cluster = filled
    run(cluster)
    forgetful = couch["b"].databases["pdfs"]  # a disk that lost a part
    del forgetful.documents["from-a"], forgetful.changed["from-a"]

    done = run(cluster, emptied=True)

    assert done.failed == {}
    assert documents(couch, "pdfs") == [{"from-a", "from-b", "from-c"}] * 3


def test_a_database_that_was_deleted_on_the_node_keeps_it_not_out_and_is_not_made_again(
    filled: tuple[FakeCouch, Cluster],
) -> None:
    couch, cluster = filled
    couch["b"].drop("pdfs")

    assert run(cluster, deleted={"pdfs"}).databases == 1
    assert run(cluster, deleted=None).databases == 1, "nothing is known of deletions: it is to have what it has"
    with pytest.raises(NotCaughtUp, match="1 of 2 databases"):
        run(cluster)  # nobody deleted it: it is missing
    assert "pdfs" not in couch["b"].databases


def test_a_database_that_was_deleted_elsewhere_is_not_made_there_again(filled: tuple[FakeCouch, Cluster]) -> None:
    couch, cluster = filled
    couch["c"].drop("pdfs")
    couch["b"].drop("pdfs")

    done = run(cluster, emptied=True)

    assert (done.verified, done.failed) == (2, {})
    assert "pdfs" not in couch["c"].databases


def test_databases_in_which_nothing_has_happened_cost_next_to_nothing(filled: tuple[FakeCouch, Cluster]) -> None:
    couch, cluster = filled
    synced: dict[str, SyncResult] = {}
    run(cluster, synced=synced.__setitem__)
    recorded = {name: result.sequences for name, result in synced.items()}
    couch["a"].databases["pdfs"].write({"_id": "new"})
    couch.requests.clear()

    done = run(cluster, recorded=recorded)

    assert (done.databases, done.in_step) == (2, 1)
    assert "new" in couch["b"].databases["pdfs"].documents
    assert [request for request in couch.requests if request.path[:1] == ("notes",)] == []


def test_a_node_that_does_not_take_part_though_it_is_not_away_holds_it_up(filled: tuple[FakeCouch, Cluster]) -> None:
    """What it alone has would not be missed."""
    couch, cluster = filled
    couch["c"].fail("500", path="pdfs")

    with pytest.raises(NotCaughtUp, match="c took no part"):
        run(cluster)


def test_documents_that_cannot_be_compared_are_not_called_verified(
    filled: tuple[FakeCouch, Cluster], monkeypatch: pytest.MonkeyPatch
) -> None:
    def undecided(cluster: Cluster, database: str, *_: Any, **__: Any) -> VerifyResult:
        return VerifyResult(database, nodes=["a", "b"], unconfirmed=3)

    monkeypatch.setattr("worker.ops.rejoin.verify", undecided)

    with pytest.raises(NotCaughtUp, match="it could not be compared with a"):
        run(filled[1], emptied=True)


def test_one_that_takes_nothing_at_all_is_not_let_in(filled: tuple[FakeCouch, Cluster]) -> None:
    couch, cluster = filled
    for name in ("notes", "pdfs"):
        couch["b"].drop(name)
    couch["b"].refuses = lambda document: True

    with pytest.raises(NotCaughtUp, match="it takes none of the documents"):
        run(cluster, emptied=True)


def test_databases_that_no_other_node_has_are_left_alone(filled: tuple[FakeCouch, Cluster]) -> None:
    couch, cluster = filled
    couch["b"].create("mine")

    done = run(cluster)

    assert (done.databases, done.left_alone, done.failed) == (3, 1, {})


def test_one_that_fails_stops_no_other_and_is_named(filled: tuple[FakeCouch, Cluster]) -> None:
    couch, cluster = filled
    couch["b"].fail("500", path="pdfs")

    with pytest.raises(NotCaughtUp) as caught:
        run(cluster)

    assert documents(couch, "notes") == [{"from-a", "from-b", "from-c"}] * 3
    assert caught.value.result is not None
    assert list(caught.value.result["failed"]) == ["pdfs"]
    assert caught.value.detail.startswith("1 of 2 databases are not up to date: pdfs: ")


def test_documents_that_it_does_not_take_keep_it_not_out(filled: tuple[FakeCouch, Cluster]) -> None:
    couch, cluster = filled
    couch["b"].refuses = lambda document: document["_id"] == "from-a"

    done = run(cluster)

    assert done.failed == {}
    assert sorted(done.refused) == ["notes", "pdfs"]
    assert "b lacks 1 of a (from-a)" in done.refused["pdfs"]


def test_nodes_that_are_away_are_not_asked(filled: tuple[FakeCouch, Cluster]) -> None:
    couch, cluster = filled
    couch["c"].fail("refused")
    couch.requests.clear()

    done = run(cluster, away={"c": "down since noon"})

    assert [request for request in couch.requests if request.node == "c"] == []
    assert done.skipped == {"c": "down since noon"}
    assert done.failed == {}


def test_what_comes_only_from_a_primary_that_is_away_keeps_it_not_out(filled: tuple[FakeCouch, Cluster]) -> None:
    _, cluster = filled

    done = run(cluster, away={"a": "down"}, route_of=lambda database: Route(gathers=database != "pdfs"))

    assert (done.left_alone, done.failed) == (1, {})


def test_with_nobody_else_there_it_waits(filled: tuple[FakeCouch, Cluster]) -> None:
    _, cluster = filled

    with pytest.raises(NotEnoughNodes, match="no other node answers"):
        run(cluster, away={"a": "down", "c": "down"})


def test_a_node_that_does_not_answer_is_its_own_error(filled: tuple[FakeCouch, Cluster]) -> None:
    couch, cluster = filled
    couch["b"].fail("refused")

    with pytest.raises(Unreachable):
        run(cluster)


def test_it_can_be_stopped_between_two_databases(filled: tuple[FakeCouch, Cluster]) -> None:
    _, cluster = filled
    listener = Listener(stop_when=lambda told: Cancelled() if "sync" in told.phases else None)

    with pytest.raises(Cancelled):
        run(cluster, listener=listener)


def test_what_is_written_all_the_time_has_to_arrive_as_far_as_it_was_there(filled: tuple[FakeCouch, Cluster]) -> None:
    """Every look at the lag finds one change more: that is no reason to wait for ever, and none to claim too much."""
    couch, cluster = filled
    written: list[str] = []

    def write(request: Request) -> None:
        asked = request.path == ("pdfs", "_changes") and request.params.get("limit") == "0"
        if asked and request.node == "a":
            written.append(f"meanwhile-{len(written)}")
            couch["a"].databases["pdfs"].write({"_id": written[-1]})

    couch.on_request = write
    done = run(cluster)
    couch.on_request = lambda request: None

    assert done.failed == {}
    assert written
    assert all({"from-a", "from-b", "from-c"} <= there for there in documents(couch, "pdfs"))


def test_writes_while_it_is_counted_do_not_stand_for_what_has_not_arrived(
    filled: tuple[FakeCouch, Cluster], monkeypatch: pytest.MonkeyPatch
) -> None:
    """b never gets anything, and by the time that changes are counted once more there are many new ones."""
    couch, cluster = filled
    written = 0

    def write(request: Request) -> None:
        nonlocal written
        if request.node == "a" and request.path == ("pdfs", "_changes") and request.params.get("limit") == "0":
            for _ in range(5):
                written += 1
                couch["a"].databases["pdfs"].write({"_id": f"meanwhile-{written}"})

    def carried_nothing(cluster: Cluster, database: str, *_: Any, **__: Any) -> SyncResult:
        link = Link(database, "a", "b")
        lag = Database(cluster["a"], database).changes_after("0")
        return SyncResult(database, nodes=["a", "b", "c"], lag={link: lag}, confirmed={link: "0"})

    monkeypatch.setattr("worker.ops.rejoin.sync", carried_nothing)
    couch.on_request = write
    with pytest.raises(NotCaughtUp, match="pdfs"):
        run(cluster)
