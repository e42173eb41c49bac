"""The jobs that people start: a sync, a set-up and a verify, on a fake cluster and fakeredis."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tasks import replication, verify
from tasks.jobs import Job, Kind, Request
from tasks.works import WORKS
from tests import builders
from tests.builders import Listener
from tests.fakes.couchdb import FakeCouch
from tests.unit.tasks.world import World, job, settings, setup, sync
from worker.couch.cluster import Cluster


def run_setup(world: World, cluster: Cluster, *names: str, **params: Any) -> dict[str, Any]:
    result: dict[str, Any] = WORKS[Kind.SETUP].run(world.parts, cluster, job(setup(*names, **params)), Listener())
    return result


def run_sync(world: World, cluster: Cluster, asked: Job | None = None) -> dict[str, Any]:
    return replication.run_sync(world.parts, cluster, asked or job(sync()), Listener())


def ids(couch: FakeCouch, node: str, name: str = "pdfs") -> set[str]:
    return set(couch[node].databases[name].documents)


def test_a_sync_job_is_a_sync_and_its_sequences_are_kept(world: World, couch: FakeCouch, cluster: Cluster) -> None:
    builders.databases(cluster, "pdfs")["b"].put({"_id": "one"})

    result = run_sync(world, cluster)

    assert result["caught_up"] is True
    assert set(world.seen.syncs()["pdfs"]["sequences"]) == {"a", "b", "c"}
    assert "one" in ids(couch, "c")


def test_a_sync_job_that_left_lag_records_nothing(world: World, couch: FakeCouch, cluster: Cluster) -> None:
    builders.databases(cluster, "pdfs")
    count = iter(range(1_000))

    def keep_writing(request: Any) -> None:
        if request.path == ("pdfs", "_changes"):
            with couch.lock:
                couch["c"].databases["pdfs"].write({"_id": f"late-{next(count)}"})

    couch.on_request = keep_writing

    result = run_sync(world, cluster)

    assert result["caught_up"] is False
    assert world.seen.syncs() == {}


@pytest.mark.parametrize("known", [True, False])
def test_a_database_that_was_set_up_one_way_is_synced_one_way(
    world: World, couch: FakeCouch, cluster: Cluster, known: bool
) -> None:
    """Also before the first reconcile has told Redis what the nodes remember."""
    run_setup(world, cluster, "pdfs", bidirectional=False)
    if known:
        world.replication.save_reconcile({"narrowed": ["pdfs"]})
    databases = builders.databases(cluster, "pdfs")
    databases["a"].put({"_id": "from-a"})
    databases["b"].put({"_id": "from-b"})

    result = run_sync(world, cluster)

    assert result["caught_up"] is True
    assert ids(couch, "a") == {"from-a"}
    assert ids(couch, "b") == {"from-a", "from-b"}


def test_what_was_set_up_one_way_goes_one_way_also_where_nothing_travels_by_itself(
    world: World, couch: FakeCouch, cluster: Cluster
) -> None:
    run_setup(world, cluster, "pdfs", bidirectional=False)
    world.settings = settings(continuous_replication=False)
    builders.databases(cluster, "pdfs")["b"].put({"_id": "from-b"})

    run_sync(world, cluster)

    assert "from-b" not in ids(couch, "a")


def test_a_setup_job_follows_request_and_settings(world: World, couch: FakeCouch, cluster: Cluster) -> None:
    world.settings = settings(replication_topology="star")

    result = run_setup(world, cluster, "pdfs")

    assert sorted(result["databases"]["pdfs"]["links"]["created"]) == ["a -> b", "a -> c", "b -> a", "c -> a"]


def test_what_a_setup_job_made_is_seen_at_once(world: World, couch: FakeCouch, cluster: Cluster) -> None:
    run_setup(world, cluster, "pdfs")

    assert world.seen.database_nodes("pdfs") == ["a", "b", "c"]


def test_a_dry_run_changes_nothing(world: World, couch: FakeCouch, cluster: Cluster) -> None:
    before = {name: set(node.databases) for name, node in couch.nodes.items()}

    result = run_setup(world, cluster, "pdfs", dry_run=True)

    assert result["dry_run"] is True
    assert result["counts"]["databases_created"] == 3
    assert {name: set(node.databases) for name, node in couch.nodes.items()} == before
    assert world.seen.sweep() is None


def test_every_kind_of_job_has_a_way_to_be_done_and_to_be_dropped(world: World, cluster: Cluster) -> None:
    assert set(WORKS) == set(Kind)
    WORKS[Kind.SYNC].abandon(world.parts, cluster, job(sync()))
    WORKS[Kind.SETUP].abandon(world.parts, cluster, job(setup("pdfs")))
    assert WORKS[Kind.VERIFY].abandon(world.parts, cluster, job(verify_request())) == []


def verify_request(*, nodes: list[str] | None = None, repair: bool = False) -> Request:
    return Request(Kind.VERIFY, "pdfs", {"database": "pdfs", "nodes": nodes, "repair": repair})


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
    assert "planted" in ids(couch, "c")
