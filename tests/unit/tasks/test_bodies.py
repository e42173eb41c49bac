"""The task bodies: sweep, look, reap, sync, setup, verify and the periodic pass, on a fake cluster and fakeredis."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from tasks import health, replication, verify
from tasks.jobs import Job, Kind, Request, State
from tests import builders
from tests.builders import Listener
from tests.fakes.couchdb import FakeCouch
from tests.unit.tasks.world import PASSWORD, World, settings, sync
from worker.core.health import ClusterState, NodeState, Verdict
from worker.couch.cluster import Cluster


@pytest.fixture
def couch(world: World) -> FakeCouch:
    couch = FakeCouch("a", "b", "c")
    for node in couch.nodes.values():
        node.password = PASSWORD
    return couch


@pytest.fixture
def cluster(world: World, couch: FakeCouch) -> Cluster:
    nodes = Cluster.from_settings(world.settings, couch).servers.values()
    return builders.cluster(couch, [server.node for server in nodes])


def seen(world: World) -> dict[str, Any]:
    found = world.seen.sweep()
    assert found is not None
    return found


def verify_request(*, nodes: list[str] | None = None, repair: bool = False) -> Request:
    return Request(Kind.VERIFY, "pdfs", {"database": "pdfs", "nodes": nodes, "repair": repair})


def job(request: Request) -> Job:
    return Job("id", request.kind, State.RUNNING, request.database, request.params, 0)


def test_a_sweep_is_kept_for_everybody(world: World, couch: FakeCouch, cluster: Cluster) -> None:
    couch["a"].create("pdfs")
    couch["b"].create("pdfs")

    health.run_sweep(world.parts, cluster)

    record = seen(world)
    assert (record["cluster"], record["mode"]) == ("healthy", "continuous")
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
            health.run_sweep(world.parts, cluster)
            found.append(next(node["state"] for node in seen(world)["nodes"] if node["name"] == "b"))
        return found

    assert states(1) == ["healthy"]
    couch["b"].fail("refused")
    assert states(3) == ["suspect", "suspect", "down"]
    assert seen(world)["cluster"] == "degraded"
    couch["b"].heal()
    assert states(2) == ["down", "healthy"]
    assert seen(world)["cluster"] == "healthy"


def test_databases_that_nobody_could_list_are_not_forgotten(world: World, couch: FakeCouch, cluster: Cluster) -> None:
    couch["a"].create("pdfs")
    health.run_sweep(world.parts, cluster)
    for node in couch.nodes.values():
        node.fail("refused")

    health.run_sweep(world.parts, cluster)

    assert world.seen.database_names() == ["pdfs"]
    assert seen(world)["cluster"] == "degraded"  # one failure is not yet a verdict


@pytest.mark.parametrize(
    ("standin", "continuous", "mode"),
    [(False, True, "continuous"), (True, True, "periodic-pass"), (False, False, "off"), (True, False, "off")],
)
def test_the_way_in_force_is_told_with_its_reason(
    world: World, couch: FakeCouch, cluster: Cluster, standin: bool, continuous: bool, mode: str
) -> None:
    world.settings = settings(continuous_replication=continuous)
    for node in couch.nodes.values():
        node.standin = standin

    health.run_sweep(world.parts, cluster)

    assert seen(world)["mode"] == mode
    assert seen(world)["mode_reason"]


def test_before_a_node_has_answered_the_way_in_force_is_unknown(
    world: World, couch: FakeCouch, cluster: Cluster
) -> None:
    for node in couch.nodes.values():
        node.fail("refused")

    health.run_sweep(world.parts, cluster)

    assert seen(world)["mode"] == "unknown"


def test_a_look_answers_who_asked(world: World, couch: FakeCouch, cluster: Cluster) -> None:
    couch["b"].create("pdfs")
    couch["c"].fail("refused")
    box = world.seen.new_look()

    health.run_look(world.parts, cluster, "pdfs", box)

    assert world.seen.await_look(box, 1) == {"found_on": ["b"], "unreachable": ["c"]}
    assert world.seen.database_nodes("pdfs") == ["b"]


def test_lost_messages_are_sent_again_sooner_where_the_queue_is_empty(world: World) -> None:
    lost = world.queued()
    world.redis.zadd("nbr:due:queued", {lost: 1.0})
    world.publisher.depths = {"sync": 5}
    waiting = world.queued(sync("other"))

    health.run_reap(world.parts)
    assert world.publisher.sent == [lost]  # older than any bound, whatever is on the queue

    health.run_reap(world.parts)
    assert world.publisher.sent == [lost]
    assert world.seen.last_tick() is not None
    assert world.job(waiting).state is State.QUEUED


def test_a_job_whose_worker_died_is_sent_again(world: World) -> None:
    job_id = world.queued()
    world.store.claim(job_id, "worker-1", 0)
    world.redis.delete(f"nbr:lease:{job_id}", "nbr:lock:database:pdfs")

    health.run_reap(world.parts)

    assert world.publisher.sent == [job_id]
    assert world.job(job_id).state is State.QUEUED


# --- the jobs


def test_a_sync_job_is_a_sync_and_its_sequences_are_kept(world: World, couch: FakeCouch, cluster: Cluster) -> None:
    builders.databases(cluster, "pdfs")["b"].put({"_id": "one"})

    result = replication.run_sync(world.parts, cluster, job(sync()), Listener())

    assert result["caught_up"] is True
    assert set(world.seen.syncs()["pdfs"]["sequences"]) == {"a", "b", "c"}
    assert "one" in couch["c"].databases["pdfs"].documents


def test_a_sync_job_that_left_lag_records_nothing(world: World, couch: FakeCouch, cluster: Cluster) -> None:
    builders.databases(cluster, "pdfs")
    count = iter(range(1_000))

    def keep_writing(request: Any) -> None:
        if request.params.get("limit") == "0":
            with couch.lock:
                couch["c"].databases["pdfs"].write({"_id": f"late-{next(count)}"})

    couch.on_request = keep_writing

    result = replication.run_sync(world.parts, cluster, job(sync()), Listener())

    assert result["caught_up"] is False
    assert world.seen.syncs() == {}


def test_a_setup_job_follows_request_and_settings(world: World, couch: FakeCouch, cluster: Cluster) -> None:
    world.settings = settings(replication_topology="star")
    request = Request(Kind.SETUP, None, {"databases": ["pdfs"], "bidirectional": True})

    result = replication.run_setup(world.parts, cluster, job(request), Listener())

    assert sorted(result["databases"]["pdfs"]["links"]["created"]) == ["a -> b", "a -> c", "b -> a", "c -> a"]


@pytest.mark.parametrize(("nodes", "equal"), [(None, False), (["a", "b"], False), (["a", "c"], True)])
def test_a_verify_job_compares_the_nodes_it_is_asked_for(
    world: World, cluster: Cluster, nodes: list[str] | None, equal: bool
) -> None:
    builders.databases(cluster, "pdfs")["b"].put({"_id": "planted"})

    result = verify.run_verify(world.parts, cluster, job(verify_request(nodes=nodes)), Listener())

    assert result["equal"] is equal
    assert json.loads(json.dumps(result)) == result


def test_a_verify_job_repairs_where_asked(world: World, couch: FakeCouch, cluster: Cluster) -> None:
    builders.databases(cluster, "pdfs")["b"].put({"_id": "planted"})

    result = verify.run_verify(world.parts, cluster, job(verify_request(repair=True)), Listener())

    assert (result["equal"], result["repaired"]["ids"]) == (True, ["planted"])
    assert "planted" in couch["c"].databases["pdfs"].documents


def test_every_kind_of_job_has_a_way_to_be_done_and_to_be_dropped(cluster: Cluster) -> None:
    assert set(replication.WORKS) == set(Kind)
    replication.WORKS[Kind.SYNC].abandon(cluster, job(sync()))
    replication.WORKS[Kind.SETUP].abandon(cluster, job(sync()))
    assert replication.WORKS[Kind.VERIFY].abandon(cluster, job(verify_request())) == []


# --- the periodic pass


@pytest.fixture
def passing(world: World, couch: FakeCouch, cluster: Cluster) -> Cluster:
    """Stand-ins, swept once: the periodic pass is in force."""
    for node in couch.nodes.values():
        node.standin = True
    for name in ("still", "moved"):
        builders.databases(cluster, name)
    health.run_sweep(world.parts, cluster)
    return cluster


def test_the_pass_syncs_what_changed_and_only_that(world: World, couch: FakeCouch, passing: Cluster) -> None:
    replication.run_drift(world.parts, passing)
    assert len(world.publisher.sent) == 2
    for one in list(world.publisher.sent):
        claimed = world.job(one)
        assert claimed.params["create_missing"] is False
        token = world.store.claim(one, "n", 0).token
        world.store.finish(
            one, token, State.SUCCEEDED, 0, result=replication.run_sync(world.parts, passing, claimed, Listener())
        )
    world.publisher.sent.clear()

    replication.run_drift(world.parts, passing)
    assert world.publisher.sent == []

    couch["b"].databases["moved"].write({"_id": "one"})
    replication.run_drift(world.parts, passing)
    replication.run_drift(world.parts, passing)
    assert [world.job(one).database for one in world.publisher.sent] == ["moved"]
    found = world.seen.last_pass()
    assert found is not None
    assert list(found["changed"]) == ["moved"]
    assert list(found["in_step"]) == ["still"]


def test_syncs_of_databases_that_are_gone_are_forgotten_once_all_nodes_say_so(
    world: World, couch: FakeCouch, passing: Cluster
) -> None:
    world.seen.record_sync("gone", {"a": "1"}, 0)
    couch["b"].fail("refused")
    health.run_sweep(world.parts, passing)
    assert "gone" in world.seen.syncs()

    couch["b"].heal()
    health.run_sweep(world.parts, passing)

    assert "gone" not in world.seen.syncs()


def test_the_links_of_the_pass_say_in_step_or_behind(world: World, couch: FakeCouch, passing: Cluster) -> None:
    world.seen.record_sync("still", passing["a"].sequences(["still"]) and dict.fromkeys("abc", "0"), 0)
    couch["b"].databases["moved"].write({"_id": "one"})
    replication.run_drift(world.parts, passing)

    health.run_sweep(world.parts, passing)

    told = {(link["database"], link["state"], link["lag"]) for link in seen(world)["links"]}
    assert told == {("still", "in-step", 0), ("moved", "behind", None)}
    assert len(seen(world)["links"]) == 12


@pytest.mark.parametrize("mode", ["continuous", "off", None])
def test_where_the_pass_is_not_in_force_it_does_nothing(
    world: World, couch: FakeCouch, cluster: Cluster, mode: str | None
) -> None:
    builders.databases(cluster, "pdfs")
    if mode:
        world.seen.save_sweep({"mode": mode}, {})

    replication.run_drift(world.parts, cluster)

    assert world.publisher.sent == []
    assert world.seen.last_pass() is None


def test_links_of_a_node_that_is_away_are_unknown_and_not_in_step(
    world: World, couch: FakeCouch, passing: Cluster
) -> None:
    replication.run_drift(world.parts, passing)
    couch["b"].fail("refused")

    health.run_sweep(world.parts, passing)

    for link in seen(world)["links"]:
        if "b" in (link["source"], link["target"]):
            assert (link["state"], link["lag"]) == ("unknown", None)
        else:
            assert link["state"] in {"in-step", "behind"}


def test_a_link_that_carries_nothing_degrades_the_cluster() -> None:
    assert health._cluster(verdicts(), []) is ClusterState.HEALTHY
    for state in ("crashing", "failed", "error"):
        assert health._cluster(verdicts(), [{"state": state}]) is ClusterState.DEGRADED
    assert health._cluster(verdicts(), [{"state": "running"}, {"state": "pending"}]) is ClusterState.HEALTHY


def verdicts() -> dict[str, Verdict]:
    return {name: Verdict(name, NodeState.HEALTHY, 0, None, 0, 1) for name in "ab"}


@pytest.mark.parametrize("how", ["401", "locked"])
def test_a_password_that_is_refused_is_not_tried_at_every_sweep(
    world: World, couch: FakeCouch, cluster: Cluster, how: str
) -> None:
    """Five failures lock the user out for everybody, the right password included."""
    couch["b"].fail(how)
    health.run_sweep(world.parts, cluster)
    asked = len([request for request in couch.requests if request.node == "b"])

    health.run_sweep(world.parts, cluster)

    assert len([request for request in couch.requests if request.node == "b"]) == asked
    told = next(node for node in seen(world)["nodes"] if node["name"] == "b")
    assert told["failures"] == 2
    assert told["reason"].startswith(("unauthorized", "locked-out"))


def test_the_pass_goes_on_where_an_equal_request_is_on_its_way(
    world: World, couch: FakeCouch, passing: Cluster
) -> None:
    first = min(name for name in couch["a"].databases if name not in {"_users", "_replicator"})
    world.store.create(replication.sync_request(first, create_missing=False), time.time())  # its API process died

    replication.run_drift(world.parts, passing)

    sent = [world.store.get(job_id) for job_id in world.publisher.sent]
    databases = {job.database for job in sent if job}
    assert first not in databases
    assert databases, "the others are synced"
