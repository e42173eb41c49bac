"""What a sweep leaves behind of each node's work, and what the next one takes up."""

from __future__ import annotations

import json
from typing import Any

from tasks import health
from tests.fakes.couchdb import FakeCouch
from tests.unit.tasks.world import World, settings
from worker.couch.cluster import Cluster
from worker.couch.server import DBS_INFO_BATCH


def swept(world: World, cluster: Cluster, name: str) -> dict[str, Any]:
    health.look_once(world.parts, cluster)
    found = next(node for node in (world.seen.sweep() or {})["nodes"] if node["name"] == name)
    assert isinstance(found, dict)
    return found


def test_a_nodes_work_is_kept_with_it(world: World, cluster: Cluster) -> None:
    node = swept(world, cluster, "a")

    assert (node["failure"], node["uptime_seconds"], node["kind"]) == (None, 3_600, "couchdb")
    assert node["active_tasks"] == {"counts": {}, "slowest": None}
    assert node["replication_jobs"]["total"] == 0
    assert node["load"]["run_queue"] == 3
    assert node["system_databases_missing"] == ["_global_changes"]
    assert node["disk"]["databases"] == 2
    json.dumps(node)


def test_a_round_of_sizes_goes_on_from_sweep_to_sweep(world: World, couch: FakeCouch, cluster: Cluster) -> None:
    for number in range(DBS_INFO_BATCH + 1):
        couch["a"].create(f"db-{number:03}")

    assert swept(world, cluster, "a")["disk"] is None
    assert swept(world, cluster, "a")["disk"]["databases"] == len(couch["a"].databases)
    couch["a"].fail("refused")
    away = swept(world, cluster, "a")
    assert away["failure"] == "refused"
    assert away["disk"]["databases"] == len(couch["a"].databases), "with the time at which it was known"


def test_a_record_of_an_earlier_version_is_no_hindrance(world: World, cluster: Cluster) -> None:
    node = swept(world, cluster, "a")
    record = world.seen.sweep() or {}
    for kept in record["nodes"]:
        del kept["disk_round"], kept["disk"]
    world.seen.save_sweep(record, None)

    assert swept(world, cluster, "a")["disk"]["databases"] == node["disk"]["databases"]


def test_how_slow_is_slow_is_a_setting(couch: FakeCouch, cluster: Cluster) -> None:
    world = World(settings(health_slow_ms=1))
    couch.on_request = lambda request: None if request.path else slowly()

    assert swept(world, cluster, "a")["failure"] == "slow"


def slowly() -> None:
    sum(range(1_000_000))  # some milliseconds of work
