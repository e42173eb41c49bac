"""Objects as backups use them: sealed, with the SHA-256 of what lies in the store, checked whenever they are read."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import msgspec
import zstandard

from worker.blobs.seal import OPEN, SUFFIX, NoSeal, Seal, Seals
from worker.blobs.store import Blobs, Oversize
from worker.core.errors import ObjectDamaged, ObjectMissing, StoreFull
from worker.core.manifest import Stored

LEVEL = 3  # of zstd: the default; beyond it the time grows faster than the gain
PIECE = 1024 * 1024  # bytes read at once
MOST = 1024 * 1024 * 1024  # bytes that a chunk or a record may unpack to
MOST_RECORD = 256 * 1024 * 1024  # bytes of one as it lies in the store, where no other tells how many it has

Record = TypeVar("Record")


class Vault:
    """A store and the seals of its objects. Raises what worker.blobs.store and seal do, and ObjectDamaged."""

    def __init__(self, blobs: Blobs, seals: Seals = OPEN) -> None:
        self.blobs = blobs
        self.seals = seals

    # --- what nodes gave: compressed and sealed for whoever may restore

    def write(self, name: str, data: bytes) -> Stored:
        """A chunk. The name gets its suffixes, and a piece of its hash: two writers never write one object."""
        return self._put(name, _packed(data), self.seals.content)

    def read(self, stored: Stored) -> bytes:
        return _unpacked(stored.object, self._opened(self.seals.content, self.checked(stored), stored.object))

    # --- records

    def write_record(self, name: str, record: object) -> Stored:
        """Under just this name, and the seal's suffix: it replaces what is there."""
        data = self.seals.records.close(_packed(msgspec.json.encode(record)))
        self.blobs.put(self.record_name(name), data)
        return _stored(self.record_name(name), data)

    def write_new_record(self, name: str, record: object) -> Stored:
        """With a piece of its hash in the name, for one that another record vouches for: no other writer, not even one
        that should have stopped, can put something else in its place."""
        return self._put(name, _packed(msgspec.json.encode(record)), self.seals.records)

    def read_record(self, stored: Stored, kind: type[Record]) -> Record:
        return self._decoded(stored.object, self.checked(stored), kind)

    def find_record(self, name: str, kind: type[Record]) -> Record:
        """The record of this name, whatever its checksum is: for those that no other vouches for. Sealed or not: it
        may be from before BACKUP_KEY was set."""
        return self.named_record(name, kind)[1]

    def named_record(self, name: str, kind: type[Record]) -> tuple[str, Record]:
        """The same, and what it is called, which tells whether it is sealed."""
        found, data = self._found(name)
        return found, self._decoded(found, data, kind)

    def stat_record(self, name: str) -> Stored:
        """What another record needs to vouch for this one."""
        return _stored(*self._found(name))

    def stat(self, name: str) -> Stored:
        """The same, by the object's whole name."""
        return _stored(name, self._bounded(name))

    def record_names(self, name: str) -> list[str]:
        """As it may be called, the likelier first."""
        return sorted((f"{name}.zst", f"{name}.zst{SUFFIX}"), key=lambda one: one != self.record_name(name))

    def _found(self, name: str) -> tuple[str, bytes]:
        likely, other = self.record_names(name)
        try:
            return likely, self._bounded(likely)
        except ObjectMissing as missing:
            try:
                return other, self._bounded(other)
            except ObjectMissing:
                raise missing from None

    def _bounded(self, name: str) -> bytes:
        """Something else in its place must not be taken into memory, whatever its size is."""
        try:
            return self.blobs.get(name, most=MOST_RECORD)
        except Oversize as found:
            raise ObjectDamaged(f"{name} has {found.size} bytes, which no record of a backup has") from None

    def record_name(self, name: str) -> str:
        return f"{name}.zst{self.seals.records.suffix}"

    def write_lines(self, name: str, data: bytes) -> Stored:
        """Many lines that are a record, such as the attachments a backup refers to."""
        return self._put(name, _packed(data), self.seals.records)

    def read_lines(self, stored: Stored) -> bytes:
        return _unpacked(stored.object, self._opened(self.seals.records, self.checked(stored), stored.object))

    def _decoded(self, name: str, data: bytes, kind: type[Record]) -> Record:
        try:
            return msgspec.json.decode(_unpacked(name, self._opened(self.seals.records, data, name)), type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise ObjectDamaged(f"{name} is not a record that this version can read: {error}") from None

    # --- attachments: as they are, not compressed again

    def write_file(self, folder: str, name: str, path: Path) -> Stored:
        """The file is used up."""
        with self.scratch() as sealed:
            with disk_errors():
                self.seals.content.close_file(path, sealed)
                digest, size = _hash_file(sealed)
            stored = Stored(f"{folder}/{name}-{digest}{self.seals.content.suffix}", digest, size)
            self.blobs.put(stored.object, sealed)
        return stored

    def write_bytes(self, folder: str, name: str, data: bytes) -> Stored:
        data = self.seals.content.close(data)
        digest = hashlib.sha256(data).hexdigest()
        stored = Stored(f"{folder}/{name}-{digest}{self.seals.content.suffix}", digest, len(data))
        self.blobs.put(stored.object, data)
        return stored

    def read_bytes(self, stored: Stored) -> bytes:
        return self._opened(self.seals.content, self.checked(stored), stored.object)

    @contextmanager
    def opened(self, stored: Stored) -> Iterator[Path]:
        """An attachment as a file of its plain bytes, for as long as it is used."""
        with self.raw(stored) as raw, self.scratch() as plain:
            with disk_errors():
                _seal_of(self.seals.content, stored.object).open_file(raw, plain, stored.object)
            yield plain

    @contextmanager
    def raw(self, stored: Stored) -> Iterator[Path]:
        """An object as a file, as it lies there."""
        with self.scratch() as path:
            digest = hashlib.sha256()
            with disk_errors(), path.open("wb") as file:
                for piece in self.blobs.slices(stored.object):
                    digest.update(piece)
                    file.write(piece)
            _require(stored, digest.hexdigest(), path.stat().st_size)
            yield path

    def checked(self, stored: Stored) -> bytes:
        """The same in memory."""
        try:
            data = self.blobs.get(stored.object, most=stored.size)
        except Oversize as found:
            raise _wrong_size(stored, found.size) from None
        _require(stored, hashlib.sha256(data).hexdigest(), len(data))
        return data

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """The path of a file that is gone afterwards."""
        with disk_errors(), tempfile.NamedTemporaryFile(prefix="nbr-backup-", delete=False) as file:
            path = Path(file.name)
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)

    # --- checks

    def check(self, stored: Stored) -> None:
        """Reads all of it. Raises ObjectMissing and ObjectDamaged."""
        digest, size = hashlib.sha256(), 0
        for piece in self.blobs.slices(stored.object):
            digest.update(piece)
            size += len(piece)
        _require(stored, digest.hexdigest(), size)

    @staticmethod
    def _opened(seal: Seal, data: bytes, name: str) -> bytes:
        return _seal_of(seal, name).open(data, name)

    def _put(self, name: str, data: bytes, seal: Seal) -> Stored:
        data = seal.close(data)
        digest = hashlib.sha256(data).hexdigest()
        stored = Stored(f"{name}-{digest[:12]}.zst{seal.suffix}", digest, len(data))
        self.blobs.put(stored.object, data)
        return stored


def _seal_of(seal: Seal, name: str) -> Seal:
    """An object tells by its name whether it is sealed."""
    return seal if name.endswith(SUFFIX) else NoSeal()


def _stored(name: str, data: bytes) -> Stored:
    return Stored(name, hashlib.sha256(data).hexdigest(), len(data))


def _require(stored: Stored, digest: str, size: int) -> None:
    if size != stored.size:
        raise _wrong_size(stored, size)
    if digest != stored.sha256:
        raise ObjectDamaged(f"{stored.object} is damaged: its SHA-256 is {digest[:12]}..., not {stored.sha256[:12]}...")


def _wrong_size(stored: Stored, size: int) -> ObjectDamaged:
    return ObjectDamaged(f"{stored.object} has {size} bytes and should have {stored.size}")


def _packed(data: bytes) -> bytes:
    """With a checksum: no record vouches for that of a whole backup."""
    return zstandard.ZstdCompressor(level=LEVEL, write_checksum=True).compress(data)


def _unpacked(name: str, data: bytes) -> bytes:
    try:
        if zstandard.frame_content_size(data) > MOST:  # such a size is believed, and that much memory taken
            raise ObjectDamaged(f"{name} cannot be unpacked: it claims to be larger than any object of a backup")
        unpacker = zstandard.ZstdDecompressor()
        return unpacker.decompress(data, max_output_size=MOST, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise ObjectDamaged(f"{name} cannot be unpacked: {error}") from None


def _hash_file(path: Path) -> tuple[str, int]:
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            digest.update(piece)
            size += len(piece)
    return digest.hexdigest(), size


@contextmanager
def disk_errors() -> Iterator[None]:
    """A full disk under the temporary files, as an error of our tree."""
    try:
        yield
    except OSError as error:
        folder = f", {tempfile.tempdir}" if tempfile.tempdir else ""  # None: not one could be written to
        raise StoreFull(
            f"the folder for temporary files{folder}: {error.strerror or error}; TMPDIR names another"
        ) from None
