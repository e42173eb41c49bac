"""Backups at a second location: all that the first has, sent once, and enough to restore from alone."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests import builders
from tests.contract import backups
from tests.contract.conftest import Site
from tests.contract.test_backup import put_attachment
from tests.fakes.blobs import FakeBlobs
from worker.blobs.seal import OPEN, Keys, Seals, new_identity, seals
from worker.blobs.store import SLICE, Store
from worker.blobs.vault import Vault
from worker.core.errors import ObjectDamaged, ObjectMissing, StoreUnavailable
from worker.core.manifest import Manifest
from worker.couch.database import Database
from worker.ops.backup.catalogue import Catalogue
from worker.ops.backup.check import check
from worker.ops.backup.copy import Copied, copy
from worker.ops.control import Unattended
from worker.ops.restore.database import restore_new

pytestmark = pytest.mark.contract


@pytest.fixture(params=["plain", "sealed"])
def sealing(request: pytest.FixtureRequest) -> Seals:
    return OPEN if request.param == "plain" else seals(Keys.parse(new_identity()))


@pytest.fixture
def filled(site: Site) -> Database:
    database = Database(site.cluster["a"], site.name())
    database.create()
    backups.fill(site, database)
    return database


def copied(source: Vault, target: Vault) -> Copied:
    return copy(source, target, Unattended())


def whole(vault: Vault) -> list[str]:
    """The ids of its backups, each of which a check finds right."""
    found = [one for one in Catalogue(vault).all() if isinstance(one, Manifest)]
    for manifest in found:
        check(vault, manifest, Unattended())
    return [one.id for one in found]


def chained(site: Site, vault: Vault, database: Database) -> tuple[Manifest, Manifest]:
    """A full backup, and one that goes on from it and has an attachment of its own."""
    first = backups.back_up(site, vault, database.name)
    database.put({"_id": "later", "kind": "new", "_attachments": {"a.pdf": builders.attachment(b"later")}})
    return first, backups.back_up(site, vault, database.name, at=1)


def test_everything_goes_over_and_a_second_run_sends_nothing(site: Site, filled: Database, sealing: Seals) -> None:
    source, blobs = backups.memory(sealing), FakeBlobs()
    large = random.Random(7).randbytes(SLICE + 1)  # noqa: S311 - the same each time
    put_attachment(filled, "large", "data.bin", large) if site.kind == "fake" else None
    first, second = chained(site, source, filled)
    target = Vault(blobs, sealing)
    done = copied(source, target)
    there = backups.objects(source)
    assert backups.objects(target) == there
    manifests = [name for name in there if name.count("/") == 2 and "manifest" in name]
    assert done.backups == [first.id, second.id]
    assert (done.objects, done.bytes) == (
        len(there) - len(manifests),
        sum(there.values()) - sum(there[name] for name in manifests),
    )
    blobs.calls.clear()
    assert copied(source, target).as_json() == {"backups": [], "objects": 0, "bytes": 0}
    assert blobs.named("put") == []


def test_the_copy_alone_is_enough(site: Site, filled: Database, sealing: Seals, tmp_path: Path) -> None:
    source = backups.memory(sealing)
    chained(site, source, filled)
    copied(source, Vault(Store.open(f"file://{tmp_path}/copy"), sealing))
    source.blobs.delete(list(backups.objects(source)))
    alone = Vault(Store.open(f"file://{tmp_path}/copy"), sealing)
    chain = backups.chain_of(alone, backups.newest(alone), filled.name)
    restored = Database(site.cluster["b"], site.name("restored"))
    restore_new(alone, chain, restored, Unattended())
    assert backups.lost(backups.content(filled), backups.content(restored)) == []


def test_one_that_broke_off_goes_on(site: Site, filled: Database) -> None:
    """Wherever it was: nothing is sent twice, and what is listed there is whole."""
    source = backups.memory()
    chained(site, source, filled)
    there = backups.objects(source)
    for after in range(len(there)):
        blobs = FakeBlobs()
        target = Vault(blobs)
        blobs.fail(StoreUnavailable("away"), after=after, call="put")
        with pytest.raises(StoreUnavailable):
            copied(source, target)
        builders.let_calls_end()
        blobs.heal()
        before = backups.objects(target).keys()
        assert len(before) == after
        whole(target)
        blobs.calls.clear()
        copied(source, target)
        assert sorted(blobs.named("put")) == sorted(there.keys() - before)
        assert backups.objects(target) == there
        assert len(whole(target)) == 2


def test_nothing_goes_there_because_it_is_gone_here(site: Site, filled: Database) -> None:
    source, blobs = backups.memory(), FakeBlobs()
    chained(site, source, filled)
    copied(source, Vault(blobs))
    there = backups.objects(Vault(blobs))
    source.blobs.delete(list(backups.objects(source)))
    third = backups.back_up(site, source, filled.name, at=2)
    copied(source, Vault(blobs))
    assert backups.objects(Vault(blobs)).keys() > there.keys()
    assert blobs.named("delete") == []
    assert whole(Vault(blobs))[0] == third.id
    assert len(whole(Vault(blobs))) == 3


@pytest.mark.parametrize("size", [100, SLICE + 1])
def test_what_is_damaged_is_not_carried_on(site: Site, size: int) -> None:
    if size > SLICE and site.kind != "fake":
        pytest.skip("the same on all nodes, and it takes long")
    database = Database(site.cluster["a"], site.name())
    database.create()
    put_attachment(database, "scan", "data.bin", random.Random(7).randbytes(size))  # noqa: S311 - the same each time
    source, target = backups.memory(), backups.memory()
    backups.back_up(site, source, database.name)
    (name,) = backups.objects(source, "attachments")
    good = source.blobs.get(name)
    source.blobs.put(name, bytes([good[0] ^ 1]) + good[1:])
    with pytest.raises(ObjectDamaged, match=name):
        copied(source, target)
    assert name not in backups.objects(target)
    assert whole(target) == []
    source.blobs.put(name, good)
    copied(source, target)
    assert len(whole(target)) == 1


def test_one_that_cannot_be_copied_does_not_keep_the_others_from_it(site: Site, filled: Database) -> None:
    source, target = backups.memory(), backups.memory()
    first = backups.back_up(site, source, filled.name)
    second = backups.back_up(site, source, filled.name, at=1, full=True)
    third = backups.back_up(site, source, filled.name, at=2, full=True)
    lost = backups.entry_of(second, filled.name).manifest.object
    source.blobs.delete([lost])
    with pytest.raises(ObjectMissing, match=lost) as caught:
        copied(source, target)
    assert caught.value.result is not None
    assert caught.value.result["backups"] == [first.id, third.id]
    assert whole(target) == [third.id, first.id]
