"""Documents on their way into the store: a few megabytes of them, in lines, until they become chunks together.

A group is the step by which a backup goes forward: when its chunks and the attachments of its documents are in the
store, and only then, the journal says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

import msgspec

from worker.blobs.vault import Vault
from worker.core.documents import without_attachments
from worker.core.errors import BadAnswer, BadRequest, NotFound
from worker.core.manifest import Chunk, Counts, Kind, Stored, Wrapped
from worker.couch.revisions import HEAD, Found, Head
from worker.ops.backup.journal import Done

FULL = 8 * 1024 * 1024  # bytes of documents
LOOKS = 2
MOST_LOST = 20  # that are named
_LOST = (NotFound, BadAnswer, BadRequest)
_KINDS = (Kind.DOCUMENTS, Kind.ATTACHED, Kind.DESIGN)

Keep = Callable[[Head, str], "Future[Stored]"]
NewBytes = Callable[[Sequence[Stored]], int]


@dataclass
class _Pending:
    """A document with attachments that are perhaps still under way."""

    id: str
    kind: Kind
    revisions: list[tuple[bytes, dict[str, Future[Stored]]]]

    def settled(self) -> list[tuple[bytes, dict[str, Stored]]]:
        """Once all are there. Raises what keeping one of them raised."""
        return [
            (revision, {name: future.result() for name, future in futures.items()})
            for revision, futures in self.revisions
        ]

    def without_lost(self) -> tuple[list[tuple[bytes, dict[str, Stored]]], list[str]]:
        """The same, without the attachments that the node cannot give; and which these are, in words."""
        kept, lost = [], []
        for revision, futures in self.revisions:
            bad = {name: error for name, future in futures.items() if (error := future.exception()) is not None}
            for error in bad.values():
                if not isinstance(error, _LOST):
                    raise error
                lost.append(error.detail)
            text = without_attachments(revision, bad) if bad else revision
            kept.append((text, {name: future.result() for name, future in futures.items() if name not in bad}))
        return kept, lost


@dataclass
class Group:
    """`keep(revision, attachment)` has an attachment put into the store; `new_bytes(kept)` tells what that added there.
    `again(id)` reads a document as it is now. `limit`: bytes. `seq`: where the group ends, if it does at the end of a
    page of the feed."""

    keep: Keep
    again: Callable[[str], Found]
    new_bytes: NewBytes
    limit: int
    seq: str | None = None
    size: int = 0
    superseded: int = 0
    lost: list[str] = field(default_factory=list)
    _plain: list[bytes | msgspec.Raw] = field(default_factory=list)
    _documents: int = 0
    _pending: list[_Pending] = field(default_factory=list)

    @property
    def full(self) -> bool:
        """At the end of a page half of it is enough: only from there another attempt can go on."""
        return self.size >= (self.limit if self.seq is None else self.limit / 2)

    def add(self, found: Found) -> None:
        if not found.revisions:
            return
        for revision in found.revisions:
            self.size += len(revision)
        design = found.id.startswith("_design/")
        if found.simple and not design:
            self._add_plain(found.revisions)
            return
        revisions = [_one_line(revision) for revision in found.revisions]
        heads = [_head(found.id, revision) for revision in revisions]
        if not design and not any(head.attachments for head in heads):
            self._add_plain(revisions)
            return
        self._pending.append(self._keep(found.id, revisions, heads))

    def _keep(self, document: str, revisions: Sequence[bytes], heads: Sequence[Head]) -> _Pending:
        kept = [
            (revision, {name: self.keep(head, name) for name in head.attachments})
            for revision, head in zip(revisions, heads, strict=True)
        ]
        return _Pending(document, Kind.DESIGN if document.startswith("_design/") else Kind.ATTACHED, kept)

    def _add_plain(self, revisions: Sequence[bytes | msgspec.Raw]) -> None:
        self._plain += revisions
        self._documents += 1

    def store(self, vault: Vault, name: str) -> Done:
        """Into the store, attachments first. Raises what keeping one of these raised."""
        lines: dict[Kind, list[bytes | msgspec.Raw]] = {Kind.DOCUMENTS: self._plain, Kind.ATTACHED: [], Kind.DESIGN: []}
        documents = {Kind.DOCUMENTS: self._documents, Kind.ATTACHED: 0, Kind.DESIGN: 0}
        kept: list[Stored] = []
        attachments = 0
        for pending in self._pending:
            documents[pending.kind] += 1
            for revision, objects in self._settled(pending):
                attachments += len(objects)
                kept += objects.values()
                lines[pending.kind].append(msgspec.json.encode(Wrapped(msgspec.Raw(revision), objects)))
        chunks = tuple(_chunks(vault, name, lines, documents))
        references = _references(vault, name, kept)
        counts = self._counts(chunks, kept, attachments, references)
        return Done(self.seq, chunks, references, counts, lost=tuple(self.lost[:MOST_LOST]))

    def _settled(self, pending: _Pending) -> list[tuple[bytes, dict[str, Stored]]]:
        """Once more where a revision was superseded and compacted away before its attachments could be read. One that
        the node cannot give at all is left out and told: the rest must not be lost for it, night after night."""
        for _ in range(LOOKS):
            try:
                return pending.settled()
            except NotFound:
                now = self.again(pending.id)
                self.lost += [one for one in not_given(now) if one not in self.lost]
                revisions = [_one_line(revision) for revision in now.revisions]
                if {revision for revision, _ in pending.revisions} == set(revisions):
                    break
                self.superseded += 1
                pending = self._keep(pending.id, revisions, [_head(pending.id, revision) for revision in revisions])
            except _LOST:
                break
        kept, lost = pending.without_lost()
        self.lost += lost
        return kept

    def _counts(
        self, chunks: tuple[Chunk, ...], kept: list[Stored], attachments: int, references: tuple[Stored, ...]
    ) -> Counts:
        own = [*(chunk.stored for chunk in chunks), *references]
        return Counts(
            changed=sum(chunk.documents for chunk in chunks),
            leaves=sum(chunk.leaves for chunk in chunks),
            attachments=attachments,
            attachment_bytes=sum(stored.size for stored in kept),
            stored_bytes=sum(stored.size for stored in own) + self.new_bytes(kept),
            raw_bytes=sum(chunk.raw for chunk in chunks),
            superseded=self.superseded,
            lost=len(self.lost),
        )


def _chunks(
    vault: Vault, name: str, lines: Mapping[Kind, Sequence[bytes | msgspec.Raw]], documents: Mapping[Kind, int]
) -> Iterator[Chunk]:
    for kind in _KINDS:
        if lines[kind]:
            data = b"\n".join(lines[kind])  # a Raw is a buffer, which is all that join asks for
            stored = vault.write(f"{name}-{kind.value}", data)
            yield Chunk(kind, stored, documents[kind], len(lines[kind]), len(data))


def _references(vault: Vault, name: str, kept: Sequence[Stored]) -> tuple[Stored, ...]:
    if not kept:
        return ()
    different = {stored.object: stored for stored in kept}
    data = b"\n".join(msgspec.json.encode(stored) for stored in different.values())
    return (vault.write_lines(f"{name}-attachments", data),)


def not_given(found: Found) -> list[str]:
    """Leaves that the node lists and has no content of, in words: its file is damaged."""
    return [f"document {found.id}, revision {rev}: the node lists it and does not give it" for rev in found.missing]


def _one_line(revision: msgspec.Raw) -> bytes:
    """No server that we know sends line breaks between the fields; one that did would end the line too early."""
    text = bytes(revision)
    return msgspec.json.format(text, indent=-1) if b"\n" in text else text


def _head(document: str, revision: bytes) -> Head:
    try:
        return HEAD.decode(revision)
    except msgspec.DecodeError as error:
        raise BadAnswer(f"document {document} is not what CouchDB sends: {error}") from None
