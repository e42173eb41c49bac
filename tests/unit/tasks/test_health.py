"""The sweep, the look for one database, and the reaper, on a fake cluster and fakeredis."""

from __future__ import annotations

from typing import Any

import pytest

from tasks import health
from tasks.jobs import Kind, State
from tasks.look import run_look
from tasks.reap import run_reap
from tests.fakes.couchdb import FakeCouch
from tests.unit.tasks.world import PASSWORD, World, sync
from worker.core.health import Payment
from worker.couch.cluster import Cluster


def seen(world: World) -> dict[str, Any]:
    found = world.seen.sweep()
    assert found is not None
    return found


def pay(world: World, name: str) -> None:
    """What it owes now."""
    debt = next(node["verdict"]["debt_at"] for node in seen(world)["nodes"] if node["name"] == name)
    world.seen.pay(name, Payment(debt))


def test_a_sweep_is_kept_for_everybody(world: World, couch: FakeCouch, cluster: Cluster) -> None:
    couch["a"].create("pdfs")
    couch["b"].create("pdfs")

    health.look_once(world.parts, cluster)

    record = seen(world)
    assert record["cluster"] == "healthy"
    assert [node["name"] for node in record["nodes"]] == ["a", "b", "c"]
    assert all(node["state"] == "healthy" and node["observed_at"] for node in record["nodes"])
    assert world.seen.database_nodes("pdfs") == ["a", "b"]
    assert PASSWORD not in str(record)


def test_a_node_goes_down_after_enough_sweeps_and_comes_back_after_enough(
    world: World, couch: FakeCouch, cluster: Cluster
) -> None:
    def states(sweeps: int) -> list[str]:
        found = []
        for _ in range(sweeps):
            health.look_once(world.parts, cluster)
            found.append(next(node["state"] for node in seen(world)["nodes"] if node["name"] == "b"))
        return found

    assert states(1) == ["healthy"]
    couch["b"].fail("refused")
    assert states(3) == ["suspect", "suspect", "down"]
    assert seen(world)["cluster"] == "degraded"
    couch["b"].heal()
    assert states(2) == ["down", "recovering"]
    assert seen(world)["cluster"] == "degraded"
    rejoin = world.job(world.publisher.sent[0])
    assert (rejoin.kind, rejoin.params) == (Kind.REJOIN, {"node": "b", "asked": False})
    assert states(1) == ["recovering"]
    assert len(world.publisher.sent) == 1, "one at a time"

    pay(world, "b")

    assert states(1) == ["healthy"]
    assert seen(world)["cluster"] == "healthy"


def test_databases_that_nobody_could_list_are_not_forgotten(world: World, couch: FakeCouch, cluster: Cluster) -> None:
    couch["a"].create("pdfs")
    health.look_once(world.parts, cluster)
    for node in couch.nodes.values():
        node.fail("refused")

    health.look_once(world.parts, cluster)

    assert world.seen.database_names() == ["pdfs"]
    assert seen(world)["cluster"] == "degraded"  # one failure is not yet a verdict


def test_a_look_answers_who_asked(world: World, couch: FakeCouch, cluster: Cluster) -> None:
    couch["b"].create("pdfs")
    couch["c"].fail("refused")
    box = world.seen.new_look()

    run_look(world.parts, cluster, "pdfs", box)

    answered = world.seen.await_look(box, 1)
    assert answered is not None
    assert answered["found_on"] == ["b"]
    assert "c" in answered["unreachable"]  # the first that has it is answer enough: a may not have been heard yet
    assert world.seen.database_nodes("pdfs") == ["b"]


def test_lost_messages_are_sent_again_sooner_where_the_queue_is_empty(world: World) -> None:
    lost = world.queued()
    world.redis.zadd("nbr:due:queued", {lost: 1.0})
    world.publisher.depths = {"sync": 5}
    waiting = world.queued(sync("other"))

    run_reap(world.parts)
    assert world.publisher.sent == [lost]  # older than any bound, whatever is on the queue

    run_reap(world.parts)
    assert world.publisher.sent == [lost]
    assert world.seen.last_tick() is not None
    assert world.job(waiting).state is State.QUEUED


def test_a_job_whose_worker_died_is_sent_again(world: World) -> None:
    job_id = world.queued()
    world.store.claim(job_id, "worker-1", 0)
    world.redis.delete(f"nbr:lease:{job_id}", "nbr:lock:database:pdfs")

    run_reap(world.parts)

    assert world.publisher.sent == [job_id]
    assert world.job(job_id).state is State.QUEUED


def test_syncs_of_databases_that_are_gone_are_forgotten_once_all_nodes_say_so(
    world: World, couch: FakeCouch, cluster: Cluster
) -> None:
    couch["a"].create("pdfs")
    world.seen.record_sync("gone", {"a": "1"}, 0)
    couch["b"].fail("refused")
    health.look_once(world.parts, cluster)
    assert "gone" in world.seen.syncs()

    couch["b"].heal()
    health.look_once(world.parts, cluster)

    assert "gone" not in world.seen.syncs()


def test_a_link_that_carries_nothing_degrades_the_cluster(world: World, cluster: Cluster) -> None:
    for broken, wanted in ((0, "healthy"), (1, "degraded")):
        world.replication.save_links({}, {"broken": broken, "lag": {}, "observed_at": 1.0})

        health.look_once(world.parts, cluster)

        assert seen(world)["cluster"] == wanted


@pytest.mark.parametrize("how", ["401", "locked"])
def test_a_password_that_is_refused_is_not_tried_at_every_sweep(
    world: World, couch: FakeCouch, cluster: Cluster, how: str
) -> None:
    """Five failures lock the user out for everybody, the right password included."""
    couch["b"].fail(how)
    health.look_once(world.parts, cluster)
    asked = len([request for request in couch.requests if request.node == "b"])

    health.look_once(world.parts, cluster)

    assert len([request for request in couch.requests if request.node == "b"]) == asked
    told = next(node for node in seen(world)["nodes"] if node["name"] == "b")
    assert told["failures"] == 2
    assert told["reason"].startswith(("unauthorized", "locked-out"))
