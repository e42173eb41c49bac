"""The scheduled look at what there is, and when it asks for a set-up."""

from __future__ import annotations

from typing import Any

import pytest

from tasks import reconcile
from tasks.jobs import Kind, State
from tasks.store import Filter
from tests import builders
from tests.builders import Listener
from tests.fakes.couchdb import FakeCouch
from tests.unit.tasks.world import PASSWORD, World, job, settings, setup
from worker.core.names import replication_document_id
from worker.couch.cluster import Cluster

LINK = replication_document_id("pdfs", "a", "b")


def look(world: World, cluster: Cluster) -> list[str]:
    """A reconcile; returns the jobs that it asked for."""
    world.publisher.sent.clear()
    reconcile.run_reconcile(world.parts, cluster)
    return list(world.publisher.sent)


def do(world: World, cluster: Cluster, job_id: str) -> dict[str, Any]:
    """Run the job, as a worker does."""
    token = world.store.claim(job_id, "worker", 0).token
    result = reconcile.run_setup(world.parts, cluster, world.job(job_id), Listener())
    world.store.finish(job_id, token, State.SUCCEEDED, 0, result=result)
    return result


def settled(world: World, cluster: Cluster) -> None:
    for job_id in look(world, cluster):
        do(world, cluster, job_id)
    assert look(world, cluster) == []


def record(world: World) -> dict[str, Any]:
    found = world.replication.reconcile()
    assert found is not None
    return found


def end_pause(world: World) -> None:
    """As if the last attempt had been long ago."""
    tried = world.replication.attempt()
    assert tried is not None
    world.replication.save_attempt({**tried, "at": 0})


# --- what is seen


def test_what_was_found_is_kept_for_everybody(world: World, couch: FakeCouch, cluster: Cluster) -> None:
    builders.databases(cluster, "pdfs", ["a"])

    look(world, cluster)

    found = record(world)
    assert (found["automatic"], found["mode"], found["schedulers"]) == ("continuous", "continuous", True)
    assert (found["modes"], found["narrowed"], found["removed"]) == ({"continuous": 2}, [], {})  # pdfs and our own
    assert found["reason"].startswith("auto: 4 replication jobs on a fit: 250 of its max_jobs")
    assert found["configuration"]["c"]["startup_jitter"] == "5000"
    assert found["steps"] > 0
    assert PASSWORD not in str(found)


def test_of_stand_ins_no_scheduler_and_no_options_are_claimed(world: World, standins: Cluster) -> None:
    look(world, standins)

    found = record(world)
    assert (found["schedulers"], found["automatic"]) == (False, "on-change")
    assert "no replication scheduler" in found["reason"]
    assert found["configuration"] == {}


def test_a_setting_decides_and_is_told_as_the_reason(world: World, cluster: Cluster) -> None:
    world.settings = settings(replication_mode="on-change")

    look(world, cluster)

    assert record(world)["reason"] == "REPLICATION_MODE=on-change"


def test_a_look_that_fails_leaves_the_last_record(world: World, couch: FakeCouch, cluster: Cluster) -> None:
    look(world, cluster)
    before = record(world)
    for node in couch.nodes.values():
        node.fail("refused")

    assert look(world, cluster) == []
    assert record(world) == before


@pytest.mark.parametrize("more", [{"continuous_replication": False}, {"couchdb_url": "", "replication_nodes": ""}])
def test_where_nothing_is_to_travel_nothing_is_looked_at(
    world: World, couch: FakeCouch, cluster: Cluster, more: dict[str, Any]
) -> None:
    world.settings = settings(**more)
    nodes = Cluster.from_settings(world.settings, couch)

    assert look(world, nodes) == []
    assert world.replication.reconcile() is None
    assert couch.requests == []


# --- when a set-up is asked for


def test_where_something_is_to_be_done_a_setup_is_asked_for_and_then_no_more(
    world: World, couch: FakeCouch, cluster: Cluster
) -> None:
    builders.databases(cluster, "pdfs", ["a"])

    (job_id,) = look(world, cluster)
    asked = world.job(job_id)
    assert (asked.kind, asked.database, asked.params["asked"]) == (Kind.SETUP, None, False)
    assert look(world, cluster) == []  # it is queued
    result = do(world, cluster, job_id)

    assert result["complete"] is True
    assert all("pdfs" in node.databases for node in couch.nodes.values())
    assert look(world, cluster) == []
    assert record(world)["steps"] == 0


def test_no_setup_is_asked_for_while_one_runs(world: World, couch: FakeCouch, cluster: Cluster) -> None:
    builders.databases(cluster, "pdfs", ["a"])
    running = world.queued(setup("other"))
    world.store.claim(running, "worker", 0)

    assert look(world, cluster) == []


def test_a_plan_that_cannot_be_carried_out_is_tried_later_and_later(
    world: World, couch: FakeCouch, cluster: Cluster
) -> None:
    builders.databases(cluster, "pdfs", ["a"])
    couch["c"].fail("500", path="pdfs")
    (first,) = look(world, cluster)
    do(world, cluster, first)
    tries = []
    for _ in range(3):  # of what is left of the first plan
        (job_id,) = look(world, cluster)
        assert do(world, cluster, job_id)["complete"] is False
        assert look(world, cluster) == [], "not at once"
        tried = world.replication.attempt()
        assert tried is not None
        tries.append(tried["tries"])
        end_pause(world)

    assert tries == [1, 2, 3]


def test_another_plan_is_carried_out_at_once_also_where_it_is_as_long(
    world: World, couch: FakeCouch, cluster: Cluster
) -> None:
    """Somebody makes one database after the other: none waits because of those before it."""
    settled(world, cluster)
    for name in ("first", "second", "third"):
        builders.databases(cluster, name, ["a"])
        (job_id,) = look(world, cluster)
        do(world, cluster, job_id)
        assert all(name in node.databases for node in couch.nodes.values())


def test_what_was_carried_out_and_is_undone_again_and_again_is_mended_later_and_later(
    world: World, couch: FakeCouch, cluster: Cluster
) -> None:
    """Somebody's script fights with us: the same plan is not carried out at every look."""
    builders.databases(cluster, "pdfs")
    settled(world, cluster)
    replicator = couch["b"].databases["_replicator"]

    def undo() -> None:
        replicator.write({**replicator.read(LINK, None, attachments=False), "continuous": False})

    undo()
    (job_id,) = look(world, cluster)
    do(world, cluster, job_id)
    undo()

    assert look(world, cluster) == []


def test_a_request_that_is_being_made_elsewhere_is_not_made_twice(
    world: World, couch: FakeCouch, cluster: Cluster
) -> None:
    builders.databases(cluster, "pdfs", ["a"])
    world.queued(setup(**reconcile.AUTOMATIC))

    look(world, cluster)

    assert len(world.store.list(Filter(kind=Kind.SETUP)).jobs) == 1


def test_tuning_that_was_asked_for_is_a_reason_for_a_setup(world: World, couch: FakeCouch, cluster: Cluster) -> None:
    settled(world, cluster)
    world.settings = settings(tune_nodes=True)

    (job_id,) = look(world, cluster)
    told = reconcile.run_setup(world.parts, cluster, job(setup(dry_run=True)), Listener())
    assert "set a: [replicator] startup_jitter 5000 -> 0" in told["steps"]
    assert "startup_jitter" not in couch["a"].configuration.get("replicator", {})
    result = do(world, cluster, job_id)

    assert result["tuned"] == told["tuned"]
    assert "a: [replicator] startup_jitter 5000 -> 0" in result["tuned"]
    assert couch["c"].configuration["replicator"]["startup_jitter"] == "0"
    assert look(world, cluster) == []


# --- deletions


def test_a_database_deleted_on_one_node_is_told_and_stays_deleted_until_somebody_asks(
    world: World, couch: FakeCouch, cluster: Cluster
) -> None:
    builders.databases(cluster, "pdfs")
    settled(world, cluster)
    couch["b"].drop("pdfs")

    settled(world, cluster)

    assert record(world)["removed"] == {"pdfs": ["b"]}
    assert "pdfs" not in couch["b"].databases
    assert LINK not in live_links(couch, "b")
    asked = reconcile.run_setup(world.parts, cluster, job(setup("pdfs")), Listener())
    assert asked["databases"]["pdfs"]["created_on"] == ["b"]
    settled(world, cluster)
    assert LINK in live_links(couch, "b")


def test_a_deletion_is_remembered_without_redis(world: World, couch: FakeCouch, cluster: Cluster) -> None:
    builders.databases(cluster, "pdfs")
    settled(world, cluster)
    couch["b"].drop("pdfs")
    world.redis.flushall()

    settled(world, cluster)

    assert "pdfs" not in couch["b"].databases


def test_a_database_deleted_while_a_node_was_away_does_not_come_back_with_the_node(
    world: World, couch: FakeCouch, cluster: Cluster
) -> None:
    builders.databases(cluster, "pdfs")
    settled(world, cluster)
    couch["c"].fail("refused")
    couch["a"].drop("pdfs")
    couch["b"].drop("pdfs")
    settled(world, cluster)
    couch["c"].heal()

    settled(world, cluster)

    assert record(world)["removed"] == {"pdfs": ["a", "b"]}
    assert "pdfs" not in couch["a"].databases


def test_a_database_deleted_everywhere_is_forgotten_and_one_of_its_name_is_new(
    world: World, couch: FakeCouch, cluster: Cluster
) -> None:
    builders.databases(cluster, "pdfs")
    settled(world, cluster)
    for node in couch.nodes.values():
        node.drop("pdfs")
    settled(world, cluster)
    couch["b"].create("pdfs")

    settled(world, cluster)

    assert all("pdfs" in node.databases for node in couch.nodes.values())


def test_a_node_that_lost_its_disk_is_filled_like_a_new_one(world: World, couch: FakeCouch, cluster: Cluster) -> None:
    builders.databases(cluster, "pdfs")
    settled(world, cluster)
    for name in list(couch["b"].databases):
        couch["b"].drop(name)

    settled(world, cluster)

    assert "pdfs" in couch["b"].databases
    assert LINK in live_links(couch, "b")


# --- one way


@pytest.mark.parametrize("names", [["pdfs"], []])
def test_what_was_set_up_one_way_stays_so(world: World, couch: FakeCouch, cluster: Cluster, names: list[str]) -> None:
    """Also where all databases were meant: the next look must not give the links back."""
    builders.databases(cluster, "pdfs")
    settled(world, cluster)
    reconcile.run_setup(world.parts, cluster, job(setup(*names, bidirectional=False)), Listener())

    settled(world, cluster)

    assert "pdfs" in record(world)["narrowed"]
    assert [key for key in live_links(couch, "a") if key.endswith(":pdfs")] == []
    assert LINK in live_links(couch, "b")
    reconcile.run_setup(world.parts, cluster, job(setup("pdfs")), Listener())
    settled(world, cluster)
    assert len([key for key in live_links(couch, "a") if key.endswith(":pdfs")]) == 2


# --- links started anew


def test_links_that_are_to_be_started_anew_are_and_that_is_forgotten(
    world: World, couch: FakeCouch, cluster: Cluster
) -> None:
    builders.databases(cluster, "pdfs")
    settled(world, cluster)
    before = couch["b"].databases["_replicator"].read(LINK, None, attachments=False)["_rev"]
    world.replication.save_wanted_kicks([LINK])

    (job_id,) = look(world, cluster)
    result = do(world, cluster, job_id)

    assert result["counts"]["links_kicked"] == 1
    assert world.replication.wanted_kicks() == []
    assert couch["b"].databases["_replicator"].read(LINK, None, attachments=False)["_rev"] != before
    assert look(world, cluster) == []


def test_a_setup_of_one_database_leaves_the_kicks_of_others_to_the_next_look(
    world: World, couch: FakeCouch, cluster: Cluster
) -> None:
    for name in ("pdfs", "other"):
        builders.databases(cluster, name)
    settled(world, cluster)
    other = replication_document_id("other", "a", "b")
    world.replication.save_wanted_kicks([LINK, other])

    result = reconcile.run_setup(world.parts, cluster, job(setup("pdfs")), Listener())

    assert result["counts"]["links_kicked"] == 1
    assert world.replication.wanted_kicks() == [other]


def live_links(couch: FakeCouch, node: str) -> set[str]:
    return {link.document for link in couch.replications.links() if link.node.name == node}
