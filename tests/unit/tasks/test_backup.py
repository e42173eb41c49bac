"""The backup job: what it makes, what it means to others, and what is left of one that fails or is cancelled."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tasks.backup import run_backup
from tasks.backup_nodes import candidates
from tasks.jobs import Kind
from tests.builders import Listener
from tests.fakes.couchdb import FakeCouch
from tests.unit.tasks.backing import BACKUP, DAY, back_up, backing, blobs, fill, in_store, objects, running, told
from tests.unit.tasks.world import World
from worker.blobs.seal import new_identity
from worker.core.errors import (
    BackupIncomplete,
    BackupsOff,
    Cancelled,
    HandedBack,
    NotFound,
    ServerFault,
    StoreFull,
    StoreRefused,
    StoreUnavailable,
    Unreachable,
)
from worker.couch.cluster import Cluster
from worker.ops.control import Unattended


@pytest.fixture
def world() -> World:
    return backing()


def entries(world: World, backup: str) -> dict[str, dict[str, Any]]:
    """Its databases, as the API tells of them."""
    return {row["database"]: row for row in world.backups.entries(backup)}


# what is made


def test_a_backup_of_everything_is_told_and_seen(world: World, cluster: Cluster) -> None:
    fill(cluster, "pdfs")
    fill(cluster, "notes", count=5)

    result = back_up(world, cluster)

    assert (result["databases"], result["documents"], result["changed"]) == (3, 8, 8)
    assert (result["full"], result["parents"], result["copied"]) == (True, [], None)
    (event,) = told(world, "backup.finished")
    assert event.data["backup"] == result["backup_id"]
    assert (event.data["databases"], event.data["stored_bytes"]) == (3, result["stored_bytes"])
    (seen,) = world.backups.all()
    assert (seen["id"], seen["good"], seen["scope"], seen["scheduled"]) == (result["backup_id"], True, ["*"], False)
    assert set(entries(world, result["backup_id"])) == {"pdfs", "notes", "_users"}
    assert in_store(world, cluster) == [result["backup_id"]]


def test_the_next_one_goes_on_from_it(world: World, cluster: Cluster) -> None:
    first = fill(cluster, "pdfs")["a"]
    earlier = back_up(world, cluster, ago=DAY)["backup_id"]
    first.put({"_id": "later"})

    result = back_up(world, cluster)

    assert (result["full"], result["parents"], result["changed"], result["documents"]) == (False, [earlier], 1, 4)


@pytest.mark.parametrize(("more", "params"), [({}, {"full": True}), ({"backup_full_days": "1"}, {})])
def test_a_full_one_is_made_when_asked_for_and_when_the_chain_is_old(
    cluster: Cluster, more: dict[str, str], params: dict[str, Any]
) -> None:
    world = backing(**more)
    fill(cluster, "pdfs")
    back_up(world, cluster, ago=2 * DAY)

    assert back_up(world, cluster, **params)["full"] is True


def test_settings_choose_where_nobody_does(cluster: Cluster) -> None:
    world = backing(backup_include="notes-*, pdfs", backup_exclude="notes-old*")
    for name in ("notes-new", "notes-old", "pdfs", "drafts"):
        fill(cluster, name)

    by_settings = back_up(world, cluster, scheduled=True)["backup_id"]
    by_hand = back_up(world, cluster, "drafts", "notes-*")["backup_id"]

    assert set(entries(world, by_settings)) == {"notes-new", "pdfs"}
    assert set(entries(world, by_hand)) == {"drafts", "notes-new", "notes-old"}
    assert [
        (one["scope"], one["scheduled"]) for one in sorted(world.backups.all(), key=lambda one: one["scheduled"])
    ] == [
        (["drafts", "notes-*"], False),
        (["*"], True),
    ]


def test_a_name_that_no_node_has_is_a_failure_that_is_told(world: World, cluster: Cluster) -> None:
    fill(cluster, "pdfs")

    with pytest.raises(NotFound, match=r"did you mean pdfs\?"):
        back_up(world, cluster, "pdf")

    (event,) = told(world, "backup.failed")
    assert (event.database, event.data["error"]) == ("pdf", "not-found")


def test_every_attempt_of_a_job_is_the_same_backup(world: World, cluster: Cluster) -> None:
    fill(cluster, "pdfs")
    job = running(Kind.BACKUP, BACKUP)

    made = [run_backup(world.parts, cluster, job, Unattended())["backup_id"] for _ in range(2)]

    assert made[0] == made[1]
    assert in_store(world, cluster) == made[:1]


def test_what_is_sealed_is_called_so(cluster: Cluster) -> None:
    world = backing(backup_key=new_identity())
    fill(cluster, "pdfs")

    back_up(world, cluster)

    assert world.backups.all()[0]["sealed"] is True
    assert all(name.endswith(".age") for name in objects(world, cluster))


def test_without_a_store_there_is_no_backup(cluster: Cluster) -> None:
    with pytest.raises(BackupsOff):
        back_up(backing(backup_url=""), cluster)


# retention


def test_retention_is_carried_out_afterwards(cluster: Cluster) -> None:
    world = backing(backup_retention="last=1")
    fill(cluster, "pdfs")
    first = back_up(world, cluster, ago=DAY, full=True)["backup_id"]

    result = back_up(world, cluster, full=True)

    assert result["pruned"]["dropped"] == [first]
    assert in_store(world, cluster) == [result["backup_id"]]
    assert [one["id"] for one in world.backups.all()] == [result["backup_id"]]


def test_retention_that_fails_is_no_failure_of_the_backup(cluster: Cluster) -> None:
    world = backing(backup_retention="last=1")
    fill(cluster, "pdfs")
    back_up(world, cluster, ago=DAY, full=True)
    blobs(world, cluster).fail(StoreRefused("nobody may delete here"), call="clear_staged")

    result = back_up(world, cluster, full=True)

    assert result["pruned"] == {"error": "backup-store-refused", "detail": "nobody may delete here"}
    assert len(told(world, "backup.finished")) == 2
    assert told(world, "backup.failed") == []
    assert len(world.backups.all()) == 2


# the second location


def copying(folder: Path, **more: str) -> World:
    return backing(backup_copy_url=f"file://{folder}/copy", **more)


def test_what_is_new_is_copied_to_the_second_location(cluster: Cluster, tmp_path: Path) -> None:
    world = copying(tmp_path)
    first = fill(cluster, "pdfs")["a"]

    result = back_up(world, cluster, ago=DAY)
    assert result["copied"]["backups"] == [result["backup_id"]]
    first.put({"_id": "later"})
    result = back_up(world, cluster)

    assert result["copied"]["backups"] == [result["backup_id"]]
    assert objects(world, cluster, "copy") == objects(world, cluster)


def test_retention_is_carried_out_at_both(cluster: Cluster, tmp_path: Path) -> None:
    world = copying(tmp_path, backup_retention="last=1")
    fill(cluster, "pdfs")
    first = back_up(world, cluster, ago=DAY, full=True)["backup_id"]

    result = back_up(world, cluster, full=True)

    assert result["pruned"]["copy"]["dropped"] == [first]
    assert objects(world, cluster, "copy") == objects(world, cluster)


def test_a_copy_that_fails_is_told_and_does_not_fail_the_job(cluster: Cluster, tmp_path: Path) -> None:
    world = copying(tmp_path)
    fill(cluster, "pdfs")
    blobs(world, cluster, "copy").fail(StoreFull("the other disk is full"), call="put")

    result = back_up(world, cluster, ago=DAY)

    assert result["copied"] == {"error": "backup-store-full", "detail": "the other disk is full"}
    (event,) = told(world, "backup.not-copied")
    assert (event.severity.value, event.data) == (
        "error",
        {"backup": result["backup_id"], "error": "backup-store-full"},
    )
    assert len(told(world, "backup.finished")) == 1

    blobs(world, cluster, "copy").heal()
    later = back_up(world, cluster)
    assert later["copied"]["backups"] == [result["backup_id"], later["backup_id"]], "it is caught up with the next one"


# what fails


def test_a_database_that_fails_keeps_none_of_the_others_away(couch: FakeCouch, cluster: Cluster) -> None:
    world = backing()
    fill(cluster, "pdfs")
    fill(cluster, "notes")
    for node in couch.nodes.values():
        node.fail("500", path="notes")

    with pytest.raises(BackupIncomplete, match="1 of 3 databases could not be backed up: notes"):
        back_up(world, cluster)

    (event,) = told(world, "backup.failed")
    (seen,) = world.backups.all()
    assert (event.severity.value, event.data["error"], event.data["backup"]) == (
        "error",
        "backup-incomplete",
        seen["id"],
    )
    assert told(world, "backup.finished") == []
    assert (seen["good"], [one["database"] for one in seen["failed"]]) == (False, ["notes"])
    assert set(entries(world, seen["id"])) == {"_users", "pdfs"}


def test_one_that_lacks_a_database_is_copied_and_retention_goes_on(
    couch: FakeCouch, cluster: Cluster, tmp_path: Path
) -> None:
    """It may fail every night, until somebody looks."""
    world = copying(tmp_path, backup_retention="last=1")
    fill(cluster, "pdfs")
    fill(cluster, "notes")
    oldest = back_up(world, cluster, ago=3 * DAY, full=True)["backup_id"]
    back_up(world, cluster, ago=2 * DAY, full=True)
    for node in couch.nodes.values():
        node.fail("500", path="notes")

    with pytest.raises(BackupIncomplete) as failed:
        back_up(world, cluster, full=True)

    made = in_store(world, cluster)[0]
    result = failed.value.result
    assert result is not None
    assert (result["backup_id"], result["copied"]["backups"]) == (made, [made])
    assert oldest not in in_store(world, cluster)
    assert objects(world, cluster, "copy") == objects(world, cluster)


def test_where_all_databases_fail_there_is_no_backup(couch: FakeCouch, cluster: Cluster) -> None:
    world = backing()
    fill(cluster, "pdfs")
    for node in couch.nodes.values():
        node.fail("500", path="pdfs")

    with pytest.raises(ServerFault):
        back_up(world, cluster, "pdfs")

    assert in_store(world, cluster) == []


def _no_node(world: World, couch: FakeCouch, cluster: Cluster) -> type[Exception]:
    for node in couch.nodes.values():
        node.fail("refused")
    return Unreachable


def _no_store(world: World, couch: FakeCouch, cluster: Cluster) -> type[Exception]:
    blobs(world, cluster).fail(StoreUnavailable("no answer"), call="put")
    return StoreUnavailable


@pytest.mark.parametrize("trouble", [_no_node, _no_store])
def test_what_may_pass_is_told_with_the_last_attempt_alone(
    world: World,
    couch: FakeCouch,
    cluster: Cluster,
    trouble: Callable[[World, FakeCouch, Cluster], type[Exception]],
) -> None:
    fill(cluster, "pdfs")
    expected = trouble(world, couch, cluster)
    most = world.settings.job_max_attempts

    for failures in range(most):
        assert told(world, "backup.failed") == []
        with pytest.raises(expected):
            back_up(world, cluster, failures=failures)

    assert len(told(world, "backup.failed")) == 1


def test_what_will_not_pass_is_told_at_once(world: World, cluster: Cluster) -> None:
    fill(cluster, "pdfs")
    blobs(world, cluster).fail(StoreRefused("access is refused"), call="put")

    with pytest.raises(StoreRefused):
        back_up(world, cluster)

    (event,) = told(world, "backup.failed")
    assert event.data["error"] == "backup-store-refused"


def test_a_catalogue_that_cannot_be_read_afterwards_is_read_later(world: World, cluster: Cluster) -> None:
    fill(cluster, "pdfs")
    blobs(world, cluster).fail(StoreUnavailable("no answer"), call="folders", after=2)

    assert back_up(world, cluster)["databases"] == 2
    assert world.backups.all() == []


# what is cancelled


def cancelling(world: World, cluster: Cluster, part: str, place: str = "main") -> None:
    """Somebody cancels just before an object whose name has this in it is written."""

    def before(call: str, name: str) -> None:
        if call == "put" and part in name:
            raise Cancelled

    blobs(world, cluster, place).before = before


def test_nothing_is_left_of_one_that_was_cancelled(world: World, cluster: Cluster) -> None:
    fill(cluster, "pdfs")
    earlier = back_up(world, cluster, "pdfs", ago=DAY)["backup_id"]
    before = objects(world, cluster)
    cancelling(world, cluster, "manifest.json")

    with pytest.raises(Cancelled):
        back_up(world, cluster, "pdfs", full=True)

    assert objects(world, cluster) == before
    assert in_store(world, cluster) == [earlier]
    assert told(world, "backup.failed") == []


def test_one_that_is_whole_stays_although_its_copy_was_cancelled(cluster: Cluster, tmp_path: Path) -> None:
    """It has been told of, and another may go on from it."""
    world = copying(tmp_path)
    fill(cluster, "pdfs")
    cancelling(world, cluster, "", "copy")

    with pytest.raises(Cancelled):
        back_up(world, cluster, "pdfs")

    (event,) = told(world, "backup.finished")
    assert in_store(world, cluster) == [event.data["backup"]]
    assert [one["id"] for one in world.backups.all()] == in_store(world, cluster)


def test_a_store_that_fails_meanwhile_hides_no_cancel(world: World, cluster: Cluster) -> None:
    fill(cluster, "pdfs")
    control = Listener(stop_when=lambda _: Cancelled())
    blobs(world, cluster).fail(StoreUnavailable("no answer"), call="listed")

    with pytest.raises(Cancelled):
        back_up(world, cluster, "pdfs", control=control)


def test_one_that_is_handed_back_is_left_to_who_goes_on_with_it(world: World, cluster: Cluster) -> None:
    fill(cluster, "pdfs")

    def before(call: str, name: str) -> None:
        if call == "put" and "manifest.json" in name:
            raise HandedBack

    blobs(world, cluster).before = before
    with pytest.raises(HandedBack):
        back_up(world, cluster, "pdfs")

    assert any("-documents-" in name for name in objects(world, cluster))


# the blackout


def now_and_on() -> str:
    """A blackout that covers the next hour at least."""
    hour = time.gmtime().tm_hour
    return f"{hour:02}:00-{(hour + 2) % 24:02}:00"


def test_a_scheduled_one_waits_in_a_blackout(cluster: Cluster) -> None:
    world = backing(backup_blackout=now_and_on())
    fill(cluster, "pdfs")
    control = Listener(stop_when=lambda told: HandedBack() if "blackout" in told.phases else None)

    with pytest.raises(HandedBack):
        back_up(world, cluster, scheduled=True, control=control)


def test_one_that_somebody_wants_now_does_not_wait(cluster: Cluster) -> None:
    world = backing(backup_blackout=now_and_on())
    fill(cluster, "pdfs")

    assert back_up(world, cluster)["databases"] == 2


# from which node


def sweep(world: World, **states: str) -> None:
    nodes = [{"name": name, "state": state, "failures": 0, "successes": 1} for name, state in states.items()]
    world.seen.save_sweep({"observed_at": time.time(), "cluster": "healthy", "nodes": nodes}, None)


def test_before_the_first_look_nodes_are_taken_as_they_are_written(world: World, cluster: Cluster) -> None:
    assert candidates(world.parts, cluster) == ["a", "b", "c"]


def test_the_best_node_is_asked_first(world: World, cluster: Cluster) -> None:
    fill(cluster, "pdfs")
    sweep(world, a="suspect", b="healthy", c="healthy")
    most = world.settings.ready_max_lag
    world.seen.save_standings({"a": {"lag": 0}, "b": {"lag": most + 1}, "c": {"lag": most}})

    assert candidates(world.parts, cluster) == ["c", "b", "a"]
    made = back_up(world, cluster)["backup_id"]
    assert {row["node"] for row in entries(world, made).values()} == {"c"}


def test_the_one_with_the_least_to_do_is_asked_first(world: World, cluster: Cluster) -> None:
    nodes = [
        {"name": name, "state": "healthy", "load": {"run_queue": busy} if busy is not None else None}
        for name, busy in (("a", 5), ("b", 2), ("c", 9))
    ]
    world.seen.save_sweep({"observed_at": time.time(), "cluster": "healthy", "nodes": nodes}, None)
    world.seen.save_standings({name: {"lag": 0} for name in "abc"})

    assert candidates(world.parts, cluster) == ["b", "a", "c"]


def test_a_node_that_is_down_is_not_asked_unless_all_are(world: World, cluster: Cluster) -> None:
    sweep(world, a="down", b="healthy", c="recovering")
    assert candidates(world.parts, cluster) == ["b"]

    sweep(world, a="down", b="down", c="down")
    assert candidates(world.parts, cluster) == ["a", "b", "c"], "one may just have come back"


def test_the_next_node_is_read_where_the_first_fails(world: World, couch: FakeCouch, cluster: Cluster) -> None:
    fill(cluster, "pdfs")
    couch["a"].fail("500", path="pdfs")

    made = back_up(world, cluster)["backup_id"]

    assert (entries(world, made)["pdfs"]["node"], entries(world, made)["_users"]["node"]) == ("b", "a")
