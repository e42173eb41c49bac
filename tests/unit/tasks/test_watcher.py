"""The watcher: from a node's feed to a sync on the queue, who leads, and what it survives. Fake nodes, fakeredis."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from embedded.waiting import wait_until
from tasks import watcher as module
from tasks.leader import Leader
from tasks.reconcile import run_reconcile
from tasks.watcher import Watcher
from tests import builders
from tests.fakes.couchdb import FakeCouch
from tests.unit.tasks.world import World, settings
from worker.couch.cluster import Cluster

DEADLINE = 10.0
Start = Callable[[], threading.Event]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its paces are constants of the module, not arguments."""
    for name in ("IDLE", "BEAT_EVERY", "RECONCILE_AFTER", "FIRST_PAUSE"):
        monkeypatch.setattr(module, name, 0.02)


@pytest.fixture
def feeding(world: World, couch: FakeCouch, cluster: Cluster) -> Cluster:
    """A database that travels on change; all nodes have feeds."""
    world.settings = settings(replication_mode="on-change", canary_seconds=0, on_change_debounce_ms=0)
    for node in couch.nodes.values():
        node.create("_global_changes")
    for name in ("pdfs", "other-old"):
        builders.databases(cluster, name)
    run_reconcile(world.parts, cluster)
    world.publisher.sent.clear()
    return cluster


@pytest.fixture
def start(world: World, cluster: Cluster) -> Iterator[Start]:
    """Starts a watcher; all are stopped when the test is over."""
    begun: list[tuple[threading.Event, threading.Thread]] = []

    def run() -> threading.Event:
        stopping = threading.Event()
        thread = threading.Thread(target=Watcher(world.parts, cluster, stopping).run, daemon=True)
        thread.start()
        begun.append((stopping, thread))
        return stopping

    yield run
    for stopping, _ in begun:
        stopping.set()
    for _, thread in begun:
        thread.join(DEADLINE)
        assert not thread.is_alive()


def feeds(world: World) -> dict[str, float | None]:
    """Of the watcher that leads."""
    return next((entry["feeds"] for entry in world.replication.watchers(time.time()).values() if entry["leads"]), {})


def listening(world: World, *names: str) -> bool:
    return wait_until(lambda: all(feeds(world).get(name) for name in names or "abc"), DEADLINE)


def write(couch: FakeCouch, node: str, database: str) -> None:
    with couch.lock:
        couch[node].databases[database].write({"_id": f"doc-{couch[node].databases[database].number}"})


def synced(world: World) -> list[str]:
    return [name for name, _ in world.publisher.changes]


def listens(couch: FakeCouch) -> bool:
    return any(request.params.get("feed") == "continuous" for request in couch.requests)


def hears_of(world: World, database: str) -> bool:
    return wait_until(lambda: database in synced(world), DEADLINE)


def test_what_changes_on_a_node_is_put_on_the_queue(
    world: World, couch: FakeCouch, feeding: Cluster, start: Start
) -> None:
    start()
    assert listening(world)

    write(couch, "b", "pdfs")

    assert hears_of(world, "pdfs")
    assert set(synced(world)) == {"pdfs"}


def test_what_a_feed_says_again_meanwhile_is_one_more_sync_and_not_many(
    world: World, couch: FakeCouch, feeding: Cluster, start: Start
) -> None:
    start()
    assert listening(world)
    for _ in range(20):
        write(couch, "b", "pdfs")
    assert hears_of(world, "pdfs")
    for _ in range(20):
        write(couch, "c", "pdfs")

    assert wait_until(lambda: world.dirty.counts() == {"dirty": 1, "busy": 1}, DEADLINE)
    assert synced(world) == ["pdfs"]


def test_databases_that_are_not_replicated_or_have_links_are_not_marked(
    world: World, couch: FakeCouch, feeding: Cluster, start: Start
) -> None:
    world.settings = settings(
        replication_mode="on-change", canary_seconds=0, on_change_debounce_ms=0, replication_exclude="*-old"
    )
    start()
    assert listening(world)

    write(couch, "a", "other-old")
    write(couch, "a", "pdfs")

    assert hears_of(world, "pdfs")
    assert set(synced(world)) == {"pdfs"}


@pytest.mark.parametrize("happens", ["made", "deleted"])
def test_a_database_that_is_made_or_deleted_is_a_reason_to_reconcile(
    world: World, couch: FakeCouch, feeding: Cluster, start: Start, happens: str
) -> None:
    start()
    assert listening(world)
    assert "reconcile" not in world.publisher.wanted_soon

    with couch.lock:
        if happens == "made":
            couch["c"].create("new")
        else:
            couch["c"].drop("pdfs")

    assert wait_until(lambda: "reconcile" in world.publisher.wanted_soon, DEADLINE)
    assert "pdfs" not in synced(world)


def test_a_feed_that_opens_is_a_reason_for_a_pass(
    world: World, couch: FakeCouch, feeding: Cluster, start: Start
) -> None:
    """What changed before was not heard."""
    start()
    assert listening(world)
    assert wait_until(lambda: "drift" in world.publisher.wanted_soon, DEADLINE)
    world.publisher.wanted_soon.clear()
    couch["b"].fail("refused")
    assert wait_until(lambda: feeds(world).get("b") is None, DEADLINE)
    assert "drift" not in world.publisher.wanted_soon

    couch["b"].heal()

    assert listening(world)
    assert wait_until(lambda: "drift" in world.publisher.wanted_soon, DEADLINE)


def test_what_changes_while_a_feed_is_away_is_told_when_it_is_back(
    world: World, couch: FakeCouch, feeding: Cluster, start: Start
) -> None:
    start()
    assert listening(world)
    write(couch, "b", "pdfs")
    assert hears_of(world, "pdfs")
    couch["b"].fail("refused")
    assert wait_until(lambda: feeds(world).get("b") is None, DEADLINE)
    write(couch, "b", "other-old")
    couch["b"].heal()

    assert hears_of(world, "other-old")


def test_the_database_that_a_feed_needs_is_made(world: World, couch: FakeCouch, feeding: Cluster, start: Start) -> None:
    couch["c"].drop("_global_changes")

    start()

    assert listening(world)
    write(couch, "c", "pdfs")
    assert hears_of(world, "pdfs")


def test_nodes_without_a_feed_are_left_to_the_pass(
    world: World, couch: FakeCouch, standins: Cluster, start: Start
) -> None:
    world.settings = settings(on_change_debounce_ms=0)
    start()

    assert wait_until(
        lambda: any(entry["leads"] for entry in world.replication.watchers(time.time()).values()), DEADLINE
    )
    assert not listens(couch)
    world.dirty.mark(["pdfs"], time.time())
    assert hears_of(world, "pdfs")


def test_before_the_first_reconcile_nothing_is_marked_and_right_after_it_everything(
    world: World, couch: FakeCouch, feeding: Cluster, start: Start
) -> None:
    world.redis.flushall()
    start()
    assert listening(world)
    write(couch, "a", "pdfs")
    assert wait_until(lambda: "drift" in world.publisher.wanted_soon, DEADLINE)
    run_reconcile(world.parts, feeding)

    write(couch, "b", "other-old")

    assert hears_of(world, "other-old")


# --- who leads


def test_one_leads_and_the_others_wait(world: World, couch: FakeCouch, feeding: Cluster, start: Start) -> None:
    other = Leader(world.redis, "watcher", "another process")
    assert other.take()
    start()
    assert wait_until(lambda: len(world.replication.watchers(time.time())) == 1, DEADLINE)
    write(couch, "b", "pdfs")
    world.dirty.mark(["pdfs"], time.time() - 1)

    assert not listens(couch)
    assert synced(world) == []

    other.leave()
    assert listening(world)
    assert hears_of(world, "pdfs")


def test_who_ends_lets_the_next_one_lead_at_once(
    world: World, couch: FakeCouch, feeding: Cluster, start: Start
) -> None:
    stopping = start()
    assert listening(world)

    stopping.set()

    next_one = Leader(world.redis, "watcher", "another process")
    assert wait_until(next_one.take, DEADLINE)
    assert wait_until(lambda: world.replication.watchers(time.time()) == {}, DEADLINE)
    assert time.time() - world.seen.heard.last()["watcher"] < DEADLINE, "it is remembered when one was there"


def test_who_lost_the_lead_marks_nothing_any_more(
    world: World, couch: FakeCouch, feeding: Cluster, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.leader.RENEW_EVERY", 0.02)
    start()
    assert listening(world)
    world.redis.set("nbr:leader:watcher", "another process")
    assert wait_until(lambda: feeds(world) == {}, DEADLINE)

    write(couch, "b", "pdfs")
    world.redis.delete("nbr:leader:watcher")

    assert listening(world)  # it leads again, and a pass finds what it did not hear
    assert "pdfs" not in synced(world)
    assert "drift" in world.publisher.wanted_soon


def test_a_redis_that_is_away_for_a_while_loses_no_event(
    world: World, couch: FakeCouch, feeding: Cluster, start: Start
) -> None:
    start()
    assert listening(world)
    server: Any = world.redis.connection_pool.connection_kwargs["server"]
    server.connected = False
    write(couch, "b", "pdfs")
    until = time.monotonic() + 0.2
    assert wait_until(lambda: time.monotonic() > until, DEADLINE)
    assert synced(world) == []

    server.connected = True

    assert hears_of(world, "pdfs")


def test_a_queue_that_takes_nothing_loses_no_database(
    world: World, couch: FakeCouch, feeding: Cluster, start: Start
) -> None:
    start()
    assert listening(world)
    world.publisher.away = True
    write(couch, "b", "pdfs")
    assert wait_until(lambda: world.dirty.outstanding("pdfs"), DEADLINE)

    assert world.dirty.outstanding("pdfs")  # taken, and its lease will run out
    assert synced(world) == []
