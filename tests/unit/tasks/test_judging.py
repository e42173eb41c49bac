"""What is remembered of nodes decides what is said of them: on a fake cluster and fakeredis."""

from __future__ import annotations

from typing import Any

import pytest

from tasks import health
from tasks.events import EventFilter
from tasks.reconcile import run_reconcile, run_setup
from tests.fakes.couchdb import FakeCouch
from tests.unit.tasks.world import World, job, settings, setup
from worker.core.health import Payment
from worker.core.names import OWN_DATABASE
from worker.core.register import from_json
from worker.couch.cluster import Cluster
from worker.ops.control import Unattended

COPY = "_local/nodes"


def state(world: World, name: str = "b") -> str:
    return str(node(world, name)["state"])


def node(world: World, name: str = "b") -> dict[str, Any]:
    sweep = world.seen.sweep()
    assert sweep is not None
    return next(node for node in sweep["nodes"] if node["name"] == name)


def sweeps(world: World, cluster: Cluster, count: int = 1) -> None:
    for _ in range(count):
        health.look_once(world.parts, cluster)


@pytest.fixture
def known(world: World, couch: FakeCouch, cluster: Cluster) -> Cluster:
    """A cluster that was set up, and whose nodes remember each other."""
    couch["a"].create("pdfs")
    sweeps(world, cluster)
    run_setup(world.parts, cluster, job(setup("pdfs")), Unattended())
    sweeps(world, cluster, 2)
    assert {state(world, name) for name in "abc"} == {"healthy"}
    assert all(COPY in couch[name].databases[OWN_DATABASE].local for name in "abc")
    return cluster


def empty(couch: FakeCouch, name: str) -> None:
    for database in list(couch[name].databases):
        if not database.startswith("_"):
            couch[name].drop(database)


def go_away_and_come_back(world: World, couch: FakeCouch, cluster: Cluster, name: str = "b") -> None:
    couch[name].fail("refused")
    sweeps(world, cluster, 3)
    assert state(world, name) == "down"
    couch[name].heal()


def test_a_new_cluster_is_healthy_at_once_and_also_who_answers_a_moment_later(
    world: World, couch: FakeCouch, cluster: Cluster
) -> None:
    couch["c"].fail("refused")
    sweeps(world, cluster)
    couch["c"].heal()
    for name in "ab":
        couch[name].create(OWN_DATABASE)
    sweeps(world, cluster, 2)

    assert {state(world, name) for name in "abc"} == {"healthy"}


def test_a_node_that_is_added_is_set_up_from_nothing(world: World, couch: FakeCouch, cluster: Cluster) -> None:
    sweeps(world, cluster.only(["a", "b"]))

    sweeps(world, cluster)

    assert node(world, "c")["reason"] == "a node that is new here; to be set up from nothing"
    assert state(world, "c") == "replaced"


def test_an_emptied_node_is_replaced_and_what_was_seen_is_told_to_the_end(
    world: World, couch: FakeCouch, known: Cluster
) -> None:
    go_away_and_come_back(world, couch, known)
    empty(couch, "b")
    sweeps(world, known)
    run_reconcile(world.parts, known)
    couch["b"].create(OWN_DATABASE)  # the traces are gone
    sweeps(world, known, 2)

    assert state(world) == "replaced"
    assert node(world)["failure"] == "replaced"
    assert node(world)["reason"].startswith("it was emptied: our own database is gone from it; ")


def test_a_set_up_that_is_quicker_than_the_sweep_hides_nothing(world: World, couch: FakeCouch, known: Cluster) -> None:
    go_away_and_come_back(world, couch, known)
    empty(couch, "b")
    couch["b"].create(OWN_DATABASE)

    sweeps(world, known, 2)

    assert state(world) == "replaced"


def test_another_uuid_with_all_data_is_a_lost_configuration_and_without_it_another_server(
    world: World, couch: FakeCouch, known: Cluster
) -> None:
    couch["b"].uuid = couch["c"].uuid = "another"
    empty(couch, "c")

    sweeps(world, known)

    assert state(world) == "recovering"
    assert node(world)["reason"].startswith("answers with another uuid (another, it was uuid-of-b); ")
    assert state(world, "c") == "replaced"


def test_a_payment_of_long_ago_does_not_let_in_an_empty_machine(world: World, couch: FakeCouch, known: Cluster) -> None:
    go_away_and_come_back(world, couch, known, "c")
    sweeps(world, known, 2)
    world.seen.pay("c", Payment(node(world, "c")["verdict"]["debt_at"]))
    sweeps(world, known)
    assert state(world, "c") == "healthy"
    sweeps(world, known.only(["a", "b"]))  # it is taken out of REPLICATION_NODES, and a new machine put in
    empty(couch, "c")
    couch["c"].uuid = "new-machine"

    sweeps(world, known, 3)

    assert state(world, "c") == "replaced"


def test_copies_are_merged_as_nodes_answer_and_never_overwritten_unread(
    world: World, couch: FakeCouch, known: Cluster
) -> None:
    couch["a"].fail("refused")
    sweeps(world, known, 3)
    world.seen.take_out("c", True, 5.0)  # a does not hear of it
    sweeps(world, known)
    world.redis.flushall()
    couch["a"].heal()
    couch["b"].fail("refused")
    couch["c"].fail("refused")
    sweeps(world, known)
    couch["b"].heal()
    couch["c"].heal()
    couch["b"].fail("500", path="nodes", times=1)  # its copy cannot be read at once

    sweeps(world, known, 4)

    assert state(world, "c") == "maintenance"


def test_copies_that_cannot_be_read_are_no_first_start(world: World, couch: FakeCouch, known: Cluster) -> None:
    go_away_and_come_back(world, couch, known)
    sweeps(world, known, 2)
    assert state(world) == "recovering"
    world.redis.flushall()
    for name in "abc":
        couch[name].fail("500", path="nodes", times=1)

    sweeps(world, known, 3)

    assert state(world) == "recovering"


def test_of_a_single_node_nothing_is_to_be_waited_for(world: World, couch: FakeCouch, cluster: Cluster) -> None:
    world.settings = settings(replication_nodes="")
    alone = cluster.only(["a"])
    sweeps(world, alone)
    couch["a"].fail("refused")
    sweeps(world, alone, 3)
    couch["a"].heal()

    sweeps(world, alone, 3)

    assert state(world, "a") == "healthy"


def test_what_is_owed_and_who_was_taken_out_outlives_redis(world: World, couch: FakeCouch, known: Cluster) -> None:
    world.seen.take_out("c", True, 5.0)
    go_away_and_come_back(world, couch, known)
    world.redis.flushall()

    sweeps(world, known, 2)

    assert state(world) == "recovering"
    assert state(world, "c") == "maintenance"


def test_redis_lost_in_the_middle_of_a_sweep_hides_no_copy(world: World, couch: FakeCouch, known: Cluster) -> None:
    go_away_and_come_back(world, couch, known)
    handed_out = world.seen.register_copies()
    world.redis.flushall()
    world.seen.save_register_copies(handed_out)  # the sweep that was under way notes whom it has told

    sweeps(world, known, 2)

    assert state(world) == "recovering"


def test_an_emptied_node_is_found_although_redis_was_lost_too(world: World, couch: FakeCouch, known: Cluster) -> None:
    empty(couch, "b")
    world.redis.flushall()

    sweeps(world, known)

    assert state(world) == "replaced"


def test_nodes_that_were_away_are_told_what_was_noted_meanwhile(world: World, couch: FakeCouch, known: Cluster) -> None:
    couch["a"].fail("refused")
    sweeps(world, known, 3)
    world.seen.take_out("c", True, 5.0)
    sweeps(world, known)
    couch["a"].heal()
    sweeps(world, known)

    noted = from_json(couch["a"].databases[OWN_DATABASE].local[COPY]["nodes"])
    assert noted["c"].maintenance is True
    assert noted["a"].owes == "recovering"


def test_where_nothing_is_done_by_itself_nobody_waits_for_it(world: World, couch: FakeCouch, known: Cluster) -> None:
    world.settings = settings(continuous_replication=False)
    world.publisher.sent.clear()

    go_away_and_come_back(world, couch, known)
    sweeps(world, known, 2)

    assert state(world) == "healthy"
    assert world.publisher.sent == []


def test_a_full_disk_shows_only_when_something_is_written(world: World, known: Cluster) -> None:
    failed = {"failure": "disk", "reason": "disk-full: no space", "at": 9e9}
    world.replication.save_canary_write("b", failed)

    sweeps(world, known)

    assert (state(world), node(world)["failure"], node(world)["reason"]) == ("suspect", "disk", "disk-full: no space")


def test_every_change_is_an_event_and_so_is_the_primarys_move(world: World, couch: FakeCouch, known: Cluster) -> None:
    go_away_and_come_back(world, couch, known, "a")
    sweeps(world, known, 2)
    world.seen.pay("a", Payment(node(world, "a")["verdict"]["debt_at"]))
    sweeps(world, known)

    recorded = world.parts.events.list(EventFilter(), after="0-0").events
    told = [(event.type.value, event.node, event.data.get("from"), event.data.get("to")) for event in recorded]
    assert told == [
        ("node.state", "a", "healthy", "suspect"),
        ("cluster.state", None, "healthy", "degraded"),
        ("node.state", "a", "suspect", "down"),
        ("primary.moved", "b", "a", "b"),
        ("node.state", "a", "down", "recovering"),
        ("node.state", "a", "recovering", "healthy"),
        ("cluster.state", None, "degraded", "healthy"),
        ("primary.moved", "a", "b", "a"),
    ]


def test_nodes_in_doubt_are_looked_at_again_before_the_next_sweep(
    world: World, couch: FakeCouch, cluster: Cluster
) -> None:
    sweeps(world, cluster)
    couch["b"].fail("refused")
    paused: list[float] = []

    health.run_sweep(world.parts, cluster, paused.append)

    assert state(world) == "down", "three looks, in one interval"
    assert paused == [health.LOOK_AGAIN] * 2
    looks = [request for request in couch.requests if request.node == "a" and request.path == ("_up",)]
    assert len(looks) == 2, "the others were looked at once a sweep"
