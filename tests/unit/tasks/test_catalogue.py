"""From the store to what the API tells of it."""

from __future__ import annotations

import pytest

from tasks import catalogue
from tests.unit.tasks.backing import DAY, back_up, backing, blobs, damage, fill
from tests.unit.tasks.world import World
from worker.core.errors import ObjectDamaged, StoreUnavailable
from worker.core.manifest import Counts, Entry, Failed, Manifest, Stored
from worker.couch.cluster import Cluster
from worker.ops.backup import notes
from worker.ops.backup.catalogue import Unreadable

COUNTS = Counts(documents=10, deleted=2, changed=7, leaves=9, stored_bytes=4_711)
STORED = Stored("backups/ID/db/NAME/manifest.json.zst", "0" * 64, 300)


@pytest.fixture
def world() -> World:
    return backing()


def manifest(*entries: Entry, failed: tuple[Failed, ...] = (), key: str | None = None) -> Manifest:
    return Manifest(1, "20261125T030000Z-1e7a90", 5.0, 9.0, ("*",), True, key, entries, failed)


def entry(database: str, *chain: str, unchanged: bool = False) -> Entry:
    return Entry(database, STORED, not chain, unchanged, None, "a", chain, COUNTS)


def test_a_summary_adds_up_its_databases() -> None:
    told = catalogue.summary(manifest(entry("notes", "one", "two"), entry("pdfs", "two")), None, None)

    assert (told["databases"], told["documents"], told["changed"], told["stored_bytes"]) == (2, 20, 14, 9_422)
    assert (told["full"], told["parents"]) == (False, ["one", "two"])
    assert (told["readable"], told["why"], told["good"], told["failed"], told["sealed"]) == (
        True,
        None,
        True,
        [],
        False,
    )
    assert (told["scope"], told["scheduled"], told["started_at"], told["finished_at"]) == (["*"], True, 5.0, 9.0)


def test_a_summary_says_what_is_missing_and_whether_it_is_sealed() -> None:
    failed = (Failed("drafts", "unreachable", "b: connection refused"),)

    told = catalogue.summary(manifest(entry("pdfs"), failed=failed, key="0123abcd"), None, None)

    assert (told["good"], told["full"], told["sealed"]) == (False, True, True)
    assert told["failed"] == [{"database": "drafts", "error": "unreachable", "detail": "b: connection refused"}]


def test_a_hold_counts_while_it_is_on() -> None:
    on, off = (notes.Hold(state, "case 17", 3.0) for state in (True, False))
    drill = notes.Drill(True, 4.0, "b", 1.5, 2, None)

    told = catalogue.summary(manifest(), on, drill)
    assert told["legal_hold"] == {"on": True, "reason": "case 17", "at": 3.0}
    assert told["drill"] == {"ok": True, "at": 4.0, "node": "b", "seconds": 1.5, "databases": 2, "detail": None}
    told = catalogue.summary(manifest(), off, None)
    assert (told["legal_hold"], told["drill"]) == (None, None)


def test_an_entry_tells_of_a_database_without_the_stores_names() -> None:
    told = catalogue.entry(entry("pdfs", "one"))

    assert told.pop("database") == "pdfs"
    assert told == {
        "full": False,
        "unchanged": False,
        "why": None,
        "node": "a",
        **{name: getattr(COUNTS, name) for name in Counts.__struct_fields__},
    }


def test_what_cannot_be_read_is_listed_with_the_reason() -> None:
    told = catalogue.unreadable(Unreadable("20261125T030000Z-1e7a90", ObjectDamaged("a manifest is damaged")))

    assert told == {"id": "20261125T030000Z-1e7a90", "readable": False, "why": "a manifest is damaged"}


def test_the_store_is_read_into_redis(world: World, cluster: Cluster) -> None:
    fill(cluster, "pdfs")
    fill(cluster, "notes")
    old, new = (back_up(world, cluster, ago=ago)["backup_id"] for ago in (DAY, 0))
    notes.put_hold(world.vaults.main(cluster), old, notes.Hold(True, None, 1.0))
    damage(world, cluster, f"{new}/manifest.json")
    world.redis.flushall()

    catalogue.refresh(world.parts, cluster)

    first, second = world.backups.all()
    assert (first["id"], first["readable"]) == (new, False)
    assert "manifest.json" in first["why"]
    assert (second["id"], second["documents"]) == (old, 6)
    assert second["legal_hold"] == {"on": True, "reason": None, "at": 1.0}
    assert [row["database"] for row in world.backups.entries(old)] == ["_users", "notes", "pdfs"]
    assert world.backups.entries(new) == []


def test_a_backup_that_is_broken_off_is_none(world: World, cluster: Cluster) -> None:
    blobs(world, cluster).put("backups/20261125T030000Z-1e7a90/journal/x", b"anything")

    catalogue.refresh(world.parts, cluster)

    assert world.backups.all() == []
    assert world.backups.observed_at() is not None


def test_what_somebody_else_keeps_there_is_not_looked_at(world: World, cluster: Cluster) -> None:
    blobs(world, cluster).put("backups/of-the-cellar/manifest.json.zst", b"anything")

    catalogue.refresh(world.parts, cluster)

    assert world.backups.all() == []


def test_a_store_that_fails_leaves_what_is_known(world: World, cluster: Cluster) -> None:
    fill(cluster, "pdfs")
    back_up(world, cluster)
    before = world.backups.observed_at(), world.backups.all()
    blobs(world, cluster).fail(StoreUnavailable("no answer"))

    with pytest.raises(StoreUnavailable):
        catalogue.refresh(world.parts, cluster)

    assert (world.backups.observed_at(), world.backups.all()) == before
