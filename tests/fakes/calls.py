"""What a fake node answers to each call but `_replicate`: (status, JSON or bytes), or Refused with CouchDB's words."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tests.fakes import attachments, revisions, strangers
from tests.fakes.changes import changes, sequence
from tests.fakes.documents import FakeDatabase, JsonObject, Refused
from tests.fakes.scheduler import scheduled, scheduler
from worker.core.names import database_name_error

if TYPE_CHECKING:
    from tests.fakes.couchdb import FakeNode
    from tests.fakes.request import Request

Said = tuple[int, Any]
NO_DATABASE = (404, "not_found", "Database does not exist.")
FORBIDDEN = (403, "forbidden", "not here")
ONLY_COUCHDB = ("_dbs_info", "_scheduler", "_node", "_db_updates")
SYSTEM = ("_replicator", "_users", "_global_changes")
GAUGES = {"running": "running", "pending": "pending", "crashed": "crashing"}


def answer(node: FakeNode, request: Request) -> Said:
    if not request.path:
        name = "express-pouchdb" if node.standin else "couchdb"
        return 200, {name: "Welcome!", "version": node.version, "uuid": node.uuid}
    first, *rest = request.path
    if node.standin and (first in ONLY_COUCHDB or (first == "_replicator" and first not in node.databases)):
        raise Refused(*NO_DATABASE)
    answers: dict[str, Callable[[], Any]] = {
        "_up": lambda: {"status": "ok"},
        "_membership": lambda: {"all_nodes": [], "cluster_nodes": [f"couchdb@{n}" for n in range(node.members)]},
        "_session": lambda: strangers.session(node, request),
        "_all_dbs": lambda: sorted(node.databases),
        "_dbs_info": lambda: [_row(node, name) for name in request.body["keys"]],
        "_scheduler": lambda: scheduler(node, request, *rest),
        "_active_tasks": lambda: [] if node.standin else _active_tasks(node),
        "_node": lambda: _about(node, request, *rest[1:]),
        "_db_updates": lambda: _updates(node, request),
    }
    return (200, answers[first]()) if first in answers else _database(node, request, first, rest)


def _about(node: FakeNode, request: Request, what: str, *rest: str) -> Any:
    if what == "_config":
        return _configuration(node, request, *rest)
    if what == "_system":
        memory = {"processes": 2_000, "processes_used": 1_900, "atom": 100, "binary": 10, "code": 1, "other": 0}
        queues = {"couch_server": 2, "couch_file": {"count": 6, "min": 0, "max": 5, "50": 0}, "couch_db_updater": {}}
        return {"uptime": node.uptime, "memory": memory, "run_queue": 3, "message_queues": queues}
    if (what, *rest) == ("_stats", "couch_replicator", "jobs"):
        states = [row.get("state", "running") for row in scheduled(node, "jobs")]
        counts = {name: states.count(state) for name, state in GAUGES.items()} | {"total": len(states)}
        return {name: {"value": count, "type": "gauge", "desc": "..."} for name, count in counts.items()}
    raise Refused(404, "not_found", "unknown")


def _active_tasks(node: FakeNode) -> list[JsonObject]:
    running = [row for row in scheduled(node, "jobs") if row.get("state", "running") == "running"]
    shard = "shards/00000000-7fffffff/_replicator.1795548117"
    return [{"type": "replication", "database": shard, "doc_id": row["doc_id"]} for row in running] + node.tasks


def _configuration(node: FakeNode, request: Request, section: str | None = None, key: str | None = None) -> Any:
    """All of it, or a section, tells only what somebody has set; a PUT tells what was there before."""
    if section is None:
        admins = {"admins": dict(node.logins.told)} if node.logins.told else {}
        return {name: dict(values) for name, values in node.configuration.items()} | admins
    if section == "admins":
        return node.logins.configured(request, key)
    values = node.configuration.setdefault(section, {})
    if key is None:
        return dict(values)
    if request.method == "PUT":
        before = values.get(key, "")
        values[key] = request.body
        return before
    if key not in values:
        raise Refused(404, "not_found", "unknown_config_value")
    return values.pop(key) if request.method == "DELETE" else values[key]


def _updates(node: FakeNode, request: Request) -> JsonObject:
    if "_global_changes" not in node.databases:
        raise Refused(*NO_DATABASE)
    limit = int(request.params["limit"]) if "limit" in request.params else None
    rows = node.updates_after(request.params.get("since", "0"))
    told = rows if limit is None else rows[:limit]
    return {"results": told, "last_seq": told[-1]["seq"] if told else request.params.get("since", "0")}


def _database(node: FakeNode, request: Request, name: str, rest: list[str]) -> Said:
    if not rest and request.method == "PUT":
        if database_name_error(name) and name not in SYSTEM:
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
            node.drop(name)
        return 200, _info(node, database) if request.method == "GET" else {"ok": True}
    return _inside(node, database, request, rest)


def _inside(node: FakeNode, database: FakeDatabase, request: Request, rest: list[str]) -> Said:
    if rest[0] in ("_security", *(() if node.standin else ("_revs_limit",))):
        return 200, _setting(database, request, rest[0][1:])
    if rest[0] == "_compact" and not node.standin:
        return 202, revisions.compact(database)
    answers: dict[str, Callable[[], Any]] = {
        "_changes": lambda: changes(node, database, request),
        "_all_docs": lambda: _all_documents(database, request),
        "_bulk_docs": lambda: _bulk(node, database, request.body),
        "_revs_diff": lambda: _revs_diff(node, database, request.body),
        "_bulk_get": lambda: revisions.bulk_get(node, database, request),
    }
    if not node.standin:
        answers["_local_docs"] = lambda: revisions.local_documents(database, request)
        answers["_purge"] = lambda: revisions.purge(database, request.body)
    if rest[0] in answers:
        return 201 if rest[0] in ("_bulk_docs", "_purge") else 200, answers[rest[0]]()
    depth = 2 if rest[0] in ("_design", "_local") else 1
    identity, name = "/".join(rest[:depth]), "/".join(rest[depth:])
    if name:
        return 200, revisions.attachment(database, request, identity, name)
    return _document(node, database, request, identity)


def _setting(database: FakeDatabase, request: Request, name: str) -> Any:
    if request.method == "GET":
        return getattr(database, name)
    setattr(database, name, request.body)
    return {"ok": True}


def _found(database: FakeDatabase, identity: str, *, conflicts: bool) -> JsonObject:
    """A row of `_all_docs` for a key, with include_docs."""
    try:
        document = database.read(identity, None, attachments=False)
    except Refused as refused:
        if refused.reason != "deleted":
            return {"key": identity, "error": "not_found"}
        revision = database.documents[identity].leaves()[0]
        return {"id": identity, "key": identity, "value": {"rev": revision, "deleted": True}, "doc": None}
    if conflicts:
        _, *losers = database.documents[identity].leaves()
        live = [name for name in losers if not database.documents[identity].revisions[name].deleted]
        document |= {"_conflicts": live} if live else {}
    return {"id": identity, "key": identity, "value": {"rev": document["_rev"]}, "doc": document}


def _document(node: FakeNode, database: FakeDatabase, request: Request, identity: str) -> Said:
    if identity.startswith("_local/"):
        if request.method == "PUT":
            revision = database.write_local(identity, request.body, checked=node.standin)
            return 201, {"ok": True, "id": identity, "rev": revision}
        document = database.read_local(identity)
        if request.method == "DELETE":
            database.forget_local(identity)
            return 200, {"ok": True, "id": identity, "rev": "0-0"}
        return 200, document
    if request.method == "GET":
        return 200, _read(database, request, identity)
    return 201, {"ok": True, "id": identity, "rev": _write(node, database, request, identity)}


def _read(database: FakeDatabase, request: Request, identity: str) -> Any:
    params = request.params
    whole, revs = params.get("attachments") == "true", params.get("revs") == "true"
    encodings = params.get("att_encoding_info") == "true"

    def read(revision: str | None) -> JsonObject:
        document = database.read(identity, revision, attachments=whole, revs=revs, encodings=encodings)
        if whole and "_attachments" in document:
            kept = document["_attachments"].items()
            document["_attachments"] = {name: attachments.inline(item) for name, item in kept}
        return document

    if params.get("open_revs") != "all":
        return read(params.get("rev"))
    leaves = database.documents[identity].leaves() if identity in database.documents else []
    if not leaves:
        raise Refused(404, "not_found", "missing")
    return [{"ok": read(name)} for name in leaves]


def _write(node: FakeNode, database: FakeDatabase, request: Request, identity: str) -> str:
    if request.method == "DELETE":
        database.read(identity, None, attachments=False)
        return database.write({"_id": identity, "_rev": request.params.get("rev"), "_deleted": True})
    document = {**request.body, "_id": identity}
    if node.refuses(document):
        raise Refused(*FORBIDDEN)
    if request.params.get("new_edits") != "false":
        return database.write(document)
    database.write_replicated(document)
    return str(document["_rev"])


def _all_documents(database: FakeDatabase, request: Request) -> JsonObject:
    """Those of a list of keys, else live documents in the order of their ids: plain ones, which need no collation."""
    if request.method == "POST":
        conflicts = request.params.get("conflicts") == "true"
        return {"rows": [_found(database, identity, conflicts=conflicts) for identity in request.body["keys"]]}
    start, end = (json.loads(request.params.get(key, "null")) for key in ("startkey", "endkey"))
    limit = int(request.params.get("limit", 1_000_000))
    rows: list[JsonObject] = []
    for identity, document in sorted(database.documents.items()):
        winner = document.leaves()[0]
        if document.revisions[winner].deleted or (start and identity < start) or (end and identity > end):
            continue
        row = {"id": identity, "key": identity, "value": {"rev": winner}}
        if request.params.get("include_docs") == "true":
            row["doc"] = database.read(identity, None, attachments=False)
        rows.append(row)
    return {"total_rows": database.counts()[0], "offset": 0, "rows": rows[:limit]}


def _bulk(node: FakeNode, database: FakeDatabase, body: JsonObject) -> list[JsonObject]:
    """With new_edits false only failures are told."""
    if body.get("new_edits") is False:
        refused = [document for document in body["docs"] if node.refuses(document)]
        for document in body["docs"]:
            if document not in refused:
                database.write_replicated(document)
        _, error, reason = FORBIDDEN
        return [{"id": one["_id"], "rev": one["_rev"], "error": error, "reason": reason} for one in refused]
    told: list[JsonObject] = []
    for document in body["docs"]:
        try:
            if node.refuses(document):
                raise Refused(*FORBIDDEN)
            told.append({"ok": True, "id": document["_id"], "rev": database.write(document)})
        except Refused as refused:
            told.append({"id": document["_id"], "error": refused.error, "reason": refused.reason})
    return told


def _revs_diff(node: FakeNode, database: FakeDatabase, asked: dict[str, list[str]]) -> JsonObject:
    """Of these revisions, those not even known as ancestors; a stand-in has to have their bodies."""
    told: JsonObject = {}
    for identity, names in asked.items():
        known = database.documents[identity].revisions if identity in database.documents else {}
        missing = [
            revision for revision in names if revision not in known or (node.standin and known[revision].body is None)
        ]
        if missing:
            told[identity] = {"missing": missing}
    return told


def _info(node: FakeNode, database: FakeDatabase) -> JsonObject:
    documents, deleted = database.counts()
    said: JsonObject = {"db_name": database.name, "doc_count": documents}
    said["update_seq"] = sequence(node, database, database.number)
    if node.standin:
        return said
    shape = {"props": {"partitioned": True} if database.partitioned else {}, "cluster": {"q": database.shards, "n": 1}}
    shape |= {"purge_seq": f"{database.purges}-{database.tag}", "instance_start_time": database.born}
    sizes = {"file": 4096 + 1000 * documents, "external": 0, "active": 500 * documents}
    return {**said, "doc_del_count": deleted, "sizes": sizes, **shape}


def _row(node: FakeNode, name: str) -> JsonObject:
    found = node.databases.get(name)
    return {"key": name, "info": _info(node, found)} if found else {"key": name, "error": "not_found"}
