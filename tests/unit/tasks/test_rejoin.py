"""From a node that owes something to the job that pays for it: on a fake cluster and fakeredis."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tasks import health
from tasks.away import away
from tasks.events import EventFilter
from tasks.health import look_once
from tasks.jobs import Kind, State
from tasks.reconcile import run_setup
from tasks.rejoin import run_rejoin
from tasks.rejoining import FIRST_PAUSE, ask_for_rejoins, rejoin_request
from tests import builders
from tests.builders import Listener
from tests.fakes.couchdb import FakeCouch
from tests.unit.tasks.world import NOW, World, job, setup
from worker.core.errors import NotCaughtUp, NotFound
from worker.core.health import NodeState, Verdict
from worker.couch.cluster import Cluster
from worker.ops.control import Unattended


@pytest.fixture
def returned(world: World, couch: FakeCouch, cluster: Cluster) -> Cluster:
    """b was down, has come back, and lacks a document."""
    builders.databases(cluster, "pdfs")
    look_once(world.parts, cluster)
    run_setup(world.parts, cluster, job(setup("pdfs")), Unattended())
    world.publisher.on_job = lambda job_id: _set_up(world, cluster, job_id)
    couch["b"].fail("refused")
    for _ in range(3):
        look_once(world.parts, cluster)
    couch["a"].databases["pdfs"].write({"_id": "meanwhile"})
    couch["b"].heal()
    for _ in range(2):
        look_once(world.parts, cluster)
    assert state(world) == "recovering"
    return cluster


def _set_up(world: World, cluster: Cluster, job_id: str) -> None:
    """As another worker does it."""
    asked = world.job(job_id)
    if asked.kind is Kind.SETUP:
        claim = world.store.claim(job_id, "nonce", time.time())
        result = run_setup(world.parts, cluster, asked, Unattended())
        world.store.finish(job_id, claim.token, State.SUCCEEDED, time.time(), result=result)


def state(world: World) -> str:
    sweep = world.seen.sweep()
    assert sweep is not None
    return str(next(node["state"] for node in sweep["nodes"] if node["name"] == "b"))


def run(world: World, cluster: Cluster) -> dict[str, Any]:
    world.settings = world.settings.model_copy(update={"ready_max_lag": 1_000})
    _links_are_looked_at(world)
    return run_rejoin(world.parts, cluster, job(rejoin_request("b", asked=False)), Listener())


def _links_are_looked_at(world: World) -> None:
    """As the control process does when it is asked."""
    world.replication.save_links({}, {"states": {}, "lag": {}, "broken": 0, "observed_at": time.time() + 60})


def told(world: World, kind: str) -> list[str]:
    events = world.parts.events.list(EventFilter(), after="0-0").events
    return [event.detail for event in events if event.type.value == kind]


def test_a_job_is_asked_for_and_brings_it_back(world: World, couch: FakeCouch, returned: Cluster) -> None:
    asked = world.job(world.publisher.sent[-1])
    assert (asked.kind, asked.params) == (Kind.REJOIN, {"node": "b", "asked": False})

    result = run(world, returned)

    assert (result["databases"], result["failed"]) == (1, {})
    assert result["links_caught_up"] is True
    assert "meanwhile" in couch["b"].databases["pdfs"].documents
    assert "sweep" in world.publisher.wanted_soon, "it is let in now, and not at the next sweep"
    look_once(world.parts, returned)
    assert state(world) == "healthy"
    assert len(told(world, "node.rejoined")) == 1


def test_one_that_goes_down_in_the_middle_owes_anew(world: World, couch: FakeCouch, returned: Cluster) -> None:
    def go_down(told: Listener) -> None:
        if "sync" in told.phases and state(world) != "down":
            couch["b"].fail("refused")
            for _ in range(3):
                look_once(world.parts, returned)
            couch["b"].heal()

    listener = Listener(stop_when=go_down)
    _links_are_looked_at(world)
    run_rejoin(world.parts, returned, job(rejoin_request("b", asked=False)), listener)
    for _ in range(4):
        look_once(world.parts, returned)

    assert state(world) == "recovering"


def test_what_failed_is_told_once_and_stands_in_the_verdict(world: World, couch: FakeCouch, returned: Cluster) -> None:
    couch["b"].fail("500", path="pdfs")
    for _ in range(2):
        with pytest.raises(NotCaughtUp):
            run(world, returned)
    look_once(world.parts, returned)

    assert len(told(world, "node.rejoin-failed")) == 1
    sweep = world.seen.sweep()
    assert sweep is not None
    reason = next(node["reason"] for node in sweep["nodes"] if node["name"] == "b")
    assert reason.startswith("was away; could not be brought up to date: 1 of 1 databases are not up to date: pdfs: ")


def test_a_node_that_is_not_configured_any_more_is_an_error(world: World, cluster: Cluster) -> None:
    with pytest.raises(NotFound, match="z is not one of the configured nodes: a, b, c"):
        run_rejoin(world.parts, cluster, job(rejoin_request("z", asked=True)), Listener())


def test_it_is_asked_for_again_later_and_later(world: World) -> None:
    owing = {"b": Verdict("b", NodeState.RECOVERING, debt=NodeState.RECOVERING, debt_at=3.0)}

    def ask(at: float) -> bool:
        """Whether a new job came of it; it ends at once."""
        world.publisher.sent.clear()
        ask_for_rejoins(world.parts, owing, NOW + at)
        for job_id in world.publisher.sent:
            claim = world.store.claim(job_id, "nonce", NOW + at)
            world.store.finish(job_id, claim.token, State.FAILED, NOW + at)
        return bool(world.publisher.sent)

    assert ask(0)
    assert not ask(FIRST_PAUSE - 1)
    assert ask(FIRST_PAUSE)
    assert not ask(2 * FIRST_PAUSE)
    assert ask(3 * FIRST_PAUSE)
    owing["b"] = Verdict("b", NodeState.RECOVERING, debt=NodeState.RECOVERING, debt_at=4.0)
    assert ask(3 * FIRST_PAUSE + 1), "another debt has its own patience"


def test_whoever_asks_there_is_one_job_a_node(world: World) -> None:
    first = world.jobs.submit(rejoin_request("b", asked=False))
    second = world.jobs.submit(rejoin_request("b", asked=True))
    other = world.jobs.submit(rejoin_request("c", asked=True))

    assert (second.job.id, second.reused) == (first.job.id, "deduplicated")
    assert other.job.id != first.job.id


def test_nodes_that_are_down_and_silent_are_left_out(world: World, couch: FakeCouch, cluster: Cluster) -> None:
    look_once(world.parts, cluster)
    couch["b"].fail("refused")
    couch["c"].fail("401")
    for _ in range(3):
        look_once(world.parts, cluster)
    couch.requests.clear()
    parts = world.parts

    found = away(parts, cluster)

    assert list(found) == ["b", "c"]
    assert found["b"].startswith("down since 20")
    assert "unreachable: connection refused" in found["b"]
    assert {request.node for request in couch.requests} == {"b"}, "a refused password is not tried once more"
    couch.requests.clear()
    assert away(parts, cluster) == found
    assert couch.requests == [], "nor is a silent one asked by every job"
    couch["b"].heal()
    parts.probes.clear()
    assert list(away(parts, cluster)) == ["c"], "b answers: the next sweep will see that, too"


def test_the_sweep_has_its_looks_again_bounded(world: World, couch: FakeCouch, cluster: Cluster) -> None:
    world.settings = world.settings.model_copy(update={"health_interval": 1})
    couch["b"].fail("refused")
    paused: list[float] = []

    health.run_sweep(world.parts, cluster, paused.append)

    assert paused == [], "the next sweep is due before that"
