"""A restore drill: a backup is restored into a scratch database, compared with what it says it holds, and dropped.

The comparison is by revision and by content: for every leaf a hash of the document's text, its attachments' digests
included, in the order-free digests that verify uses (worker.core.digest). So it holds whatever the size.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec

from worker.blobs.vault import Vault
from worker.core.digest import Digest, bucket_of
from worker.core.errors import DrillFailed
from worker.core.manifest import Entry, Kind, Manifest
from worker.core.model import Row
from worker.core.names import SCRATCH
from worker.couch.database import Database
from worker.couch.revisions import HEAD, Revisions
from worker.couch.server import Server
from worker.ops.backup.feed import Feed
from worker.ops.backup.pace import Batches
from worker.ops.control import Control, Quiet
from worker.ops.restore.chain import DOCUMENTS, Chain
from worker.ops.restore.database import restore_new

MOST_LISTED = 20
CONTENT = (*DOCUMENTS, Kind.DESIGN)


@dataclass
class Drilled:
    """`databases`: name -> what was compared; `failed`: name -> why it is not what the backup says."""

    backup: str
    node: str
    at: float
    databases: dict[str, dict[str, Any]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0

    def as_json(self) -> dict[str, Any]:
        return {**vars(self), "seconds": round(self.seconds, 3)}


def drill(vault: Vault, manifest: Manifest, server: Server, control: Control, *, tag: str, now: float) -> Drilled:
    """Every database of the backup, one after the other. `tag` makes the scratch databases' names: the same for each
    attempt, so that what one has left the next removes.

    Raises DrillFailed, whose `result` says of which databases, and what the node and the store raise.
    """
    began = time.monotonic()
    result = Drilled(manifest.id, server.node.name, now)
    for done, entry in enumerate(manifest.entries):
        control.check()
        control.report("drill", done, len(manifest.entries), "databases")
        scratch = Database(server, f"{SCRATCH}{tag}")
        scratch.drop()
        try:
            why = _one(vault, entry, scratch, control, result)
        finally:
            scratch.drop()
        if why:
            result.failed[entry.database] = why
    result.seconds = time.monotonic() - began
    if result.failed:
        name, why = next(iter(result.failed.items()))
        error = DrillFailed(f"{len(result.failed)} of {len(manifest.entries)} databases: {name}: {why}", database=name)
        error.result = result.as_json()
        raise error
    return result


def _one(vault: Vault, entry: Entry, scratch: Database, control: Control, result: Drilled) -> str | None:
    chain = Chain.of(vault, entry)
    restored = restore_new(vault, chain, scratch, Quiet(control))
    if restored.refused.count:
        first = restored.refused.listed[0]
        return f"{restored.refused.count} documents were refused, as {first['id']}: {first['reason']}"
    in_backup, on_node = Digest(), Digest()
    for piece in chain.pieces(CONTENT):
        control.check()
        in_backup.add(_rows([*piece.plain, *(one.doc for one in piece.wrapped)]))
    for rows in _read(scratch, control):
        on_node.add(rows)
    result.databases[entry.database] = {"leaves": len(in_backup), "documents": entry.counts.documents}
    differing = Digest.differing([in_backup, on_node])
    if not differing:
        return None
    return _told(chain, scratch, set(differing), control)


def _told(chain: Chain, scratch: Database, buckets: set[int], control: Control) -> str:
    """What differs, by id."""
    expected: set[tuple[str, tuple[str, ...]]] = set()
    found: set[tuple[str, tuple[str, ...]]] = set()
    for piece in chain.pieces(CONTENT):
        expected |= _in(buckets, _rows([*piece.plain, *(one.doc for one in piece.wrapped)]))
    for rows in _read(scratch, control):
        found |= _in(buckets, rows)
    ids = sorted({key for key, _ in expected ^ found})
    return f"{len(ids)} documents came back otherwise than they are in the backup: {', '.join(ids[:MOST_LISTED])}"


def _in(buckets: set[int], rows: Iterable[Row]) -> set[Row]:
    return {row for row in rows if bucket_of(row[0]) in buckets}


def _read(scratch: Database, control: Control) -> Iterator[list[Row]]:
    revisions, sizes = Revisions(scratch), Batches()
    with Feed(revisions, None) as feed:
        for page in feed:
            at = 0
            while at < len(page.rows):
                control.check()
                part = page.rows[at : at + sizes.size]
                at += len(part)
                found, size = revisions.leaves(part)
                sizes.saw(len(part), size)
                yield _rows([revision for one in found for revision in one.revisions])


def _rows(revisions: Iterable[bytes | msgspec.Raw]) -> list[Row]:
    """A leaf as a row of a digest: its id, and its revision with the hash of its content."""
    return [_row(revision) for revision in revisions]


def _row(revision: bytes | msgspec.Raw) -> Row:
    head = HEAD.decode(revision)
    fields: dict[str, msgspec.Raw] = msgspec.json.decode(revision, type=dict[str, msgspec.Raw])
    fields.pop("_attachments", None)
    digest = hashlib.sha256()
    for name in sorted(fields):
        digest.update(name.encode("utf-8", "surrogatepass") + b"\0" + bytes(fields[name]) + b"\0")
    for name, stub in sorted(head.attachments.items()):
        told = (name, stub.content_type, stub.digest, stub.length, stub.encoding)
        digest.update(msgspec.json.encode(told))
    return head.id, (head.rev, digest.hexdigest())
