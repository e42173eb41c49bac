"""One node as the tests see it: they look for themselves, with their own few calls, at what the system did.

Not worker.couch on purpose: a defect there must not hide itself.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.util.retry import Retry

from embedded.nodes import EmbeddedNode

SECONDS = 30.0

Leaves = dict[str, list[str]]


class Couch:
    """`embedded` is there where the tests started the node and may stop it."""

    def __init__(self, name: str, url: str, user: str, password: str, embedded: EmbeddedNode | None = None) -> None:
        self.name = name
        self.url = url
        self.user = user
        self.password = password
        self.embedded = embedded
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.auth = (user, password)
        # a node may close a connection that was left idle just as it is used again
        self._session.mount("http://", HTTPAdapter(max_retries=Retry(1, allowed_methods={"GET", "HEAD"})))

    @classmethod
    def at(cls, name: str, url: str) -> Couch:
        """From a URL with credentials."""
        parts = urlsplit(url)
        plain = f"{parts.scheme}://{parts.hostname}:{parts.port}{parts.path.rstrip('/')}"
        return cls(name, plain, unquote(parts.username or ""), unquote(parts.password or ""))

    @property
    def port(self) -> int:
        port = urlsplit(self.url).port
        assert port is not None
        return port

    @property
    def schedules(self) -> bool:
        """Whether it has CouchDB's replication scheduler (a stand-in has none)."""
        return "express-pouchdb" not in self.call("GET", "")

    def call(self, method: str, path: str, json: Any = None, **params: Any) -> Any:
        answer = self._session.request(method, f"{self.url}/{path}", json=json, params=params, timeout=SECONDS)
        answer.raise_for_status()
        return answer.json()

    # --- writing

    def create(self, database: str) -> None:
        self.call("PUT", _quoted(database))

    def drop(self, database: str) -> None:
        answer = self._session.delete(f"{self.url}/{_quoted(database)}", timeout=SECONDS)
        if answer.status_code != 404:
            answer.raise_for_status()

    def drop_links(self, databases: Sequence[str]) -> None:
        """Every replication document of these databases."""
        if not self.schedules:
            return
        for row in self.call("GET", "_replicator/_all_docs")["rows"]:
            if row["id"].rpartition(":")[2] in databases:
                self.call("DELETE", f"_replicator/{_quoted(row['id'])}", rev=row["value"]["rev"])

    def put(self, database: str, document: dict[str, Any]) -> str:
        return str(self.call("PUT", f"{_quoted(database)}/{document['_id']}", document)["rev"])

    def delete(self, database: str, document_id: str, rev: str) -> None:
        self.call("DELETE", f"{_quoted(database)}/{document_id}", rev=rev)

    def attach(self, database: str, document_id: str, rev: str, name: str, data: bytes, media: str) -> str:
        answer = self._session.put(
            f"{self.url}/{_quoted(database)}/{document_id}/{name}",
            params={"rev": rev},
            data=data,
            headers={"Content-Type": media},
            timeout=SECONDS,
        )
        answer.raise_for_status()
        return str(answer.json()["rev"])

    def force(self, database: str, *documents: dict[str, Any]) -> None:
        """Write revisions as they are: the way to make conflicts."""
        assert self.call("POST", f"{_quoted(database)}/_bulk_docs", {"docs": documents, "new_edits": False}) == []

    def fill(self, database: str, count: int, start: int = 0) -> None:
        documents = [{"_id": f"doc-{number:06}", "number": number} for number in range(start, start + count)]
        self.call("POST", f"{_quoted(database)}/_bulk_docs", {"docs": documents})

    # --- looking

    def has(self, database: str, document_id: str) -> bool:
        try:
            self.call("GET", f"{_quoted(database)}/{document_id}")
        except requests.HTTPError as error:
            if error.response.status_code == 404:
                return False
            raise
        return True

    def databases(self) -> set[str]:
        return {name for name in self.call("GET", "_all_dbs") if not name.startswith("_")}

    def update_seq(self, database: str) -> str:
        return str(self.call("GET", _quoted(database))["update_seq"])

    def leaves(self, database: str) -> Leaves:
        """Document id -> all its leaf revisions, deleted ones too."""
        rows = self.call("GET", f"{_quoted(database)}/_changes", style="all_docs")["results"]
        return {row["id"]: sorted(change["rev"] for change in row["changes"]) for row in rows}

    def attachment_digests(self, database: str) -> dict[str, str]:
        """document/attachment -> SHA-256 of its bytes, fetched whole."""
        found = {}
        for row in self.call("GET", f"{_quoted(database)}/_all_docs", include_docs="true")["rows"]:
            for name in row["doc"].get("_attachments", {}):
                where = f"{_quoted(database)}/{row['id']}/{name}"
                answer = self._session.get(f"{self.url}/{where}", timeout=SECONDS)
                answer.raise_for_status()
                found[f"{row['id']}/{name}"] = hashlib.sha256(answer.content).hexdigest()
        return found

    def links(self, database: str) -> dict[str, dict[str, Any]]:
        """Our replication documents of the database on this server, by id; none on a server without a scheduler."""
        if not self.schedules:
            return {}
        rows = self.call("GET", "_replicator/_all_docs", include_docs="true")["rows"]
        return {row["id"]: row["doc"] for row in rows if row["id"].rpartition(":")[2] == database}

    def links_told(self, database: str) -> list[dict[str, Any]]:
        """What its scheduler says of them; nothing where it has none."""
        if not self.schedules:
            return []
        rows = self.call("GET", "/_scheduler/docs/_replicator", limit=1000)["docs"]
        return [row for row in rows if database in str(row["source"]) or database in str(row["doc_id"])]

    def pulls(self, database: str) -> list[dict[str, Any]]:
        """The one-shot replications of the database that this server's scheduler knows of."""
        jobs = self.call("GET", "_scheduler/jobs", limit=1000)["jobs"]
        return [job for job in jobs if job.get("doc_id") is None and job["target"].rstrip("/").endswith(f"/{database}")]

    # --- violence, on nodes that the tests started

    def kill(self) -> None:
        assert self.embedded is not None
        self.embedded.process.kill()

    def revive(self) -> None:
        assert self.embedded is not None
        self.embedded.start()
        self.embedded.wait_ready()

    def is_dead(self) -> bool:
        return self.embedded is not None and self.embedded.pid is None


def drop_everywhere(nodes: Sequence[Couch], databases: Sequence[str]) -> None:
    """First the replication documents everywhere: a link whose database is gone would crash and log."""
    for node in nodes:
        node.drop_links(databases)
    for node in nodes:
        for database in databases:
            node.drop(database)


def _quoted(name: str) -> str:
    return quote(name, safe="")
