"""A dump into a database that does not exist, with the promises of worker.ops.restore.database: never a document into
one that was there before, and a mark in it until all is written, which tells a broken-off import from somebody's
database. The same dump goes on where the mark is its own; then all is written again, which changes nothing.

Revisions keep their names, and where the dump has their histories these as well. Where it has not, a node that knows
the documents from elsewhere takes what comes from here for the same, because the names are.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import msgspec

from worker.core.dump_text import BadDump
from worker.core.dumps import Dump
from worker.couch.database import Database
from worker.couch.revisions import Revisions
from worker.ops.control import Control
from worker.ops.importing.document import Document, prepared
from worker.ops.importing.result import Imported
from worker.ops.restore.mark import begin, end
from worker.ops.restore.write import WRITERS, batched, write

MOST_WAITING = 2 * WRITERS  # requests that are made and not yet answered


def import_dump(target: Database, pieces: Iterable[bytes], control: Control, *, partial: bool = False) -> Imported:
    """`partial`: of a damaged dump all that comes before the damage. Raises BadDump, also in the middle, DatabaseExists
    and what the node raises; tells in `refused` which documents the node did not take."""
    began = time.monotonic()
    result = Imported(target.name, target.server.node.name)
    dump = Dump(pieces)
    documents = _readable(dump, partial, result)
    first = next(documents, None)  # looked at before the database is made: what is no dump makes none
    result.resumed = begin(target, {"dump": dump.beginning}) is not None
    try:
        _write(target, dump, _chained(first, documents), control, result)
    except BadDump as error:
        raise BadDump(
            f"{error}; {target.name} has documents from before that, and stays marked as unfinished: go on with the "
            "whole dump, or with this one and --partial"
        ) from None
    result.format, result.total_rows = dump.format, dump.total_rows
    result.without_document, result.broken_lines = dump.empty, dump.broken
    end(target)
    result.seconds = time.monotonic() - began
    return result


def _readable(dump: Dump, partial: bool, result: Imported) -> Iterator[bytes]:
    try:
        yield from dump.documents()
    except BadDump as error:
        if not partial or not dump.count:
            raise
        result.damaged = str(error)


def _chained(first: bytes | None, rest: Iterator[bytes]) -> Iterator[bytes]:
    if first is not None:
        yield first
        yield from rest


def _write(target: Database, dump: Dump, documents: Iterator[bytes], control: Control, result: Imported) -> None:
    designs: list[bytes] = []
    with _Writer(target, result) as writer:
        for batch in batched(_lines(documents, designs, result)):
            control.check()
            writer.write(batch)
            control.report("import", result.documents, dump.total_rows, "documents")
        writer.finish()
        # last, because what they refuse was taken by the source before they were there
        for batch in batched(designs):
            control.check()
            writer.write(batch)
        writer.finish()


def _lines(documents: Iterator[bytes], designs: list[bytes], result: Imported) -> Iterator[bytes]:
    last = None
    for text in documents:
        try:
            document = prepared(text)
        except msgspec.DecodeError as error:
            result.refused.add(_shown(text), None, f"this is no document: {error}")
            continue
        _count(document, result)
        result.documents += document.id != last  # the revisions of a document stand together
        last = document.id
        if document.is_design:
            designs.append(document.text)
        else:
            yield document.text


def _count(document: Document, result: Imported) -> None:
    result.revisions += 1
    result.deleted += document.deleted
    result.design_documents += document.is_design
    result.without_revision += document.new
    result.without_history += not document.has_history and not document.new
    result.attachments += document.attachments
    if document.missing:
        result.attachments_missing.add(document.id, document.rev, ", ".join(document.missing))


def _shown(text: bytes) -> str:
    return text[:100].decode(errors="replace")


class _Writer:
    """Several requests at a time, and never many in memory. Use as a context manager."""

    def __init__(self, target: Database, result: Imported) -> None:
        self._revisions = Revisions(target)
        self._refused = result.refused
        self._pool = ThreadPoolExecutor(WRITERS, "import")
        self._waiting: deque[Future[None]] = deque()

    def __enter__(self) -> _Writer:
        return self

    def __exit__(self, *error: object) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def write(self, batch: Sequence[bytes]) -> None:
        if len(self._waiting) >= MOST_WAITING:
            self._waiting.popleft().result()
        self._waiting.append(self._pool.submit(write, self._revisions, batch, self._refused))

    def finish(self) -> None:
        while self._waiting:
            self._waiting.popleft().result()
