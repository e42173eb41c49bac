"""Writes the pieces of a backup to a database, several at a time, and keeps what the node did not take."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from types import TracebackType

from worker.blobs.vault import Vault
from worker.core.errors import BadRequest, Conflict, Forbidden, TooLarge, Unauthorized
from worker.core.manifest import Wrapped
from worker.core.model import NodeKind
from worker.couch.database import Database
from worker.couch.revisions import HEAD, Revisions, has_no_url
from worker.ops.restore.attached import inline, related
from worker.ops.restore.chain import Piece
from worker.ops.restore.result import Refusals, Restored

WRITERS = 4
AT_ONCE = 1_000  # documents in one `_bulk_docs`
BYTES_AT_ONCE = 2 * 1024 * 1024
MOST_WAITING = 3  # pieces of some 8 MB
# of one document: what the node has against it, and not against us
REFUSED = (Forbidden, Unauthorized, BadRequest, TooLarge)


class Writer:
    """Into one database. Use as a context manager; `write` may be ahead of what is on the node, `finished` tells which
    pieces are there."""

    def __init__(self, database: Database, vault: Vault, result: Restored) -> None:
        self._revisions = Revisions(database)
        self._inline = database.server.capabilities().kind is NodeKind.STANDIN
        self._vault = vault
        self._result = result
        self._pool = ThreadPoolExecutor(WRITERS, "restore")
        self._waiting: deque[tuple[int, list[Future[None]], Refusals]] = deque()

    def __enter__(self) -> Writer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def write(self, piece: Piece) -> Iterator[int]:
        """Have a piece written; yields the places of pieces that are on the node now, in their order. Raises what an
        earlier one failed with."""
        while self._waiting and (len(self._waiting) >= MOST_WAITING or self._first_is_done()):
            yield self._first()
        refused = Refusals()  # apart, so that what is told of the pieces that are there is of these alone
        tasks = [self._pool.submit(write, self._revisions, batch, refused) for batch in batched(piece.plain)]
        tasks += [self._pool.submit(self._attached, one, refused) for one in piece.wrapped]
        self._result.revisions += len(piece.plain) + len(piece.wrapped)
        self._result.documents += piece.documents
        self._waiting.append((piece.at, tasks, refused))

    def finished(self) -> Iterator[int]:
        """The rest of them."""
        while self._waiting:
            yield self._first()

    def _first_is_done(self) -> bool:
        return all(task.done() for task in self._waiting[0][1])

    def _first(self) -> int:
        at, tasks, refused = self._waiting.popleft()
        for task in tasks:
            task.result()
        self._result.refused.add_all(refused)
        return at

    def _attached(self, wrapped: Wrapped, refused: Refusals) -> None:
        self._result.attachments += len(wrapped.objects)
        if self._inline or not wrapped.objects or has_no_url(HEAD.decode(wrapped.doc).id):
            write(self._revisions, [inline(self._vault, wrapped)], refused)
            return
        with ExitStack() as stack:
            head, document, parts = related(self._vault, wrapped, stack)
            try:
                self._revisions.write_with_attachments(head.id, document, parts)
            except (*REFUSED, Conflict) as error:
                refused.add(head.id, head.rev, error.detail)


def batched(lines: Iterable[bytes]) -> Iterator[list[bytes]]:
    """In portions that a node takes at once: by number and by bytes."""
    batch: list[bytes] = []
    size = 0
    for line in lines:
        if batch and (len(batch) >= AT_ONCE or size + len(line) > BYTES_AT_ONCE):
            yield batch
            batch, size = [], 0
        batch.append(line)
        size += len(line)
    if batch:
        yield batch


def write(revisions: Revisions, lines: Sequence[bytes], refused: Refusals) -> None:
    """Write revisions as they are named, and keep which were not taken. A node that refuses the whole request, for its
    size or for one document that it cannot read, is asked in halves: so it shows which."""
    try:
        rows = revisions.write(lines)
    except (TooLarge, BadRequest) as error:
        if len(lines) == 1:
            head = HEAD.decode(lines[0])
            refused.add(head.id, head.rev, error.detail)
            return
        write(revisions, lines[: len(lines) // 2], refused)
        write(revisions, lines[len(lines) // 2 :], refused)
        return
    for row in rows:
        refused.add_row(row)
