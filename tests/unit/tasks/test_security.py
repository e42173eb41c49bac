"""`_security` that differs between nodes: found a few databases at a time, told, never mended."""

from __future__ import annotations

from tasks import health, security
from tests import builders
from tests.fakes.couchdb import FakeCouch
from tests.unit.tasks.world import World, settings
from worker.couch.cluster import Cluster

ANN = {"members": {"names": ["ann"], "roles": []}}


def look(world: World, cluster: Cluster) -> dict[str, list[str]]:
    security.run_security(world.parts, cluster)
    found = world.replication.security()
    assert found is not None
    differing: dict[str, list[str]] = found["differing"]
    return differing


def made(world: World, cluster: Cluster, *names: str) -> None:
    for name in names:
        builders.databases(cluster, name)
    health.look_once(world.parts, cluster)


def asked(couch: FakeCouch) -> set[str]:
    found = {request.path[0] for request in couch.requests if request.path[1:] == ("_security",)}
    couch.requests.clear()
    return found


def test_a_database_whose_security_differs_is_told_with_the_nodes_that_differ(
    world: World, couch: FakeCouch, cluster: Cluster
) -> None:
    made(world, cluster, "pdfs", "same")
    couch["c"].databases["pdfs"].security = ANN

    assert look(world, cluster) == {"pdfs": ["c"]}
    assert couch["a"].databases["pdfs"].security != ANN  # one of the two was meant


def test_what_was_made_equal_again_is_forgotten(world: World, couch: FakeCouch, cluster: Cluster) -> None:
    made(world, cluster, "pdfs")
    couch["c"].databases["pdfs"].security = ANN
    look(world, cluster)
    for node in "ab":
        couch[node].databases["pdfs"].security = {"members": {"roles": [], "names": ["ann"]}, "admins": {}}

    assert look(world, cluster) == {}


def test_a_database_that_is_gone_is_forgotten(world: World, couch: FakeCouch, cluster: Cluster) -> None:
    made(world, cluster, "pdfs", "other")
    couch["c"].databases["pdfs"].security = ANN
    look(world, cluster)
    for node in couch.nodes.values():
        node.drop("pdfs")
    health.look_once(world.parts, cluster)

    assert look(world, cluster) == {}


def test_all_databases_are_looked_at_in_turn_a_few_each_time(world: World, couch: FakeCouch, cluster: Cluster) -> None:
    names = [f"db-{number:03}" for number in range(security.A_TURN * 2 + 1)]
    made(world, cluster, *names)
    couch["b"].databases[names[0]].security = ANN
    couch.requests.clear()
    turns = []
    for _ in range(4):
        assert list(look(world, cluster)) == [names[0]]
        turns.append(asked(couch))

    assert [len(turn) for turn in turns] == [security.A_TURN, security.A_TURN, 1, security.A_TURN]
    assert set().union(*turns[:3]) == set(names)
    assert turns[3] == turns[0]


def test_a_node_that_is_away_is_no_difference(world: World, couch: FakeCouch, cluster: Cluster) -> None:
    made(world, cluster, "pdfs")
    couch["b"].fail("refused")

    assert look(world, cluster) == {}


def test_databases_that_are_not_replicated_are_not_looked_at(world: World, couch: FakeCouch, cluster: Cluster) -> None:
    world.settings = settings(replication_exclude="*-old")
    made(world, cluster, "pdfs", "pdfs-old")
    couch["b"].databases["pdfs-old"].security = ANN
    couch.requests.clear()

    assert look(world, cluster) == {}
    assert asked(couch) == {"pdfs"}


def test_where_nothing_travels_by_itself_nothing_is_looked_at(world: World, couch: FakeCouch, cluster: Cluster) -> None:
    made(world, cluster, "pdfs")
    world.settings = settings(continuous_replication=False)

    security.run_security(world.parts, cluster)

    assert world.replication.security() is None
