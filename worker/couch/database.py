"""One database on one server, as typed calls."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from worker.core.errors import Conflict, NotFound
from worker.core.model import DatabaseInfo
from worker.couch.server import Server, database_info


class Database:
    def __init__(self, server: Server, name: str) -> None:
        self._client = server.client
        self.name = name

    def info(self, *, tries: int = 3, read_timeout: float | None = None) -> DatabaseInfo | None:
        """None where there is no such database."""
        try:
            said = self._client.get(self.name, tries=tries, read_timeout=read_timeout)
        except NotFound:
            return None
        return database_info(self.name, said)

    def create(self, *, partitioned: bool = False, shards: int | None = None) -> bool:
        """Make it. False where it was there already."""
        params: dict[str, Any] = {}
        if partitioned:
            params["partitioned"] = "true"
        if shards is not None:
            params["q"] = shards
        try:
            self._client.put(self.name, params=params, repeatable=True)
        except Conflict:
            return False
        return True

    def security(self) -> dict[str, Any]:
        return dict(self._client.get(self.name, "_security"))

    def set_security(self, security: Mapping[str, Any]) -> None:
        self._client.put(self.name, "_security", json=dict(security), repeatable=True)

    def changes_after(self, since: str) -> int:
        """How many changes there are after a sequence of this very node and database: its lag towards
        whoever confirmed `since`.

        CouchDB counts them (`pending`). A server that does not count sends one row instead of none where
        there are any: then 1 means "at least one".
        """
        said = self._client.get(self.name, "_changes", params={"since": since, "limit": 0, "style": "all_docs"})
        return int(said.get("pending") or 0) + len(said["results"])

    def leaves(self, batch: int = 1_000) -> Iterator[tuple[str, tuple[str, ...]]]:
        """(id, sorted leaf revisions, deleted ones too) of every document, in the order of the changes feed."""
        since = "0"
        while True:
            params = {"since": since, "limit": batch, "style": "all_docs"}
            said = self._client.get(self.name, "_changes", params=params)
            for row in said["results"]:
                yield str(row["id"]), tuple(sorted(str(change["rev"]) for change in row["changes"]))
            if len(said["results"]) < batch:
                return
            since = str(said["last_seq"])

    def missing(self, leaves: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
        """Of these revisions (id -> revisions), those that this database never had (`_revs_diff`)."""
        said = self._client.post(
            self.name, "_revs_diff", json={key: list(revisions) for key, revisions in leaves.items()}, repeatable=True
        )
        return {str(key): list(entry.get("missing", [])) for key, entry in said.items() if entry.get("missing")}

    def get(self, document_id: str, **params: Any) -> dict[str, Any] | None:
        """A document, or None where there is none (deleted counts as none)."""
        try:
            return dict(self._client.get(self.name, *_segments(document_id), params=params))
        except NotFound:
            return None

    def documents(self, prefix: str, batch: int = 1_000, **options: Any) -> Iterator[dict[str, Any]]:
        """Every document whose id begins with `prefix`, by id. Nothing where there is no such database. `options` are
        those of a client's call."""
        start = prefix
        while True:
            params = {
                "include_docs": "true",
                "limit": batch + 1,
                "startkey": json.dumps(start),
                # the highest character that sorts after all others in CouchDB's collation
                "endkey": json.dumps(f"{prefix}\ufff0"),
            }
            try:
                rows = self._client.get(self.name, "_all_docs", params=params, **options)["rows"]
            except NotFound:
                return
            yield from (row["doc"] for row in rows[:batch] if row.get("doc"))
            if len(rows) <= batch:
                return
            start = str(rows[batch]["id"])

    def put(self, document: Mapping[str, Any]) -> str:
        """Write a document; returns its new revision. Raises Conflict where `_rev` is not the winner's."""
        said = self._client.put(self.name, *_segments(str(document["_id"])), json=dict(document))
        return str(said["rev"])

    def delete(self, document_id: str, revision: str) -> None:
        # the revision as a parameter: stand-ins ignore If-Match
        self._client.delete(self.name, *_segments(document_id), params={"rev": revision})

    def bulk(self, documents: Sequence[Mapping[str, Any]], *, new_edits: bool = True) -> list[dict[str, Any]]:
        """`_bulk_docs`. With `new_edits` false only failures are answered: [] is success."""
        payload = {"docs": [dict(document) for document in documents], "new_edits": new_edits}
        return list(self._client.post(self.name, "_bulk_docs", json=payload))


def _segments(document_id: str) -> tuple[str, ...]:
    """A design document's slash is part of the path; every other one belongs to the id and is encoded."""
    prefix, slash, rest = document_id.partition("/")
    return (prefix, rest) if slash and prefix in {"_design", "_local"} else (document_id,)
