"""A database as a chain of backups has it: the full one and all that went on from it, read as one.

Newest first, and of each document only what the newest of them has: that is every leaf it had by then. Older states
would add nothing, and could do harm: a history that was cut to `_revs_limit` no longer leads to them, so they would
come back as conflicts.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass

import msgspec

from worker.blobs.vault import Vault
from worker.core.errors import ObjectDamaged
from worker.core.manifest import Chunk, Counts, DatabaseManifest, Entry, Kind, Source, Wrapped
from worker.ops.parallel import ahead
from worker.ops.restore.seen import SeenIds

DOCUMENTS = (Kind.DOCUMENTS, Kind.ATTACHED)


class _Id(msgspec.Struct):
    id: str = msgspec.field(name="_id")


class _WrappedId(msgspec.Struct):
    doc: _Id


_PLAIN_ID = msgspec.json.Decoder(_Id)
_WRAPPED_ID = msgspec.json.Decoder(_WrappedId)
_WRAPPED = msgspec.json.Decoder(Wrapped)


@dataclass(frozen=True)
class Piece:
    """A chunk's documents that are to be restored: one of the two, by its kind. `at`: its place in the order of
    reading, the same each time."""

    at: int
    chunk: Chunk
    documents: int
    plain: list[bytes]
    wrapped: list[Wrapped]


class Chain:
    """`links`: the records, oldest first."""

    def __init__(self, vault: Vault, links: Iterable[DatabaseManifest]) -> None:
        self._vault = vault
        self.links = list(links)

    @classmethod
    def of(cls, vault: Vault, entry: Entry) -> Chain:
        """Raises ObjectMissing and ObjectDamaged for a record that is not there or not what its child vouches for."""
        record = vault.read_record(entry.manifest, DatabaseManifest)
        links = [record]
        while record.parent is not None:
            record = vault.read_record(record.parent.manifest, DatabaseManifest)
            links.append(record)
        return cls(vault, reversed(links))

    @property
    def newest(self) -> DatabaseManifest:
        return self.links[-1]

    @property
    def source(self) -> Source:
        return self.newest.source

    @property
    def counts(self) -> Counts:
        """Of the database at that time; what is in chunks is counted over the whole chain."""
        whole = Counts()
        for link in self.links:
            whole = whole.plus(link.counts)
        return msgspec.structs.replace(
            whole, documents=self.newest.counts.documents, deleted=self.newest.counts.deleted
        )

    @property
    def simple(self) -> bool:
        """Whether no document can be in it twice."""
        return len(self.links) == 1 and not self.newest.repeats

    def chunks(self, kinds: Collection[Kind]) -> list[Chunk]:
        """In the order of reading: the newest first, so that the first state of a document that is met is its last."""
        return [chunk for link in reversed(self.links) for chunk in reversed(link.chunks) if chunk.kind in kinds]

    def pieces(
        self, kinds: Collection[Kind] = DOCUMENTS, *, only: Collection[str] | None = None, after: int = -1
    ) -> Iterator[Piece]:
        """Every document's newest state, a chunk at a time; the next chunk is read meanwhile. `only`: just these ids.
        `after`: not the pieces up to this place, which somebody has already."""
        with SeenIds() as seen, closing(ahead(self._texts(kinds, after))) as texts:
            for at, chunk, lines in texts:
                kept, documents = self._newest(chunk, lines, seen, only)
                if at > after:
                    plain = kept if chunk.kind is Kind.DOCUMENTS else []
                    wrapped = [] if chunk.kind is Kind.DOCUMENTS else [_decoded(chunk, line) for line in kept]
                    yield Piece(at, chunk, documents, plain, wrapped)

    def local(self) -> list[bytes]:
        """The `_local` documents. Each backup has all of them, so the newest has the last word."""
        chunks = [chunk for chunk in self.newest.chunks if chunk.kind is Kind.LOCAL]
        return [line for chunk in chunks for line in _lines(self._vault.read(chunk.stored))]

    def _texts(self, kinds: Collection[Kind], after: int) -> Iterator[tuple[int, Chunk, list[bytes]]]:
        for at, chunk in enumerate(self.chunks(kinds)):
            if at > after or not self.simple:  # what is skipped still tells which documents were met
                yield at, chunk, _lines(self._vault.read(chunk.stored))

    def _newest(
        self, chunk: Chunk, lines: list[bytes], seen: SeenIds, only: Collection[str] | None
    ) -> tuple[list[bytes], int]:
        """The lines of documents that were not met before, and how many documents that are."""
        if self.simple and only is None:
            return lines, chunk.documents
        kept: list[bytes] = []
        last, wanted, documents = None, False, 0
        for line in lines:  # all leaves of a document stand together
            document = _id(chunk, line)
            if document != last:
                last, wanted = document, seen.add(document) and (only is None or document in only)
                documents += wanted
            if wanted:
                kept.append(line)
        return kept, documents


def _lines(data: bytes) -> list[bytes]:
    return data.split(b"\n") if data else []


def _id(chunk: Chunk, line: bytes) -> str:
    try:
        return _PLAIN_ID.decode(line).id if chunk.kind is Kind.DOCUMENTS else _WRAPPED_ID.decode(line).doc.id
    except msgspec.DecodeError as error:
        raise ObjectDamaged(f"{chunk.stored.object} has a line that is no document: {error}") from None


def _decoded(chunk: Chunk, line: bytes) -> Wrapped:
    try:
        return _WRAPPED.decode(line)
    except msgspec.DecodeError as error:
        raise ObjectDamaged(f"{chunk.stored.object} has a line that is no document: {error}") from None
