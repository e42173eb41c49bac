"""What a verify does when things go wrong on its way, and how it keeps its bounds. What it finds when all is well
is in tests/contract."""

from __future__ import annotations

import dataclasses
import threading
from typing import Any

import pytest

from tests import builders
from tests.builders import Listener, fake_cluster
from tests.fakes.couchdb import FakeCouch, Request
from worker.core.errors import (
    Cancelled,
    MixedNodeKinds,
    NotEnoughNodes,
    NotFound,
    OneNodeOnly,
    Unauthorized,
    Unreachable,
)
from worker.core.model import Credentials
from worker.couch.cluster import Cluster
from worker.ops import panel, repair, verify
from worker.ops.sync import sync
from worker.ops.verify_result import MOST_LEAVES, MOST_LISTED

NAMES = ("a", "b", "c")


def same(*names: str, count: int = 10, standin: bool = False) -> tuple[FakeCouch, Cluster]:
    """`count` documents that are the same on all nodes."""
    couch, cluster = fake_cluster(*names, standin=standin)
    builders.databases(cluster, "pdfs")["a"].bulk([{"_id": f"doc-{number:04}"} for number in range(count)])
    if len(names) > 1:
        sync(cluster, "pdfs", Listener())
    couch.requests.clear()
    return couch, cluster


def run(cluster: Cluster, listener: Listener | None = None, **options: Any) -> dict[str, Any]:
    return verify.verify(cluster, "pdfs", listener or Listener(), **options).as_json()


def put(couch: FakeCouch, node: str, *ids: str) -> None:
    with couch.lock:
        for identity in ids:
            couch[node].databases["pdfs"].write({"_id": identity, "on": node})


def found(result: dict[str, Any]) -> list[str]:
    return [entry["id"] for entry in result["differing"]["ids"]]


def reads(couch: FakeCouch) -> list[Request]:
    """The requests that begin to read a whole feed."""
    return [one for one in couch.requests if one.path[-1] == "_changes" and one.params.get("since") == "0"]


# --- nodes that go


@pytest.mark.parametrize("how", ["refused", "timeout", "401", "locked", "500", "html", "tls", "maintenance"])
def test_a_node_that_is_away_is_skipped_with_the_reason_and_the_others_are_compared(how: str) -> None:
    couch, cluster = same(*NAMES)
    put(couch, "b", "planted")
    # a node in maintenance answers all but /_up
    couch["c"].fail(how, path="_up" if how == "maintenance" else None)

    result = run(cluster)

    assert (result["equal"], result["complete"], result["nodes"]) == (False, False, ["a", "b"])
    assert [row["node"] for row in result["skipped"]] == ["c"]
    assert set(result["differing"]["ids"][0]["nodes"]) == {"a", "b"}


@pytest.mark.parametrize("turn", [1, 2])
def test_a_node_lost_in_mid_verify_is_dropped_and_the_others_go_on(turn: int) -> None:
    """In the first read of its feed, or in the second."""
    couch, cluster = same(*NAMES)
    put(couch, "b", "planted")
    seen: list[Request] = []

    def lose(request: Request) -> None:
        if request.node == "c" and request.path[-1] == "_changes":
            seen.append(request)
            if len(seen) == turn:
                couch["c"].fail("refused")

    couch.on_request = lose

    result = run(cluster)

    assert found(result) == ["planted"]
    assert (result["nodes"], set(result["documents"])) == (["a", "b"], {"a", "b"})
    assert result["skipped"][0]["reason"].startswith("lost in mid-verify: unreachable")


def test_one_node_that_is_left_is_not_enough() -> None:
    couch, cluster = same("a", "b")
    couch["b"].fail("refused", path="_changes")

    with pytest.raises(NotEnoughNodes, match=r"only a can take part: b \(lost in mid-verify"):
        run(cluster)


def test_what_all_nodes_fail_with_is_told_and_not_that_they_are_few() -> None:
    couch, cluster = same("a", "b")
    for node in couch.nodes.values():
        node.fail("401")
        cluster[node.name].forget()

    with pytest.raises(Unauthorized):
        run(cluster)


def test_a_cluster_of_one_node_says_what_to_do() -> None:
    with pytest.raises(OneNodeOnly):
        run(same("a")[1])


def test_mixed_kinds_are_refused() -> None:
    couch, cluster = same("a", "b")
    couch["b"].standin = True
    cluster["b"].forget()

    with pytest.raises(MixedNodeKinds):
        run(cluster)


def test_no_node_that_answers_is_unreachable_and_not_an_unknown_database() -> None:
    couch, cluster = same("a", "b")
    for node in couch.nodes.values():
        node.fail("refused")

    with pytest.raises(Unreachable):
        run(cluster)


def test_an_unknown_database_names_the_nearest() -> None:
    with pytest.raises(NotFound, match="did you mean pdfs"):
        verify.verify(same("a", "b")[1], "pfds", Listener())


def test_a_node_that_is_configured_no_more_is_named() -> None:
    result = run(same(*NAMES)[1], nodes=["a", "b", "gone"])

    assert result["skipped"] == [{"node": "gone", "reason": "not among the configured nodes any more"}]
    assert (result["equal"], result["nodes"]) == (True, ["a", "b"])


# --- what it costs


def test_equal_databases_are_read_once_and_nothing_is_written() -> None:
    couch, cluster = same(*NAMES)

    assert run(cluster, repair=True)["equal"] is True

    assert sorted(request.node for request in reads(couch)) == ["a", "b", "c"]
    assert not [request for request in couch.requests if request.path[-1] in {"_bulk_docs", "_replicate"}]


def test_whatever_differs_no_more_than_a_portion_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every document is counted all the same; the first are named."""
    couch, cluster = same("a", "b", count=4)
    put(couch, "a", *(f"only-a-{number:04}" for number in range(300)))
    put(couch, "b", *(f"only-b-{number:04}" for number in range(300)))
    monkeypatch.setattr(verify, "MOST_HELD", 100)
    most: list[int] = []
    monkeypatch.setattr(
        verify, "differing", lambda held: most.append(sum(map(len, held.values()))) or panel.differing(held)
    )

    result = run(cluster)

    assert result["differing"]["count"] == 600
    assert (len(result["differing"]["ids"]), result["differing"]["truncated"]) == (MOST_LISTED, True)
    assert max(most) <= 100
    assert len(most) >= 6


def test_few_documents_are_looked_up_and_many_are_sifted_from_the_feed() -> None:
    couch, cluster = same("a", "b", count=100)
    put(couch, "a", "planted")
    run(cluster)
    assert len(reads(couch)) == 4  # digest and narrow, on two nodes

    put(couch, "a", *(f"more-{number}" for number in range(50)))
    couch.requests.clear()
    assert run(cluster)["differing"]["count"] == 51
    assert len(reads(couch)) == 6


def test_a_document_with_very_many_leaves_is_listed_with_some() -> None:
    _, cluster = same("a", "b")
    rows = [{"_id": "torn", "_rev": builders.revision(1, str(number))} for number in range(MOST_LEAVES + 5)]
    builders.databases(cluster, "pdfs")["a"].bulk(rows, new_edits=False)

    assert len(run(cluster)["differing"]["ids"][0]["nodes"]["a"]) == MOST_LEAVES


def test_progress_counts_documents() -> None:
    couch, cluster = same("a", "b")
    listener = Listener()
    put(couch, "a", "planted")

    run(cluster, listener)

    assert listener.phases == ["look", "digest", "narrow", "settle", "confirm"]
    assert ("digest", 0, 21, "documents") in listener.told


# --- is it a difference, or on its way?


def test_replication_is_waited_for_and_what_it_brought_is_no_difference() -> None:
    couch, cluster = same("a", "b")
    put(couch, "a", "late")
    told = iter([False, False, True])

    def settled() -> bool:
        answer = next(told)
        if answer:
            sync(cluster, "pdfs", Listener())
        return answer

    result = run(cluster, settled=settled)

    assert (result["equal"], result["unconfirmed"]) == (True, 0)
    assert next(told, None) is None


@pytest.mark.parametrize("fails", [False, True])
def test_what_could_not_be_confirmed_in_time_is_neither_equal_nor_different(fails: bool) -> None:
    couch, cluster = same("a", "b")
    put(couch, "a", "late")

    def settled() -> bool:
        if fails:
            raise Unreachable("nobody to ask")
        return False

    result = run(cluster, settled=settled, patience=0)

    assert (result["equal"], result["unconfirmed"], result["differing"]["count"]) == (None, 1, 0)


def test_what_arrived_while_replication_lagged_is_equal_all_the_same() -> None:
    couch, cluster = same("a", "b")
    put(couch, "a", "late")

    def settled() -> bool:
        sync(cluster, "pdfs", Listener())
        return False

    assert run(cluster, settled=settled, patience=0)["equal"] is True


def test_replication_that_never_settles_is_waited_for_once_and_not_for_each_portion(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    couch, cluster = same("a", "b")
    put(couch, "a", *(f"late-{number}" for number in range(20)))
    monkeypatch.setattr(verify, "MOST_HELD", 1)
    monkeypatch.setattr(verify, "ASK_EVERY", 0.01)
    asked: list[None] = []

    result = run(cluster, settled=lambda: bool(asked.append(None)), patience=0.05)

    assert result["unconfirmed"] == 20
    assert len(asked) < 20 + 10


def test_a_document_that_changes_between_the_reads_is_not_lost_from_sight() -> None:
    """Its bucket is found in the first read; in the second it has other leaves."""
    couch, cluster = same("a", "b")
    put(couch, "a", "planted")
    edited = threading.Event()

    def edit(request: Request) -> None:
        if len(reads(couch)) > 2 and not edited.is_set():
            edited.set()
            with couch.lock:
                database = couch["a"].databases["pdfs"]
                database.write({"_id": "planted", "_rev": database.documents["planted"].leaves()[0], "n": 2})

    couch.on_request = edit

    assert found(run(cluster)) == ["planted"]


# --- stopping


@pytest.mark.parametrize("phase", ["digest", "narrow", "settle", "confirm", "repair"])
def test_it_stops_where_it_is_told_to(phase: str) -> None:
    couch, cluster = same("a", "b")
    put(couch, "a", "planted")
    told = threading.Event()

    def stop(listener: Listener) -> Exception | None:
        if phase not in listener.phases:
            return None
        told.set()
        return Cancelled()

    listener = Listener(stop)

    def hold(request: Request) -> None:
        """A read of a feed lasts until somebody looks whether to go on."""
        if listener.phases[-1] == phase and request.params.get("since") == "0":
            told.wait(5)

    couch.on_request = hold

    with pytest.raises(Cancelled):
        run(cluster, listener, repair=True, settled=lambda: phase != "settle" or None)


def test_a_cancelled_read_reads_no_further(monkeypatch: pytest.MonkeyPatch) -> None:
    couch, cluster = same("a", "b", count=50)
    monkeypatch.setattr(panel, "PAGE", 5)
    first, go_on, over = threading.Event(), threading.Event(), threading.Event()

    def hold(request: Request) -> None:
        if request.path[-1] == "_changes" and request.params["since"] != "0":
            first.set()
            go_on.wait(5)
            over.set()

    couch.on_request = hold

    with pytest.raises(Cancelled):
        run(cluster, Listener(lambda listener: Cancelled() if first.is_set() else None))
    go_on.set()
    assert over.wait(5)
    asked = len(couch.requests)
    builders.let_calls_end()

    assert len(couch.requests) <= asked + 2  # one page a node that was under way


# --- repair


def purge(couch: FakeCouch, node: str, identity: str) -> None:
    couch[node].databases["pdfs"].purge(identity)


def test_a_repair_moves_only_what_differs() -> None:
    couch, cluster = same(*NAMES)
    put(couch, "a", "planted")

    run(cluster, repair=True)

    asked = [request.body["doc_ids"] for request in couch.requests if request.path == ("_replicate",)]
    assert asked == [["planted"], ["planted"]]


def test_a_stand_in_gets_its_documents_by_hand() -> None:
    couch, cluster = same("a", "b", standin=True)
    put(couch, "a", "planted")
    purge(couch, "b", "doc-0001")

    result = run(cluster, repair=True)

    assert (result["equal"], result["repaired"]["ids"]) == (True, ["doc-0001", "planted"])
    assert not [request for request in couch.requests if request.path == ("_replicate",)]


def test_what_stays_different_is_told_as_it_is_after_the_repair() -> None:
    couch, cluster = same(*NAMES)
    put(couch, "a", "planted")
    couch["b"].refuses = lambda document: document["_id"] == "planted"

    told = run(cluster, repair=True)["differing"]["ids"]

    leaf = couch["a"].databases["pdfs"].documents["planted"].leaves()
    assert told == [{"id": "planted", "nodes": {"a": leaf, "b": [], "c": leaf}, "reason": "b: forbidden: not here"}]


def test_a_refused_document_with_attachments_is_not_read_just_to_learn_why() -> None:
    couch, cluster = same("a", "b")
    database = builders.databases(cluster, "pdfs")["a"]
    database.put({"_id": "big", "_attachments": {"file.pdf": builders.attachment(b"x" * 1000)}})
    couch["b"].refuses = lambda document: document["_id"] == "big"

    result = run(cluster, repair=True)

    assert result["differing"]["ids"][0]["reason"] == repair.REFUSED
    assert not [request for request in couch.requests if request.params.get("attachments")]


def test_what_the_replicators_user_is_refused_is_not_written_as_another() -> None:
    """Its password is the old one, ours is good."""
    couch, _ = same("a", "b")
    put(couch, "a", "planted")
    stale = Credentials("admin", "old-one")
    nodes = [dataclasses.replace(builders.node(name), peer_credentials=stale) for name in ("a", "b")]

    result = run(builders.cluster(couch, nodes), repair=True)

    assert result["differing"]["ids"][0]["reason"].startswith("a -> b: unauthorized")
    assert not [request for request in couch.requests if request.path == ("pdfs", "_bulk_docs")]


def test_histories_that_were_cut_at_different_places_are_told_apart_from_missing_documents() -> None:
    """Each node knows every revision, and yet their leaves are not the same."""
    _, cluster = same("a", "b")
    databases = builders.databases(cluster, "pdfs")
    one, two = builders.revision(1, "one"), builders.revision(2, "two")
    history = {"start": 2, "ids": [name.partition("-")[2] for name in (two, one)]}
    databases["a"].bulk([{"_id": "cut", "_rev": one}, {"_id": "cut", "_rev": two}], new_edits=False)
    databases["b"].bulk([{"_id": "cut", "_rev": two, "_revisions": history}], new_edits=False)

    result = run(cluster, repair=True)

    assert result["differing"]["ids"] == [
        {"id": "cut", "nodes": {"a": sorted([one, two]), "b": [two]}, "reason": repair.CUT}
    ]


def test_a_node_lost_in_the_repair_is_dropped_and_the_others_are_repaired(quick: None) -> None:
    couch, cluster = same(*NAMES)
    put(couch, "a", "planted")

    def lose(request: Request) -> None:
        if request.path == ("_replicate",) and request.node == "c":
            couch["c"].fail("refused")

    couch.on_request = lose

    result = run(cluster, repair=True)

    assert (result["equal"], result["nodes"], result["repaired"]["ids"]) == (True, ["a", "b"], ["planted"])
    assert result["skipped"][0]["node"] == "c"


def test_a_cancelled_repair_is_stopped_on_the_nodes(quick: None) -> None:
    couch, cluster = same("a", "b")
    put(couch, "a", "planted")
    couch["b"].hold_pulls()

    def stop(listener: Listener) -> Exception | None:
        return Cancelled() if couch["b"].jobs else None

    with pytest.raises(Cancelled):
        run(cluster, Listener(stop), repair=True)

    assert couch["b"].jobs == {}
    couch["b"].let_pulls_go()


@pytest.mark.parametrize("standin", [False, True])
def test_abandoning_names_what_could_not_be_stopped(standin: bool) -> None:
    couch, cluster = same("a", "b", standin=standin)
    for name in cluster.names:
        cluster[name].capabilities()
    couch["b"].fail("refused")

    told = repair.cancel_repair(cluster, "pdfs")

    # a stand-in runs no such pulls
    assert [line.partition(":")[0] for line in told] == ([] if standin else ["b"])
