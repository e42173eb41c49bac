"""Has a node what a backup says, leaf by leaf? In order-free digests (worker.core.digest), so the size does not matter.

A leaf counts with its text and its attachments as their stubs tell of them. A stub's digest is of the bytes as the node
keeps them, and not every node keeps them alike: what one took as it came, another may compress. So where a bucket
differs it is looked at again, with the length and the MD5 of every attachment's plain bytes. Not at once: all that is
compressed would be read twice for nothing.
"""

from __future__ import annotations

import base64
import hashlib
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator
from functools import partial
from typing import Protocol

import msgspec

from worker.blobs.vault import PIECE, Vault, disk_errors
from worker.core.digest import Digest, bucket_of
from worker.core.errors import ObjectDamaged
from worker.core.manifest import Kind, Wrapped
from worker.core.model import Row
from worker.couch.database import Database
from worker.couch.revisions import HEAD, Head, Revisions, Stub
from worker.ops.backup.feed import Feed
from worker.ops.backup.pace import Batches
from worker.ops.control import Control
from worker.ops.restore.chain import DOCUMENTS, Chain

CONTENT = (*DOCUMENTS, Kind.DESIGN)
_GZIP = 16 + zlib.MAX_WBITS

Pieces = Callable[[Head, str], Iterator[bytes]]  # of an attachment of a leaf, as it is kept


class Side(Protocol):
    def rows(self, buckets: Collection[int] | None = None) -> Iterator[list[Row]]:
        """Every leaf as a row of a digest: its id, and its revision with a hash of its content. With `buckets` only
        what is in these, with attachments by their plain bytes."""
        ...


def differing(one: Side, other: Side) -> tuple[int, list[str]]:
    """How many leaves the first has, and the documents that are not the same in both, by id."""
    sides = (one, other)
    digests = [_digest(side.rows()) for side in sides]
    buckets = set(Digest.differing(digests))
    if buckets:
        buckets = set(Digest.differing([_digest(side.rows(buckets)) for side in sides]))
    if not buckets:
        return len(digests[0]), []
    expected, found = ({row for rows in side.rows(buckets) for row in rows} for side in sides)
    return len(digests[0]), sorted({key for key, _ in expected ^ found})


def _digest(portions: Iterable[list[Row]]) -> Digest:
    made = Digest()
    for rows in portions:
        made.add(rows)
    return made


class InBackup:
    def __init__(self, vault: Vault, chain: Chain, control: Control) -> None:
        self._vault = vault
        self._chain = chain
        self._control = control

    def rows(self, buckets: Collection[int] | None = None) -> Iterator[list[Row]]:
        for piece in self._chain.pieces(CONTENT):
            self._control.check()
            leaves = piece.wrapped or [Wrapped(msgspec.Raw(line)) for line in piece.plain]
            rows = (_row(leaf.doc, buckets, partial(self._pieces, leaf)) for leaf in leaves)
            yield [row for row in rows if row is not None]

    def _pieces(self, leaf: Wrapped, head: Head, name: str) -> Iterator[bytes]:
        stored = leaf.objects.get(name)
        if stored is None:
            raise ObjectDamaged(f"the backup does not say where attachment {name} of {head.id} is")
        with self._vault.opened(stored) as path, disk_errors(), path.open("rb") as file:
            while piece := file.read(PIECE):
                yield piece


class OnNode:
    def __init__(self, database: Database, control: Control) -> None:
        self._revisions = Revisions(database)
        self._control = control

    def rows(self, buckets: Collection[int] | None = None) -> Iterator[list[Row]]:
        sizes = Batches()
        with Feed(self._revisions, None) as feed:
            for page in feed:
                wanted = [row for row in page.rows if buckets is None or bucket_of(row[0]) in buckets]
                at = 0
                while at < len(wanted):
                    self._control.check()
                    part = wanted[at : at + sizes.size]
                    at += len(part)
                    found, size = self._revisions.leaves(part)
                    sizes.saw(len(part), size)
                    rows = (_row(leaf, buckets, self._pieces) for one in found for leaf in one.revisions)
                    yield [row for row in rows if row is not None]

    def _pieces(self, head: Head, name: str) -> Iterator[bytes]:
        return self._revisions.attachment(head.id, head.rev, name)


def _row(revision: msgspec.Raw, buckets: Collection[int] | None, pieces: Pieces) -> Row | None:
    head = HEAD.decode(revision)
    if buckets is not None and bucket_of(head.id) not in buckets:
        return None
    fields: dict[str, msgspec.Raw] = msgspec.json.decode(revision, type=dict[str, msgspec.Raw])
    fields.pop("_attachments", None)
    digest = hashlib.sha256()
    for name in sorted(fields):
        digest.update(name.encode("utf-8", "surrogatepass") + b"\0" + bytes(fields[name]) + b"\0")
    for name, stub in sorted(head.attachments.items()):
        known = (stub.digest, stub.length, stub.encoding)
        content = known if buckets is None else _plain(stub, partial(pieces, head, name)) or known
        digest.update(msgspec.json.encode((name, stub.content_type, *content)))
    return head.id, (head.rev, digest.hexdigest())


def _plain(stub: Stub, pieces: Callable[[], Iterator[bytes]]) -> tuple[str, int, None] | None:
    """As the stub would tell of it if it were not compressed. None where its bytes are not what it says."""
    if stub.digest is not None and stub.encoding is None:
        return stub.digest, stub.length, None
    if stub.encoding not in {None, "gzip"}:
        return None
    unpacked = pieces() if stub.encoding is None else _unpacked(pieces())
    digest, length = hashlib.md5(usedforsecurity=False), 0
    try:
        for piece in unpacked:
            digest.update(piece)
            length += len(piece)
    except zlib.error:
        return None
    return f"md5-{base64.b64encode(digest.digest()).decode()}", length, None


def _unpacked(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """A few pieces at a time: a megabyte may hold a gigabyte of nothing."""
    unpacker = zlib.decompressobj(_GZIP)
    for piece in pieces:
        left = piece
        while left:
            yield unpacker.decompress(left, PIECE)
            left = unpacker.unconsumed_tail
    yield unpacker.flush()
