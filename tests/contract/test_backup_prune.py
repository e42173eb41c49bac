"""What retention removes, what it never does, and that a run which was killed has done no harm."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest

from embedded.waiting import wait_until
from tests import builders
from tests.contract import backups
from tests.contract.backups import EPOCH
from tests.contract.conftest import DEADLINE, Site, fake_site
from tests.fakes.blobs import FakeBlobs, Killed
from tests.fakes.couchdb import FakeCouch
from worker.blobs.seal import Keys, new_identity, seals
from worker.blobs.store import Store
from worker.blobs.vault import Vault
from worker.core.errors import ObjectDamaged, StoreUnavailable
from worker.core.manifest import MANIFEST, RECORD, Manifest, backup_id, database_folder
from worker.core.retention import parse_policy
from worker.couch.database import Database
from worker.ops.backup import notes
from worker.ops.backup.catalogue import Catalogue, Unreadable
from worker.ops.backup.check import check
from worker.ops.backup.prune import ABANDONED, Pruned, prune
from worker.ops.control import Unattended
from worker.ops.restore.database import restore_new

pytestmark = pytest.mark.contract

DAY = 86_400.0
CHUNKS = 7  # of a backup that is broken off: more than the first page of the feed


class Years:
    """A database on a fake node, and a store whose clock goes with the backups."""

    def __init__(self, blobs: FakeBlobs | None = None) -> None:
        self.couch = FakeCouch("a", "b")
        self.site = fake_site(self.couch)
        self.blobs = blobs or FakeBlobs()
        self.vault = Vault(self.blobs)
        self.source = Database(self.site.cluster["a"], "source")
        self.source.create()

    def back_up(self, at: float, **order: Any) -> Manifest:
        self.blobs.now = EPOCH + at * DAY
        return backups.back_up(self.site, self.vault, "source", at=at, **order)

    def prune(self, policy: str, at: float, *, dry_run: bool = False) -> Pruned:
        self.blobs.now = EPOCH + at * DAY
        return prune(self.vault, parse_policy(policy), EPOCH + at * DAY, Unattended(), dry_run=dry_run)

    def write(self, document: str, *attachments: str, **fields: Any) -> None:
        """With attachments whose bytes are their names."""
        found = self.source.get(document) or {"_id": document}
        listed = {name: builders.attachment(name.encode()) for name in attachments}
        self.source.put({**found, **fields, "_attachments": listed})

    def restores(self, manifest: Manifest, as_it_was: dict[str, Any]) -> None:
        target = Database(self.site.cluster["b"], self.site.name("restored"))
        restore_new(self.vault, backups.chain_of(self.vault, manifest, "source"), target, Unattended())
        assert backups.lost(as_it_was, backups.content(target)) == []


@pytest.fixture
def years() -> Years:
    return Years()


def listed(vault: Vault) -> list[Manifest]:
    """All of them, each as whole as a check can tell."""
    found = list(Catalogue(vault).all())
    for one in found:
        assert not isinstance(one, Unreadable)
        check(vault, one, Unattended())
    return [one for one in found if isinstance(one, Manifest)]


def ids(vault: Vault) -> list[str]:
    return [one.id for one in listed(vault)]


def attachments(years: Years) -> set[str]:
    """Their bytes, which are their names."""
    return {years.blobs.get(name).decode() for name in backups.objects(years.vault, "attachments")}


# --- which backups go


def test_what_others_go_on_from_stays(years: Years) -> None:
    first = years.back_up(0)
    years.write("more")
    second = years.back_up(1)
    years.write("and more")
    third = years.back_up(2)
    as_it_was = backups.content(years.source)
    done = years.prune("last=1", 30)
    assert done.dropped == []
    assert ids(years.vault) == [third.id, second.id, first.id]
    assert done.kept[first.id] == [f"needed by {third.id} and 1 more"]
    years.restores(third, as_it_was)


def test_the_newest_go_first(years: Years) -> None:
    old = [years.back_up(0)]
    for at in (1, 2):
        years.write(f"doc-{at}")
        old.append(years.back_up(at))
    new = years.back_up(3, full=True)
    years.blobs.calls.clear()
    done = years.prune("last=1", 30)
    gone = [manifest.id for manifest in reversed(old)]
    assert done.dropped == gone
    assert ids(years.vault) == [new.id]
    first = dict.fromkeys(name.split("/")[1] for name in years.blobs.named("delete") if name.count("/") == 2)
    assert list(first) == gone
    assert {name.split("/")[1] for name in backups.objects(years.vault, "backups")} == {new.id}


def test_a_held_one_stays_with_all_that_it_needs(years: Years) -> None:
    first = years.back_up(0)
    years.write("held", "held.pdf")
    held = years.back_up(1)
    as_it_was = backups.content(years.source)
    years.write("held")
    third = years.back_up(2)
    last = years.back_up(3, full=True)
    notes.put_hold(years.vault, held.id, notes.Hold(True, "lawsuit", EPOCH))
    done = years.prune("last=1", 30)
    assert done.dropped == [third.id]
    assert ids(years.vault) == [last.id, held.id, first.id]
    assert attachments(years) == {"held.pdf"}
    years.restores(held, as_it_was)
    notes.put_hold(years.vault, held.id, notes.Hold(False, None, EPOCH))
    assert years.prune("last=1", 31).dropped == [held.id, first.id]
    assert attachments(years) == set()


def test_a_dry_run_says_it_and_changes_nothing(years: Years) -> None:
    years.write("doc", "old.pdf")
    years.back_up(0)
    years.write("doc", "new.pdf")
    years.back_up(1, full=True)
    broken_off(years, 2)
    before = years.blobs.twin()
    told = years.prune("last=1", 30, dry_run=True)
    assert {name: years.blobs.get(name) for name in backups.objects(years.vault)} == {
        name: before.get(name) for name in backups.objects(Vault(before))
    }
    done = years.prune("last=1", 30)
    assert (told.kept, told.dropped, told.abandoned) == (done.kept, done.dropped, done.abandoned)
    assert len(done.dropped) == len(done.abandoned) == 1


# --- which attachments go


def test_attachments_that_nobody_refers_to_go(years: Years) -> None:
    years.write("one", "old.pdf", "shared.pdf")
    years.write("two", "of another.pdf")
    years.back_up(0)
    years.write("one", "shared.pdf", "new.pdf")
    years.back_up(5, full=True)
    years.back_up(6)
    done = years.prune("last=2", 30)
    assert attachments(years) == {"shared.pdf", "new.pdf", "of another.pdf"}
    assert done.attachments == 1


def test_attachments_younger_than_a_day_stay(years: Years) -> None:
    """They may be of a backup that was broken off and will be gone on with."""
    years.back_up(0)
    years.back_up(1, full=True)
    now = 30.0
    for name, age in (("young", ABANDONED - 60), ("old", ABANDONED + 60)):
        years.blobs.now = EPOCH + now * DAY - age
        years.vault.write_bytes("attachments/plain/ab", name, name.encode())
    years.prune("last=1", now)
    assert attachments(years) == {"young"}


def test_an_unreadable_backup_keeps_all_attachments(years: Years) -> None:
    years.write("doc", "old.pdf")
    old = years.back_up(0)
    years.write("doc", "new.pdf")
    years.back_up(5, full=True)
    years.blobs.now = EPOCH
    strange = {backup_id(EPOCH - DAY, "000001"): b"garbage", backup_id(EPOCH - 2 * DAY, "000002"): None}
    stranger = Vault(years.blobs, seals(Keys.parse(new_identity())))
    for backup, data in strange.items():
        if data is None:
            stranger.write_record(f"backups/{backup}/{MANIFEST}", old)
        else:
            years.blobs.put(f"backups/{backup}/{MANIFEST}.zst", data)
    done = years.prune("last=1", 30)
    assert sorted(done.unreadable) == sorted(strange)
    assert done.dropped == [old.id]
    assert {name.split("/")[1] for name in backups.objects(years.vault, "backups")} >= strange.keys()
    assert attachments(years) == {"old.pdf", "new.pdf"}


def test_where_a_record_that_is_kept_cannot_be_read_no_attachment_goes(years: Years) -> None:
    years.write("doc", "old.pdf")
    old = years.back_up(0)
    years.write("doc", "new.pdf")
    last = years.back_up(5, full=True)
    years.blobs.put(backups.entry_of(last, "source").manifest.object, b"garbage")
    with pytest.raises(ObjectDamaged, match=last.id):
        years.prune("last=1", 30)
    assert attachments(years) == {"old.pdf", "new.pdf"}
    assert not backups.objects(years.vault, f"backups/{old.id}")


# --- what was broken off


def broken_off(years: Years, at: float) -> str:
    """Its id. Its first chunks are in the store, and its journal, so that it can be gone on with."""

    def before(call: str, name: str) -> None:
        if call == "put" and f"/{CHUNKS:06}-" in name:
            raise Killed

    years.source.bulk([{"_id": f"at-{at}-{i:04}", "text": "x" * 300} for i in range(3_000)])
    years.blobs.before = before
    with pytest.raises(Killed):
        years.back_up(at, full=True, chunk_bytes=50_000)
    years.blobs.heal()
    return backup_id(EPOCH + at * DAY, f"{int(at * 1000):06}")


def test_what_was_broken_off_goes_after_a_day_and_not_before(years: Years) -> None:
    years.back_up(0)
    backup = broken_off(years, 1)
    before = backups.objects(years.vault)
    assert years.prune("last=1", 1 + (ABANDONED - 60) / DAY).abandoned == []
    assert backups.objects(years.vault) == before
    assert years.prune("last=1", 1 + (ABANDONED + 60) / DAY).abandoned == [backup]
    assert backups.objects(years.vault, f"backups/{backup}") == {}
    assert len(ids(years.vault)) == 1


def test_what_a_killed_writer_has_left_in_a_folder_goes_after_a_day(tmp_path: Path) -> None:
    years = Years(FakeBlobs(Store.open(f"file://{tmp_path}/store")))
    years.back_up(0)
    half = tmp_path / "store" / "backups" / backup_id(EPOCH, "000009") / "half#1"
    half.parent.mkdir()
    half.write_bytes(b"half")
    written = half.stat().st_mtime
    prune(years.vault, parse_policy("last=1"), written + ABANDONED - 60, Unattended())
    assert half.exists()
    prune(years.vault, parse_policy("last=1"), written + ABANDONED + 60, Unattended())
    assert not half.parent.exists()
    assert len(ids(years.vault)) == 1


def test_one_that_is_gone_on_with_within_a_day_lacks_nothing(years: Years) -> None:
    """It counts on attachments that were in the store before, and that no backup refers to but one that goes."""
    years.write("scan", "page.pdf")
    old = years.back_up(0)
    years.write("scan")
    years.back_up(1, full=True)
    years.write("scan", "page.pdf")
    backup = broken_off(years, 9)
    done = years.prune("last=1", 9.5)
    assert (done.dropped, done.abandoned, done.attachments) == ([old.id], [], 0)
    years.blobs.calls.clear()
    made = years.back_up(9, full=True, chunk_bytes=50_000)
    assert made.id == backup
    assert backups.chain_of(years.vault, made, "source").newest.repeats
    assert not backups.named(years.blobs.named("put"), "attachments/")
    assert made.id in ids(years.vault)
    years.restores(made, backups.content(years.source))


def test_one_that_is_gone_on_with_does_not_need_what_is_gone(years: Years) -> None:
    """A database of it was done, and went on from a backup that retention has removed meanwhile."""
    site, vault, blobs = years.site, years.vault, years.blobs
    other = Database(site.cluster["a"], "unfinished")
    other.create()
    other.put({"_id": "doc"})
    names = ("source", "unfinished")
    blobs.now = EPOCH
    backups.back_up(site, vault, *names)
    years.write("later", "page.pdf")
    other.put({"_id": "later"})
    backup = backup_id(EPOCH + DAY, "001000")

    def done() -> bool:
        return bool(backups.named(backups.objects(vault, database_folder(backup, "source")), RECORD))

    def before(call: str, name: str) -> None:
        if call == "put" and name.startswith(database_folder(backup, "unfinished")):
            assert wait_until(done, DEADLINE)
            raise StoreUnavailable("away")

    blobs.now, blobs.before = EPOCH + DAY, before
    with pytest.raises(StoreUnavailable):
        backups.back_up(site, vault, *names, at=1)
    blobs.heal()
    assert done()
    backups.back_up(site, vault, *names, at=1.5, full=True)
    assert len(years.prune("last=1", 1.6).dropped) == 1
    made = backups.back_up(site, vault, *names, at=1)
    assert made.good
    assert made.id in ids(vault)
    years.restores(made, backups.content(years.source))


def test_one_that_has_lost_its_manifest_stays_as_long_as_others_need_it(years: Years) -> None:
    years.write("doc", "page.pdf")
    first = years.back_up(0)
    years.write("more")
    second = years.back_up(1)
    as_it_was = backups.content(years.source)
    years.blobs.delete([f"backups/{first.id}/{MANIFEST}.zst"])
    for at in (10, 20):
        assert years.prune("last=1", at).abandoned == []
    years.restores(second, as_it_was)
    last = years.back_up(30, full=True)
    done = years.prune("last=1", 40)
    assert (done.dropped, done.abandoned) == ([second.id], [first.id])
    assert ids(years.vault) == [last.id]


# --- killed


def test_a_run_that_is_killed_does_no_harm_and_the_next_one_ends_it(years: Years) -> None:
    """At each of its steps."""
    years.write("one", "old.pdf", "shared.pdf")
    years.back_up(0)
    years.write("two", "not-so-old.pdf")
    years.back_up(1)
    broken_off(years, 1.5)
    years.write("one", "shared.pdf")
    years.write("two")
    years.back_up(2, full=True)
    years.write("three", "new.pdf")
    years.back_up(3)
    whole = years.blobs
    years.blobs = whole.twin()
    assert pruned_until(years, steps=None)
    wanted = backups.objects(Vault(years.blobs))
    assert len(wanted) < len(backups.objects(Vault(whole)))
    for steps in itertools.count():
        years.blobs = whole.twin()
        if pruned_until(years, steps=steps):
            break
        left = ids(Vault(years.blobs))
        assert left == sorted(left, reverse=True)
        assert len(left) >= 2
        assert pruned_until(years, steps=None)
        assert backups.objects(Vault(years.blobs)) == wanted, steps
    assert steps > 30


def pruned_until(years: Years, *, steps: int | None) -> bool:
    """Whether it ended; `steps`: after so many it is killed."""
    years.vault = Vault(years.blobs)
    if steps is not None:
        years.blobs.die(after=steps)
    try:
        years.prune("last=2", 30)
    except Killed:
        return False
    finally:
        years.blobs.heal()
    return True


# --- a fortnight


def test_a_fortnight_of_nights(site: Site) -> None:
    """With a backup, a prune and a check each: what is kept is what the database was on its night."""
    source = Database(site.cluster["a"], site.name())
    source.create()
    backups.fill(site, source)
    blobs = FakeBlobs()
    vault = Vault(blobs)
    was: dict[str, dict[str, Any]] = {}
    for night in range(14):
        a_day_of_work(source, night)
        blobs.now = EPOCH + night * DAY
        made = backups.back_up(site, vault, source.name, at=night, full_after=4 * DAY)
        was[made.id] = backups.content(source)
        done = prune(vault, parse_policy(POLICY), blobs.now + 3_600, Unattended())
        kept = listed(vault)
        assert {one.id for one in kept} == done.kept.keys()
        assert not done.abandoned
    assert 4 < len(kept) < 14
    assert {len(one.entries[0].chain) for one in kept} > {0}
    for manifest in kept:
        target = Database(site.cluster["b"], site.name("restored"))
        restore_new(vault, backups.chain_of(vault, manifest, source.name), target, Unattended())
        assert backups.lost(was[manifest.id], backups.content(target)) == []
    needed = {name for one in kept for name in attached(was[one.id])}
    assert len(backups.objects(vault, "attachments")) <= len(needed) + YOUNG


POLICY = "last=2, daily=4, weekly=2"
YOUNG = 1  # of the last night, and gone by the next


def attached(content: dict[str, Any]) -> set[str]:
    """The attachments of a database, by their bytes."""
    leaves = [leaf for found in content.values() for leaf in found.values()]
    return {digest for _, _, listed in leaves for _, _, _, digest in listed.values()}


def a_day_of_work(database: Database, night: int) -> None:
    edited = database.get("doc-0001")
    assert edited is not None
    database.put({**edited, "kind": "edited", "night": night})
    database.put({"_id": f"night-{night}", "kind": "new", "_attachments": scans(f"of night {night}")})
    if night >= 3:
        old = database.get(f"night-{night - 3}")
        assert old is not None
        database.delete(old["_id"], old["_rev"])
    if night % 5 == 0:
        database.set_security({"admins": {"names": [], "roles": [f"night-{night}"]}, "members": {}})


def scans(text: str) -> dict[str, Any]:
    return {"scan.pdf": builders.attachment(text.encode()), "same.pdf": builders.attachment(b"every night")}
