"""Nodes that die, hang, come back behind, come back empty, or come and go: what is said of them, who takes their place,
how they are brought back, and that no write which any node has acknowledged is lost.

The nodes are the tests' own: COUCHDB_BIN's CouchDB, else stand-ins.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.conftest import Fresh
from tests.system.couch import Couch, drop_everywhere
from tests.system.harness import System, hung, kill_dash_nine, wait_until
from tests.system.situations import (
    PROCESSES,
    QUICKLY,
    Writer,
    assert_nothing_lost,
    empty,
    events,
    node,
    primary,
    ready,
    rejoins,
    skipped,
    states,
    verdicts,
    wait_healthy,
    wait_states,
)

pytestmark = pytest.mark.system

PREFIX = "fo-"
ANSWERS = re.compile(r"answers again: [1-9]\d* of (\d+) good looks")


@pytest.fixture(scope="module")
def over_mortals(_mortals: list[Couch], tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    settings = {**QUICKLY, "REPLICATION_INCLUDE": f"{PREFIX}*"}
    with System(_mortals, tmp_path_factory.mktemp("failover"), settings) as made:
        made.start(*PROCESSES)
        yield made
    # their links lead through roads that are closed now: whoever sees them next would call the cluster degraded
    left = set[str]().union(*(couch.databases() for couch in _mortals))
    drop_everywhere(_mortals, sorted(name for name in left if name.startswith(PREFIX)))


@pytest.fixture
def own(over_mortals: System, mortals: list[Couch]) -> System:
    """The system, with all nodes healthy, and nothing known of what earlier tests did to them."""
    wait_healthy(over_mortals)
    with over_mortals.store() as store:
        store.delete("nbr:seen:sweep")  # with how often each went down lately
    wait_healthy(over_mortals)
    with over_mortals.store() as store:
        store.delete("nbr:events")
    return over_mortals


@pytest.fixture
def database(fresh: Fresh, mortals: list[Couch]) -> str:
    return fresh(prefix=PREFIX, on=mortals)


def test_a_killed_node_is_down_left_out_and_brought_back_without_a_lost_write(
    own: System, mortals: list[Couch], database: str
) -> None:
    writer = Writer(mortals, database)
    with writer.writing():
        mortals[1].kill()
        wait_states(own, replica1="down")

        assert node(own, "replica1")["failure"] in {"refused", "unreachable"}
        assert ready(own, "replica1")[0] == 503
        assert ready(own, "replica2")[0] == 200
        assert list(skipped(own, database)) == ["replica1"]
        mortals[1].revive()
        wait_healthy(own)
    assert verdicts(own, "replica1") == ["suspect", "down", "recovering", "healthy"]
    wait_until(lambda: events(own, "cluster.state")[-1]["data"]["to"] == "healthy", "the cluster is told to be healthy")
    assert rejoins(own, "replica1")[0]["state"] == "succeeded"
    assert [event["node"] for event in events(own, "node.rejoined")] == ["replica1"]
    assert_nothing_lost(writer, mortals)


def test_while_a_node_recovers_no_client_is_sent_there(own: System, mortals: list[Couch], database: str) -> None:
    """Its way back to the others is cut, so it can be looked at as long as it takes."""
    mortals[0].fill(database, 30)
    mortals[1].kill()
    wait_states(own, replica1="down")
    with own.held("replica1"):
        mortals[1].revive()
        wait_states(own, replica1="recovering")

        status, body = ready(own, "replica1")
        assert (status, body["ready"]) == (503, False)
        assert body["reason"].startswith("recovering: ")
        standing = own.parts.seen.standing("replica1")
        assert standing is not None
        assert standing["way"] == "down"
    wait_healthy(own)
    assert ready(own, "replica1")[0] == 200


def test_a_node_that_hangs_is_down_and_costs_syncs_no_time_out(
    own: System, mortals: list[Couch], database: str
) -> None:
    writer = Writer(mortals[:2], database)
    hanging = mortals[2].embedded
    assert hanging is not None
    with writer.writing():
        with hung(hanging.process):
            wait_states(own, replica2="down")
            assert node(own, "replica2")["failure"] == "timed-out"
            job = own.api.sync(database, headers={"Prefer": "wait=60"}).json()
            assert [entry["node"] for entry in job["result"]["skipped"]] == ["replica2"]
            assert job["result"]["skipped"][0]["reason"].startswith("down since ")
            assert job["result"]["seconds"] < 5, "less than one COUCHDB_TIMEOUT"
        wait_healthy(own)
    assert verdicts(own, "replica2")[-2:] == ["recovering", "healthy"]
    assert_nothing_lost(writer, mortals)


def test_a_node_that_refuses_us_while_its_peers_reach_it(own: System, mortals: list[Couch], database: str) -> None:
    writer = Writer(mortals, database)
    with writer.writing():
        own.doors["replica1"].refuse()
        try:
            wait_states(own, replica1="down")
            assert node(own, "replica1")["failure"] in {"refused", "unreachable"}
        finally:
            own.doors["replica1"].accept()
        wait_healthy(own)
    assert verdicts(own, "replica1")[-2:] == ["recovering", "healthy"]
    assert_nothing_lost(writer, mortals)


def test_when_the_primary_dies_another_node_acts_until_it_is_back(
    own: System, mortals: list[Couch], database: str
) -> None:
    assert primary(own) == "primary"
    writer = Writer(mortals, database)
    with writer.writing():
        mortals[0].kill()
        wait_states(own, primary="down")
        acting = wait_until(lambda: (found := primary(own)) != "primary" and found, "another node acts")
        job = own.api.sync(database, headers={"Prefer": "wait=60"}).json()
        assert job["result"]["hub"] == acting
        mortals[0].revive()
        wait_healthy(own)
        wait_until(lambda: primary(own) == "primary", "the primary acts again")
    moves = [(event["data"]["from"], event["data"]["to"]) for event in events(own, "primary.moved")]
    assert moves == [("primary", acting), (acting, "primary")]
    assert_nothing_lost(writer, mortals)


def test_an_emptied_node_is_set_up_from_nothing_and_compared(own: System, mortals: list[Couch], fresh: Fresh) -> None:
    names = [fresh(prefix=PREFIX, on=mortals[:1]) for _ in range(3)]
    for name in names:
        mortals[0].fill(name, 25)
        mortals[0].put(name, {"_id": "kept", "of": name})
    wait_until(lambda: all(set(names) <= couch.databases() for couch in mortals), "they are everywhere")
    wait_healthy(own)
    writer = Writer([mortals[0], mortals[2]], names[0])
    with writer.writing():
        mortals[1].kill()
        wait_states(own, replica1="down")
        empty(mortals[1])
        mortals[1].revive()
        wait_until(lambda: "replaced" in verdicts(own, "replica1"), "it is seen to be empty")
    wait_healthy(own)
    result = rejoins(own, "replica1")[0]["result"]
    assert result["verified"] == result["databases"] >= len(names)
    assert result["failed"] == {}
    for name in names:
        assert len(mortals[0].leaves(name)) >= 26, "nothing was taken for deleted"
        wait_until(lambda name=name: mortals[1].leaves(name) == mortals[0].leaves(name), f"{name} is the same again")
    assert_nothing_lost(writer, mortals)


def test_a_node_that_comes_and_goes_is_held_back_for_longer_each_time(
    own: System, mortals: list[Couch], database: str
) -> None:
    writer = Writer(mortals, database)
    door, road = own.doors["replica2"], own.peer_roads["replica2"]
    wanted = []
    with writer.writing():
        for _ in range(2):
            door.refuse()
            road.refuse()
            wait_states(own, replica2="down")
            door.accept()
            road.accept()
            found = wait_until(lambda: ANSWERS.match(node(own, "replica2")["reason"] or ""), "it answers again")
            wanted.append(int(found[1]))
            wait_healthy(own)
    assert wanted[1] == 2 * wanted[0]
    assert verdicts(own, "replica2").count("healthy") == 2
    assert_nothing_lost(writer, mortals)


def test_two_nodes_down_and_all_down_and_back(own: System, mortals: list[Couch], database: str) -> None:
    writer = Writer(mortals, database)
    with writer.writing():
        mortals[1].kill()
        mortals[2].kill()
        wait_states(own, replica1="down", replica2="down")
        assert ready(own, "primary")[0] == 200
        mortals[0].kill()
        wait_states(own, primary="down")
        assert own.api.get("/api/replication/health").json()["status"] == "down"
        assert [ready(own, name)[0] for name in states(own)] == [503] * 3
        for couch in mortals:
            couch.revive()
        wait_healthy(own)
    for couch in mortals:
        assert verdicts(own, couch.name)[-1] == "healthy"
    assert [event["data"]["to"] for event in events(own, "cluster.state")].count("down") == 1
    assert_nothing_lost(writer, mortals)


def test_a_worker_that_dies_in_the_middle_of_a_rejoin_is_replaced(
    own: System, mortals: list[Couch], database: str
) -> None:
    mortals[0].fill(database, 50)
    mortals[1].kill()
    wait_states(own, replica1="down")
    mortals[0].fill(database, 50, start=100)
    with own.held("replica1") as road:
        mortals[1].revive()
        wait_states(own, replica1="recovering")
        job_id = wait_until(lambda: [job for job in rejoins(own, "replica1") if job["state"] == "running"], "it runs")[
            0
        ]["id"]
        wait_until(lambda: road.held, "a pull is on its way")
        kill_dash_nine(own.worker_of(job_id))
        own.processes.pop("worker")
        own.start("worker")
    job = own.api.wait_succeeded(job_id, deadline=60)
    assert job["attempts"] == 2
    wait_healthy(own)
    wait_until(lambda: mortals[1].leaves(database) == mortals[0].leaves(database), "it has everything")


def test_beat_that_dies_stops_sweeps_and_what_was_known_is_no_readiness_any_more(own: System) -> None:
    kill_dash_nine(own.processes.pop("beat"))

    wait_until(lambda: ready(own, "primary", "?max_age=2")[0] == 503, "what is known is too old")
    assert "seen" in ready(own, "primary", "?max_age=2")[1]["reason"]
    own.start("beat")
    wait_until(lambda: ready(own, "primary", "?max_age=2")[0] == 200, "it is known again")


def test_a_person_takes_a_node_out_and_lets_it_in_again(own: System, mortals: list[Couch], database: str) -> None:
    def maintenance(on: bool) -> None:
        answer = own.api.call("POST", "/api/nodes/primary/maintenance", json={"on": on, "reason": "new disk"})
        assert answer.status_code == 200, answer.text

    maintenance(True)
    assert ready(own, "primary")[0] == 503, "at once"
    wait_states(own, primary="maintenance")
    wait_until(lambda: primary(own) != "primary", "another node acts")
    mortals[0].kill()
    mortals[1].fill(database, 20)
    wait_until(lambda: "taken out by a person; " in (node(own, "primary")["reason"] or ""), "it is seen to be away")
    mortals[0].revive()
    maintenance(False)
    wait_healthy(own)
    wait_until(lambda: primary(own) == "primary", "the primary acts again")
    assert mortals[0].leaves(database) == mortals[1].leaves(database)
    assert [event["data"]["on"] for event in events(own, "node.maintenance", "primary")] == [True, False]


def test_a_person_asks_for_a_rejoin(own: System, mortals: list[Couch], database: str) -> None:
    mortals[0].fill(database, 10)

    job = own.api.call("POST", "/api/nodes/replica2/rejoin", json={"wait": True}).json()

    assert (job["state"], job["kind"], job["params"]) == ("succeeded", "rejoin", {"node": "replica2", "asked": True})
    assert mortals[2].leaves(database) == mortals[0].leaves(database)
    assert own.api.call("POST", "/api/nodes/replica2/rejoin").status_code == 202, "a body is not needed"
    assert own.api.call("POST", "/api/nodes/nobody/rejoin").status_code == 404


def test_what_is_owed_outlives_redis(own: System, mortals: list[Couch], database: str) -> None:
    """It is noted on the other nodes."""
    mortals[1].kill()
    wait_states(own, replica1="down")
    mortals[0].fill(database, 20)
    with own.held("replica1"):
        with own.store() as store:
            store.flushall()
        mortals[1].revive()
        wait_states(own, replica1="recovering")
    wait_healthy(own)
    wait_until(lambda: mortals[1].leaves(database) == mortals[0].leaves(database), "it has everything")


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="telling whose a connection is needs Linux")
def test_a_network_cut_between_two_nodes_that_we_reach_is_gone_around(
    own: System, mortals: list[Couch], database: str
) -> None:
    writer = Writer(mortals, database)
    with writer.writing():
        wait_until(lambda: len(writer.acknowledged) > 10, "clients have written")
    # not while it is cut: a pull of a stand-in ends only when nothing new comes any more
    with own.cut_between("primary", "replica1"):
        mortals[0].put(database, {"_id": "written-on-one-side"})
        job = own.api.sync(database, headers={"Prefer": "wait=60"}).json()
        assert job["state"] == "succeeded", job
        assert job["result"]["skipped"] == []
        mortals[0].put(database, {"_id": "written-later"})
        wait_until(lambda: mortals[1].has(database, "written-later"), "it came around", 60)
        assert set(states(own).values()) == {"healthy"}, "both answer us"
        if mortals[0].schedules:
            wait_until(lambda: events(own, "links.broken"), "the cut is told", 150)
    assert_nothing_lost(writer, mortals)
