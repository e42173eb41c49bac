"""What is remembered of the canary's writes, for whoever judges the nodes."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tasks import canary, health
from tasks.canary import canary_trouble, run_canary
from tests.fakes.couchdb import FakeCouch
from tests.unit.tasks.world import World
from worker.core.health import Failure
from worker.couch.cluster import Cluster
from worker.ops import canary as measuring
from worker.ops.own import ensure_own_database


@pytest.fixture
def measured(world: World, cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> World:
    """All nodes healthy, and nobody who carries anything, so nothing is waited for long."""
    monkeypatch.setattr(canary, "SHORTEST_WAIT", 0.2)
    monkeypatch.setattr(canary, "LONGEST_CANARY", 0.2)
    monkeypatch.setattr(measuring, "CRASH_PAUSE", 0.01)
    for server in cluster.servers.values():
        ensure_own_database(server)
    health.look_once(world.parts, cluster)
    world.replication.save_reconcile({"observed_at": 0})
    return world


def trouble(world: World, node: str, later: float = 0.0) -> tuple[Failure, str] | None:
    return canary_trouble(world.parts, node, time.time() + later)


def test_a_full_disk_is_remembered_until_a_write_is_taken(measured: World, couch: FakeCouch, cluster: Cluster) -> None:
    couch["b"].fail("full-disk", path="canary:b")
    run_canary(measured.parts, cluster)

    found = trouble(measured, "b")
    assert found is not None
    assert found[0] is Failure.DISK
    assert found[1].startswith("disk-full: ")
    assert (trouble(measured, "a"), trouble(measured, "c")) == (None, None)

    couch["b"].heal()
    run_canary(measured.parts, cluster)
    assert trouble(measured, "b") is None


def test_a_node_that_took_no_write_is_asked_again_although_it_is_not_healthy(
    measured: World, couch: FakeCouch, cluster: Cluster
) -> None:
    couch["b"].fail("full-disk", path="canary:b")
    run_canary(measured.parts, cluster)
    record: dict[str, Any] = measured.seen.sweep() or {}
    for node in record["nodes"]:
        node["state"] = "down" if node["name"] == "b" else node["state"]
    measured.seen.save_sweep(record, None)

    couch["b"].heal()
    run_canary(measured.parts, cluster)

    assert trouble(measured, "b") is None


def test_what_was_long_ago_says_nothing_about_now(measured: World, couch: FakeCouch, cluster: Cluster) -> None:
    couch["b"].fail("full-disk", path="canary:b")
    run_canary(measured.parts, cluster)

    assert trouble(measured, "b", later=2.0 * measured.settings.canary_seconds - 5) is not None
    assert trouble(measured, "b", later=2.0 * measured.settings.canary_seconds + 5) is None


@pytest.mark.parametrize("how", ["500", "refused", "403", "401"])
def test_what_a_look_sees_as_well_is_left_to_the_look(
    measured: World, couch: FakeCouch, cluster: Cluster, how: str
) -> None:
    couch["b"].fail(how)
    run_canary(measured.parts, cluster)

    assert (measured.replication.canary_write("b") or {})["reason"]
    assert trouble(measured, "b") is None
