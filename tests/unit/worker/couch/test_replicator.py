"""Pulls that outlive a request, scheduler lists longer than a page, links that are or are not as wanted."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from embedded.waiting import wait_until
from tests import builders
from tests.builders import fake_cluster
from tests.fakes.couchdb import Request
from worker.core.errors import Cancelled, TimedOut, Unsupported
from worker.core.model import Link, PullStats
from worker.core.replication import link_document
from worker.couch import replicator as module
from worker.couch.cluster import Cluster
from worker.couch.database import Database
from worker.couch.replicator import Orders, Replicator
from worker.ops.pulls import body_of

LINK = Link("pdfs", "a", "b")


def start(cluster: Cluster, found: list[PullStats | Exception], orders: list[Orders]) -> threading.Thread:
    def run() -> None:
        try:
            found.append(Replicator(cluster["b"]).pull(body_of(cluster, LINK), lambda: orders[0]))
        except Exception as error:  # noqa: BLE001 - the test looks at it
            found.append(error)
        except Cancelled as error:
            found.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


def test_a_pull_longer_than_a_request_is_joined_and_counted_once() -> None:
    couch, cluster = fake_cluster("a", "b")
    builders.databases(cluster, "pdfs")["a"].bulk([{"_id": f"doc-{i}"} for i in range(4)])
    couch["b"].hold_pulls()
    found: list[PullStats | Exception] = []
    thread = start(cluster, found, [Orders.GO])

    def asked() -> int:
        return sum(request.path == ("_replicate",) for request in couch.requests)

    assert wait_until(lambda: asked() >= 3, 5)
    assert len(couch["b"].jobs) == 1
    couch["b"].let_pulls_go()
    thread.join(5)

    assert isinstance(found[0], PullStats)
    assert (found[0].docs_written, found[0].doc_write_failures) == (4, 0)
    assert asked() >= 3


def test_a_pull_that_ends_between_two_requests_is_counted() -> None:
    """The second request starts a new one that finds no changes: what the first did is in the history."""
    couch, cluster = fake_cluster("a", "b")
    builders.databases(cluster, "pdfs")["a"].bulk([{"_id": f"doc-{i}"} for i in range(4)])
    cluster["b"].capabilities()
    couch["b"].hold_pulls()
    asked: list[Request] = []

    def end_before_the_second(request: Request) -> None:
        asked.append(request)
        if len(asked) == 2:
            couch["b"].let_pulls_go()
            assert wait_until(lambda: not couch["b"].jobs, 5)

    couch.on_request = end_before_the_second

    stats = Replicator(cluster["b"]).pull(body_of(cluster, LINK), lambda: Orders.GO)

    assert len(asked) == 2
    assert stats.docs_written == 4


@pytest.mark.parametrize(("order", "runs_on"), [(Orders.LEAVE, 1), (Orders.CANCEL, 0)])
def test_a_stopped_pull_is_not_asked_for_again(order: Orders, runs_on: int) -> None:
    couch, cluster = fake_cluster("a", "b")
    builders.databases(cluster, "pdfs")
    couch["b"].hold_pulls()
    found: list[PullStats | Exception] = []
    orders = [Orders.GO]
    thread = start(cluster, found, orders)
    assert wait_until(lambda: bool(couch["b"].jobs), 5)
    orders[0] = order
    thread.join(5)

    assert isinstance(found[0], Cancelled)
    assert len(couch["b"].jobs) == runs_on
    couch["b"].let_pulls_go()


def test_a_pull_that_cannot_be_joined_is_not_started_twice() -> None:
    couch, cluster = fake_cluster("a", "b", standin=True)
    builders.databases(cluster, "pdfs")
    couch["b"].hold_pulls()

    with pytest.raises(TimedOut):
        Replicator(cluster["b"]).pull(body_of(cluster, LINK), lambda: Orders.GO)

    assert sum(request.path == ("_replicate",) for request in couch.requests) == 1
    couch["b"].let_pulls_go()


def test_requests_of_a_pull_are_short_where_they_can_be_joined() -> None:
    assert module.JOIN_EVERY < module.ONE_REQUEST


def test_lists_longer_than_a_page_are_read_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    _, cluster = fake_cluster("a", "b")
    monkeypatch.setattr(module, "PAGE", 7)
    replicator = Replicator(cluster["b"])
    names = [f"db-{i}" for i in range(20)]
    for name in names:
        builders.databases(cluster, name)
    replicator.write([link_of(cluster, name) for name in names])

    found = [row["doc_id"] for row in replicator.documents()]

    assert sorted(found) == sorted(f"nbr:a:b:{name}" for name in names)


def test_continuous_links_are_no_progress_of_one_shot_pulls() -> None:
    couch, cluster = fake_cluster("a", "b")
    builders.databases(cluster, "pdfs")
    replicator = Replicator(cluster["b"])
    replicator.write([link_of(cluster)])

    assert replicator.progress() == {}
    assert len(replicator.documents()) == 1
    assert couch["b"].jobs == {}


def link_of(cluster: Cluster, database: str = "pdfs") -> dict[str, Any]:
    return link_document(Link(database, "a", "b"), cluster["a"].node, cluster["b"].node)


def test_links_are_made_rewritten_and_deleted_many_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    couch, cluster = fake_cluster("a", "b")
    monkeypatch.setattr(module, "WRITE_BATCH", 3)
    replicator = Replicator(cluster["b"])
    names = [f"db-{i}" for i in range(7)]

    assert replicator.write([link_of(cluster, name) for name in names]) == {}
    made = {document["_id"]: document for document in replicator.stored("nbr:")}
    assert len(made) == 7
    changed = [{**document, "_deleted": True} for document in made.values()]
    assert replicator.write(changed[:3]) == {}
    assert replicator.write([{**document, "continuous": False} for document in list(made.values())[3:]]) == {}

    left = list(replicator.stored("nbr:"))
    assert [document["continuous"] for document in left] == [False] * 4
    assert sum(request.path == ("_replicator", "_bulk_docs") for request in couch.requests) == 6


def test_a_link_that_changed_under_our_hands_is_told_and_not_overwritten() -> None:
    _, cluster = fake_cluster("a", "b")
    replicator = Replicator(cluster["b"])
    replicator.write([link_of(cluster)])

    refused = replicator.write([{**link_of(cluster), "continuous": False}, link_of(cluster, "other")])

    assert list(refused) == ["nbr:a:b:pdfs"]
    assert refused["nbr:a:b:pdfs"].startswith("conflict")
    assert [document["continuous"] for document in replicator.stored("nbr:")] == [True, True]


def test_only_documents_of_the_prefix_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    _, cluster = fake_cluster("a", "b")
    replicator = Replicator(cluster["b"])
    database = Database(cluster["b"], "_replicator")
    for identity in ("nbq:x", "nbr", "nbs:x", "zzz"):
        database.put({"_id": identity})
    names = [f"db-{i}" for i in range(5)]
    replicator.write([link_of(cluster, name) for name in names])

    assert [document["_id"] for document in database.documents("nbr:", batch=2)] == [f"nbr:a:b:{n}" for n in names]


def test_a_server_without_a_replicator_database_has_no_links() -> None:
    couch, cluster = fake_cluster("a", "b")
    couch["b"].drop("_replicator")

    assert list(Replicator(cluster["b"]).stored("nbr:")) == []


def test_a_standin_has_no_lists_and_nothing_to_cancel() -> None:
    _, cluster = fake_cluster("a", "b", standin=True)
    replicator = Replicator(cluster["b"])

    with pytest.raises(Unsupported):
        replicator.documents()
    with pytest.raises(Unsupported):
        replicator.cancel(body_of(cluster, LINK))
