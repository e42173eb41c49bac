"""Checks, drills, legal holds and retention as jobs: what they answer, note beside the backup, and tell."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tasks.backup_care import run_check, run_hold, run_prune, scratch_tag
from tasks.backup_watch import drill_request
from tasks.jobs import Kind, Request
from tests.fakes.couchdb import FakeCouch
from tests.unit.tasks.backing import DAY, HOUR, back_up, backing, blobs, damage, fill, in_store, objects, running, told
from tests.unit.tasks.world import World
from worker.core.errors import (
    BackupUnknown,
    DrillFailed,
    ObjectDamaged,
    ObjectMissing,
    StoreUnavailable,
    Unreachable,
)
from worker.core.names import SCRATCH
from worker.couch.cluster import Cluster
from worker.ops.backup.notes import hold_of
from worker.ops.control import Unattended
from worker.ops.scratch import scratch


@pytest.fixture
def world() -> World:
    return backing()


@pytest.fixture
def made(world: World, cluster: Cluster) -> str:
    """A backup of two databases, of an hour ago."""
    fill(cluster, "notes")
    fill(cluster, "pdfs")
    return str(back_up(world, cluster, "notes", "pdfs", ago=HOUR)["backup_id"])


def check(world: World, cluster: Cluster, backup: str, *, failures: int = 0) -> dict[str, Any]:
    job = running(Kind.CHECK, {"backup": backup, "drill": False, "node": None}, failures=failures)
    return run_check(world.parts, cluster, job, Unattended())


def drill(world: World, cluster: Cluster, backup: str, node: str | None = None, *, failures: int = 0) -> dict[str, Any]:
    job = running(Kind.CHECK, drill_request(backup, node).params, failures=failures)
    return run_check(world.parts, cluster, job, Unattended())


def hold(world: World, cluster: Cluster, backup: str, on: bool, reason: str | None = None) -> dict[str, Any]:
    job = running(Kind.HOLD, {"backup": backup, "on": on, "reason": reason})
    return run_hold(world.parts, cluster, job, Unattended())


def prune(world: World, cluster: Cluster, *, dry_run: bool = False) -> dict[str, Any]:
    return run_prune(world.parts, cluster, running(Kind.PRUNE, {"dry_run": dry_run}), Unattended())


def seen(world: World, backup: str) -> dict[str, Any]:
    found = world.backups.one(backup)
    assert found is not None
    return found


def scratch_databases(couch: FakeCouch) -> list[str]:
    return [name for node in couch.nodes.values() for name in node.databases if name.startswith(SCRATCH)]


# checks


def test_a_sound_backup_has_every_object_it_should_have(world: World, cluster: Cluster, made: str) -> None:
    result = check(world, cluster, made)

    assert result["backup"] == made
    assert result["objects"] == len(objects(world, cluster)) - 1, "all but the record of the whole"
    assert result["damaged"] == {"count": 0, "objects": [], "truncated": False}
    assert told(world, "backup.damaged") == []


def test_latest_is_the_newest(world: World, cluster: Cluster, made: str) -> None:
    newest = back_up(world, cluster, "notes")["backup_id"]

    assert check(world, cluster, "latest")["backup"] == newest


def test_every_damaged_object_is_named_and_told(world: World, cluster: Cluster, made: str) -> None:
    name = damage(world, cluster, "-documents-")

    with pytest.raises(ObjectDamaged) as failed:
        check(world, cluster, made)

    assert failed.value.result is not None
    assert [one["object"] for one in failed.value.result["damaged"]["objects"]] == [name]
    (event,) = told(world, "backup.damaged")
    assert (event.severity.value, event.data["backup"], event.data["error"]) == ("error", made, "backup-damaged")
    assert name in event.detail
    assert seen(world, made)["drill"] is None, "a check restores nothing"


def test_what_was_found_damaged_is_listed_until_it_is_found_right(world: World, cluster: Cluster, made: str) -> None:
    store = blobs(world, cluster)
    name = next(name for name in reversed(objects(world, cluster)) if "-documents-" in name)
    good = store.get(name)
    damage(world, cluster, "-documents-")
    with pytest.raises(DrillFailed):
        drill(world, cluster, made)
    assert (seen(world, made)["damage"]["by"], name in seen(world, made)["damage"]["detail"]) == ("drill", True)

    newest = back_up(world, cluster, "notes", "pdfs")
    assert newest["full"] is True, "it goes on from nothing that is damaged"

    store.put(name, good)
    check(world, cluster, made)
    assert seen(world, made)["damage"]["by"] == "drill", "a check restores nothing"
    drill(world, cluster, made)
    assert seen(world, made)["damage"] is None


def test_an_object_that_is_missing_is_damage(world: World, cluster: Cluster, made: str) -> None:
    name = damage(world, cluster, "-documents-")
    blobs(world, cluster).delete([name])

    with pytest.raises(ObjectDamaged, match="missing or damaged"):
        check(world, cluster, made)


def test_a_record_of_the_whole_that_is_damaged_is_told_as_well(world: World, cluster: Cluster, made: str) -> None:
    damage(world, cluster, f"{made}/manifest.json")

    with pytest.raises(ObjectDamaged):
        check(world, cluster, made)

    (event,) = told(world, "backup.damaged")
    assert event.data["backup"] == made


@pytest.mark.parametrize("backup", ["20200101T000000Z-abcdef", "../../etc"])
def test_a_backup_that_there_is_not_is_not_damaged(world: World, cluster: Cluster, made: str, backup: str) -> None:
    with pytest.raises(BackupUnknown, match=f"the newest are: {made}"):
        check(world, cluster, backup)

    assert told(world, "backup.damaged") == []


def test_one_that_was_broken_off_is_none(world: World, cluster: Cluster, made: str) -> None:
    blobs(world, cluster).delete([f"backups/{made}/manifest.json.zst"])

    with pytest.raises(ObjectMissing, match="it was broken off before its end"):
        check(world, cluster, made)


def test_a_store_that_does_not_answer_is_no_finding_yet(world: World, cluster: Cluster, made: str) -> None:
    blobs(world, cluster).fail(StoreUnavailable("no answer"), call="slices")

    with pytest.raises(StoreUnavailable):
        check(world, cluster, made)

    assert told(world, "backup.damaged") == []


# drills


def test_a_drill_that_goes_well_makes_the_backup_verified(
    world: World, couch: FakeCouch, cluster: Cluster, made: str
) -> None:
    result = drill(world, cluster, made)

    assert set(result["databases"]) == {"notes", "pdfs"}
    assert (result["node"], result["failed"]) == ("a", {})
    noted = seen(world, made)["drill"]
    assert (noted["ok"], noted["node"], noted["databases"], noted["detail"]) == (True, "a", 2, None)
    (event,) = told(world, "backup.verified")
    assert (event.node, event.data["backup"]) == ("a", made)
    assert scratch_databases(couch) == []


def test_a_person_may_say_where_it_is_made(world: World, cluster: Cluster, made: str) -> None:
    assert drill(world, cluster, made, "c")["node"] == "c"


def test_what_is_noted_of_a_drill_outlives_redis(world: World, cluster: Cluster, made: str) -> None:
    drill(world, cluster, made)
    world.redis.flushall()

    back_up(world, cluster, "notes")

    assert seen(world, made)["drill"]["ok"] is True


def test_a_backup_that_cannot_be_restored_is_not_verified_any_more(
    world: World, couch: FakeCouch, cluster: Cluster, made: str
) -> None:
    drill(world, cluster, made)
    name = damage(world, cluster, "-documents-")

    with pytest.raises(DrillFailed) as failed:
        drill(world, cluster, made)

    assert failed.value.result is not None
    assert len(failed.value.result["failed"]) == 1
    assert len(failed.value.result["databases"]) == 1, "the other was looked at all the same"
    noted = seen(world, made)["drill"]
    assert noted["ok"] is False
    assert name in noted["detail"]
    assert "asked for again" not in noted["detail"], "nothing is left to go on with"
    (event,) = told(world, "backup.damaged")
    assert event.data["error"] == "drill-failed"
    assert scratch_databases(couch) == []


def test_a_document_that_the_node_does_not_take_back_is_a_finding(
    world: World, couch: FakeCouch, cluster: Cluster, made: str
) -> None:
    couch["a"].refuses = lambda document: document["_id"] == "doc-1"

    with pytest.raises(DrillFailed, match="1 documents were refused, as doc-1"):
        drill(world, cluster, made)

    assert seen(world, made)["drill"]["ok"] is False


def test_a_node_that_fails_is_no_finding_of_the_backup(
    world: World, couch: FakeCouch, cluster: Cluster, made: str
) -> None:
    drill(world, cluster, made)
    couch["a"].fail("refused")

    with pytest.raises(Unreachable):
        drill(world, cluster, made, "a")

    assert told(world, "backup.not-checked") == []  # it is tried again
    with pytest.raises(Unreachable):
        drill(world, cluster, made, "a", failures=2)

    assert seen(world, made)["drill"]["ok"] is True
    assert told(world, "backup.damaged") == []
    (event,) = told(world, "backup.not-checked")
    assert (event.severity.value, event.data["backup"], event.data["error"]) == ("warning", made, "unreachable")


def test_a_node_that_fails_in_the_middle_is_no_finding_either(
    world: World, couch: FakeCouch, cluster: Cluster, made: str
) -> None:
    couch["a"].fail("refused", path="_bulk_docs")

    with pytest.raises(Unreachable):
        drill(world, cluster, made, "a")

    assert seen(world, made)["drill"] is None


# legal holds


def test_scratch_databases_that_nobody_uses_any_more_go(couch: FakeCouch, cluster: Cluster) -> None:
    """Of an attempt whose node was away when the next one chose another."""
    world = backing()
    fill(cluster, "pdfs")
    made = back_up(world, cluster)["backup_id"]
    job = world.jobs.submit(drill_request(made)).job
    for node in ("a", "c"):
        for tag in (scratch_tag(job), "of-another"):
            scratch(cluster[node], tag).create()
    couch["b"].fail("refused")

    assert prune(world, cluster, dry_run=True).get("scratch") is None
    assert prune(world, cluster)["scratch"] == [f"{node}/{SCRATCH}of-another" for node in ("a", "c")]
    assert scratch(cluster["a"], scratch_tag(job)).info() is not None
    assert prune(world, cluster)["scratch"] == []


def test_a_hold_keeps_a_backup_until_it_is_taken_off(cluster: Cluster) -> None:
    world = backing(backup_retention="last=1")
    fill(cluster, "pdfs")
    old = back_up(world, cluster, ago=DAY, full=True)["backup_id"]

    assert hold(world, cluster, old, True, "case 17") == {"backup": old, "on": True, "reason": "case 17"}
    assert seen(world, old)["legal_hold"]["reason"] == "case 17"
    back_up(world, cluster, full=True)
    assert old in in_store(world, cluster)

    hold(world, cluster, old, False)
    assert seen(world, old)["legal_hold"] is None
    assert prune(world, cluster)["dropped"] == [old]


def test_a_backup_may_be_on_hold_from_its_beginning(cluster: Cluster) -> None:
    world = backing(backup_retention="last=1")
    fill(cluster, "pdfs")
    old = back_up(world, cluster, ago=DAY, full=True, legal_hold="case 17")["backup_id"]

    assert seen(world, old)["legal_hold"]["reason"] == "case 17"
    told = back_up(world, cluster, full=True)
    assert "legal hold" in told["pruned"]["kept"][old]


def test_a_hold_holds_at_both_locations(cluster: Cluster, tmp_path: Path) -> None:
    world = backing(backup_copy_url=f"file://{tmp_path}/copy")
    fill(cluster, "pdfs")
    old = back_up(world, cluster)["backup_id"]

    hold(world, cluster, old, True)

    copy = world.vaults.copy(cluster)
    assert copy is not None
    for vault in (world.vaults.main(cluster), copy):
        noted = hold_of(vault, old)
        assert noted is not None
        assert noted.on


def test_latest_can_be_held(world: World, cluster: Cluster, made: str) -> None:
    assert hold(world, cluster, "latest", True)["backup"] == made


def test_nothing_is_held_that_there_is_not(world: World, cluster: Cluster, made: str) -> None:
    before = objects(world, cluster)

    with pytest.raises(BackupUnknown):
        hold(world, cluster, "20200101T000000Z-abcdef", True)

    assert objects(world, cluster) == before


# retention


def test_a_dry_run_says_why_and_removes_nothing(cluster: Cluster) -> None:
    world = backing(backup_retention="all")
    fill(cluster, "pdfs")
    old, new = (back_up(world, cluster, ago=ago, full=True)["backup_id"] for ago in (DAY, 0))
    strict = backing(backup_retention="last=1")
    strict.vaults = world.vaults
    before = objects(world, cluster)

    told_dry = prune(strict, cluster, dry_run=True)

    assert (told_dry["dry_run"], told_dry["dropped"]) == (True, [old])
    assert told_dry["kept"] == {new: ["the last good one", "last 1"]}
    assert objects(world, cluster) == before

    result = prune(strict, cluster)
    assert (result["dropped"], result["copy"]) == ([old], None)
    assert in_store(world, cluster) == [new]
    assert [one["id"] for one in strict.backups.all()] == [new]


@pytest.mark.parametrize("kind", [Kind.RESTORE, Kind.CHECK])
def test_what_is_being_used_stays_as_long(cluster: Cluster, kind: Kind) -> None:
    world = backing(backup_retention="last=1")
    fill(cluster, "pdfs")
    old = back_up(world, cluster, ago=DAY, full=True)["backup_id"]
    using = world.queued(Request(kind, "pdfs", {"backup": old, "as": None}))
    back_up(world, cluster, full=True)
    assert old in in_store(world, cluster)

    world.jobs.cancel(using)
    assert prune(world, cluster)["dropped"] == [old]


def test_folders_of_somebody_else_are_never_removed(world: World, cluster: Cluster, made: str) -> None:
    """A store may be shared, and what is unfinished for a day goes."""
    store = blobs(world, cluster)
    store.now = 1.0
    store.put("backups/of-the-cellar/box", b"mine")
    store.put("backups/20200101T000000Z-abcdef/journal/x", b"ours")
    store.now = None

    assert prune(world, cluster)["abandoned"] == ["20200101T000000Z-abcdef"]
    assert store.get("backups/of-the-cellar/box") == b"mine"
