"""What is kept of each database by node, as sweeps bring it and databases and nodes go."""

from __future__ import annotations

import pytest

from tasks import health
from tasks.figures_seen import NODES, PREFIX, Kept
from tests import builders
from tests.fakes.couchdb import FakeCouch
from tests.unit.tasks.world import NOW, World
from worker.core.figures import Asked, Figures, mark
from worker.core.health import NodeState
from worker.couch.cluster import Cluster
from worker.couch.server import DBS_INFO_BATCH
from worker.ops.node_look import ONE_BY_ONE


def asked(*names: str, gone: tuple[str, ...] = (), last: bool = True) -> Asked:
    found = tuple(Figures(name, 3, 1, 100, 40, "m") for name in names)
    return Asked((*names, *gone), found, last)


def test_figures_come_back_by_node_and_database_with_their_time(world: World) -> None:
    figures = world.seen.figures
    figures.save("a", asked("pdfs", "notes", last=False), ["pdfs", "notes", "later"], NOW)

    kept = Kept(3, 1, 100, 40, "m", NOW)
    assert figures.of("a") == {"pdfs": kept, "notes": kept}
    assert figures.of("a", ["notes", "later"]) == {"notes": kept}
    assert (figures.of("a", []), figures.of("b")) == ({}, {})
    assert kept.fragmentation == 0.6
    assert Kept(3, None, None, None, "m", NOW).fragmentation is None


def test_what_was_dropped_goes_at_once_where_it_was_asked_for_and_else_when_the_round_is_over(world: World) -> None:
    figures = world.seen.figures
    figures.save("a", asked("one", "two", "three"), ["one", "two", "three"], NOW)

    figures.save("a", asked("one", gone=("two",), last=False), ["one"], NOW + 1)
    assert figures.of("a").keys() == {"one", "three"}
    figures.save("a", asked("one"), ["one"], NOW + 2)
    assert figures.of("a").keys() == {"one"}
    assert figures.of("a")["one"].at == NOW + 2


def test_databases_that_nobody_wants_to_know_of_are_not_kept(world: World) -> None:
    world.seen.figures.save("a", asked("_replicator", "pdfs"), ["pdfs"], NOW)

    assert world.seen.figures.of("a").keys() == {"pdfs"}


def test_a_node_that_is_not_configured_any_more_is_forgotten(world: World) -> None:
    for node in ("a", "b"):
        world.seen.figures.save(node, asked("pdfs"), ["pdfs"], NOW)
    world.seen.figures.keep_nodes(["b"])

    assert (world.seen.figures.of("a"), set(world.redis.smembers(NODES))) == ({}, {"b"})
    assert not world.redis.exists(f"{PREFIX}a")
    assert world.seen.figures.of("b").keys() == {"pdfs"}


def test_a_hundred_thousand_databases_take_little_room(world: World) -> None:
    found = Figures("pdfs", 1_234_567, 12_345, 123_456_789_012, 98_765_432_109, mark("1234567-g1AAAACLeJzLYW"))
    world.seen.figures.save("a", Asked(("pdfs",), (found,), last=True), ["pdfs"], 1_795_446_000.123)

    assert len(world.redis.hget(f"{PREFIX}a", "pdfs")) < 90


@pytest.mark.parametrize("row", ["", "[1]", "no JSON", '{"documents": 1}'])
def test_what_another_version_wrote_is_left_out(world: World, row: str) -> None:
    world.redis.hset(f"{PREFIX}a", "pdfs", row)

    assert world.seen.figures.of("a") == {}


# --- as sweeps bring them


def test_sweeps_keep_the_figures_of_a_hundred_databases_each_and_the_nodes_history(
    world: World, couch: FakeCouch, cluster: Cluster
) -> None:
    names = [f"db-{number:03}" for number in range(DBS_INFO_BATCH + 1)]
    for name in names:
        couch["a"].create(name)
    couch["a"].databases["db-000"].write({"_id": "one"})

    health.look_once(world.parts, cluster)
    first = world.seen.figures.of("a")
    health.look_once(world.parts, cluster)

    # CouchDB's own two are asked for, too, before all others, and one of them is kept
    assert sorted(first) == ["_users", *names[: DBS_INFO_BATCH - 2]]
    assert sorted(world.seen.figures.of("a")) == ["_users", *names]
    assert (first["db-000"].documents, first["db-000"].file, first["db-001"].documents) == (1, 5_096, 0)
    couch["a"].drop("db-000")
    for _ in range(2):
        health.look_once(world.parts, cluster)
    assert sorted(world.seen.figures.of("a")) == ["_users", *names[1:]]
    assert [point.state for point in world.seen.history.of("a", 0, float("inf"))][-1] is NodeState.HEALTHY


def test_figures_of_a_node_that_is_away_stay_and_a_look_at_it_alone_loses_none(
    world: World, couch: FakeCouch, cluster: Cluster
) -> None:
    couch["a"].create("pdfs")
    health.look_once(world.parts, cluster)
    couch["a"].fail("refused")
    health.look_once(world.parts, cluster)
    assert world.seen.figures.of("a").keys() == {"_users", "pdfs"}

    couch["a"].heal()
    couch["a"].databases["pdfs"].write({"_id": "one"})
    health.look_once(world.parts, cluster, ["a"])

    assert world.seen.figures.of("a")["pdfs"].documents == 1


def test_a_stand_in_tells_documents_of_a_few_databases_a_sweep_and_no_sizes(world: World) -> None:
    couch, cluster = builders.fake_cluster("a", "b", "c", standin=True)
    names = [f"db-{number:03}" for number in range(ONE_BY_ONE + 1)]
    for name in names:
        couch["a"].create(name)
        couch["a"].databases[name].write({"_id": "one"})

    health.look_once(world.parts, cluster)
    asked_for = [request.path[0] for request in couch.requests if len(request.path) == 1 and request.path[0] in names]
    assert sorted(world.seen.figures.of("a")) == names[:ONE_BY_ONE] == asked_for
    health.look_once(world.parts, cluster)

    figures = world.seen.figures.of("a")
    assert sorted(figures) == names
    assert {(kept.documents, kept.deleted, kept.file, kept.active) for kept in figures.values()} == {
        (1, None, None, None)
    }
    node = next(node for node in (world.seen.sweep() or {})["nodes"] if node["name"] == "a")
    assert node["disk"] is None
