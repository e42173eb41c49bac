"""What a fake node answers where revisions are read as they are (`_bulk_get`, attachments, `_local_docs`), and where
they are made to go (`_purge`, `_compact`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.fakes.attachments import plain, stored
from tests.fakes.documents import FakeDatabase, JsonObject, Refused

if TYPE_CHECKING:
    from tests.fakes.couchdb import FakeNode
    from tests.fakes.request import Request


def bulk_get(node: FakeNode, database: FakeDatabase, request: Request) -> JsonObject:
    revs, encodings = (request.params.get(name) == "true" for name in ("revs", "att_encoding_info"))
    results = []
    for wanted in request.body["docs"]:
        identity, revision = wanted["id"], wanted["rev"]
        try:
            read = database.read(identity, revision, attachments=False, revs=revs, encodings=encodings)
            found = {"ok": read}
        except Refused as refused:
            error = {"id": identity, "rev": revision, "error": refused.error, "reason": refused.reason}
            found = {"missing": revision} if node.standin else {"error": error}
        results.append({"id": identity, "docs": [found]})
    return {"results": results}


def attachment(database: FakeDatabase, request: Request, identity: str, name: str) -> bytes:
    """As it is kept for whoever takes it so."""
    document = database.read(identity, request.params.get("rev"), attachments=True)
    if name not in document.get("_attachments", {}):
        raise Refused(404, "not_found", "Document is missing attachment")
    kept = document["_attachments"][name]
    return stored(kept) if "gzip" in request.headers.get("Accept-Encoding", "") else plain(kept)


def local_documents(database: FakeDatabase, request: Request) -> JsonObject:
    rows: list[JsonObject] = []
    for identity in sorted(database.local):
        document = database.read_local(identity)
        row = {"id": identity, "key": identity, "value": {"rev": document["_rev"]}}
        rows.append(row | ({"doc": document} if request.params.get("include_docs") == "true" else {}))
    return {"total_rows": None, "offset": None, "rows": rows}


def purge(database: FakeDatabase, wanted: dict[str, list[str]]) -> JsonObject:
    purged = {identity: database.purge(identity, revisions) for identity, revisions in wanted.items()}
    return {"purge_seq": None, "purged": purged}


def compact(database: FakeDatabase) -> JsonObject:
    """At once: CouchDB says yes and does it later."""
    database.compact()
    return {"ok": True}
