"""Nodes that die or hang, before a sync and in its middle: they are named, and the others are brought in step.

The nodes are the test's own: COUCHDB_BIN's CouchDB, else stand-ins.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import pytest

from tests.system.conftest import Fresh
from tests.system.couch import Couch
from tests.system.harness import System, hung, wait_until
from tests.system.test_sync import assert_same

pytestmark = pytest.mark.system

LET_IN = 90.0  # seconds; these tests make a node flap, and it has to answer well for longer each time
GIVEN_UP = 25.0  # seconds: three silent probes of 3 s, 1 s apart, and what a busy machine adds


@pytest.fixture(scope="module")
def over_mortals(_mortals: list[Couch], tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    settings = {"JOB_MAX_ATTEMPTS": "2", "COUCHDB_TIMEOUT": "4", "HEALTH_SUCCESSES": "1"}
    with System(_mortals, tmp_path_factory.mktemp("nodes-die"), settings) as made:
        made.start("worker", "control", "beat", "api")
        yield made


@pytest.fixture
def own(over_mortals: System, mortals: list[Couch]) -> System:
    """The system, with all nodes up and seen so."""
    wait_until(
        lambda: over_mortals.api.get("/api/replication/health").json()["status"] == "healthy",
        "all nodes are seen healthy",
        LET_IN,
    )
    return over_mortals


def skipped(job: dict[str, object]) -> dict[str, str]:
    return {entry["node"]: entry["reason"] for entry in job["result"]["skipped"]}  # type: ignore[index]


def test_a_node_killed_in_mid_sync_is_skipped_and_named(own: System, mortals: list[Couch], fresh: Fresh) -> None:
    database, api = fresh(on=mortals), own.api
    mortals[1].fill(database, 20)
    with own.held("replica2") as road:  # the hub's pull from it stands still
        job_id = own.start_held_sync(database, road)
        mortals[2].kill()
        road.refuse()
    try:
        job = api.wait_succeeded(job_id)

        assert job["attempts"] == 1
        assert list(skipped(job)) == ["replica2"]
        assert skipped(job)["replica2"].startswith("lost in mid-sync: unreachable")
        assert job["result"]["nodes"] == ["primary", "replica1"]
        assert job["result"]["caught_up"] is True
        assert_same(database, mortals[:2])
    finally:
        road.accept()

    mortals[2].revive()
    again = api.sync(database, wait=True).json()
    assert skipped(again) == {}
    assert_same(database, mortals)


def test_a_hub_killed_in_mid_sync_is_replaced_by_another(own: System, mortals: list[Couch], fresh: Fresh) -> None:
    database, api = fresh(on=mortals), own.api
    mortals[1].fill(database, 10)
    mortals[2].fill(database, 10, start=10)
    with own.held("replica1") as road:
        job_id = own.start_held_sync(database, road)
        mortals[0].kill()

    job = api.wait_succeeded(job_id)

    assert job["attempts"] == 1
    assert job["result"]["hub"] == "replica1"
    assert list(skipped(job)) == ["primary"]
    assert_same(database, mortals[1:])


def test_a_node_that_is_down_before_is_skipped_with_the_reason(own: System, mortals: list[Couch], fresh: Fresh) -> None:
    database, api = fresh(on=mortals), own.api
    mortals[0].fill(database, 10)
    mortals[1].kill()

    answer = api.sync(database, wait=True)

    assert answer.json()["state"] == "succeeded", answer.text
    assert list(skipped(answer.json())) == ["replica1"]
    assert skipped(answer.json())["replica1"].startswith("unreachable: ")
    assert_same(database, [mortals[0], mortals[2]])


def test_a_node_that_hangs_in_mid_sync_is_given_up_in_bounded_time(
    own: System, mortals: list[Couch], fresh: Fresh
) -> None:
    database, api = fresh(on=mortals), own.api
    mortals[1].fill(database, 10)
    node = mortals[2].embedded
    assert node is not None
    with own.held("replica2") as road:
        job_id = own.start_held_sync(database, road)
        with hung(node.process):
            began = time.monotonic()
            job = api.wait_succeeded(job_id, deadline=GIVEN_UP)
            assert time.monotonic() - began < GIVEN_UP
    assert list(skipped(job)) == ["replica2"]
    assert skipped(job)["replica2"].startswith("lost in mid-sync: timed-out")
    assert_same(database, mortals[:2])


def test_a_node_that_hangs_before_costs_each_sync_one_time_out(own: System, mortals: list[Couch], fresh: Fresh) -> None:
    databases, api = [fresh(on=mortals) for _ in range(4)], own.api
    node = mortals[2].embedded
    assert node is not None
    with hung(node.process):
        began = time.monotonic()
        jobs = [api.start_sync(database) for database in databases]
        ended = [api.wait_succeeded(job_id, deadline=60) for job_id in jobs]
        took = time.monotonic() - began
    for job in ended:
        assert list(skipped(job)) == ["replica2"]
        assert skipped(job)["replica2"].startswith("timed-out: ")
    assert took < 3 * 4, "four syncs side by side wait for COUCHDB_TIMEOUT together, not one after the other"


def test_with_one_node_left_a_job_is_tried_again_and_then_fails_clearly(
    own: System, mortals: list[Couch], fresh: Fresh
) -> None:
    database, api = fresh(on=mortals), own.api
    mortals[1].kill()
    mortals[2].kill()
    job_id = api.start_sync(database)
    wait_until(lambda: own.logged("job will be tried again", job_id=job_id), "the first try has failed")
    wait_until(lambda: api.job(job_id)["state"] == "queued", "it waits for its next try")

    job = api.wait_state(job_id, "failed")

    assert job["attempts"] == 2
    assert job["result"] is None
    assert job["error"]["type"] == "not-enough-nodes"
    assert job["error"]["retryable"] is True
    # by then the sweep may have called them down
    assert re.search(r"replica1 \((down since \S+ \S+: )?unreachable", job["error"]["detail"])
    assert re.search(r"replica2 \((down since \S+ \S+: )?unreachable", job["error"]["detail"])


def test_a_node_that_comes_back_before_the_retry_makes_it_succeed(
    own: System, mortals: list[Couch], fresh: Fresh
) -> None:
    database, api = fresh(on=mortals), own.api
    mortals[0].fill(database, 5)
    mortals[1].kill()
    mortals[2].kill()
    job_id = api.start_sync(database)
    wait_until(lambda: own.logged("job will be tried again", job_id=job_id), "the first try has failed")
    mortals[1].revive()

    job = api.wait_succeeded(job_id)

    assert job["attempts"] == 2
    assert list(skipped(job)) == ["replica2"]
    assert_same(database, mortals[:2])


def test_with_all_nodes_down_the_error_names_them(own: System, mortals: list[Couch], fresh: Fresh) -> None:
    database, api = fresh(on=mortals), own.api
    for node in mortals:
        node.kill()

    answer = api.sync(database)

    # it cannot be told that the database does not exist: the job finds out
    assert answer.status_code == 202, answer.text
    error = api.wait_state(answer.json()["id"], "failed")["error"]
    assert error["type"] == "unreachable"
    assert all(node.name in error["detail"] for node in mortals)
