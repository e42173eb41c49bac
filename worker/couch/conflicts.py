"""Which of these documents have a conflict, asked of the server that knows.

`_all_docs` with `conflicts` lists the leaves of a document that are neither deleted nor the winner. It sends the
winner's body too, which nobody needs; `_find` could leave it out, but knows no design documents. So few documents are
asked for at a time, and bodies are skipped over.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from worker.core.errors import BadAnswer
from worker.couch.database import Database
from worker.couch.transport import Oversize

BATCH = 50  # documents a call
MOST_ANSWER = 8 * 1024 * 1024  # bytes; of more, half of the documents are asked for


class _Winner(msgspec.Struct):
    conflicts: list[str] = msgspec.field(name="_conflicts", default_factory=list)


class _Row(msgspec.Struct):
    id: str = ""
    doc: _Winner | None = None


class _Rows(msgspec.Struct):
    rows: list[_Row]


_ROWS = msgspec.json.Decoder(_Rows)


def conflicted(database: Database, ids: Sequence[str], *, within: float, most: int = MOST_ANSWER) -> set[str]:
    """`within`: seconds for each call, `most`: bytes of its answer. Raises worker.core.errors."""
    found: set[str] = set()
    waiting = [list(ids[start : start + BATCH]) for start in range(0, len(ids), BATCH)]
    while waiting:
        batch = waiting.pop()
        try:
            answer = _asked(database, batch, within, most)
        except Oversize:
            middle = len(batch) // 2
            waiting += [batch[:middle], batch[middle:]]
            continue
        found |= {row.id for row in answer if row.doc is not None and row.doc.conflicts}
    return found


def _asked(database: Database, ids: Sequence[str], within: float, most: int) -> list[_Row]:
    answer = database.client.post(
        database.name,
        "_all_docs",
        params={"include_docs": "true", "conflicts": "true"},
        json={"keys": list(ids)},
        repeatable=True,
        within=within,
        most=most if len(ids) > 1 else None,
        raw=True,
    )
    try:
        return _ROWS.decode(answer).rows
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadAnswer(
            f"_all_docs was not answered as CouchDB does: {error}", node=database.server.node.name
        ) from None
