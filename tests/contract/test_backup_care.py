"""Backups looked after: what a check finds, what a drill tells, and what people and drills have noted of one."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests import builders
from tests.builders import Listener
from tests.contract import backups
from tests.contract.conftest import Site, fake_site
from tests.fakes.blobs import FakeBlobs
from tests.fakes.couchdb import FakeCouch
from worker.blobs.seal import OPEN, Keys, Seals, new_identity, seals
from worker.blobs.store import Store
from worker.blobs.vault import Vault
from worker.core.errors import DrillFailed, HandedBack, ObjectDamaged, ObjectMissing, WrongKey
from worker.core.manifest import DAMAGED, Manifest
from worker.core.names import SCRATCH
from worker.couch.database import Database
from worker.ops.backup import notes, objects
from worker.ops.backup.catalogue import Catalogue
from worker.ops.backup.check import MOST_LISTED, Checked, check
from worker.ops.backup.copy import copy
from worker.ops.backup.drill import Drilled, drill
from worker.ops.control import Control, Unattended
from worker.ops.own import put_over
from worker.ops.restore.database import restore_new
from worker.ops.restore.mark import MARK

pytestmark = pytest.mark.contract

Spoil = Callable[[Vault, Manifest, str], str]  # gives the name of the object that is wrong afterwards


@pytest.fixture
def filled(site: Site) -> Database:
    database = Database(site.cluster["a"], site.name())
    database.create()
    backups.fill(site, database)
    return database


@pytest.fixture(params=["memory", "folder"])
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return Store.open("memory://" if request.param == "memory" else f"file://{tmp_path}/store")


def safe() -> tuple[Seals, Seals]:
    """Seals of who backs up with a recipient alone and the system's own key, and of who has the identity."""
    identity, own = new_identity(), new_identity()
    recipient = str(Keys.parse(identity).recipients[0])
    return seals(Keys.parse(recipient), own), seals(Keys.parse(identity))


def change(database: Database) -> None:
    """A little of everything: a document, and an attachment more."""
    database.put({"_id": "later", "kind": "new"})
    database.put({"_id": "page", "kind": "new", "_attachments": {"new.pdf": builders.attachment(b"new page")}})


# --- check: every object is what its checksum says


def chunk_of(vault: Vault, manifest: Manifest, database: str) -> str:
    return backups.chain_of(vault, manifest, database).newest.chunks[0].stored.object


def attachment_of(vault: Vault, manifest: Manifest, database: str) -> str:
    found = objects.attachments(vault, backups.chain_of(vault, manifest, database).newest)
    return next(one.object for one in found if one.size > 1)


def list_of(vault: Vault, manifest: Manifest, database: str) -> str:
    return backups.chain_of(vault, manifest, database).newest.references[0].object


def record_of(vault: Vault, manifest: Manifest, database: str) -> str:
    return backups.entry_of(manifest, database).manifest.object


def flip(vault: Vault, name: str) -> None:
    data = bytearray(vault.blobs.get(name))
    data[len(data) // 2] ^= 1
    vault.blobs.put(name, bytes(data))


def truncate(vault: Vault, name: str) -> None:
    vault.blobs.put(name, vault.blobs.get(name)[:-1])


def lose(vault: Vault, name: str) -> None:
    vault.blobs.delete([name])


DAMAGES = [(name, spoil) for name in (chunk_of, attachment_of, list_of, record_of) for spoil in (flip, truncate, lose)]


def checked(vault: Vault, manifest: Manifest) -> Checked:
    return check(vault, manifest, Unattended())


def damaged(vault: Vault, manifest: Manifest) -> dict[str, Any]:
    """The result of a check that finds something."""
    with pytest.raises(ObjectDamaged) as caught:
        checked(vault, manifest)
    told = caught.value.result
    assert told is not None
    json.dumps(told)
    assert told["damaged"]["objects"][0]["detail"] in caught.value.detail
    return told


def test_where_all_is_well_every_object_is_read(site: Site, filled: Database, blobs: Store) -> None:
    vault = Vault(blobs)
    backups.back_up(site, vault, filled.name)
    change(filled)
    second = backups.back_up(site, vault, filled.name, at=1)
    done = checked(vault, second).as_json()
    there = {name: size for name, size in backups.objects(vault).items() if name.count("/") > 2}  # but the manifests
    assert (done["objects"], done["bytes"]) == (len(there), sum(there.values()))
    assert done["damaged"] == {"count": 0, "objects": [], "truncated": False}


@pytest.mark.parametrize(("place", "spoil"), DAMAGES)
def test_what_is_damaged_is_named(
    site: Site, filled: Database, blobs: Store, place: Spoil, spoil: Callable[[Vault, str], None]
) -> None:
    """Of a full backup, and of the one that another goes on from."""
    vault = Vault(blobs)
    first = backups.back_up(site, vault, filled.name)
    change(filled)
    second = backups.back_up(site, vault, filled.name, at=1)
    whole = checked(vault, second).objects
    name = place(vault, first, filled.name)
    spoil(vault, name)
    for manifest in (first, second):
        told = damaged(vault, manifest)
        assert [one["object"] for one in told["damaged"]["objects"]] == [name]
        assert told["damaged"]["objects"][0]["error"] == (
            "backup-object-missing" if spoil is lose else "backup-damaged"
        )
        assert (told["damaged"]["count"], told["damaged"]["truncated"]) == (1, False)
    if place in {chunk_of, attachment_of}:  # what a record names that cannot be read, nobody knows
        assert told["objects"] == whole


@pytest.mark.parametrize("finds", ["check", "drill"])
@pytest.mark.parametrize("is_sealed", [False, True])
def test_an_attachment_that_was_found_damaged_is_stored_again(
    site: Site, filled: Database, blobs: Store, finds: str, is_sealed: bool, tag: str
) -> None:
    """Not sealed, it is whole again for the backups before as well."""
    vault = Vault(blobs, seals(Keys.parse(new_identity())) if is_sealed else OPEN)
    first = backups.back_up(site, vault, filled.name)
    name = attachment_of(vault, first, filled.name)
    flip(vault, name)
    again = backups.back_up(site, vault, filled.name, at=1, full=True)
    assert damaged(vault, again)["damaged"]["count"] == 1  # nobody has found it yet
    vault.blobs.delete([f"{name}{DAMAGED}"])
    if finds == "check":
        damaged(vault, first)
    else:
        with pytest.raises(DrillFailed):
            drilled(site, vault, first, tag)
    healed = backups.back_up(site, vault, filled.name, at=2, full=True)
    assert checked(vault, healed).bad == 0
    if is_sealed:
        assert damaged(vault, first)["damaged"]["count"] == 1
    else:
        assert checked(vault, first).bad == 0
        assert f"{name}{DAMAGED}" not in backups.objects(vault)


def test_nothing_goes_on_from_what_was_found_damaged(site: Site, filled: Database) -> None:
    vault = backups.memory()
    first = backups.back_up(site, vault, filled.name)
    filled.put({"_id": "a", "kind": "new"})
    backups.back_up(site, vault, filled.name, at=1)
    notes.put_damage(vault, first.id, notes.Damage(True, "check", 1.0, "a chunk is damaged"))
    filled.put({"_id": "b", "kind": "new"})
    entry = backups.entry_of(backups.back_up(site, vault, filled.name, at=2), filled.name)
    assert (entry.full, entry.why) == (
        True,
        f"backup {first.id}, which this one would go on from, was found damaged",
    )
    notes.put_damage(vault, first.id, notes.Damage(False, "check", 2.0, None))
    filled.put({"_id": "c", "kind": "new"})
    assert not backups.entry_of(backups.back_up(site, vault, filled.name, at=3), filled.name).full


def test_everything_that_is_damaged_is_counted(site: Site) -> None:
    source = Database(site.cluster["a"], site.name())
    source.create()
    pages = {f"page-{i:03}": builders.attachment(f"page {i}".encode()) for i in range(MOST_LISTED + 20)}
    source.put({"_id": "book", "_attachments": pages})
    source.put({"_id": "plain"})
    vault = backups.memory()
    manifest = backups.back_up(site, vault, source.name)
    whole = checked(vault, manifest).objects
    flip(vault, chunk_of(vault, manifest, source.name))
    vault.blobs.delete(list(backups.objects(vault, "attachments")))
    told = damaged(vault, manifest)
    assert (told["objects"], told["damaged"]["count"]) == (whole, MOST_LISTED + 21)
    assert len({one["object"] for one in told["damaged"]["objects"]}) == MOST_LISTED
    assert told["damaged"]["truncated"]


def test_what_is_damaged_in_one_database_hides_nothing_in_another(site: Site, filled: Database) -> None:
    other = Database(site.cluster["a"], site.name("other"))
    other.create()
    backups.fill(site, other, seed=2)
    vault = backups.memory()
    manifest = backups.back_up(site, vault, filled.name, other.name)
    spoilt = {record_of(vault, manifest, filled.name), chunk_of(vault, manifest, other.name)}
    for name in spoilt:
        flip(vault, name)
    assert {one["object"] for one in damaged(vault, manifest)["damaged"]["objects"]} == spoilt


def test_a_check_of_sealed_backups_needs_no_identity(site: Site, filled: Database) -> None:
    without, _ = safe()
    vault = backups.memory(without)
    manifest = backups.back_up(site, vault, filled.name)
    assert not without.readable
    assert checked(vault, manifest).bad == 0
    name = attachment_of(vault, manifest, filled.name)
    flip(vault, name)
    assert [one["object"] for one in damaged(vault, manifest)["damaged"]["objects"]] == [name]


def test_what_databases_share_is_read_once(site: Site, filled: Database) -> None:
    twin = Database(site.cluster["a"], site.name("twin"))
    twin.create()
    backups.fill(site, twin)
    blobs = FakeBlobs()
    vault = Vault(blobs)
    manifest = backups.back_up(site, vault, filled.name, twin.name)
    blobs.calls.clear()
    done = checked(vault, manifest)
    read = Counter(blobs.named("get") + blobs.named("slices"))
    assert set(read.values()) == {1}
    assert len(read) == done.objects
    assert len(backups.named(read, "attachments/")) == len(backups.objects(vault, "attachments"))


def test_a_backup_that_has_lost_its_manifest_is_none_and_its_children_are_still_whole(
    site: Site, filled: Database, blobs: Store
) -> None:
    vault = Vault(blobs)
    first = backups.back_up(site, vault, filled.name)
    change(filled)
    second = backups.back_up(site, vault, filled.name, at=1)
    (manifest,) = (name for name in backups.objects(vault, f"backups/{first.id}") if name.count("/") == 2)
    flip(vault, manifest)
    with pytest.raises(ObjectDamaged, match=first.id):
        Catalogue(vault).find(first.id)
    lose(vault, manifest)
    with pytest.raises(ObjectMissing, match="has no manifest"):
        Catalogue(vault).find(first.id)
    assert checked(vault, second).bad == 0
    target = Database(site.cluster["b"], site.name("restored"))
    restore_new(vault, backups.chain_of(vault, second, filled.name), target, Unattended())
    assert backups.lost(backups.content(filled), backups.content(target)) == []


# --- drill: a database comes of it, and it is what the backup says


def drilled(site: Site, vault: Vault, manifest: Manifest, tag: str, control: Control | None = None) -> Drilled:
    return drill(vault, manifest, site.cluster["b"], control or Unattended(), tag=tag, now=1.0)


def failed_drill(site: Site, vault: Vault, manifest: Manifest, tag: str, control: Control | None = None) -> str:
    """What a drill of one database says that fails."""
    with pytest.raises(DrillFailed) as caught:
        drilled(site, vault, manifest, tag, control)
    assert caught.value.result is not None
    json.dumps(caught.value.result)
    ((database, why),) = caught.value.result["failed"].items()
    assert f"1 of {len(manifest.entries)} databases: {database}: {why}" == caught.value.detail
    assert scratches(site) == []
    return str(why)


def scratches(site: Site) -> list[str]:
    return [name for name in site.cluster["b"].databases() if name.startswith(SCRATCH) and name in site.used]


@pytest.fixture
def tag(site: Site) -> str:
    """The scratch database that it names is cleaned up, should a test leave it."""
    made = site.name("drill")
    site.used.append(f"{SCRATCH}{made}")
    return made


def scratch_of(site: Site, tag: str) -> Database:
    return Database(site.cluster["b"], f"{SCRATCH}{tag}")


def in_scratch(scratch: Database, do: Callable[[], object], *, restored: bool) -> Listener:
    """A Control that does something once, when the scratch database is there; `restored`: and all is in it."""
    done: list[object] = []

    def look(_: Listener) -> None:
        if not done and scratch.info() is not None and (scratch.get(MARK) is None) == restored:
            done.append(True)
            do()

    return Listener(stop_when=look)


def test_a_drill_of_a_right_backup_leaves_nothing_behind(site: Site, filled: Database, tag: str) -> None:
    other = Database(site.cluster["a"], site.name("other"))
    other.create()
    sealed = Vault(Store.open("memory://"), seals(Keys.parse(new_identity())))
    backups.back_up(site, sealed, filled.name, other.name)
    change(filled)
    second = backups.back_up(site, sealed, filled.name, other.name, at=1)
    done = drilled(site, sealed, second, tag)
    leaves = sum(len(found) for found in backups.content(filled).values())
    assert done.failed == {}
    assert {name: told["leaves"] for name, told in done.databases.items()} == {filled.name: leaves, other.name: 0}
    assert (done.backup, done.node, done.at) == (second.id, "b", 1.0)
    assert scratches(site) == []


def test_a_document_that_came_back_otherwise_is_named(site: Site, filled: Database, tag: str) -> None:
    vault = backups.memory()
    manifest = backups.back_up(site, vault, filled.name)
    scratch = scratch_of(site, tag)

    def spoil() -> None:
        for identity in ("doc-0007", "twin"):
            found = scratch.get(identity)
            assert found is not None
            scratch.put({**found, "kind": "spoilt"})
        found = scratch.get("doc-0008")
        assert found is not None
        scratch.delete("doc-0008", found["_rev"])
        scratch.put({"_id": "stranger", "kind": "spoilt"})

    why = failed_drill(site, vault, manifest, tag, in_scratch(scratch, spoil, restored=True))
    assert why == "4 documents came back otherwise than they are in the backup: doc-0007, doc-0008, stranger, twin"


def test_a_chunk_that_no_node_can_give_back_is_found(site: Site, filled: Database, tag: str) -> None:
    """Its checksums are right, and a check finds nothing."""
    vault = backups.memory()
    manifest = backups.back_up(site, vault, filled.name)

    def garble(lines: list[bytes]) -> list[bytes]:
        """The history of another document."""
        at = next(at for at, line in enumerate(lines) if b'"doc-0007"' in line)
        document = json.loads(lines[at])
        document["_revisions"]["ids"] = ["0" * 32]
        return [*lines[:at], json.dumps(document).encode(), *lines[at + 1 :]]

    made = backups.forged(vault, manifest, filled.name, garble)
    assert checked(vault, made).bad == 0
    assert "doc-0007" in failed_drill(site, vault, made, tag)


def test_a_scratch_database_that_a_killed_drill_has_left_is_made_anew(site: Site, filled: Database, tag: str) -> None:
    vault = backups.memory()
    manifest = backups.back_up(site, vault, filled.name)
    scratch = scratch_of(site, tag)
    scratch.create()
    scratch.put({"_id": "half of it"})
    put_over(scratch, {"_id": MARK, "backup": manifest.id, "database": filled.name, "only": None, "reached": 99})
    assert drilled(site, vault, manifest, tag).failed == {}
    assert scratches(site) == []


def test_a_drill_that_is_broken_off_leaves_nothing_either(site: Site, filled: Database, tag: str) -> None:
    vault = backups.memory()
    manifest = backups.back_up(site, vault, filled.name)
    looks = Listener(stop_when=lambda _: HandedBack() if scratches(site) else None)
    with pytest.raises(HandedBack):
        drilled(site, vault, manifest, tag, looks)
    assert scratches(site) == []


def test_a_document_that_the_node_refuses_is_told(site: Site, tag: str) -> None:
    source = Database(site.cluster["a"], site.name())
    source.create()
    source.bulk([{"_id": f"doc-{i:04}"} for i in range(20)])
    vault = backups.memory()
    manifest = backups.back_up(site, vault, source.name)
    scratch = scratch_of(site, tag)
    trap = in_scratch(scratch, lambda: site.refuse(scratch.name, "b", "doc-0003"), restored=False)
    why = failed_drill(site, vault, manifest, tag, trap)
    assert why.startswith("1 documents were refused, as doc-0003: forbidden")


def test_a_drill_looks_at_the_other_databases_too(site: Site, filled: Database, tag: str) -> None:
    other = Database(site.cluster["a"], site.name("zz-other"))
    other.create()
    vault = backups.memory()
    manifest = backups.back_up(site, vault, filled.name, other.name)
    name = chunk_of(vault, manifest, filled.name)
    flip(vault, name)
    with pytest.raises(DrillFailed, match=f"1 of 2 databases: {filled.name}") as caught:
        drilled(site, vault, manifest, tag)
    assert caught.value.result is not None
    assert name in caught.value.result["failed"][filled.name]
    assert other.name in caught.value.result["databases"]


def test_a_drill_of_a_sealed_backup_needs_the_identity(site: Site, filled: Database, tag: str) -> None:
    without, identity = safe()
    vault = backups.memory(without)
    manifest = backups.back_up(site, vault, filled.name)
    with pytest.raises(WrongKey, match="AGE-SECRET-KEY-1"):
        drilled(site, vault, manifest, tag)
    assert scratches(site) == []
    assert drilled(site, Vault(vault.blobs, identity), manifest, tag).failed == {}


# --- drill: attachments that two nodes keep each in its own way


@contextmanager
def uncompressed(site: Site, database: Database) -> Iterator[None]:
    """The node keeps what it is given as it comes."""
    if isinstance(site.transport, FakeCouch):
        kept = site.transport["a"].databases[database.name]
        kept.compresses = False
        yield
        kept.compresses = True
        return
    if site.kind == "stand-in":  # it never compresses
        yield
        return
    client, setting = site.cluster["a"].client, ("_node", "_local", "_config", "attachments", "compression_level")
    before = client.put(*setting, json="0")
    try:
        yield
    finally:
        if before:
            client.put(*setting, json=before)
        else:  # nobody had set it
            client.delete(*setting)


def test_what_one_node_compresses_and_the_other_does_not_is_the_same(site: Site, tag: str) -> None:
    source = Database(site.cluster["a"], site.name())
    source.create()
    text = b"a text that can be compressed, " * 3_000
    attached = {
        "notes.txt": builders.attachment(text, "text/plain"),
        "empty.txt": builders.attachment(b"", "text/plain"),
        "scan.pdf": builders.attachment(text),
    }
    with uncompressed(site, source):
        source.put({"_id": "raw", "_attachments": attached})
    source.put({"_id": "packed", "_attachments": attached})
    vault = backups.memory()
    manifest = backups.back_up(site, vault, source.name)
    assert stubs(source, "raw")["notes.txt"]["digest"] == backups.md5(text)
    if site.kind != "stand-in":
        assert stubs(source, "packed")["notes.txt"]["digest"] != backups.md5(text)
    assert drilled(site, vault, manifest, tag).failed == {}


def stubs(database: Database, document: str) -> dict[str, Any]:
    found = database.get(document)
    assert found is not None
    return dict(found["_attachments"])


def test_what_couchdb_has_compressed_is_the_same_on_a_node_that_does_not() -> None:
    old = fake_site(FakeCouch("a"))
    new = fake_site(FakeCouch("b", standin=True))
    source = Database(old.cluster["a"], "source")
    source.create()
    backups.fill(old, source)
    vault = backups.memory()
    manifest = backups.back_up(old, vault, source.name)
    assert drilled(new, vault, manifest, "t").failed == {}


@pytest.mark.parametrize("name", ["notes.txt", "scan.pdf"])
def test_an_attachment_that_came_back_with_other_bytes_is_found(name: str) -> None:
    """As long as it was: whatever a node makes of its revision, the bytes tell."""
    fake = FakeCouch("a", "b")
    site = fake_site(fake)
    source = Database(site.cluster["a"], "source")
    source.create()
    attached = {
        "notes.txt": builders.attachment(b"what it said", "text/plain"),
        "scan.pdf": builders.attachment(b"what it said"),
    }
    with uncompressed(site, source):
        source.put({"_id": "page", "_attachments": attached})
        source.put({"_id": "same", "_attachments": attached})
    vault = backups.memory()
    manifest = backups.back_up(site, vault, source.name)
    scratch = scratch_of(site, "t")

    def spoil() -> None:
        """In the node's own files, behind its back."""
        (revision,) = fake["b"].databases[scratch.name].documents["page"].revisions.values()
        assert revision.body is not None
        other = builders.attachment(b"what it says")
        revision.body["_attachments"][name] |= {"data": other["data"], "content_type": attached[name]["content_type"]}
        revision.body["_attachments"][name].pop("encoding", None)

    why = failed_drill(site, vault, manifest, "t", in_scratch(scratch, spoil, restored=True))
    assert why == "1 documents came back otherwise than they are in the backup: page"


# --- notes


HOLD = notes.Hold(True, "lawsuit", 5.0)
DRILL = notes.Drill(True, 7.0, "b", 1.5, 3, None)


@pytest.mark.parametrize("key", [False, True])
def test_holds_and_drills_stay_with_their_backup(key: bool, tmp_path: Path) -> None:
    fake = fake_site(FakeCouch("a"))
    Database(fake.cluster["a"], "source").create()
    sealing = safe()[0] if key else backups.memory().seals
    vault = Vault(Store.open(f"file://{tmp_path}/store"), sealing)
    first = backups.back_up(fake, vault, "source")
    assert (notes.hold_of(vault, first.id), notes.drill_of(vault, first.id)) == (None, None)
    notes.put_hold(vault, first.id, HOLD)
    notes.put_drill(vault, first.id, DRILL)
    second = backups.back_up(fake, vault, "source", at=1)
    away = backups.memory(sealing)
    copy(vault, away, Unattended())
    for one in (Vault(Store.open(f"file://{tmp_path}/store"), sealing), away):
        assert notes.hold_of(one, first.id) == HOLD
        assert notes.drill_of(one, first.id) == DRILL
        assert notes.holds(one, [first.id, second.id]) == {first.id}
        assert Catalogue(one).find(first.id) == first
    notes.put_hold(vault, first.id, notes.Hold(False, None, 9.0))
    assert notes.holds(vault, [first.id, second.id]) == set()


def test_a_hold_that_cannot_be_read_counts(tmp_path: Path) -> None:
    vault = Vault(Store.open(f"file://{tmp_path}/store"))
    for backup in ("damaged", "sealed", "none"):
        vault.blobs.put(f"backups/{backup}/something", b"")
    notes.put_hold(vault, "damaged", HOLD)
    flip(vault, "backups/damaged/hold.json.zst")
    notes.put_hold(Vault(vault.blobs, seals(Keys.parse(new_identity()))), "sealed", HOLD)
    assert notes.holds(vault, ["damaged", "sealed", "none"]) == {"damaged", "sealed"}
    assert notes.hold_of(vault, "damaged") is None
