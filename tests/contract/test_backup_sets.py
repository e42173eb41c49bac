"""Many databases as one backup, a store that fails meanwhile, and seals: who can read what."""

from __future__ import annotations

import hashlib
import itertools
import threading
from collections.abc import Callable

import pytest
from msgspec.structs import replace

from tests import builders
from tests.contract import backups
from tests.contract.conftest import Site, fake_site
from tests.fakes.blobs import FakeBlobs, Killed
from tests.fakes.couchdb import FakeCouch
from tests.fakes.request import Request
from worker.blobs.seal import Keys, Seals, new_identity, seals
from worker.blobs.vault import Vault
from worker.core.errors import (
    BackupIncomplete,
    NotEnoughNodes,
    NotFound,
    NotSealed,
    ObjectDamaged,
    StoreFull,
    StoreUnavailable,
    WrongKey,
)
from worker.core.manifest import LATEST, backup_id, database_folder
from worker.core.names import OWN_DATABASE
from worker.couch.cluster import Cluster
from worker.couch.database import Database
from worker.ops.backup import choose, notes
from worker.ops.backup.catalogue import Catalogue
from worker.ops.backup.check import check
from worker.ops.backup.objects import manifest_name
from worker.ops.backup.own_key import ID, own_key
from worker.ops.backup.run import Order, run
from worker.ops.control import Unattended
from worker.ops.own import put_over
from worker.ops.restore.database import restore_new
from worker.ops.sync import sync

pytestmark = pytest.mark.contract


def restored(site: Site, vault: Vault, database: str) -> Database:
    """The newest backup of it, in a database of another name on another node."""
    target = Database(site.cluster["b"], site.name("restored"))
    restore_new(vault, backups.chain_of(vault, backups.newest(vault), database), target, Unattended())
    return target


# --- many databases


@pytest.fixture
def thirty(site: Site) -> list[Database]:
    """The names of all begin with the same word, and go on with their numbers."""
    word = site.name("set").replace("-", "")
    found = [Database(site.cluster["a"], f"{word}-{i:02}") for i in range(30)]
    for i, database in enumerate(found):
        site.used.append(database.name)
        database.create(shards=1 if site.scheduler else None)
        database.bulk([{"_id": f"doc-{n}", "of": i} for n in range(i % 7 * 50)])
    return found


def chosen(site: Site, *globs: str, exclude: tuple[str, ...] = ()) -> list[str]:
    return list(choose.databases(site.cluster, ["a"], globs, exclude, Unattended()).databases)


def test_databases_are_chosen_by_globs(site: Site, thirty: list[Database]) -> None:
    names = [database.name for database in thirty]
    word = names[0].removesuffix("-00")
    assert chosen(site, f"{word}-*") == names
    assert chosen(site, f"{word}-0?", names[20]) == [*names[:10], names[20]]
    assert chosen(site, f"{word}-*", exclude=("*-1?", names[29])) == [*names[:10], *names[20:29]]
    assert chosen(site, f"{word}-[12]7") == [names[17], names[27]]
    with pytest.raises(NotFound, match="has a database that matches no-such-\\*"):
        chosen(site, "no-such-*")
    with pytest.raises(NotFound, match=f"did you mean .*{names[3]}"):
        chosen(site, f"{names[3]}x")


def test_one_that_is_dropped_midway_does_not_harm_the_others(site: Site, thirty: list[Database]) -> None:
    if site.kind == "stand-in":
        pytest.skip("a stand-in never ends the answers under way of a database that is dropped")
    names = [database.name for database in thirty]
    doomed, blobs = thirty[13], FakeBlobs()
    doomed.bulk([{"_id": f"more-{n}"} for n in range(5_000)])  # so that all is not read before anything is stored
    vault = Vault(blobs)

    def before(call: str, name: str) -> None:
        if call == "put" and "/000000-" in name and f"/{database_folder('', doomed.name).rpartition('/')[2]}/" in name:
            doomed.drop()

    blobs.before = before
    found = choose.databases(site.cluster, ["a"], [f"{names[0].removesuffix('-00')}-*"], (), Unattended()).databases
    with pytest.raises(BackupIncomplete, match=f"1 of 30 databases could not be backed up: {doomed.name}"):
        backups.back_up(site, vault, *found, chunk_bytes=500)
    manifest = backups.newest(vault)
    assert [one.database for one in manifest.entries] == [name for name in names if name != doomed.name]
    assert [(one.database, one.error) for one in manifest.failed] == [(doomed.name, "not-found")]
    check(vault, manifest, Unattended())
    for database in (thirty[6], thirty[27]):
        assert backups.lost(backups.content(database), backups.content(restored(site, vault, database.name))) == []


def test_one_that_is_dropped_is_not_found_whatever_the_node_answers_meanwhile() -> None:
    site = fake_site(couch := FakeCouch("a", "b"))
    doomed, blobs = Database(site.cluster["a"], site.name()), FakeBlobs()
    doomed.create()
    doomed.bulk([{"_id": f"doc-{n}"} for n in range(5_000)])  # so that all is not read before anything is stored

    def before(call: str, name: str) -> None:
        if call == "put" and "/000000-" in name:
            doomed.drop()
            couch["a"].fail("500", path="_changes")
            couch["a"].fail("500", path="_bulk_get")

    blobs.before = before
    with pytest.raises(NotFound):
        backups.back_up(site, Vault(blobs), doomed.name, chunk_bytes=500)


def test_what_a_node_that_failed_had_put_there_counts_with_the_node_that_went_on() -> None:
    site = fake_site(couch := FakeCouch("a", "b"))
    source, blobs = Database(site.cluster["a"], site.name()), FakeBlobs()
    source.create()
    source.bulk(
        [{"_id": f"doc-{n:04}", "_attachments": {"a": builders.attachment(b"%d " % n * 50)}} for n in range(3_000)]
    )
    sync(site.cluster, source.name, Unattended())

    def before(call: str, name: str) -> None:
        if call == "put" and "/000002-" in name:
            couch["a"].fail("refused")

    blobs.before = before
    vault, nodes = Vault(blobs), {source.name: ["a", "b"]}
    order = Order(backup_id(backups.EPOCH, "000000"), backups.EPOCH, (source.name,), nodes, chunk_bytes=50_000)
    manifest = run(site.cluster, order, vault, Unattended())
    assert backups.chain_of(vault, manifest, source.name).newest.source.node == "b"
    added = backups.attachments_added(vault, manifest, source.name)
    assert added == sum(backups.objects(vault, "attachments").values())


# --- a store that fails


def test_a_store_that_is_full_fails_the_whole_backup(site: Site, thirty: list[Database]) -> None:
    names = [database.name for database in thirty[:8]]
    blobs = FakeBlobs()
    blobs.fail(StoreFull("no space left"), after=20, call="put")
    with pytest.raises(StoreFull):
        backups.back_up(site, Vault(blobs), *names)
    blobs.heal()
    catalogue = Catalogue(Vault(blobs))
    assert list(catalogue.all()) == []
    assert len(catalogue.unfinished) == 1
    made = backups.back_up(site, Vault(blobs), *names)
    assert [one.database for one in made.entries] == names
    check(Vault(blobs), made, Unattended())


def test_wherever_a_store_fails_the_next_attempt_lacks_nothing() -> None:
    """At each object, for once or for good, whatever was under way beside it."""
    site = fake_site(FakeCouch("a", "b"))
    source = Database(site.cluster["a"], "source")
    source.create()
    source.bulk([{"_id": f"doc-{i:04}", "text": "x" * 100} for i in range(700)])
    source.put({"_id": "scan", "_attachments": {"a.pdf": builders.attachment(b"page")}})
    was = dict(source.leaves())

    def fails(vault: Vault, blobs: FakeBlobs, trouble: Callable[[int], bool]) -> bool:
        puts = itertools.count()

        def before(call: str, name: str) -> None:
            if call == "put" and trouble(next(puts)):
                raise StoreUnavailable("away")

        blobs.before = before
        try:
            backups.back_up(site, vault, source.name, chunk_bytes=5_000)
        except StoreUnavailable:
            assert list(Catalogue(vault).all()) == []
            return True
        return False

    for after in itertools.count():
        for trouble in (after.__eq__, after.__le__):
            blobs = FakeBlobs()
            vault = Vault(blobs)
            if not fails(vault, blobs, trouble):
                assert after > 10
                return
            assert not fails(vault, blobs, lambda _: False)
            assert dict(restored(site, vault, source.name).leaves()) == was, after


# --- sealed: recipients alone, and the system's own key


class Safe:
    """Where the identity lies, and what the system has."""

    def __init__(self) -> None:
        self._identity, self.own = new_identity(), new_identity()
        self.recipient = str(Keys.parse(self._identity).recipients[0])

    def without(self) -> Seals:
        return seals(Keys.parse(self.recipient), self.own)

    def opened(self) -> Seals:
        return seals(Keys.parse(self._identity))


@pytest.fixture
def filled(site: Site) -> Database:
    database = Database(site.cluster["a"], site.name())
    database.create()
    backups.fill(site, database)
    return database


def test_without_the_identity_a_backup_goes_on_and_cannot_be_read(site: Site, filled: Database) -> None:
    safe = Safe()
    vault = backups.memory(safe.without())
    first = backups.back_up(site, vault, filled.name)
    filled.put({"_id": "later", "kind": "new", "_attachments": {"a.pdf": builders.attachment(b"later")}})
    again = Vault(vault.blobs, safe.without())
    second = backups.back_up(site, again, filled.name, at=1)
    entry = backups.entry_of(second, filled.name)
    assert (entry.full, entry.chain, entry.counts.changed) == (False, (first.id,), 1)
    target = Database(site.cluster["b"], site.name("restored"))
    for unable in (safe.without(), seals(Keys.parse(safe.own)), seals(Keys.parse(new_identity()), safe.own)):
        blind = Vault(vault.blobs, unable)
        with pytest.raises(WrongKey):
            restore_new(blind, backups.chain_of(blind, second, filled.name), target, Unattended())
        target.drop()
    opened = Vault(vault.blobs, safe.opened())
    restore_new(opened, backups.chain_of(opened, second, filled.name), target, Unattended())
    assert backups.lost(backups.content(filled), backups.content(target)) == []


def test_attachments_are_not_stored_again_by_who_cannot_read_them(site: Site, filled: Database) -> None:
    safe, blobs = Safe(), FakeBlobs()
    backups.back_up(site, Vault(blobs, safe.without()), filled.name)
    blobs.calls.clear()
    backups.back_up(site, Vault(blobs, safe.without()), filled.name, at=1, full=True)
    assert backups.named(blobs.named("put"), "attachments/") == []


MARK = "m4rk"


def test_whoever_sees_a_sealed_store_learns_no_name_and_no_content(site: Site) -> None:
    blobs = FakeBlobs()
    vault = Vault(blobs, Safe().without())
    source = Database(site.cluster["a"], site.name(f"{MARK}-database"))
    source.create()
    marked(site, source)
    first = backups.back_up(site, vault, source.name)
    source.put({"_id": f"{MARK}-later", "kind": MARK})
    backups.back_up(site, vault, source.name, at=1)
    notes.put_hold(vault, first.id, notes.Hold(True, f"{MARK} lawsuit", 1.0))
    notes.put_drill(vault, first.id, notes.Drill(False, 1.0, f"{MARK}-node", 1.0, 1, MARK))
    broken_off(site, blobs, vault, source)
    there = backups.objects(vault)
    assert any("journal" in name for name in there)
    known = hashlib.sha256(f"{backups.md5(PAGE)}:{len(PAGE)}".encode()).hexdigest()
    for name in there:
        data = blobs.get(name)
        assert name.endswith(".age")
        assert data.startswith(b"age-encryption.org/v1\n")
        for mark in (MARK, site.nodes[0].url, known[:40]):
            assert mark not in name
            assert mark.encode() not in data


PAGE = f"{MARK} page".encode()


def marked(site: Site, database: Database) -> None:
    attached = {f"{MARK}.pdf": builders.attachment(PAGE), f"{MARK}.txt": builders.attachment(PAGE * 50, "text/plain")}
    database.put({"_id": f"{MARK}-document", MARK: MARK, "_attachments": attached})
    database.put({"_id": f"_design/{MARK}", "views": {MARK: {"map": f"function (doc) {{ emit('{MARK}'); }}"}}})
    database.set_security({"admins": {"names": [MARK], "roles": []}, "members": {"names": [], "roles": [MARK]}})
    if site.scheduler:
        put_over(database, {"_id": f"_local/{MARK}", "setting": MARK})


def broken_off(site: Site, blobs: FakeBlobs, vault: Vault, database: Database) -> None:
    blobs.fail(Killed(), after=sum(1 for _ in CHUNKS_AND_JOURNAL) + 2, call="put")
    with pytest.raises(Killed):
        backups.back_up(site, vault, database.name, at=2, full=True)
    blobs.heal()


CHUNKS_AND_JOURNAL = ("attached", "design", "attachments", "journal")


def test_who_can_write_to_the_store_cannot_say_what_is_the_latest(site: Site, filled: Database) -> None:
    blobs, key = FakeBlobs(), seals(Keys.parse(new_identity()))
    before = backups.back_up(site, Vault(blobs), filled.name)
    ours = Catalogue(Vault(blobs, key))
    assert ours.find(LATEST).id == before.id  # the key is new: there is none that is sealed
    sealed = backups.back_up(site, Vault(blobs, key), filled.name, at=1)
    assert ours.find(LATEST).id == sealed.id
    forged = backups.back_up(site, Vault(blobs), filled.name, at=2)
    with pytest.raises(NotSealed, match=f"{forged.id}, is not sealed .* {sealed.id} before it is"):
        ours.find(LATEST)
    assert ours.find(forged.id).id == forged.id  # somebody who names it may trust it
    next_one = backups.back_up(site, Vault(blobs, key), filled.name, at=3)
    assert "BACKUP_KEY has changed" in str(backups.entry_of(next_one, filled.name).why)


def test_one_that_says_it_is_sealed_and_is_not_is_no_backup(site: Site, filled: Database) -> None:
    """It would be gone on from."""
    blobs, key = FakeBlobs(), seals(Keys.parse(new_identity()))
    sealed = backups.back_up(site, Vault(blobs, key), filled.name)
    forged = backups.back_up(site, Vault(blobs), filled.name, at=1)
    Vault(blobs).write_record(manifest_name(forged.id), replace(forged, key=sealed.key))
    with pytest.raises(ObjectDamaged, match=f"{forged.id}/manifest.json.zst says that its backup is sealed"):
        Catalogue(Vault(blobs, key)).find(forged.id)
    entry = backups.entry_of(backups.back_up(site, Vault(blobs, key), filled.name, at=2), filled.name)
    assert entry.chain == (sealed.id,)


# --- the system's own key


@pytest.fixture
def three() -> tuple[FakeCouch, Cluster]:
    return builders.fake_cluster("a", "b", "c")


def keys(cluster: Cluster) -> list[str | None]:
    found = [Database(cluster[name], OWN_DATABASE).get(ID) for name in cluster.names]
    return [one["key"] if one else None for one in found]


def once(key: str) -> Callable[[], str]:
    made = iter([key])
    return lambda: next(made)


def never() -> str:
    raise AssertionError("a second key was made")


def test_a_key_is_made_once_and_given_to_all_nodes(three: tuple[FakeCouch, Cluster]) -> None:
    _, cluster = three
    assert own_key(cluster, once("first")) == "first"
    assert keys(cluster) == ["first"] * 3
    assert own_key(cluster, never) == "first"


@pytest.mark.parametrize("lost", [("a",), ("b",), ("a", "c")])
def test_a_node_that_has_lost_it_is_given_it_again(three: tuple[FakeCouch, Cluster], lost: tuple[str, ...]) -> None:
    couch, cluster = three
    own_key(cluster, once("first"))
    for name in lost:
        couch[name].drop(OWN_DATABASE)
    assert own_key(cluster, never) == "first"
    assert keys(cluster) == ["first"] * 3


def test_a_node_that_is_away_is_given_it_later(three: tuple[FakeCouch, Cluster]) -> None:
    couch, cluster = three
    couch["c"].fail("refused")
    with pytest.raises(NotEnoughNodes, match=r"may be on a node that does not answer: c \("):
        own_key(cluster, never)
    couch["c"].heal()
    own_key(cluster, once("first"))
    couch["c"].drop(OWN_DATABASE)
    couch["a"].drop(OWN_DATABASE)
    couch["c"].fail("refused")
    assert own_key(cluster, never) == "first"
    couch["c"].heal()
    assert keys(cluster) == ["first", "first", None]
    own_key(cluster, never)
    assert keys(cluster) == ["first"] * 3


def test_nodes_that_disagree_are_given_that_of_the_first(three: tuple[FakeCouch, Cluster]) -> None:
    _, cluster = three
    own_key(cluster, once("first"))
    other = Database(cluster["b"], OWN_DATABASE)
    other.put({**(other.get(ID) or {}), "key": "of a restored disk"})
    assert own_key(cluster, never) == "first"
    assert keys(cluster) == ["first"] * 3


def test_two_who_make_one_at_the_same_moment_agree() -> None:
    """One of them does all of it between any two steps of the other."""
    steps = next(steps for steps in itertools.count() if not _agree_after(steps))
    assert steps > 9


def _agree_after(steps: int) -> bool:
    """False where the first had done all of its steps before."""
    couch, cluster = builders.fake_cluster("a", "b", "c")
    another_process = builders.cluster(couch, map(builders.node, "abc"))
    found: list[str] = []
    heard, lock = itertools.count(), threading.Lock()

    def meanwhile(request: Request) -> None:
        with lock:
            if found or next(heard) < steps:
                return
            found.append("")
        found[0] = own_key(another_process, once("theirs"))

    couch.on_request = meanwhile
    ours = own_key(cluster, once("ours"))
    if found:
        assert found == [ours], steps
        assert keys(cluster) == [ours] * 3, steps
    return bool(found)
