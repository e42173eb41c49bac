"""Runs that count conflicts: which node, which databases, how far, and what is told meanwhile."""

from __future__ import annotations

import pytest

from tasks import conflicts, health
from tasks.conflicts import run_conflicts
from tasks.conflicts_seen import COUNTS
from tests.fakes.couchdb import FakeCouch
from tests.unit.tasks.world import NOW, World
from worker.core.conflicts import MOST_IDS, Count, Counter
from worker.couch.cluster import Cluster

ONE, TWO = f"1-{'a' * 32}", f"1-{'b' * 32}"


def conflict(couch: FakeCouch, database: str, identity: str, *nodes: str) -> None:
    for node in nodes or couch.nodes:
        if database not in couch[node].databases:
            couch[node].create(database)
        for revision in (ONE, TWO):
            couch[node].databases[database].write_replicated({"_id": identity, "_rev": revision})


def look_and_count(world: World, cluster: Cluster) -> dict[str, int]:
    health.look_once(world.parts, cluster)
    run_conflicts(world.parts, cluster)
    return {name: count.count for name, count in world.seen.conflicts.counts().items()}


def reads(couch: FakeCouch) -> list[tuple[str, str]]:
    """(node, database) of every read of a feed since the last time, and forget them."""
    found = [(request.node, request.path[0]) for request in couch.requests if request.path[1:] == ("_changes",)]
    couch.requests.clear()
    return found


def test_each_database_is_counted_on_the_primary(world: World, couch: FakeCouch, cluster: Cluster) -> None:
    conflict(couch, "pdfs", "one")
    conflict(couch, "notes", "two")
    conflict(couch, "notes", "one")
    couch["b"].create("plain")

    assert look_and_count(world, cluster) == {"notes": 2, "pdfs": 1, "plain": 0}

    assert sorted(set(reads(couch))) == [("a", "notes"), ("a", "pdfs"), ("b", "plain")]
    assert world.seen.conflicts.ids("notes") == ["one", "two"]
    assert world.seen.conflicts.ids("plain") == []


def test_what_has_not_moved_costs_no_call_and_what_has_one(world: World, couch: FakeCouch, cluster: Cluster) -> None:
    conflict(couch, "pdfs", "one")
    conflict(couch, "notes", "one")
    look_and_count(world, cluster)
    reads(couch)
    health.look_once(world.parts, cluster)
    couch.requests.clear()

    run_conflicts(world.parts, cluster)
    assert couch.requests == []

    couch["a"].databases["pdfs"].write({"_id": "one", "_rev": ONE, "_deleted": True})
    assert look_and_count(world, cluster) == {"notes": 1, "pdfs": 0}
    assert reads(couch) == [("a", "pdfs")]
    assert world.seen.conflicts.ids("pdfs") == []


def test_while_its_node_is_away_the_count_stands_until_another_node_was_read_whole(
    world: World, couch: FakeCouch, cluster: Cluster
) -> None:
    conflict(couch, "pdfs", "one")
    conflict(couch, "alone", "one", "a")
    look_and_count(world, cluster)
    before = world.seen.conflicts.counts()
    couch["b"].databases["pdfs"].write({"_id": "one", "_rev": TWO, "_deleted": True})
    couch["a"].fail("refused")

    assert look_and_count(world, cluster) == {"pdfs": 0, "alone": 1}

    after = world.seen.conflicts.counts()
    assert (before["pdfs"].node, after["pdfs"].node) == ("a", "b")
    assert after["alone"] == before["alone"], "with its own time"


def test_no_node_is_called_that_the_last_sweep_did_not_find_well(
    world: World, couch: FakeCouch, cluster: Cluster
) -> None:
    run_conflicts(world.parts, cluster)
    for node in couch.nodes:
        couch[node].fail("refused")
    health.look_once(world.parts, cluster)
    couch.requests.clear()

    run_conflicts(world.parts, cluster)

    assert couch.requests == []


def test_a_node_that_fails_is_left_alone_for_the_rest_of_the_run(
    world: World, couch: FakeCouch, cluster: Cluster
) -> None:
    for name in ("pdfs", "notes", "texts"):
        conflict(couch, name, "one")
    health.look_once(world.parts, cluster)
    couch["a"].fail("refused")

    run_conflicts(world.parts, cluster)
    found = world.seen.conflicts.counts()

    assert {name: count.node for name, count in found.items()} == {"pdfs": "b", "texts": "b"}
    run_conflicts(world.parts, cluster)
    assert world.seen.conflicts.counts().keys() == {"pdfs", "texts"}, "the first one's turn comes again, on a again"


@pytest.mark.parametrize("how", ["500", "403", "html", "strange"])
def test_a_database_that_fails_keeps_no_other_back(world: World, couch: FakeCouch, cluster: Cluster, how: str) -> None:
    conflict(couch, "broken", "one", "a")
    conflict(couch, "pdfs", "one", "a")
    health.look_once(world.parts, cluster)
    couch["a"].fail(how, path="broken")

    run_conflicts(world.parts, cluster)

    assert world.seen.conflicts.counts().keys() == {"pdfs"}


def test_a_run_ends_in_time_and_the_next_one_goes_on_behind_it(
    world: World, couch: FakeCouch, cluster: Cluster
) -> None:
    for name in ("a1", "a2", "a3"):
        conflict(couch, name, "one")
    health.look_once(world.parts, cluster)

    run_conflicts(world.parts, cluster, seconds=0.0)
    assert world.seen.conflicts.counts() == {}
    world.seen.conflicts.save_cursor("a2")
    run = conflicts.Run(world.parts, cluster, {"a": {"uuid": couch["a"].uuid, "kind": "couchdb"}}, over=float("inf"))
    assert list(conflicts._due(run)) == ["a3", "a1", "a2"]


def test_what_no_node_has_any_more_is_forgotten(world: World, couch: FakeCouch, cluster: Cluster) -> None:
    conflict(couch, "pdfs", "one")
    conflict(couch, "notes", "one")
    look_and_count(world, cluster)
    for node in couch.nodes:
        couch[node].drop("pdfs")

    assert look_and_count(world, cluster) == {"notes": 1}
    assert world.seen.conflicts.counters(["pdfs", "notes"]).keys() == {"notes"}
    assert world.seen.conflicts.ids("pdfs") == []


def test_one_that_went_since_the_sweep_is_forgotten(world: World, couch: FakeCouch, cluster: Cluster) -> None:
    conflict(couch, "pdfs", "one", "a")
    look_and_count(world, cluster)
    couch["a"].databases["pdfs"].write({"_id": "more"})
    health.look_once(world.parts, cluster)
    couch["a"].drop("pdfs")

    run_conflicts(world.parts, cluster)

    assert world.seen.conflicts.counts() == {}


def test_a_replaced_server_is_read_from_the_beginning(world: World, couch: FakeCouch, cluster: Cluster) -> None:
    conflict(couch, "pdfs", "one", "a")
    look_and_count(world, cluster)
    couch["a"].uuid = "f" * 32
    run = conflicts.Run(world.parts, cluster, {"a": {"uuid": "f" * 32, "kind": "couchdb"}}, over=float("inf"))

    assert list(conflicts._due(run)) == ["pdfs"]


def test_what_is_told_of_very_many(world: World) -> None:
    ids = frozenset(f"doc-{number:05}" for number in range(MOST_IDS))
    counter = Counter("a", "uuid", None, None, "9-x", ids, more=True, through="m", ended_at=NOW)
    world.seen.conflicts.save("pdfs", counter, whole=True)

    assert world.seen.conflicts.counts(["pdfs", "other"]) == {"pdfs": Count(MOST_IDS, True, NOW, "a", "m")}
    assert world.seen.conflicts.ids("pdfs") == sorted(ids)[:100]
    assert world.seen.conflicts.counters(["pdfs"]) == {"pdfs": counter}


def test_what_another_version_wrote_is_left_out(world: World) -> None:
    world.redis.hset(COUNTS, "pdfs", "[1]")

    assert world.seen.conflicts.counts() == {}


@pytest.mark.parametrize("whole", [True, False])
def test_an_unfinished_count_is_not_told(world: World, whole: bool) -> None:
    counter = Counter("a", "uuid", None, None, "9-x", frozenset({"one"}), through="m", ended_at=NOW)
    world.seen.conflicts.save("pdfs", counter, whole=whole)

    assert (world.seen.conflicts.counts() != {}) is whole


class Brief(conflicts.Run):
    """Its time is over after one look at the clock."""

    looks = 1

    @property
    def left(self) -> bool:
        self.looks -= 1
        return self.looks >= 0


def test_a_look_that_takes_longer_than_a_run_goes_on_in_the_next(world: World, cluster: Cluster) -> None:
    """Else the databases at the end would never be counted."""
    names = [f"d{number:04}" for number in range(conflicts.WINDOW + 1)]
    world.seen.save_sweep({"observed_at": NOW, "cluster": "healthy", "nodes": []}, {name: ["a"] for name in names})
    assert list(conflicts._due(Brief(world.parts, cluster, {}, over=0.0))) == []
    assert world.seen.conflicts.cursor() == names[conflicts.WINDOW - 1]


def test_one_bad_look_at_its_node_throws_no_count_away(world: World, couch: FakeCouch, cluster: Cluster) -> None:
    conflict(couch, "pdfs", "one")
    look_and_count(world, cluster)
    sweep = world.seen.sweep()
    assert sweep is not None
    for node in sweep["nodes"]:
        node["state"] = "suspect" if node["name"] == "a" else node["state"]
    world.seen.save_sweep(sweep, {"pdfs": ["a", "b"]})
    couch["a"].databases["pdfs"].write({"_id": "two"})
    couch.requests.clear()

    run_conflicts(world.parts, cluster)

    assert reads(couch) == []
    assert world.seen.conflicts.counters(["pdfs"])["pdfs"].node == "a"


def test_by_a_sweep_of_long_ago_nothing_is_counted(world: World, couch: FakeCouch, cluster: Cluster) -> None:
    conflict(couch, "pdfs", "one")
    health.look_once(world.parts, cluster)
    sweep = world.seen.sweep()
    assert sweep is not None
    world.seen.save_sweep({**sweep, "observed_at": sweep["observed_at"] - 86_400}, None)
    couch.requests.clear()

    run_conflicts(world.parts, cluster)

    assert couch.requests == []
