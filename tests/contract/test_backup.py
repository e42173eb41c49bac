"""A database into the store and back, equal leaf by leaf, on every kind of node."""

from __future__ import annotations

import hashlib
import itertools
import random
import time
from collections.abc import Callable
from dataclasses import replace

import msgspec
import pytest

from embedded.waiting import wait_until
from tests import builders
from tests.builders import Listener
from tests.contract import backups
from tests.contract.conftest import DEADLINE, Site, fake_site
from tests.fakes.couchdb import FakeCouch
from worker.blobs.seal import OPEN, Keys, Seals, new_identity, seals
from worker.core.errors import BackupIncomplete, DatabaseExists, HandedBack, WrongKey
from worker.core.manifest import backup_id
from worker.couch.database import Database
from worker.couch.related import Part, Related
from worker.couch.revisions import Revisions
from worker.ops.backup.catalogue import Catalogue
from worker.ops.backup.pace import Throttle
from worker.ops.backup.run import Order, run
from worker.ops.control import Unattended
from worker.ops.own import put_over
from worker.ops.restore.database import restore_new
from worker.ops.restore.mark import MARK

pytestmark = pytest.mark.contract


@pytest.fixture(params=["plain", "sealed"])
def sealing(request: pytest.FixtureRequest) -> Seals:
    return OPEN if request.param == "plain" else seals(Keys.parse(new_identity()))


@pytest.fixture
def filled(site: Site) -> Database:
    database = Database(site.cluster["a"], site.name())
    database.create(shards=2 if site.scheduler else None)
    backups.fill(site, database)
    return database


def restored(site: Site, vault: backups.Vault, database: str, node: str = "b") -> Database:
    """The newest backup of it, in a database of another name on another node."""
    target = Database(site.cluster[node], site.name("restored"))
    manifest = backups.newest(vault)
    done = restore_new(vault, backups.chain_of(vault, manifest, database), target, Unattended())
    assert done.refused.count == 0, done.refused.listed
    return target


def test_everything_comes_back_leaf_by_leaf(site: Site, filled: Database, sealing: Seals) -> None:
    vault = backups.memory(sealing)
    manifest = backups.back_up(site, vault, filled.name)
    target = restored(site, vault, filled.name)
    before, after = backups.content(filled), backups.content(target)
    assert backups.lost(before, after) == []
    entry = backups.entry_of(manifest, filled.name)
    assert entry.full
    assert entry.counts.changed == len(before)
    assert entry.counts.leaves == sum(len(leaves) for leaves in before.values())


def test_shape_and_security_come_back(site: Site) -> None:
    source = Database(site.cluster["a"], site.name())
    source.create(partitioned=site.scheduler, shards=3 if site.scheduler else None)
    source.set_security(SECURITY)
    source.put({"_id": "part:one"})
    if site.scheduler:
        source.set_revs_limit(77)
    vault = backups.memory()
    backups.back_up(site, vault, source.name)
    target = restored(site, vault, source.name)
    was, is_now = source.info(), target.info()
    assert was is not None
    assert is_now is not None
    assert (is_now.partitioned, is_now.shards) == (was.partitioned, was.shards)
    assert target.security() == source.security()
    if site.scheduler:
        assert target.revs_limit() == 77


def test_a_users_local_documents_come_back_and_checkpoints_do_not(scheduled: Site) -> None:
    site = scheduled
    source = Database(site.cluster["a"], site.name())
    source.create()
    put_over(source, {"_id": "_local/mine", "setting": [1, "two"]})
    put_over(source, CHECKPOINT)
    vault = backups.memory()
    backups.back_up(site, vault, source.name)
    target = restored(site, vault, source.name)
    mine = target.get("_local/mine")
    assert mine is not None
    assert mine["setting"] == [1, "two"]
    assert target.get(CHECKPOINT["_id"]) is None
    assert target.get(MARK) is None


# --- incremental


def test_a_chain_comes_back_as_the_database_was_at_its_end(site: Site, filled: Database) -> None:
    vault = backups.memory()
    backups.back_up(site, vault, filled.name)
    _change(filled, 1)
    second = backups.back_up(site, vault, filled.name, at=1)
    _change(filled, 2)
    third = backups.back_up(site, vault, filled.name, at=2)
    entry = backups.entry_of(third, filled.name)
    assert not entry.full
    assert len(entry.chain) == 2
    assert backups.entry_of(second, filled.name).counts.changed == CHANGED
    assert backups.lost(backups.content(filled), backups.content(restored(site, vault, filled.name))) == []


def test_each_backup_of_a_chain_comes_back_as_it_was(site: Site, filled: Database) -> None:
    vault = backups.memory()
    first = backups.back_up(site, vault, filled.name)
    before = backups.content(filled)
    _change(filled, 1)
    backups.back_up(site, vault, filled.name, at=1)
    target = Database(site.cluster["b"], site.name("restored"))
    restore_new(vault, backups.chain_of(vault, first, filled.name), target, Unattended())
    assert backups.lost(before, backups.content(target)) == []


def test_what_has_not_changed_is_not_stored_again(site: Site, filled: Database) -> None:
    vault = backups.memory()
    first = backups.back_up(site, vault, filled.name)
    there = backups.objects(vault)
    second = backups.back_up(site, vault, filled.name, at=1)
    entry = backups.entry_of(second, filled.name)
    assert entry.unchanged
    assert entry.manifest == backups.entry_of(first, filled.name).manifest
    assert entry.chain == (first.id,)
    new = backups.objects(vault).keys() - there.keys()
    assert backups.named(new, "/db/") == []
    third = backups.back_up(site, vault, filled.name, at=2)
    assert backups.entry_of(third, filled.name).chain == (first.id,)
    assert backups.lost(backups.content(filled), backups.content(restored(site, vault, filled.name))) == []


def test_a_change_of_security_alone_is_kept(site: Site, filled: Database) -> None:
    vault = backups.memory()
    backups.back_up(site, vault, filled.name)
    filled.set_security(SECURITY)
    manifest = backups.back_up(site, vault, filled.name, at=1)
    assert not backups.entry_of(manifest, filled.name).unchanged
    assert restored(site, vault, filled.name).security() == filled.security()


def test_histories_that_were_cut_between_two_backups_bring_no_conflicts(scheduled: Site) -> None:
    site = scheduled
    source = Database(site.cluster["a"], site.name())
    source.create()
    source.set_revs_limit(3)
    rev = source.put({"_id": "edited"})
    vault = backups.memory()
    backups.back_up(site, vault, source.name)
    for turn in range(8):
        rev = source.put({"_id": "edited", "_rev": rev, "turn": turn})
    backups.back_up(site, vault, source.name, at=1)
    target = restored(site, vault, source.name)
    assert dict(target.leaves()) == {"edited": (rev,)}


def test_another_node_a_database_made_anew_and_another_key_begin_a_full_one(site: Site, filled: Database) -> None:
    vault = backups.memory()
    backups.back_up(site, vault, filled.name)
    other = Database(site.cluster["b"], filled.name)
    other.create()
    entry = backups.entry_of(backups.back_up(site, vault, filled.name, at=1, node="b"), filled.name)
    assert entry.full
    assert "read on a" in str(entry.why)
    backups.back_up(site, vault, filled.name, at=2)
    sealed = backups.Vault(vault.blobs, seals(Keys.parse(new_identity())))
    entry = backups.entry_of(backups.back_up(site, sealed, filled.name, at=3), filled.name)
    assert entry.full
    assert "BACKUP_KEY" in str(entry.why)
    stranger = backups.Vault(vault.blobs, seals(Keys.parse(new_identity())))
    assert backups.newest(stranger).started_at == backups.EPOCH + 2 * DAY  # not sealed: from before there was a key
    with pytest.raises(WrongKey, match=backups.newest(sealed).id):
        Catalogue(stranger).find(backups.newest(sealed).id)


@pytest.mark.parametrize(("behind", "read_on"), [(frozenset(), "a"), (frozenset({"a"}), "b")])
def test_the_node_of_the_backup_before_goes_first_unless_it_has_fallen_behind(
    site: Site, filled: Database, behind: frozenset[str], read_on: str
) -> None:
    vault = backups.memory()
    backups.back_up(site, vault, filled.name)
    Database(site.cluster["b"], filled.name).create()
    later = backups.EPOCH + DAY
    order = Order(backup_id(later, "1"), later, (filled.name,), {filled.name: ["b", "a"]}, behind=behind)
    entry = backups.entry_of(run(site.cluster, order, vault, Unattended()), filled.name)
    assert (entry.node, entry.full) == (read_on, bool(behind))


def test_a_database_made_anew_begins_a_full_one(scheduled: Site) -> None:
    site = scheduled
    source = Database(site.cluster["a"], site.name())
    source.create()
    source.put({"_id": "old"})
    vault = backups.memory()
    backups.back_up(site, vault, source.name)
    source.drop()
    assert wait_until(lambda: _made_anew(source), DEADLINE)
    source.put({"_id": "new"})
    entry = backups.entry_of(backups.back_up(site, vault, source.name, at=1), source.name)
    assert entry.full
    assert "made anew" in str(entry.why)
    assert dict(restored(site, vault, source.name).leaves()).keys() == {"new"}


def test_a_purge_begins_a_full_one(scheduled: Site) -> None:
    site = scheduled
    source = Database(site.cluster["a"], site.name())
    source.create()
    source.bulk([{"_id": "kept"}, {"_id": "secret"}])
    vault = backups.memory()
    backups.back_up(site, vault, source.name)
    site.purge(source.name, "a", "secret")
    entry = backups.entry_of(backups.back_up(site, vault, source.name, at=1), source.name)
    assert entry.full
    assert "purged" in str(entry.why)
    assert dict(restored(site, vault, source.name).leaves()).keys() == {"kept"}


def test_a_chain_that_has_reached_its_age_ends(site: Site, filled: Database) -> None:
    vault = backups.memory()
    backups.back_up(site, vault, filled.name)
    _change(filled, 1)
    assert not backups.entry_of(backups.back_up(site, vault, filled.name, at=3, full_after=7 * DAY), filled.name).full
    _change(filled, 2)
    assert backups.entry_of(backups.back_up(site, vault, filled.name, at=7, full_after=7 * DAY), filled.name).full


def test_where_the_record_before_is_damaged_a_full_one_begins_and_says_why(site: Site, filled: Database) -> None:
    vault = backups.memory()
    first = backups.back_up(site, vault, filled.name)
    vault.blobs.put(backups.entry_of(first, filled.name).manifest.object, b"garbage")
    entry = backups.entry_of(backups.back_up(site, vault, filled.name, at=1), filled.name)
    assert entry.full
    assert first.id in str(entry.why)


# --- attachments


def test_attachments_are_stored_once_and_never_fetched_again(site: Site, filled: Database) -> None:
    vault = backups.memory()
    first = backups.back_up(site, vault, filled.name)
    there = backups.objects(vault, "attachments")
    twin = Database(site.cluster["a"], site.name("twin"))
    twin.create()
    found = filled.get("twin", attachments="true")
    assert found is not None
    twin.put({"_id": "same bytes", "_attachments": found["_attachments"]})
    second = backups.back_up(site, vault, filled.name, twin.name, at=1, full=True)
    assert backups.objects(vault, "attachments") == there
    assert backups.entry_of(second, filled.name).full
    assert backups.entry_of(first, filled.name).counts.attachments == ATTACHMENTS
    contents = {digest for leaves in backups.content(filled).values() for _, _, attached in leaves.values()
                for _, digest, _, _ in attached.values()}  # fmt: skip
    assert len(there) == len(contents)
    assert backups.attachments_added(vault, first, filled.name) == sum(there.values())
    assert [backups.attachments_added(vault, second, name) for name in (filled.name, twin.name)] == [0, 0]
    assert backups.lost(backups.content(twin), backups.content(restored(site, vault, twin.name))) == []


def test_a_large_attachment_comes_back(site: Site) -> None:
    size = 5_000_000 if site.kind == "stand-in" else 50_000_000  # in a stand-in it is text, several times over
    data = random.Random(7).randbytes(size)  # noqa: S311 - the same each time
    source = Database(site.cluster["a"], site.name())
    source.create()
    put_attachment(source, "large", "data.bin", data)
    vault = backups.memory(seals(Keys.parse(new_identity())))
    backups.back_up(site, vault, source.name)
    target = restored(site, vault, source.name)
    rev = dict(target.leaves())["large"][0]
    digest = hashlib.sha256()
    for piece in Revisions(target).attachment("large", rev, "data.bin"):
        digest.update(piece)
    assert digest.hexdigest() == hashlib.sha256(data).hexdigest()


# --- while others write, and when it is broken off


def test_what_is_written_meanwhile_is_in_the_next_one(scheduled: Site) -> None:
    site = scheduled
    source = Database(site.cluster["a"], site.name())
    source.create()
    source.bulk([{"_id": f"doc-{i:04}"} for i in range(2_500)])
    vault = backups.memory()
    late = [{"_id": f"late-{i}"} for i in range(9)]
    first = backups.back_up(site, vault, source.name, meanwhile=_once(lambda: source.bulk(late)))
    target = Database(site.cluster["b"], site.name("restored"))
    restore_new(vault, backups.chain_of(vault, first, source.name), target, Unattended())
    assert not [key for key, _ in target.leaves() if key.startswith("late-")]
    backups.back_up(site, vault, source.name, at=1)
    again = restored(site, vault, source.name)
    assert backups.lost(backups.content(source), backups.content(again)) == []


@pytest.mark.parametrize("attached", [False, True])
def test_what_is_compacted_away_meanwhile_is_taken_as_it_is_now(scheduled: Site, attached: bool) -> None:
    site = scheduled
    source = Database(site.cluster["a"], site.name())
    source.create()
    for start in range(0, 3_000, 1_000):
        source.bulk([{"_id": f"doc-{i:04}"} for i in range(start, start + 1_000)])
    body = {"_attachments": {"a": builders.attachment(b"old bytes")}} if attached else {}
    old = source.put({"_id": "last", "n": 1, **body})

    def rewrite_and_compact() -> None:
        new = {"_attachments": {"a": builders.attachment(b"new bytes")}} if attached else {}
        source.put({"_id": "last", "_rev": old, "n": 2, **new})
        source.client.post(source.name, "_compact")
        rows = [("last", (old,))]
        assert wait_until(lambda: Revisions(source).leaves(rows)[0][0].missing == [old], DEADLINE)

    vault = backups.memory()
    manifest = backups.back_up(site, vault, source.name, meanwhile=_once(rewrite_and_compact))
    assert backups.entry_of(manifest, source.name).counts.superseded == 1
    assert backups.lost(backups.content(source), backups.content(restored(site, vault, source.name))) == []


def test_a_leaf_that_the_node_lists_and_does_not_give_is_told() -> None:
    """Its file is damaged; the rest must not be lost for it."""
    site = fake_site(couch := FakeCouch("a", "b"))
    source = Database(site.cluster["a"], site.name())
    source.create()
    source.bulk([{"_id": f"doc-{i}"} for i in range(9)])
    bad = couch["a"].databases[source.name].documents["doc-3"]
    (rev,) = bad.leaves()
    bad.revisions[rev] = replace(bad.revisions[rev], body=None)
    vault = backups.memory()
    entry = backups.entry_of(backups.back_up(site, vault, source.name), source.name)
    assert (entry.counts.changed, entry.counts.lost) == (8, 1)
    record = backups.chain_of(vault, backups.newest(vault), source.name).newest
    assert record.lost == (f"document doc-3, revision {rev}: the node lists it and does not give it",)
    assert set(dict(restored(site, vault, source.name).leaves())) == {f"doc-{i}" for i in range(9)} - {"doc-3"}


def test_who_stops_does_not_wait_for_what_is_on_its_way() -> None:
    """An attachment that would take hours."""
    site = fake_site(couch := FakeCouch("a", "b"))
    source = Database(site.cluster["a"], site.name())
    source.create()
    source.put({"_id": "scan", "_attachments": {"a.pdf": builders.attachment(bytes(4_000_000))}})
    throttle = Throttle(1_000)
    order = Order(backup_id(backups.EPOCH, "1"), backups.EPOCH, (source.name,), {source.name: ["a"]})
    began = time.monotonic()

    def once_it_comes(_: Listener) -> Exception | None:
        return HandedBack() if any("a.pdf" in request.path for request in couch.requests) else None

    with pytest.raises(HandedBack):
        run(site.cluster, order, backups.memory(), Listener(once_it_comes), throttle=throttle)
    assert time.monotonic() - began < DEADLINE


def test_one_that_was_broken_off_goes_on_from_its_last_chunk(site: Site) -> None:
    source = Database(site.cluster["a"], site.name())
    source.create()
    for start in range(0, 6_000, 1_000):
        source.bulk([{"_id": f"doc-{i:05}", "text": "x" * 300} for i in range(start, start + 1_000)])
    vault = backups.memory()
    with pytest.raises(HandedBack):
        backups.back_up(site, vault, source.name, control=_stops_when(vault, 3), chunk_bytes=200_000)
    there = set(backups.named(backups.objects(vault), "documents"))
    assert len(there) >= 3
    source.put({"_id": "doc-00000", "_rev": source.get("doc-00000")["_rev"], "changed": True})  # type: ignore[index]
    manifest = backups.back_up(site, vault, source.name, chunk_bytes=200_000)
    record = backups.chain_of(vault, manifest, source.name).newest
    assert record.repeats
    assert len(there & {chunk.stored.object for chunk in record.chunks}) >= 2
    assert backups.lost(backups.content(source), backups.content(restored(site, vault, source.name))) == []
    assert backups.named(backups.objects(vault), "journal") == []


def test_a_database_that_fails_does_not_keep_the_others_from_being_saved(site: Site, filled: Database) -> None:
    vault = backups.memory()
    with pytest.raises(BackupIncomplete) as caught:
        backups.back_up(site, vault, filled.name, "not-there")
    assert "not-there" in caught.value.detail
    manifest = backups.newest(vault)
    assert not manifest.good
    assert [failed.database for failed in manifest.failed] == ["not-there"]
    assert backups.lost(backups.content(filled), backups.content(restored(site, vault, filled.name))) == []


# --- restore: what it never does


def test_an_existing_database_is_never_touched(site: Site, filled: Database) -> None:
    vault = backups.memory()
    manifest = backups.back_up(site, vault, filled.name)
    target = Database(site.cluster["b"], site.name())
    target.create()
    target.put({"_id": "precious"})
    before = backups.content(target)
    with pytest.raises(DatabaseExists, match="rollback"):
        restore_new(vault, backups.chain_of(vault, manifest, filled.name), target, Unattended())
    assert backups.content(target) == before


def test_one_that_was_broken_off_goes_on(site: Site) -> None:
    source = Database(site.cluster["a"], site.name())
    source.create()
    for start in range(0, 3_000, 1_000):
        source.bulk([{"_id": f"doc-{i:05}", "text": "x" * 300} for i in range(start, start + 1_000)])
    vault = backups.memory()
    manifest = backups.back_up(site, vault, source.name, chunk_bytes=100_000)
    chain = backups.chain_of(vault, manifest, source.name)
    target = Database(site.cluster["b"], site.name("restored"))
    with pytest.raises(HandedBack):
        restore_new(vault, chain, target, Listener(stop_when=_at_look(3)))
    other = backups.back_up(site, vault, source.name, at=1, full=True)
    with pytest.raises(DatabaseExists, match="unfinished"):  # of something else
        restore_new(vault, backups.chain_of(vault, other, source.name), target, Unattended())
    done = restore_new(vault, chain, target, Unattended())
    assert done.resumed
    assert backups.lost(backups.content(source), backups.content(target)) == []
    assert target.get(MARK) is None


def test_an_attempt_that_died_when_it_had_just_made_the_database_is_gone_on_from(site: Site, filled: Database) -> None:
    """Nothing in it tells whose it is: the same job takes it where nothing was ever written to it."""
    vault = backups.memory()
    chain = backups.chain_of(vault, backups.back_up(site, vault, filled.name), filled.name)
    target = Database(site.cluster["b"], site.name("restored"))
    target.create()
    with pytest.raises(DatabaseExists):
        restore_new(vault, chain, target, Unattended())
    restore_new(vault, chain, target, Unattended(), retried=True)
    assert backups.lost(backups.content(filled), backups.content(target)) == []
    other = Database(site.cluster["b"], site.name())
    other.create()
    other.delete("doc", other.put({"_id": "doc"}))
    with pytest.raises(DatabaseExists):
        restore_new(vault, chain, other, Unattended(), retried=True)


def test_single_documents_come_back_alone(site: Site, filled: Database) -> None:
    vault = backups.memory()
    manifest = backups.back_up(site, vault, filled.name)
    target = Database(site.cluster["b"], site.name("restored"))
    wanted = ["attached", "conflict", "grüße/€", "_design/view", "never there"]
    done = restore_new(vault, backups.chain_of(vault, manifest, filled.name), target, Unattended(), only=wanted)
    before, after = backups.content(filled), backups.content(target)
    assert after == {key: before[key] for key in wanted if key in before}
    assert done.documents == len(after)


def test_what_the_node_refuses_is_listed(site: Site, filled: Database) -> None:
    """A design document that is there already, as in a database that an earlier part of the restore made."""
    vault = backups.memory()
    manifest = backups.back_up(site, vault, filled.name)
    target = Database(site.cluster["b"], site.name("restored"))

    def lay_a_trap() -> None:
        site.refuse(target.name, "b", "doc-0003")

    chain = backups.chain_of(vault, manifest, filled.name)
    done = restore_new(vault, chain, target, Listener(stop_when=_once(lay_a_trap)))
    assert [one["id"] for one in done.refused.listed] == ["doc-0003"]
    assert "not here" in done.refused.listed[0]["reason"]


def test_what_was_refused_before_it_broke_off_is_told_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """The newest pieces are written first."""
    site = fake_site(couch := FakeCouch("a", "b"))
    source = Database(site.cluster["a"], site.name())
    source.create()
    for start in range(0, 3_000, 1_000):
        source.bulk([{"_id": f"doc-{i:05}", "text": "x" * 300} for i in range(start, start + 1_000)])
    vault = backups.memory()
    chain = backups.chain_of(vault, backups.back_up(site, vault, source.name, chunk_bytes=100_000), source.name)
    target = Database(site.cluster["b"], site.name("restored"))
    couch["b"].refuses = lambda document: document["_id"] in {"doc-00003", "doc-02990"}

    def with_a_mark(_: Listener) -> Exception | None:
        found = target.get(MARK)
        return HandedBack() if found and found.get("refused", {}).get("count") == 1 else None

    monkeypatch.setattr("worker.ops.restore.database.MARK_EVERY", 0.0)
    with pytest.raises(HandedBack):
        restore_new(vault, chain, target, Listener(with_a_mark))
    couch["b"].refuses = lambda document: document["_id"] == "doc-00003"
    done = restore_new(vault, chain, target, Unattended())
    assert done.resumed
    assert (done.refused.count, [one["id"] for one in done.refused.listed]) == (2, ["doc-02990", "doc-00003"])


# --- what the tests share

SECURITY = {"admins": {"names": ["ann"], "roles": ["boss"]}, "members": {"names": ["bob"], "roles": ["staff"]}}
CHECKPOINT = {"_id": "_local/abc", "session_id": "1", "source_last_seq": "5-x", "replication_id_version": 4}
ATTACHMENTS = 9
CHANGED = 6
DAY = 86_400.0


def _change(database: Database, turn: int) -> None:
    """An update, a new document, a deletion, a conflict resolved, one made, an attachment more: CHANGED documents."""
    for identity in ("doc-0001", "doc-0002"):
        found = database.get(identity)
        assert found is not None
        database.put({**found, "kind": "changed", "turn": turn})
    database.put({"_id": f"new-{turn}", "kind": "new"})
    found = database.get(f"doc-005{turn}")
    assert found is not None
    database.delete(f"doc-005{turn}", found["_rev"])
    winner = database.get("conflict")
    assert winner is not None
    database.delete("conflict", winner["_rev"])
    found = database.get("twin")
    assert found is not None
    more = {f"turn-{turn}": builders.attachment(f"turn {turn}".encode())}
    database.put({**found, "_attachments": {**found["_attachments"], **more}})


def _made_anew(database: Database) -> bool:
    """CouchDB deletes in the background, and tells its age in whole seconds."""
    if not database.create():
        return False
    time.sleep(1.1)
    database.drop()
    return database.create()


def _once(do: Callable[[], object]) -> Callable[..., None]:
    """The same, the first time that it is called."""
    done: list[object] = []

    def look(*_: object) -> None:
        if not done:
            done.append(True)
            do()

    return look


def _stops_when(vault: backups.Vault, chunks: int) -> Listener:
    """A worker that shuts down when so many chunks are in the store."""

    def look(_: Listener) -> Exception | None:
        there = len(backups.named(backups.objects(vault), "documents"))
        return HandedBack() if there >= chunks and backups.named(backups.objects(vault), "journal") else None

    return Listener(stop_when=look)


def _at_look(number: int) -> Callable[[Listener], Exception | None]:
    looks = itertools.count(1)
    return lambda _: HandedBack() if next(looks) >= number else None


def put_attachment(database: Database, document: str, name: str, data: bytes) -> None:
    body = Related(
        msgspec.json.encode(
            {
                "_id": document,
                "_attachments": {name: {"content_type": "image/png", "length": len(data), "follows": True}},
            }
        ),
        [Part(name, "image/png", len(data), lambda: iter((data,)))],
    )
    database.client.put(database.name, document, body=body, content_type=body.content_type)
