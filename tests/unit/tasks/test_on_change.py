"""Syncs of what changed, from the periodic pass to the end of a sync, on a fake cluster and fakeredis."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from tasks import on_change
from tasks.dirty import START_LEASE, DirtySet
from tasks.reconcile import run_reconcile
from tests import builders
from tests.fakes.couchdb import FakeCouch, Request
from tests.unit.tasks.world import World, settings
from worker.core.names import OWN_DATABASE
from worker.couch.cluster import Cluster

REPLICATE = ("_replicate",)
ON_CHANGE = {"replication_mode": "on-change", "canary_seconds": 0}


@pytest.fixture
def changing(world: World, couch: FakeCouch, cluster: Cluster) -> Cluster:
    """Two databases on all nodes, which travel on change."""
    world.settings = settings(**ON_CHANGE)
    for name in ("still", "moved"):
        builders.databases(cluster, name)
    run_reconcile(world.parts, cluster)
    world.publisher.sent.clear()
    return cluster


def work_off(world: World, cluster: Cluster, stopping: threading.Event | None = None) -> list[str]:
    """Run what is on the queue until there is nothing left, as workers do. Returns the databases, in their order."""
    done = []
    while world.publisher.changes:
        database, token = world.publisher.changes.pop(0)
        on_change.run_on_change(world.parts, cluster, database, token, stopping or threading.Event())
        done.append(database)
    return done


def in_step(world: World, cluster: Cluster) -> None:
    on_change.run_pass(world.parts, cluster)
    work_off(world, cluster)


def mark_and_run(world: World, cluster: Cluster, *names: str) -> None:
    """Mark them as changed long ago, and work them off."""
    world.dirty.mark(names, time.time() - 60)
    on_change.dispatch(world.parts, time.time())
    work_off(world, cluster)


def pulls(couch: FakeCouch) -> int:
    return sum(request.path == REPLICATE for request in couch.requests)


def write(couch: FakeCouch, node: str, database: str, identity: str = "one") -> None:
    couch[node].databases[database].write({"_id": identity})


# --- the pass


def test_the_pass_has_what_differs_synced_and_only_that(world: World, couch: FakeCouch, changing: Cluster) -> None:
    on_change.run_pass(world.parts, changing)
    assert sorted(work_off(world, changing)) == ["moved", "still"]  # nobody knows of an earlier sync

    on_change.run_pass(world.parts, changing)
    assert world.publisher.changes == []

    write(couch, "b", "moved")
    on_change.run_pass(world.parts, changing)
    assert work_off(world, changing) == ["moved"]
    assert all("one" in couch[node].databases["moved"].documents for node in "abc")
    found = world.seen.last_pass()
    assert found is not None
    assert (list(found["changed"]), found["in_step_count"], found["lag"]["moved"]["b"]) == (["moved"], 1, 1)


def test_stand_ins_are_kept_in_step_by_the_pass_alone(world: World, couch: FakeCouch, standins: Cluster) -> None:
    builders.databases(standins, "pdfs")
    run_reconcile(world.parts, standins)
    write(couch, "c", "pdfs")

    in_step(world, standins)

    assert all("one" in couch[node].databases["pdfs"].documents for node in "abc")
    on_change.run_pass(world.parts, standins)
    assert world.publisher.changes == []


def test_what_redis_has_forgotten_is_found_by_the_pass(world: World, couch: FakeCouch, changing: Cluster) -> None:
    in_step(world, changing)
    write(couch, "a", "moved")
    world.dirty.mark(["moved"], time.time())
    world.redis.flushall()
    run_reconcile(world.parts, changing)

    in_step(world, changing)

    assert "one" in couch["c"].databases["moved"].documents


@pytest.mark.parametrize("more", [{"replication_mode": "continuous"}, {"continuous_replication": False}])
def test_where_nothing_travels_on_change_the_pass_marks_nothing(
    world: World, couch: FakeCouch, cluster: Cluster, more: dict[str, Any]
) -> None:
    world.settings = settings(canary_seconds=0, **more)
    builders.databases(cluster, "pdfs")
    run_reconcile(world.parts, cluster)

    on_change.run_pass(world.parts, cluster)

    assert world.publisher.changes == []


def test_before_the_first_reconcile_the_pass_does_nothing(world: World, couch: FakeCouch, cluster: Cluster) -> None:
    world.settings = settings(**ON_CHANGE)
    builders.databases(cluster, "pdfs")

    on_change.run_pass(world.parts, cluster)

    assert world.publisher.changes == []
    assert world.seen.last_pass() is None


def test_the_pass_leaves_alone_what_is_not_selected(world: World, couch: FakeCouch, cluster: Cluster) -> None:
    world.settings = settings(**ON_CHANGE, replication_exclude="*-old")
    for name in ("pdfs", "pdfs-old", OWN_DATABASE):
        builders.databases(cluster, name)
    run_reconcile(world.parts, cluster)

    on_change.run_pass(world.parts, cluster)

    assert [name for name, _ in world.publisher.changes] == ["pdfs"]


def test_our_own_database_travels_too_where_the_canary_needs_it(
    world: World, couch: FakeCouch, cluster: Cluster
) -> None:
    world.settings = settings(replication_mode="on-change", canary_seconds=60)
    builders.databases(cluster, OWN_DATABASE)
    run_reconcile(world.parts, cluster)

    on_change.run_pass(world.parts, cluster)

    assert [name for name, _ in world.publisher.changes] == [OWN_DATABASE]


def test_no_more_are_put_on_the_queue_than_may_run_at_once(world: World, couch: FakeCouch, cluster: Cluster) -> None:
    world.settings = settings(**ON_CHANGE, on_change_concurrency=2)
    names = [f"db-{number}" for number in range(7)]
    for name in names:
        builders.databases(cluster, name)
    run_reconcile(world.parts, cluster)

    on_change.run_pass(world.parts, cluster)

    assert len(world.publisher.changes) == 2
    # who ends one puts the next on the queue: nobody else has to be there
    assert sorted(work_off(world, cluster)) == names
    assert world.dirty.counts() == {"dirty": 0, "busy": 0}


# --- one sync


def test_an_echo_ends_without_a_pull(world: World, couch: FakeCouch, changing: Cluster) -> None:
    """What a sync wrote moves the targets' sequences, and the feeds tell of it."""
    in_step(world, changing)
    write(couch, "b", "moved")
    mark_and_run(world, changing, "moved")
    before = pulls(couch)

    mark_and_run(world, changing, "moved")

    assert pulls(couch) == before
    assert world.dirty.counts() == {"dirty": 0, "busy": 0}


def test_a_database_is_not_made_where_it_was_deleted(world: World, couch: FakeCouch, changing: Cluster) -> None:
    couch["b"].drop("moved")
    write(couch, "a", "moved")

    mark_and_run(world, changing, "moved")

    assert "moved" not in couch["b"].databases
    assert "one" in couch["c"].databases["moved"].documents


def test_a_database_that_goes_one_way_is_synced_one_way(
    world: World, couch: FakeCouch, cluster: Cluster, tmp_path: Any
) -> None:
    rules = tmp_path / "rules.yml"
    rules.write_text("rules:\n  - databases: moved\n    direction: one-way\n    mode: on-change\n")
    world.settings = settings(canary_seconds=0, replication_rules=rules)
    builders.databases(cluster, "moved")
    run_reconcile(world.parts, cluster)
    write(couch, "a", "moved", "from-a")
    write(couch, "b", "moved", "from-b")

    mark_and_run(world, cluster, "moved")

    assert set(couch["a"].databases["moved"].documents) == {"from-a"}
    assert set(couch["c"].databases["moved"].documents) == {"from-a"}
    on_change.run_pass(world.parts, cluster)
    assert world.publisher.changes == []


@pytest.mark.parametrize("left_on", ["", "a"])
def test_a_database_that_has_no_second_node_is_no_failure_and_not_tried_again(
    world: World, couch: FakeCouch, changing: Cluster, left_on: str
) -> None:
    for node in "abc":
        if node != left_on:
            couch[node].drop("moved")

    mark_and_run(world, changing, "moved")

    assert world.replication.on_change_failures() == {}
    assert world.dirty.counts() == {"dirty": 0, "busy": 0}


def test_a_failure_is_told_and_tried_again_later_and_later(world: World, couch: FakeCouch, changing: Cluster) -> None:
    write(couch, "a", "moved")
    for node in "bc":
        couch[node].fail("refused")
    pauses = []
    for _ in range(4):
        began = time.time()
        mark_and_run(world, changing, "moved")
        again_at = world.redis.zscore("nbr:on-change:dirty", "moved")
        assert again_at is not None
        pauses.append(round(float(again_at) - began))
        world.redis.delete("nbr:on-change:dirty")

    assert pauses == [2, 4, 8, 16]
    told = world.replication.on_change_failures()["moved"]
    assert told["type"] == "not-enough-nodes"
    assert "no answer of b, c" in told["detail"]


def test_a_refused_document_is_told_and_slows_nothing(world: World, couch: FakeCouch, changing: Cluster) -> None:
    write(couch, "a", "moved")
    couch["b"].refuses = lambda document: document["_id"] == "one"

    mark_and_run(world, changing, "moved")

    told = world.replication.on_change_failures()["moved"]
    assert told["type"] == "documents-refused"
    assert "lacks 1 of a" in told["detail"]
    assert world.redis.zscore("nbr:on-change:dirty", "moved") is None, "all that could move has moved"
    assert world.dirty.failures("moved") == 0

    couch["a"].databases["moved"].write({"_id": "two"})
    compared = calls(couch, "_revs_diff")
    mark_and_run(world, changing, "moved")

    assert "two" in couch["b"].databases["moved"].documents, "the next change is as quick as ever"
    assert world.replication.on_change_failure("moved") == "documents-refused", "and what is missing stays told"
    assert calls(couch, "_revs_diff") == compared, "without comparing every document at every change"


def calls(couch: FakeCouch, path: str) -> int:
    return sum(path in request.path for request in couch.requests)


def test_what_is_not_wanted_any_more_is_not_synced(world: World, couch: FakeCouch, changing: Cluster) -> None:
    write(couch, "a", "moved")
    world.settings = settings(replication_exclude="moved")
    couch.requests.clear()

    mark_and_run(world, changing, "moved")

    assert couch.requests == []
    assert world.dirty.counts() == {"dirty": 0, "busy": 0}


def test_while_a_node_does_not_answer_nothing_counts_as_an_echo(
    world: World, couch: FakeCouch, changing: Cluster
) -> None:
    in_step(world, changing)
    couch["b"].databases["still"].write({"_id": "new"})
    couch["b"].fail("500", path="still", times=1)

    mark_and_run(world, changing, "still")

    assert "new" in couch["a"].databases["still"].documents


def test_a_defect_of_ours_is_told_and_backs_off(world: World, couch: FakeCouch, changing: Cluster) -> None:
    write(couch, "a", "moved")

    def broken(request: object) -> None:
        raise KeyError("a defect")

    couch.on_request = broken
    mark_and_run(world, changing, "moved")

    assert world.replication.on_change_failures()["moved"]["type"] == "internal"
    assert world.dirty.failures("moved") == 1


def test_a_failure_is_forgotten_when_the_database_is_in_step_again(
    world: World, couch: FakeCouch, changing: Cluster
) -> None:
    write(couch, "a", "moved")
    couch["a"].fail("500", path="_replicate")
    mark_and_run(world, changing, "moved")
    assert world.replication.on_change_failure("moved") == "server-fault"
    couch["a"].heal()
    world.redis.delete("nbr:on-change:dirty")

    mark_and_run(world, changing, "moved")

    assert world.replication.on_change_failures() == {}
    assert world.dirty.failures("moved") == 0


@pytest.mark.parametrize("database", ["still", "gone"])
def test_the_pass_forgets_failures_of_what_is_in_step_or_gone(
    world: World, couch: FakeCouch, changing: Cluster, database: str
) -> None:
    in_step(world, changing)
    world.replication.on_change_failed(database, "unreachable", "no", 0)
    couch["c"].fail("refused")
    on_change.run_pass(world.parts, changing)
    couch["c"].heal()

    on_change.run_pass(world.parts, changing)

    assert world.replication.on_change_failures() == {}


def test_a_database_that_is_written_to_all_the_time_is_looked_at_once_more_later(
    world: World, couch: FakeCouch, changing: Cluster
) -> None:
    numbers = iter(range(1_000))

    def keep_writing(request: Request) -> None:
        if request.path == ("moved", "_changes"):
            with couch.lock:
                write(couch, "c", "moved", f"late-{next(numbers)}")

    couch.on_request = keep_writing
    world.dirty.mark(["moved"], time.time() - 60)
    on_change.dispatch(world.parts, time.time())
    (taken,) = world.publisher.changes
    world.publisher.changes.clear()
    on_change.run_on_change(world.parts, changing, *taken, threading.Event())

    assert world.publisher.changes == []  # not at once
    assert world.dirty.counts() == {"dirty": 1, "busy": 0}
    assert world.replication.on_change_failures() == {}
    assert "moved" not in world.seen.syncs()


# --- who may do it


def test_a_sync_that_is_another_workers_now_is_not_begun(world: World, couch: FakeCouch, changing: Cluster) -> None:
    world.dirty.mark(["moved"], time.time() - 2 * START_LEASE)
    on_change.dispatch(world.parts, time.time() - START_LEASE - 1)
    on_change.dispatch(world.parts, time.time())
    (first, second) = world.publisher.changes
    assert first[0] == second[0] == "moved"

    on_change.run_on_change(world.parts, changing, *first, threading.Event())
    assert pulls(couch) == 0
    on_change.run_on_change(world.parts, changing, *second, threading.Event())
    assert pulls(couch) > 0


def test_a_worker_that_shuts_down_takes_nothing_new(world: World, couch: FakeCouch, changing: Cluster) -> None:
    stopping = threading.Event()
    stopping.set()
    world.dirty.mark(["moved"], time.time() - 60)
    on_change.dispatch(world.parts, time.time())
    (taken,) = world.publisher.changes

    on_change.run_on_change(world.parts, changing, *taken, stopping)

    assert pulls(couch) == 0


def test_a_worker_that_shuts_down_in_the_middle_gives_the_database_back(
    world: World, couch: FakeCouch, changing: Cluster
) -> None:
    stopping = threading.Event()
    write(couch, "a", "moved")
    _once(couch, lambda request: request.path == REPLICATE, stopping.set)
    world.dirty.mark(["moved"], time.time() - 60)
    on_change.dispatch(world.parts, time.time())
    (taken,) = world.publisher.changes

    on_change.run_on_change(world.parts, changing, *taken, stopping)

    assert world.dirty.counts() == {"dirty": 1, "busy": 0}
    assert world.replication.on_change_failures() == {}
    assert world.publisher.changes == [taken]  # it dispatches nothing any more


class LostAtTheEnd(DirtySet):
    """Its lease runs out, and another worker has the database, just before a sync says that it has ended."""

    def carrying_since(self, database: str) -> float | None:
        since = super().carrying_since(database)
        assert self.take(time.time() + 2 * START_LEASE, 0, 1)
        return since


@pytest.mark.parametrize(("lost", "counted"), [(False, 1), (True, 0)], ids=["still-ours", "another-workers"])
def test_how_long_a_change_took_is_counted_by_whoever_has_the_database(
    world: World, couch: FakeCouch, changing: Cluster, lost: bool, counted: int
) -> None:
    in_step(world, changing)
    before = world.tallies.read().delays.total
    if lost:
        world.dirty = LostAtTheEnd(world.redis, world.lease_seconds)
    write(couch, "a", "moved")

    mark_and_run(world, changing, "moved")

    assert "one" in couch["c"].databases["moved"].documents
    assert world.tallies.read().delays.total - before == counted


def _once(couch: FakeCouch, when: Callable[[Request], bool], then: Callable[[], object]) -> None:
    done: list[Request] = []

    def look(request: Request) -> None:
        if not done and when(request):
            done.append(request)
            then()

    couch.on_request = look


def test_a_hung_node_costs_an_echo_no_more_than_a_look(world: World, couch: FakeCouch, changing: Cluster) -> None:
    in_step(world, changing)
    asked: list[float] = []
    send = couch.send

    def remember(method: str, url: str, **options: Any) -> Any:
        if url.endswith("/moved"):
            asked.append(options["timeouts"].read)
        return send(method, url, **options)

    couch.send = remember  # type: ignore[method-assign]
    mark_and_run(world, changing, "moved")

    assert asked
    assert max(asked) <= 10
