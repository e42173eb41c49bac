"""A fake node's `_changes`: CouchDB's is read line by line too, so it has CouchDB's line breaks."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tests.fakes.documents import FakeDatabase, JsonObject

if TYPE_CHECKING:
    from tests.fakes.couchdb import FakeNode
    from tests.fakes.request import Request


def changes(node: FakeNode, database: FakeDatabase, request: Request) -> JsonObject | bytes:
    params = request.params
    limit = int(params["limit"]) if "limit" in params else None
    if node.standin and limit == 0:
        limit = 1
    since = params.get("since", "0")
    told_of = _filtered(database, request)
    rows, pending = database.changes(since, limit, lambda identity: bool(told_of(identity)))
    # only one sequence in so many rows is told
    interval = 1 if node.standin else int(params.get("seq_interval", 1))
    told = []
    for place, (number, identity) in enumerate(rows):
        row = {"seq": None if place % interval else sequence(node, database, number), "id": identity}
        row["changes"] = [{"rev": name} for name in told_of(identity)]
        document = database.documents[identity]
        told.append(row | ({"deleted": True} if document.revisions[document.leaves()[0]].deleted else {}))
    reached = rows[-1][0] if rows else min(database.number_of(since), database.number)
    last = {"results": told, "last_seq": sequence(node, database, reached)}
    return last if node.standin else _lines({**last, "pending": pending})


def _filtered(database: FakeDatabase, request: Request) -> Callable[[str], list[str]]:
    """Id -> the leaves that a row tells: none where the document has no row."""
    every = request.params.get("style") == "all_docs"
    ids = set(request.body["doc_ids"]) if request.params.get("filter") == "_doc_ids" else None
    selector = request.body["selector"] if request.params.get("filter") == "_selector" else {}

    def leaves(identity: str) -> list[str]:
        found = database.documents[identity].leaves()
        told = found if every else found[:1]
        return [
            name for name in told if (ids is None or identity in ids) and database.matches(identity, name, selector)
        ]

    return leaves


def sequence(node: FakeNode, database: FakeDatabase, number: int) -> Any:
    return number if node.standin else database.sequence(number)


def _lines(said: JsonObject) -> bytes:
    """The changes feed as CouchDB breaks it into lines."""
    rows = b",\r\n".join(_line(row) for row in said["results"])
    end = _line({"last_seq": said["last_seq"], "pending": said["pending"]})
    return b"".join((b'{"results":[\n', rows, b"\n],\n", end[1:], b"\n"))


def _line(said: JsonObject) -> bytes:
    return json.dumps(said, separators=(",", ":")).encode()
