"""The format of a backup: what its objects are called, and what its records say. Pure.

::

    backups/ID/manifest.json              the set: which databases, where each one's record is. Written last: a folder
                                          without it is no backup
    backups/ID/db/NAME/record-HASH        one database: its chunks, its parent, and where it was read
    backups/ID/db/NAME/N-HASH.zst         a chunk: documents, one a line, as the node sent them
    backups/ID/journal/NAME/N.json        what a broken off run has done; gone when it has ended
    attachments/KEY/AB/NAME               the bytes of one attachment, once for all backups
    attachments/KEY/AB/NAME.damaged       empty: a check found those to be others than they were

NAME of a database is a hash: its own name may hold slashes, and should not be read by whoever sees the store. Sealed
objects end in `.age`. Records hold the SHA-256 of every object that they name, so that the set's record vouches for
everything below it. Why JSON and zstd and no format of our own: with `age`, `zstd` and a pair of eyes a backup can be
read without us.
"""

from __future__ import annotations

import datetime
import hashlib
from enum import StrEnum
from typing import Any

import msgspec

FORMAT = 1
MANIFEST = "manifest.json"
RECORD = "record"
BACKUPS = "backups"
ATTACHMENTS = "attachments"
DAMAGED = ".damaged"
LATEST = "latest"  # instead of an id: the newest
EVERYTHING = "*"  # the scope of a backup of all that the settings name


class Kind(StrEnum):
    """What a chunk holds. Each line of DOCUMENTS and LOCAL is a document; each line of the others is a Wrapped."""

    DOCUMENTS = "documents"
    ATTACHED = "attached"
    DESIGN = "design"  # apart, because they are restored last: they may refuse the documents before them
    LOCAL = "local"


class Stored(msgspec.Struct, frozen=True):
    """An object in the store: its name, and the SHA-256 (hex) and bytes of it as it lies there."""

    object: str
    sha256: str
    size: int


class Chunk(msgspec.Struct, frozen=True):
    """`documents` in it, with `leaves` revisions in `raw` bytes before compression."""

    kind: Kind
    stored: Stored
    documents: int
    leaves: int
    raw: int


class Wrapped(msgspec.Struct, frozen=True):
    """A revision with attachments: `doc` as the node sent it, with stubs; `objects`: attachment -> its bytes."""

    doc: msgspec.Raw
    objects: dict[str, Stored] = {}


class Source(msgspec.Struct, frozen=True):
    """Where a database was read, and up to which sequence (`seq`). `uuid`, `purge_seq` and `instance_start_time` say
    whether that sequence still means the same there. `update_seq` is the database's own from just before: as long as it
    stays the same, nothing was written (it is another text than `seq`, whatever was written)."""

    node: str
    kind: str
    version: str
    uuid: str | None
    seq: str
    update_seq: str
    purge_seq: str | None
    instance_start_time: str | None
    read_at: float


class Shape(msgspec.Struct, frozen=True):
    """How a database was made and set. None: the server does not tell."""

    partitioned: bool
    q: int | None
    n: int | None
    revs_limit: int | None
    security: dict[str, Any]


class Counts(msgspec.Struct, frozen=True):
    """`documents` and `deleted` are of the whole database; the others count what this backup itself holds: `changed`
    documents with `leaves` revisions, `attachments` that these have (`attachment_bytes`), and the `stored_bytes` that
    it added to the store: its documents, compressed, and attachments that were not there yet. `superseded`: documents
    whose revision of that moment the node had no more, so that a newer one was taken. `lost`: attachments and revisions
    that the node lists and could not give: the rest is saved without them."""

    documents: int = 0
    deleted: int = 0
    changed: int = 0
    leaves: int = 0
    attachments: int = 0
    attachment_bytes: int = 0
    stored_bytes: int = 0
    raw_bytes: int = 0
    superseded: int = 0
    lost: int = 0

    def plus(self, other: Counts) -> Counts:
        return Counts(**{name: getattr(self, name) + getattr(other, name) for name in self.__struct_fields__})


class Parent(msgspec.Struct, frozen=True):
    """The backup that an incremental one goes on from: its id, and the database's record in it."""

    backup: str
    manifest: Stored


class DatabaseManifest(msgspec.Struct, frozen=True):
    """One database in one backup. `why`: the reason where it is full although an incremental one was wanted.
    `references`: objects that list the attachments its revisions have, one Stored a line."""

    format: int
    backup: str
    database: str
    full: bool
    why: str | None
    parent: Parent | None
    source: Source
    shape: Shape
    chunks: tuple[Chunk, ...]
    references: tuple[Stored, ...]
    counts: Counts
    locals: str | None = None  # SHA-256 of its `_local` documents, None where there are none
    lost: tuple[str, ...] = ()  # the first of what the node could not give, in words
    repeats: bool = False  # a document may be in it twice, the older state first: it was broken off, and went on


class Entry(msgspec.Struct, frozen=True):
    """A database in the set. `unchanged`: nothing was written since, and `manifest` lies in an older backup. `chain`:
    the backups whose objects it needs, this one not counted."""

    database: str
    manifest: Stored
    full: bool
    unchanged: bool
    why: str | None
    node: str
    chain: tuple[str, ...]
    counts: Counts


class Failed(msgspec.Struct, frozen=True):
    database: str
    error: str
    detail: str


class Manifest(msgspec.Struct, frozen=True):
    """One backup. `scope`: what was asked for, sorted globs. `key`: for whom it is sealed (a fingerprint), None where
    it is not. Times are seconds since the epoch."""

    format: int
    id: str
    started_at: float
    finished_at: float
    scope: tuple[str, ...]
    scheduled: bool
    key: str | None
    entries: tuple[Entry, ...]
    failed: tuple[Failed, ...] = ()

    @property
    def good(self) -> bool:
        """Whether everything that was asked for is in it."""
        return not self.failed

    @property
    def parents(self) -> tuple[str, ...]:
        """The other backups whose objects it needs."""
        return tuple(sorted({one for entry in self.entries for one in entry.chain}))

    def entry(self, database: str) -> Entry | None:
        return next((entry for entry in self.entries if entry.database == database), None)


def backup_id(started_at: float, tag: str) -> str:
    """Sorts by time, says when, and is the same for every attempt of one job (`tag`: of its id)."""
    moment = datetime.datetime.fromtimestamp(started_at, datetime.UTC)
    return f"{moment:%Y%m%dT%H%M%SZ}-{tag[-6:]}"


ID_PATTERN = r"^[0-9]{8}T[0-9]{6}Z-[0-9a-z]{6}\Z"


def folder(backup: str) -> str:
    return f"{BACKUPS}/{backup}"


def database_folder(backup: str, database: str) -> str:
    return f"{folder(backup)}/db/{hashed(database)}"


def hashed(database: str) -> str:
    return hashlib.sha256(database.encode()).hexdigest()[:20]
