"""What a fake node answers to each call but `_replicate`: (status, JSON), or Refused with CouchDB's words."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tests.fakes.documents import FakeDatabase, JsonObject, Refused
from worker.core.names import database_name_error

if TYPE_CHECKING:
    from tests.fakes.couchdb import FakeNode, Request

Said = tuple[int, Any]
NO_DATABASE = (404, "not_found", "Database does not exist.")
ONLY_COUCHDB = ("_dbs_info", "_scheduler")


def answer(node: FakeNode, request: Request) -> Said:
    if not request.path:
        name = "express-pouchdb" if node.standin else "couchdb"
        return 200, {name: "Welcome!", "version": "3.5.0", "uuid": f"uuid-of-{node.name}"}
    first, *rest = request.path
    if node.standin and (first in ONLY_COUCHDB or (first == "_replicator" and first not in node.databases)):
        raise Refused(*NO_DATABASE)
    if first == "_up":
        return 200, {"status": "ok"}
    if first == "_all_dbs":
        return 200, sorted(node.databases)
    if first == "_dbs_info":
        return 200, [_row(node, name) for name in request.body["keys"]]
    if first == "_scheduler":
        return 200, _page(rest[0], _scheduled(node, rest[0]), request.params)
    return _database(node, request, first, rest)


def _database(node: FakeNode, request: Request, name: str, rest: list[str]) -> Said:
    if not rest and request.method == "PUT":
        if database_name_error(name) and name not in ("_replicator", "_users"):
            raise Refused(400, "illegal_database_name", f"Name: '{name}'. Only lowercase characters ...")
        if name in node.databases:
            raise Refused(412, "file_exists", "The database could not be created, the file already exists.")
        shape = request.params
        node.create(name, partitioned=shape.get("partitioned") == "true", shards=int(shape.get("q", 2)))
        return 201, {"ok": True}
    database = node.databases.get(name)
    if database is None:
        raise Refused(*NO_DATABASE)
    if not rest:
        if request.method == "DELETE":
            del node.databases[name]
        return 200, _info(node, database) if request.method == "GET" else {"ok": True}
    return _inside(node, database, request, rest)


def _inside(node: FakeNode, database: FakeDatabase, request: Request, rest: list[str]) -> Said:
    if rest[0] in ("_security", *(() if node.standin else ("_revs_limit",))):
        return 200, _setting(database, request, rest[0][1:])
    if rest[0] == "_all_docs" and request.method == "POST":
        return 200, {"rows": [_found(database, identity) for identity in request.body["keys"]]}
    if rest[0] == "_changes":
        return 200, _changes(node, database, request)
    if rest[0] == "_bulk_docs":
        return 201, _bulk(node, database, request.body)
    if rest[0] == "_revs_diff":
        return 200, _revs_diff(node, database, request.body)
    return _document(database, request, "/".join(rest))


def _setting(database: FakeDatabase, request: Request, name: str) -> Any:
    if request.method == "GET":
        return getattr(database, name)
    setattr(database, name, request.body)
    return {"ok": True}


def _found(database: FakeDatabase, identity: str) -> JsonObject:
    """A row of `_all_docs` for a key, with include_docs."""
    try:
        document = database.read(identity, None, attachments=False)
    except Refused as refused:
        if refused.reason != "deleted":
            return {"key": identity, "error": "not_found"}
        revision = database.documents[identity].leaves()[0]
        return {"id": identity, "key": identity, "value": {"rev": revision, "deleted": True}, "doc": None}
    return {"id": identity, "key": identity, "value": {"rev": document["_rev"]}, "doc": document}


def _document(database: FakeDatabase, request: Request, identity: str) -> Said:
    if identity.startswith("_local/"):
        return _local(database, request, identity)
    revision = request.params.get("rev")
    if request.method == "GET":
        wanted = request.params.get("attachments") == "true"
        revs = request.params.get("revs") == "true"
        if request.params.get("open_revs") == "all":
            leaves = database.documents[identity].leaves() if identity in database.documents else []
            if not leaves:
                raise Refused(404, "not_found", "missing")
            return 200, [{"ok": database.read(identity, name, attachments=wanted, revs=revs)} for name in leaves]
        return 200, database.read(identity, revision, attachments=wanted, revs=revs)
    if request.method == "DELETE":
        database.read(identity, None, attachments=False)
        document: JsonObject = {"_id": identity, "_rev": revision, "_deleted": True}
    else:
        document = {**request.body, "_id": identity}
    return 201, {"ok": True, "id": identity, "rev": database.write(document)}


def _local(database: FakeDatabase, request: Request, identity: str) -> Said:
    if request.method == "PUT":
        database.local[identity] = request.body
        return 201, {"ok": True, "id": identity, "rev": "0-1"}
    if identity not in database.local:
        raise Refused(404, "not_found", "missing")
    return 200, {"_id": identity, "_rev": "0-1", **database.local[identity]}


def _bulk(node: FakeNode, database: FakeDatabase, body: JsonObject) -> list[JsonObject]:
    """With new_edits false only failures are told."""
    if body.get("new_edits") is False:
        refused = [document for document in body["docs"] if node.refuses(document)]
        for document in body["docs"]:
            if document not in refused:
                database.write_replicated(document)
        return [{"id": document["_id"], "error": "forbidden", "reason": "not here"} for document in refused]
    told: list[JsonObject] = []
    for document in body["docs"]:
        try:
            told.append({"ok": True, "id": document["_id"], "rev": database.write(document)})
        except Refused as refused:
            told.append({"id": document["_id"], "error": refused.error, "reason": refused.reason})
    return told


def _revs_diff(node: FakeNode, database: FakeDatabase, asked: dict[str, list[str]]) -> JsonObject:
    """Of these revisions, those not even known as ancestors; a stand-in has to have their bodies."""
    told: JsonObject = {}
    for identity, revisions in asked.items():
        known = database.documents[identity].revisions if identity in database.documents else {}
        missing = [
            revision
            for revision in revisions
            if revision not in known or (node.standin and known[revision].body is None)
        ]
        if missing:
            told[identity] = {"missing": missing}
    return told


def _changes(node: FakeNode, database: FakeDatabase, request: Request) -> JsonObject:
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
        row = {"seq": None if place % interval else _sequence(node, database, number), "id": identity}
        row["changes"] = [{"rev": name} for name in told_of(identity)]
        document = database.documents[identity]
        told.append(row | ({"deleted": True} if document.revisions[document.leaves()[0]].deleted else {}))
    reached = rows[-1][0] if rows else min(database.number_of(since), database.number)
    last = {"results": told, "last_seq": _sequence(node, database, reached)}
    return last if node.standin else {**last, "pending": pending}


def _filtered(database: FakeDatabase, request: Request) -> Callable[[str], list[str]]:
    """Id -> the leaves that a row tells: none where the document has no row."""
    every = request.params.get("style") == "all_docs"
    ids = set(request.body["doc_ids"]) if request.params.get("filter") == "_doc_ids" else None
    selector = request.body["selector"] if request.params.get("filter") == "_selector" else {}

    def matches(identity: str, name: str) -> bool:
        """Equality of fields is all of Mango that tests need."""
        body = {**(database.documents[identity].revisions[name].body or {}), "_id": identity}
        return all(body.get(field) == value for field, value in selector.items())

    def leaves(identity: str) -> list[str]:
        found = database.documents[identity].leaves()
        told = found if every else found[:1]
        return [name for name in told if (ids is None or identity in ids) and matches(identity, name)]

    return leaves


def _info(node: FakeNode, database: FakeDatabase) -> JsonObject:
    documents, deleted = database.counts()
    said: JsonObject = {"db_name": database.name, "doc_count": documents}
    said["update_seq"] = _sequence(node, database, database.number)
    if node.standin:
        return said
    shape = {"props": {"partitioned": True} if database.partitioned else {}, "cluster": {"q": database.shards, "n": 1}}
    return {**said, "doc_del_count": deleted, "sizes": {"file": 1000 * documents, "active": 10}, **shape}


def _row(node: FakeNode, name: str) -> JsonObject:
    found = node.databases.get(name)
    return {"key": name, "info": _info(node, found)} if found else {"key": name, "error": "not_found"}


def _sequence(node: FakeNode, database: FakeDatabase, number: int) -> Any:
    return number if node.standin else database.sequence(number)


def _scheduled(node: FakeNode, what: str) -> list[JsonObject]:
    """Continuous links run for ever; one-shot replications are jobs without a document."""
    info = {"revisions_checked": 3, "docs_written": 0, "changes_pending": None}
    rows: list[JsonObject] = []
    for owner, identity, body in node.couch.replications.links():
        if owner is node:
            ends = {side: body[side]["url"].rstrip("/") + "/" for side in ("source", "target")}
            rows.append({"database": "_replicator", "doc_id": identity, "state": "running", "info": info, **ends})
    if what == "jobs":
        for job in list(node.jobs.values()):
            ends = {"source": job.source, "target": job.target}
            rows.append({"database": None, "id": job.id, "doc_id": None, "info": info, **ends})
    return rows


def _page(what: str, rows: list[JsonObject], params: Any) -> JsonObject:
    skip, limit = int(params.get("skip", 0)), int(params.get("limit", 100))
    return {"total_rows": len(rows), "offset": skip, what: rows[skip : skip + limit]}
