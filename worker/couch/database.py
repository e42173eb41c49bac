"""One database on one server, as typed calls."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from worker.core.errors import Conflict, NotFound
from worker.core.model import DatabaseInfo, Leaves, Row
from worker.core.replication import BEGINNING
from worker.couch.server import Server, database_info

# Up to so many ids CouchDB looks up; for more it reads its whole feed. 3.4 and later take 1,000, see
# changes_doc_ids_optimization_threshold in default.ini
IDS_A_CALL = 100
HEARTBEAT = 10_000  # milliseconds
MOST_COUNTED = 1_000


class Database:
    def __init__(self, server: Server, name: str) -> None:
        self.server = server
        self.client = server.client
        self.name = name

    def info(self, *, tries: int = 3, read_timeout: float | None = None) -> DatabaseInfo | None:
        """None where there is no such database."""
        try:
            said = self.client.get(self.name, tries=tries, read_timeout=read_timeout)
        except NotFound:
            return None
        return database_info(self.name, said)

    def create(self, *, partitioned: bool = False, shards: int | None = None, copies: int | None = None) -> bool:
        """Make it. False where it was there already."""
        params: dict[str, Any] = {}
        if copies is not None:
            params["n"] = copies
        if partitioned:
            params["partitioned"] = "true"
        if shards is not None:
            params["q"] = shards
        try:
            self.client.put(self.name, params=params, repeatable=True)
        except Conflict:
            return False
        return True

    def drop(self) -> bool:
        """Delete the database and all that is in it. False where there was none."""
        try:
            self.client.delete(self.name)
        except NotFound:
            return False
        return True

    def security(self, **options: Any) -> dict[str, Any]:
        """`options` are those of a client's call."""
        return dict(self.client.get(self.name, "_security", **options))

    def set_security(self, security: Mapping[str, Any]) -> None:
        self.client.put(self.name, "_security", json=dict(security), repeatable=True)

    def revs_limit(self) -> int | None:
        """How many revisions of each document it remembers; None where there is no such database."""
        try:
            return int(self.client.get(self.name, "_revs_limit"))
        except NotFound:
            return None

    def set_revs_limit(self, limit: int) -> None:
        self.client.put(self.name, "_revs_limit", json=limit, repeatable=True)

    def changes_after(self, since: str, *, selector: Mapping[str, Any] | None = None) -> int:
        """How many changes there are after a sequence of this very node and database: its lag towards
        whoever confirmed `since`.

        CouchDB counts them (`pending`). A server that does not count sends one row instead of none where
        there are any: then 1 means "at least one". With a `selector` (Mango) only matching documents count, and
        MOST_COUNTED means "at least so many": CouchDB counts those by reading them.
        """
        params: dict[str, Any] = {"since": since, "limit": 0, "style": "all_docs"}
        if selector is None:
            said = self._changes(params, None)
            return int(said.get("pending") or 0) + len(said["results"])
        params |= {"limit": MOST_COUNTED, "filter": "_selector", "heartbeat": HEARTBEAT}
        return len(self._changes(params, {"selector": dict(selector)})["results"])

    def leaves(self, batch: int = 1_000, *, selector: Mapping[str, Any] | None = None) -> Iterator[Row]:
        """(id, leaves) of every document, in the order of the changes feed."""
        for page in self.pages(batch, selector=selector):
            yield from page

    def pages(self, size: int, *, selector: Mapping[str, Any] | None = None) -> Iterator[list[Row]]:
        """The same, `size` rows at a time. A document that is written to meanwhile comes again, as it is then.

        With a `selector` (Mango) only documents that match it, and of those only the leaves that do.
        """
        # a sequence costs CouchDB more than the rest of its row, and only the last one is needed
        params: dict[str, Any] = {"since": BEGINNING, "limit": size, "style": "all_docs", "seq_interval": size}
        body = None
        if selector is not None:
            # where few match, signs of life come before the first row does
            params |= {"filter": "_selector", "heartbeat": HEARTBEAT}
            body = {"selector": dict(selector)}
        while True:
            said = self._changes(params, body)
            rows = _rows(said)
            yield rows
            if len(rows) < size:
                return
            params["since"] = said["last_seq"]

    def page(self, since: str, size: int, *, within: float) -> tuple[list[Row], str]:
        """The first `size` rows after a sequence of this very node and database, and the sequence to go on from. Fewer
        rows: there are no more. `within`: seconds for the whole answer."""
        params = {"since": since, "limit": size, "style": "all_docs", "seq_interval": size}
        said = self.client.get(self.name, "_changes", params=params, within=within)
        last = said["last_seq"]
        return _rows(said), last if isinstance(last, str) else json.dumps(last)

    def leaves_of(self, ids: Sequence[str]) -> dict[str, Leaves]:
        """Id -> leaves now, of those of these documents that it has."""
        found: dict[str, Leaves] = {}
        for start in range(0, len(ids), IDS_A_CALL):
            body = {"doc_ids": list(ids[start : start + IDS_A_CALL])}
            params = {"filter": "_doc_ids", "style": "all_docs", "seq_interval": IDS_A_CALL}
            found.update(_rows(self._changes(params, body)))
        return found

    def _changes(self, params: Mapping[str, Any], body: Mapping[str, Any] | None) -> Any:
        if body is None:
            return self.client.get(self.name, "_changes", params=params)
        return self.client.post(self.name, "_changes", params=params, json=body, repeatable=True)

    def missing(self, leaves: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
        """Of these revisions (id -> revisions), those that this database never had (`_revs_diff`)."""
        said = self.client.post(
            self.name, "_revs_diff", json={key: list(revisions) for key, revisions in leaves.items()}, repeatable=True
        )
        found = {str(key): list(entry["missing"]) for key, entry in said.items() if entry.get("missing")}
        if not found or self.server.capabilities().ancestors:
            return found
        unknown = {key: set(revisions) - self._history(key) for key, revisions in found.items()}
        return {key: sorted(revisions) for key, revisions in unknown.items() if revisions}

    def _history(self, document_id: str) -> set[str]:
        """The leaves of a document and all that led to them."""
        params = {"open_revs": "all", "revs": "true"}
        try:
            said = self.client.get(self.name, *segments(document_id), params=params)
        except NotFound:
            return set()
        paths = [row["ok"]["_revisions"] for row in said if "ok" in row]
        return {f"{path['start'] - back}-{name}" for path in paths for back, name in enumerate(path["ids"])}

    def get(
        self,
        document_id: str,
        *,
        tries: int = 3,
        read_timeout: float | None = None,
        within: float | None = None,
        **params: Any,
    ) -> dict[str, Any] | None:
        """A document, or None where there is none (deleted counts as none)."""
        options: dict[str, Any] = {"tries": tries, "read_timeout": read_timeout, "within": within}
        try:
            return dict(self.client.get(self.name, *segments(document_id), params=params, **options))
        except NotFound:
            return None

    def documents(self, prefix: str, batch: int = 1_000) -> Iterator[dict[str, Any]]:
        """Every document whose id begins with `prefix`, by id. Nothing where there is no such database."""
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
                rows = self.client.get(self.name, "_all_docs", params=params)["rows"]
            except NotFound:
                return
            yield from (row["doc"] for row in rows[:batch] if row.get("doc"))
            if len(rows) <= batch:
                return
            start = str(rows[batch]["id"])

    def by_ids(self, ids: Sequence[str], **options: Any) -> dict[str, dict[str, Any]]:
        """Id -> document, of those of these that there are, in one call. `options` are those of a client's call."""
        said = self.client.post(
            self.name,
            "_all_docs",
            params={"include_docs": "true"},
            json={"keys": list(ids)},
            repeatable=True,
            **options,
        )
        return {str(row["id"]): dict(row["doc"]) for row in said["rows"] if row.get("doc")}

    def put(self, document: Mapping[str, Any], **options: Any) -> str:
        """Write a document; returns its new revision. Raises Conflict where `_rev` is not the winner's. `options` are
        those of a client's call."""
        said = self.client.put(self.name, *segments(str(document["_id"])), json=dict(document), **options)
        return str(said["rev"])

    def delete(self, document_id: str, revision: str) -> None:
        # the revision as a parameter: stand-ins ignore If-Match
        self.client.delete(self.name, *segments(document_id), params={"rev": revision})

    def bulk(self, documents: Sequence[Mapping[str, Any]], *, new_edits: bool = True) -> list[dict[str, Any]]:
        """`_bulk_docs`. With `new_edits` false only failures are answered: [] is success."""
        payload = {"docs": [dict(document) for document in documents], "new_edits": new_edits}
        return list(self.client.post(self.name, "_bulk_docs", json=payload))


def _rows(said: Any) -> list[Row]:
    return [(row["id"], _leaves(row["changes"])) for row in said["results"]]


def _leaves(changes: list[dict[str, str]]) -> Leaves:
    if len(changes) == 1:  # nearly always, and a million times
        return (changes[0]["rev"],)
    return tuple(sorted(change["rev"] for change in changes))


def segments(document_id: str) -> tuple[str, ...]:
    """A design document's slash is part of the path; every other one belongs to the id and is encoded."""
    prefix, slash, rest = document_id.partition("/")
    return (prefix, rest) if slash and prefix in {"_design", "_local"} else (document_id,)
