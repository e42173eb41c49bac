"""Objects as backups use them: what comes back, what is found damaged, and what is left behind in the end."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
import zstandard
from hypothesis import example, given
from hypothesis import strategies as st

from tests.unit.worker.blobs.odd_disks import on_small_disk
from worker.blobs.seal import OPEN, Keys, Seals, new_identity, seals
from worker.blobs.store import Store
from worker.blobs.vault import MOST, Vault, disk_errors
from worker.core.errors import (
    ObjectDamaged,
    ObjectMissing,
    ReplicationError,
    StoreFull,
    StoreUnavailable,
    WrongKey,
)
from worker.core.manifest import Stored

KEYS = Keys.parse(new_identity())
SEALED = seals(KEYS)
OTHERS = seals(Keys.parse(new_identity()))
WRITE_ONLY = seals(Keys(KEYS.recipients, ()), new_identity())
LARGE = 5_000_000


class Record(msgspec.Struct, frozen=True):
    name: str
    numbers: tuple[int, ...] = ()


class Other(msgspec.Struct, frozen=True):
    name: int


def vault_of(sealed: Seals = OPEN) -> Vault:
    return Vault(Store.open("memory://"), sealed)


@pytest.fixture(params=[OPEN, SEALED], ids=["plain", "sealed"])
def vault(request: pytest.FixtureRequest) -> Vault:
    return vault_of(request.param)


@pytest.fixture(autouse=True)
def nothing_left(tmp_path: Path) -> Iterator[Path]:
    """The folder for temporary files, which has to be empty in the end."""
    before, folder = tempfile.tempdir, tmp_path / "temporary"
    folder.mkdir()
    tempfile.tempdir = str(folder)
    yield folder
    tempfile.tempdir = before
    assert list(folder.iterdir()) == []


def failure(kind: type[ReplicationError], do: Callable[[], object], name: str) -> str:
    with pytest.raises(ReplicationError) as failed:
        do()
    assert type(failed.value) is kind
    assert name in str(failed.value)
    return str(failed.value)


def flipped(data: bytes, at: int) -> bytes:
    at %= len(data)
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


KINDS = ("chunk", "record", "lines", "bytes", "file")


def written(vault: Vault, kind: str) -> Stored:
    with vault.scratch() as path:
        path.write_bytes(b"of a file" * 100)
        return {
            "chunk": lambda: vault.write("a/chunk", b"of a chunk" * 100),
            "record": lambda: vault.write_record("a/record", Record("one")),
            "lines": lambda: vault.write_lines("a/lines", b"of lines\n" * 100),
            "bytes": lambda: vault.write_bytes("a", "bytes", b"of bytes" * 100),
            "file": lambda: vault.write_file("a", "file", path),
        }[kind]()


def read(vault: Vault, kind: str, stored: Stored) -> object:
    if kind == "file":
        with vault.opened(stored) as path:
            return path.read_bytes()
    if kind == "record":
        return vault.read_record(stored, Record)
    return {"chunk": vault.read, "lines": vault.read_lines, "bytes": vault.read_bytes}[kind](stored)


# --- what comes back


@given(data=st.binary(max_size=5_000))
@example(data=b"")
@example(data=bytes(2_000_000))
@pytest.mark.parametrize("sealed", [OPEN, SEALED], ids=["plain", "sealed"])
def test_chunks_lines_and_bytes_come_back(sealed: Seals, data: bytes) -> None:
    vault = vault_of(sealed)
    chunk, lines, kept = vault.write("a", data), vault.write_lines("b", data), vault.write_bytes("c", "d", data)
    assert vault.read(chunk) == vault.read_lines(lines) == vault.read_bytes(kept) == data
    for stored in (chunk, lines, kept):
        vault.check(stored)
        assert vault.blobs.size(stored.object) == stored.size
        assert stored.object.endswith(".age") == (sealed is SEALED)


@given(st.text(), st.lists(st.integers(-(2**62), 2**62)))
def test_records_come_back(name: str, numbers: list[int]) -> None:
    vault, record = vault_of(SEALED), Record(name, tuple(numbers))
    stored = vault.write_record("a/b", record)
    assert vault.read_record(stored, Record) == vault.find_record("a/b", Record) == record
    assert vault.stat_record("a/b") == stored


def test_a_record_replaces_the_one_before(vault: Vault) -> None:
    first, second = vault.write_record("a/b", Record("one")), vault.write_record("a/b", Record("two"))
    assert first.object == second.object == vault.record_name("a/b")
    assert vault.find_record("a/b", Record) == Record("two")
    failure(ObjectDamaged, lambda: vault.read_record(first, Record), first.object)


def test_a_large_file_comes_back_and_nothing_is_left(vault: Vault, nothing_left: Path) -> None:
    data = os.urandom(LARGE)
    with vault.scratch() as path:
        path.write_bytes(data)
        stored = vault.write_file("a", "name", path)
        assert not path.exists()
    assert list(nothing_left.iterdir()) == []
    with vault.opened(stored) as plain:
        assert plain.read_bytes() == data
        assert [path.name for path in nothing_left.iterdir()] == [plain.name]  # it lies there once
        assert plain.stat().st_mode & 0o777 == 0o600
    with vault.opened(stored) as plain:
        plain.unlink()  # whoever has it may use it up


def test_who_breaks_off_leaves_nothing(vault: Vault) -> None:
    stored = vault.write_bytes("a", "name", b"1")
    with pytest.raises(KeyboardInterrupt), vault.opened(stored):
        raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt), vault.scratch():
        raise KeyboardInterrupt


def test_an_attachment_that_is_somebodys_own_age_file() -> None:
    theirs = SEALED.content.close(b"of theirs")
    for vault in (vault_of(), vault_of(OTHERS)):
        stored = vault.write_bytes("a", "name", theirs)
        assert vault.read_bytes(stored) == theirs
        with vault.opened(stored) as path:
            assert path.read_bytes() == theirs


# --- what is damaged


@pytest.mark.parametrize("kind", KINDS)
def test_damage_is_found_and_the_object_named(vault: Vault, kind: str) -> None:
    stored = written(vault, kind)
    whole = vault.blobs.get(stored.object)
    for at in (0, len(whole) // 2, -1):
        vault.blobs.put(stored.object, flipped(whole, at))
        for do in (lambda: read(vault, kind, stored), lambda: vault.check(stored)):
            assert "is damaged" in failure(ObjectDamaged, do, stored.object)
    for damaged in (whole[:-1], whole + b"x", b""):
        vault.blobs.put(stored.object, damaged)
        for do in (lambda: read(vault, kind, stored), lambda: vault.check(stored)):
            assert f"and should have {stored.size}" in failure(ObjectDamaged, do, stored.object)
    vault.blobs.delete([stored.object])
    for do in (lambda: read(vault, kind, stored), lambda: vault.check(stored)):
        failure(ObjectMissing, do, stored.object)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("other", [OTHERS, OPEN], ids=["another", "none"])
def test_a_wrong_key_or_none_opens_nothing(kind: str, other: Seals) -> None:
    ours = vault_of(SEALED)
    stored = written(ours, kind)
    theirs = Vault(ours.blobs, other)
    failure(WrongKey, lambda: read(theirs, kind, stored), stored.object)
    theirs.check(stored)  # for that nobody needs a key


def test_who_may_only_write_reads_his_records_and_nothing_else() -> None:
    for kind in KINDS:
        vault = vault_of(WRITE_ONLY)
        stored = written(vault, kind)
        if kind in {"record", "lines"}:
            read(vault, kind, stored)
        else:
            assert "is needed to read it" in failure(WrongKey, lambda: read(vault, kind, stored), stored.object)  # noqa: B023
        read(Vault(vault.blobs, SEALED), kind, stored)


GARBAGE = [
    b"",
    b"garbage",
    b"\x28\xb5\x2f\xfd",
    bytes(100),
    zstandard.compress(b"{}")[:-1],
    zstandard.compress(b"{}") + b"x",
]


@pytest.mark.parametrize("data", GARBAGE)
def test_what_is_no_record_is_told(vault: Vault, data: bytes) -> None:
    name = vault.record_name("a/b")
    vault.blobs.put(name, vault.seals.records.close(data))
    assert "cannot be unpacked" in failure(ObjectDamaged, lambda: vault.find_record("a/b", Record), name)


def test_what_is_not_even_sealed_is_told() -> None:
    vault = vault_of(SEALED)
    vault.blobs.put("a/b.zst.age", b"garbage")
    assert "or it is damaged" in failure(WrongKey, lambda: vault.find_record("a/b", Record), "a/b.zst.age")


@pytest.mark.parametrize("text", [b"", b"[]", b"{}", b'{"name": 1}', b'{"name": "\xff"}', b'{"name": "a"} x', b"null"])
def test_a_record_of_another_shape(vault: Vault, text: bytes) -> None:
    name = vault.record_name("a/b")
    vault.blobs.put(name, vault.seals.records.close(zstandard.compress(text)))
    told = failure(ObjectDamaged, lambda: vault.find_record("a/b", Record), name)
    assert "is not a record that this version can read" in told
    stored = vault.write_record("a/c", Record("one"))
    failure(ObjectDamaged, lambda: vault.read_record(stored, Other), stored.object)


def test_a_record_of_a_later_version_is_read_as_far_as_it_is_known(vault: Vault) -> None:
    text = b'{"name": "one", "later": [1]}'
    vault.blobs.put(vault.record_name("a/b"), vault.seals.records.close(zstandard.compress(text)))
    assert vault.find_record("a/b", Record) == Record("one")


def test_a_record_that_is_deep_beyond_all_measure(vault: Vault) -> None:
    text = b'{"later": ' + b"[" * 100_000 + b"]" * 100_000 + b', "name": "one"}'
    name = vault.record_name("a/b")
    vault.blobs.put(name, vault.seals.records.close(zstandard.compress(text)))
    failure(ObjectDamaged, lambda: vault.find_record("a/b", Record), name)


@pytest.mark.parametrize("claimed", [MOST + 1, 2**40, 2**50, 2**62, 2**64 - 1])
def test_a_size_that_nobody_has_is_not_believed(claimed: int) -> None:
    """Else that much memory is asked for."""
    vault = vault_of()
    vault.blobs.put("a/b.zst", b"\x28\xb5\x2f\xfd\xe0" + claimed.to_bytes(8, "little") + b"\x01\0\0")
    failure(ObjectDamaged, lambda: vault.find_record("a/b", Record), "a/b.zst")


def test_what_lies_in_the_place_of_a_record_is_not_read_whatever_its_size_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.blobs.vault.MOST_RECORD", 1_000)
    vault = vault_of()
    vault.blobs.put("a/b.zst", bytes(1_001))
    for do in (
        lambda: vault.find_record("a/b", Record),
        lambda: vault.stat_record("a/b"),
        lambda: vault.stat("a/b.zst"),
    ):
        assert "has 1001 bytes, which no record" in failure(ObjectDamaged, do, "a/b.zst")


@given(at=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_a_flipped_bit_in_a_record_that_no_other_vouches_for(at: int, bit: int) -> None:
    """The record of a whole backup is one: the checksum that it was packed with finds it."""
    vault, record = vault_of(), Record("one" * 20, tuple(range(100)))
    whole = vault.blobs.get(vault.write_record("a/b", record).object)
    at %= len(whole)
    vault.blobs.put("a/b.zst", whole[:at] + bytes([whole[at] ^ (1 << bit)]) + whole[at + 1 :])
    try:
        assert vault.find_record("a/b", Record) == record  # of no meaning to the format
    except ObjectDamaged as error:
        assert "a/b.zst" in str(error)  # noqa: PT017 - most bits are found, a few say nothing


# --- before and after BACKUP_KEY was set


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_written_without_a_key_is_read_with_one(kind: str) -> None:
    before = vault_of()
    stored = written(before, kind)
    after = Vault(before.blobs, SEALED)
    assert read(after, kind, stored) == read(before, kind, stored)


def test_a_record_is_found_under_either_name() -> None:
    before = vault_of()
    stored = before.write_record("a/b", Record("plain"))
    after = Vault(before.blobs, SEALED)
    assert after.find_record("a/b", Record) == Record("plain")
    assert after.stat_record("a/b") == stored
    after.write_record("a/b", Record("sealed"))
    assert after.find_record("a/b", Record) == Record("sealed")
    assert before.find_record("a/b", Record) == Record("plain")
    assert sorted(after.record_names("a/b")) == sorted(before.record_names("a/b")) == ["a/b.zst", "a/b.zst.age"]


def test_without_the_key_a_sealed_record_is_not_missing() -> None:
    """What is missing may be cleared away; what cannot be read never is."""
    vault = vault_of(SEALED)
    vault.write_record("a/b", Record("one"))
    failure(WrongKey, lambda: Vault(vault.blobs).find_record("a/b", Record), "a/b.zst.age")
    failure(ObjectMissing, lambda: vault.find_record("a/none", Record), "a/none.zst.age")


# --- a store or a disk that fails


class Failing(Store):
    """Gives the first slice of everything, and no other."""

    def slices(self, name: str) -> Iterator[bytes]:
        yield b"first"
        raise StoreUnavailable(f"{name}: gone")

    def put(self, name: str, data: bytes | Path) -> None:
        raise StoreUnavailable(f"{name}: gone")


@pytest.mark.parametrize("sealed", [OPEN, SEALED], ids=["plain", "sealed"])
def test_a_store_that_fails_leaves_no_file(sealed: Seals) -> None:
    vault = Vault(Failing(object(), "failing"), sealed)
    with vault.scratch() as path:
        path.write_bytes(b"data")
        failure(StoreUnavailable, lambda: vault.write_file("a", "file", path), "a/file-")
    failure(StoreUnavailable, lambda: read(vault, "file", Stored("a/b", "", 10)), "a/b")


def fills_the_disk(folder: Path) -> None:
    for sealed, size in ((OPEN, 2_000_000), (SEALED, 600_000)):
        vault = vault_of(sealed)
        stored = vault.write_bytes("a", "bytes", bytes(size))
        told = failure(StoreFull, lambda: read(vault, "file", stored), str(folder))  # noqa: B023
        assert "No space left on device; TMPDIR names another" in told
    with vault.scratch() as path:
        path.write_bytes(bytes(600_000))
        failure(StoreFull, lambda: vault.write_file("a", "file", path), str(folder))
    assert [found.name for found in vault.blobs.listed("")] == [stored.object]
    assert list(folder.iterdir()) == []


def test_a_full_folder_for_temporary_files(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    on_small_disk(fills_the_disk, tmp_path / "disk", temporary=True)


def test_a_folder_for_temporary_files_that_is_not_there() -> None:
    before, tempfile.tempdir = tempfile.tempdir, "/nonexistent/temporary"
    try:
        with pytest.raises(StoreFull, match="/nonexistent/temporary: No such file or directory"), vault_of().scratch():
            pass
    finally:
        tempfile.tempdir = before


def test_no_folder_for_temporary_files_at_all() -> None:
    """What Python says where it could write to none: then it has none to name either."""
    before, tempfile.tempdir = tempfile.tempdir, None
    try:
        with pytest.raises(StoreFull, match="temporary files: No usable temporary directory found in"), disk_errors():
            raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found in ['/tmp', '/']")
    finally:
        tempfile.tempdir = before
