"""The scheduled look at the links: what is kept of them, and a broken one started anew, on a fake cluster."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Any

import pytest

from tasks import health, links, reconcile
from tasks.jobs import State
from tests import builders
from tests.builders import Listener
from tests.fakes.couchdb import FakeCouch
from tests.unit.tasks.world import PASSWORD, World, settings
from worker.core.lag import FIRST_KICK_AFTER, STALLED_WHEN_BACK, LinkLook
from worker.core.names import replication_document_id
from worker.couch.cluster import Cluster

LINK = replication_document_id("pdfs", "a", "b")


@pytest.fixture
def linked(world: World, couch: FakeCouch, cluster: Cluster) -> Cluster:
    """A database linked between all nodes, which were swept."""
    world.settings = settings(canary_seconds=0)
    builders.databases(cluster, "pdfs")
    reconcile_and_do(world, cluster)
    health.look_once(world.parts, cluster)
    return cluster


def reconcile_and_do(world: World, cluster: Cluster) -> None:
    reconcile.run_reconcile(world.parts, cluster)
    for job_id in world.publisher.sent:
        token = world.store.claim(job_id, "worker", 0).token
        result = reconcile.run_setup(world.parts, cluster, world.job(job_id), Listener())
        world.store.finish(job_id, token, State.SUCCEEDED, 0, result=result)
    world.publisher.sent.clear()


def look(world: World, cluster: Cluster) -> dict[str, dict[str, Any]]:
    """A look; returns the links as they are kept, by "a -> b"."""
    links.run_links(world.parts, cluster)
    return {f"{told['source']} -> {told['target']}": told for told in world.replication.links("pdfs")}


def age(world: World, seconds: float) -> None:
    """As if all that was seen of the links had been seen so much earlier."""
    kept = world.replication.all_links()
    for told in (told for found in kept.values() for told in found):
        for name in ("since", "behind_since", "last_moved_at"):
            told[name] = told[name] - seconds if told[name] is not None else None
    summary = world.replication.links_summary()
    assert summary is not None
    world.replication.save_links(kept, summary)


def write(couch: FakeCouch, cluster: Cluster, count: int = 1, node: str = "a") -> None:
    database = builders.databases(cluster, "pdfs")[node]
    written = couch[node].databases["pdfs"].number
    database.bulk([{"_id": f"{node}-{written + number}"} for number in range(count)])


def test_what_is_seen_of_the_links_is_kept(world: World, couch: FakeCouch, linked: Cluster) -> None:
    found = look(world, linked)

    assert sorted(found) == ["a -> b", "a -> c", "b -> a", "b -> c", "c -> a", "c -> b"]
    assert {(told["state"], told["lag"], told["last_error"]) for told in found.values()} == {("running", 0, None)}
    summary = world.replication.links_summary()
    assert summary is not None
    assert (summary["states"], summary["broken"]) == ({"running": 6}, 0)
    assert summary["lag"] == {"a": 0, "b": 0, "c": 0}
    assert PASSWORD not in str((found, summary))


def test_before_the_first_sweep_nothing_is_looked_at(world: World, couch: FakeCouch, cluster: Cluster) -> None:
    links.run_links(world.parts, cluster)

    assert couch.requests == []
    assert world.replication.links_summary() is None


def test_links_of_a_node_that_is_away_are_kept_as_unknown(world: World, couch: FakeCouch, linked: Cluster) -> None:
    look(world, linked)
    couch["b"].fail("refused")

    found = look(world, linked)

    assert {name: (told["state"], told["lag"]) for name, told in found.items() if name.endswith("b")} == {
        "a -> b": ("unknown", None),
        "c -> b": ("unknown", None),
    }
    assert found["a -> c"]["lag"] == 0
    assert found["b -> a"]["lag"] is None  # its source does not tell what there would be to carry
    summary = world.replication.links_summary()
    assert summary is not None
    assert summary["lag"] == {"a": None, "b": None, "c": None}


def test_the_lag_of_a_node_that_was_never_seen_is_unknown_and_not_0(
    world: World, couch: FakeCouch, linked: Cluster
) -> None:
    couch["b"].fail("refused")
    for _ in range(3):
        health.look_once(world.parts, linked)

    look(world, linked)

    summary = world.replication.links_summary()
    assert summary is not None
    assert summary["lag"]["b"] is None


def test_links_that_are_gone_are_forgotten(world: World, couch: FakeCouch, linked: Cluster) -> None:
    look(world, linked)
    replicator = couch["b"].databases["_replicator"]
    replicator.write({**replicator.read(LINK, None, attachments=False), "_deleted": True})

    assert "a -> b" not in look(world, linked)


def test_a_link_that_was_seen_before_is_remembered_as_it_was_seen(
    world: World, couch: FakeCouch, linked: Cluster
) -> None:
    write(couch, linked, 3)
    first = look(world, linked)["a -> b"]
    write(couch, linked, 2)
    second = look(world, linked)["a -> b"]

    assert first["last_moved_at"] is None  # one look alone shows no move
    assert second["last_moved_at"] is not None
    assert second["since"] == first["since"]
    assert set(second["look"]) == set(asdict(LinkLook(links.LinkState.RUNNING)))


def test_links_of_a_node_that_has_just_come_back_are_called_stalled_sooner(
    world: World, couch: FakeCouch, linked: Cluster
) -> None:
    for link, node in ((LINK, "b"), (replication_document_id("pdfs", "a", "c"), "c")):
        couch[node].stop_link(link, "running")
    write(couch, linked, 3)
    look(world, linked)
    world.seen.save_rejoin("b", {"debt": 1.0, "tries": 1, "at": time.time(), "note": None})
    age(world, STALLED_WHEN_BACK)

    found = look(world, linked)

    assert {name: told["state"] for name, told in found.items() if name.startswith("a")} == {
        "a -> b": "stalled",
        "a -> c": "running",
    }
    assert LINK in world.replication.kicks()


def test_a_link_that_has_something_to_carry_and_carries_nothing_is_stalled_and_degrades_the_cluster(
    world: World, couch: FakeCouch, linked: Cluster
) -> None:
    couch["b"].stop_link(LINK, "running")
    write(couch, linked, 3)
    assert (look(world, linked)["a -> b"]["state"], look(world, linked)["a -> b"]["lag"]) == ("running", 3)
    age(world, world.settings.replication_stall_seconds)

    told = look(world, linked)["a -> b"]

    assert (told["state"], told["error_kind"], told["lag"]) == ("stalled", "stalled", 3)
    assert "b has 3 changes of a to carry and carried none for" in told["last_error"]
    health.look_once(world.parts, linked)
    sweep = world.seen.sweep()
    assert sweep is not None
    assert sweep["cluster"] == "degraded"


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ("db_not_found: could not open http://a.test:5984/pdfs/", "database-missing"),
        ("{session_request_unauthorized,url,user}", "unauthorized"),
    ],
)
def test_what_ails_a_crashing_link_is_told_in_words(
    world: World, couch: FakeCouch, linked: Cluster, error: str, kind: str
) -> None:
    couch["b"].stop_link(LINK, "crashing", error)

    told = look(world, linked)["a -> b"]

    assert told["state"] == "crashing"
    assert told["last_error"]
    assert told["remedy"]
    if kind == "unauthorized":
        assert told["error_kind"] == kind


def test_a_broken_link_is_started_anew_by_the_next_reconcile_and_carries_on(
    world: World, couch: FakeCouch, linked: Cluster
) -> None:
    """The whole way: seen, waited for, chosen, deleted and made again, well."""
    couch["b"].stop_link(LINK, "crashing", "{worker_died,{process_died,normal}}")
    write(couch, linked, 3)
    look(world, linked)
    assert world.replication.wanted_kicks() == []
    age(world, FIRST_KICK_AFTER)

    look(world, linked)
    assert world.replication.wanted_kicks() == [LINK]
    assert world.publisher.wanted_soon == ["reconcile"]
    reconcile_and_do(world, linked)

    told = look(world, linked)["a -> b"]
    assert (told["state"], told["lag"]) == ("running", 0)
    assert couch["b"].databases["pdfs"].counts() == (3, 0)
    assert world.replication.wanted_kicks() == []
    assert world.replication.kicks()[LINK]["count"] == 1


def test_a_link_that_stays_broken_is_not_started_anew_at_every_look(
    world: World, couch: FakeCouch, linked: Cluster
) -> None:
    couch["b"].stop_link(LINK, "crashing", "{worker_died,{process_died,normal}}", anew=False)
    look(world, linked)
    age(world, FIRST_KICK_AFTER)
    look(world, linked)
    reconcile_and_do(world, linked)
    age(world, FIRST_KICK_AFTER)

    look(world, linked)

    assert world.replication.wanted_kicks() == []
    assert world.publisher.wanted_soon == ["reconcile"]


def test_a_link_that_starting_anew_cannot_mend_is_left_alone(world: World, couch: FakeCouch, linked: Cluster) -> None:
    """Each start with a refused password would bring the lock-out nearer."""
    error = 'replication_auth_error: {session_request_unauthorized,<<"http://a.test:5984/_session">>,<<"admin">>}'
    couch["b"].stop_link(LINK, "crashing", error)
    look(world, linked)
    age(world, 10 * FIRST_KICK_AFTER)

    assert look(world, linked)["a -> b"]["error_kind"] == "unauthorized"
    assert world.replication.wanted_kicks() == []


def test_a_link_to_a_node_that_is_not_healthy_is_left_alone(world: World, couch: FakeCouch, linked: Cluster) -> None:
    couch["b"].stop_link(LINK, "crashing", "{worker_died,{process_died,normal}}")
    look(world, linked)
    couch["a"].fail("refused")
    health.look_once(world.parts, linked)
    age(world, FIRST_KICK_AFTER)

    look(world, linked)

    assert world.replication.wanted_kicks() == []


def test_kicks_of_links_that_are_gone_are_forgotten(world: World, couch: FakeCouch, linked: Cluster) -> None:
    world.replication.save_kicks({"nbr:a:b:gone": {"count": 3, "at": 0}, LINK: {"count": 1, "at": 0}}, [])

    look(world, linked)

    # long ago, and the link is well; but it was seen so only just now
    assert set(world.replication.kicks()) == {LINK}
