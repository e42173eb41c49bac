"""Schedules that are not kept, and by how much."""

from __future__ import annotations

from typing import Any

import pytest

from api.metrics.schedules import GRACE, overdue_by
from tasks.backup_watch import SCHEDULED, drill_request
from tasks.jobs import Kind, Request
from tests.unit.api.backing import NOW, backing, backup, identity, read
from tests.unit.api.metrics.scraped import scrape
from tests.unit.api.world import World, settings, sweep
from worker.ops.backup.notes import Drill

HOUR = 3_600.0
# the world's clock: 2026-11-23 15:00 UTC, a Monday
LAST_NIGHT = "0 3 * * *"


def overdue(world: World) -> dict[str, float]:
    return {name: value for (name,), value in scrape(world.client).get("nbr_schedule_overdue_seconds", {}).items()}


@pytest.mark.parametrize(
    ("ago", "wanted"),
    [(0, 0), (10, 0), (20, 0), (20 + GRACE, 0), (21 + GRACE, 11 + GRACE), (3_600, 3_590), (-100, 0)],
)
def test_what_is_done_at_intervals_is_overdue_after_two_of_them_and_a_minute(ago: float, wanted: float) -> None:
    assert overdue_by(NOW - ago, 10, NOW) == wanted


def test_what_was_never_done_is_not_known(world: World) -> None:
    assert overdue_by(None, 10, NOW) is None
    assert overdue(world) == {}


def test_each_thing_that_is_done_at_intervals_is_told() -> None:
    world = World(settings=settings(replication_retry_seconds=30, health_interval=10, canary_seconds=60))
    world.save_sweep(observed_at=world.now - HOUR)
    world.save_links()
    world.save_reconcile(observed_at=world.now - HOUR)
    world.save_pass()
    world.replication.save_canary({"arrivals": [], "observed_at": world.now - HOUR})
    world.seen.audits.save({"counts": {}, "checked": [], "observed_at": world.now - 50 * HOUR}, {}, [])

    assert overdue(world) == pytest.approx(
        {
            "sweep": HOUR - 10,
            "links": 0,
            "reconcile": HOUR - 30,
            "drift": 0,
            "canary": HOUR - 60,
            "security-report": 26 * HOUR,
        }
    )


@pytest.mark.parametrize(
    ("answering", "awaited"), [(["primary", "replica1"], True), (["primary"], False)], ids=["two-nodes", "one-node"]
)
def test_no_canary_is_awaited_while_only_one_node_answers(answering: list[str], awaited: bool) -> None:
    """It is written on one node and awaited on another."""
    world = World(settings=settings(canary_seconds=60))
    nodes = [{**node, "failures": 0 if node["name"] in answering else 3} for node in sweep(world.now)["nodes"]]
    world.save_sweep(nodes=nodes)
    world.replication.save_canary({"arrivals": [], "observed_at": world.now - HOUR})

    assert ("canary" in overdue(world)) is awaited


def test_where_nothing_is_replicated_by_itself_nothing_of_it_is_awaited() -> None:
    world = World(settings=settings(continuous_replication=False))
    world.save_sweep()
    world.save_reconcile(observed_at=world.now - HOUR)
    world.save_pass(observed_at=world.now - HOUR)

    assert overdue(world) == {"sweep": 0}


@pytest.mark.parametrize(
    ("ago", "wanted"),
    [(11 * HOUR, 0), (13 * HOUR, 12 * HOUR), (30 * HOUR, 12 * HOUR), (40 * HOUR, 36 * HOUR)],
    ids=["tonight's", "before it", "last night's", "two nights ago"],
)
def test_a_backup_that_was_due_and_not_made_is_overdue_since_then(ago: float, wanted: float) -> None:
    world = backing(backup_schedule=LAST_NIGHT, backup_drill_schedule="off")
    read(world, backup(24, "pdfs", ago=ago))

    assert overdue(world)["backup"] == pytest.approx(wanted, abs=1)


def test_without_any_backup_it_counts_from_when_somebody_began_to_watch() -> None:
    world = backing(backup_schedule=LAST_NIGHT, backup_drill_schedule="off")
    read(world)
    assert "backup" not in overdue(world)

    world.backups.note("watched_since", NOW - 20 * HOUR)
    assert overdue(world)["backup"] == pytest.approx(12 * HOUR, abs=1)


@pytest.mark.parametrize("scheduled", [True, False])
def test_one_that_runs_is_no_longer_overdue_and_one_that_is_queued_is(scheduled: bool) -> None:
    world = backing(backup_schedule=LAST_NIGHT, backup_drill_schedule="off")
    read(world, backup(24, "pdfs", ago=40 * HOUR))
    job = world.jobs.submit(Request(Kind.BACKUP, None, {**SCHEDULED, "scheduled": scheduled})).job
    assert overdue(world)["backup"] > 0

    world.start(job.id)
    assert overdue(world)["backup"] == 0


def test_one_of_a_single_database_is_no_backup_of_everything() -> None:
    world = backing(backup_schedule=LAST_NIGHT, backup_drill_schedule="off")
    read(world, backup(24, "pdfs", ago=40 * HOUR), backup(25, "pdfs", ago=HOUR, scope=["pdfs"]))
    world.start(world.jobs.submit(Request(Kind.BACKUP, None, {**SCHEDULED, "databases": ["pdfs"]})).job.id)

    assert overdue(world)["backup"] == pytest.approx(36 * HOUR, abs=1)


def test_a_drill_is_overdue_since_its_time_and_no_longer_while_one_runs() -> None:
    world = backing(backup_schedule="off", backup_drill_schedule=LAST_NIGHT)
    done = Drill(True, NOW - 40 * HOUR, "replica1", 1.5, 2, None)
    read(world, backup(24, "pdfs", ago=41 * HOUR, drill=done))
    assert overdue(world) == {"drill": pytest.approx(36 * HOUR, abs=1)}
    world.start(world.jobs.submit(Request(Kind.CHECK, None, {"backup": identity(23), "drill": False})).job.id)
    assert overdue(world)["drill"] > 0, "a comparison of checksums is no drill"

    world.start(world.jobs.submit(drill_request(identity(24))).job.id)
    assert overdue(world)["drill"] == 0


@pytest.mark.parametrize(
    "more",
    [
        {"backup_schedule": "off", "backup_drill_schedule": "off"},
        {"backup_url": ""},
        # recipients alone: nobody here can read a backup, so no drill is made
        {
            "backup_schedule": "off",
            "backup_key": "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p",
        },
    ],
    ids=["off", "no backups", "sealed for others"],
)
def test_what_is_not_to_be_done_is_not_awaited(more: dict[str, Any]) -> None:
    world = backing(**more)
    read(world, backup(24, "pdfs", ago=400 * HOUR))

    assert overdue(world) == {}
