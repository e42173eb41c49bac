"""CouchDB's replicator on one server: one-shot pulls, their progress, and documents for continuous links."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from typing import Any

from worker.core.errors import BadRequest, Cancelled, Forbidden, NotFound, TimedOut, Unsupported
from worker.core.model import PullStats
from worker.core.replication import BEGINNING, pull_stats
from worker.couch.database import Database
from worker.couch.server import Server

JOIN_EVERY = 15.0  # seconds one request waits for a pull before it is joined again
ONE_REQUEST = 3_600.0  # seconds, for servers on which a pull cannot be joined
CANCEL_WAIT = 5.0  # seconds; CouchDB answers up to 30 s later where the pull's source hangs, but it has been told
PAGE = 500
WRITE_BATCH = 500
DATABASE = "_replicator"


class Orders(Enum):
    """What becomes of a pull that has not ended yet."""

    GO = "go on waiting"
    LEAVE = "leave it running: somebody else joins it"
    CANCEL = "stop it"


@dataclass(frozen=True)
class PullProgress:
    """Of a running one-shot pull: revisions looked at (counted on from earlier pulls of the same link), and
    the source's sequence up to which all is done."""

    checked: int
    through: str


class Replicator:
    def __init__(self, server: Server) -> None:
        self._server = server
        self._client = server.client

    def pull(self, body: Mapping[str, Any], orders: Callable[[], Orders]) -> PullStats:
        """Run a one-shot replication on this server and wait for its end.

        A server with a scheduler joins equal requests to the running job, so each request waits only a
        while, and the next goes on where it left off: neither a lost connection nor a restart of ours costs
        anything. `orders()` is asked between two requests; Cancelled is raised where it does not say go.
        """
        joins = self._server.capabilities().scheduler
        joined = False
        while True:
            try:
                answer = self._client.post(
                    "_replicate", json=dict(body), read_timeout=JOIN_EVERY if joins else ONE_REQUEST
                )
            except TimedOut:
                order = orders()
                if order is Orders.CANCEL and joins:
                    # once more, by whoever asked last: a request that crossed the first cancel started it anew
                    self.cancel(body)
                if order is not Orders.GO:
                    raise Cancelled from None
                if not joins:
                    raise
                joined = True
            else:
                return pull_stats(answer, joined=joined)

    def cancel(self, body: Mapping[str, Any]) -> bool:
        """Stop the one-shot replication with this body. False where none runs. Raises Unsupported where this kind
        of server cannot stop one."""
        if not self._server.capabilities().scheduler:
            raise Unsupported("this kind of node cannot stop a replication", node=self._server.node.name)
        try:
            self._client.post("_replicate", json={**body, "cancel": True}, repeatable=True, read_timeout=CANCEL_WAIT)
        except NotFound:
            return False
        return True

    def stop(self, sources: Collection[str]) -> int:
        """Cancel the one-shot replications on this server that pull from one of these URLs; returns how many. For
        whoever does not know their bodies any more. Raises Unsupported as `cancel` does."""
        stopped = 0
        for job in self._pages("_scheduler", "jobs"):
            if job.get("doc_id") is None and _plain(job["source"]) in sources:
                stopped += self.cancel({"replication_id": job["id"]})
        return stopped

    def running(self, wanted: Callable[[str], bool], servers: Sequence[str]) -> list[str]:
        """The ids of the replications that the scheduler still has: those of documents whose ids are `wanted`, and
        one-shot ones that pull from a database of one of these servers (URLs)."""
        begins = tuple(f"{_plain(url)}/" for url in servers)
        return [
            str(job.get("doc_id") or job["id"])
            for job in self._pages("_scheduler", "jobs")
            if (wanted(str(job["doc_id"])) if job.get("doc_id") else str(job["source"]).startswith(begins))
        ]

    def stop_from(self, servers: Sequence[str]) -> None:
        """Cancel all one-shot replications on this server that pull from a database of one of these servers (URLs).
        Does not wait until they have ended."""
        begins = tuple(f"{_plain(url)}/" for url in servers)
        for job in self._pages("_scheduler", "jobs"):
            if job.get("doc_id") is None and str(job["source"]).startswith(begins):
                with suppress(TimedOut):  # it has been told
                    self.cancel({"replication_id": job["id"]})

    def progress(self) -> dict[tuple[str, str], PullProgress]:
        """(source URL, target URL) -> progress of each one-shot pull running on this server."""
        found = {}
        for job in self._pages("_scheduler", "jobs"):
            info = job.get("info") or {}
            if job.get("doc_id") is None:
                # changes_pending would say what is left, but stays null for most of a first pull
                found[(_plain(job["source"]), _plain(job["target"]))] = PullProgress(
                    checked=int(info.get("revisions_checked") or 0),
                    through=str(info.get("through_seq") or BEGINNING),
                )
        return found

    def documents(self, **options: Any) -> list[dict[str, Any]]:
        """What the scheduler says of each document in `_replicator`. `options` are those of a client's call."""
        return list(self._pages("_scheduler", "docs", **options))

    def document(self, document_id: str) -> dict[str, Any] | None:
        """What the scheduler says of one document in `_replicator`; None where there is none."""
        try:
            return dict(self._client.get("_scheduler", "docs", DATABASE, document_id))
        except NotFound:
            return None

    def _pages(self, *path: str, **options: Any) -> list[dict[str, Any]]:
        if not self._server.capabilities().scheduler:
            raise Unsupported("this server has no replication scheduler", node=self._server.node.name)
        rows: list[dict[str, Any]] = []
        while True:
            said = self._client.get(*path, params={"limit": PAGE, "skip": len(rows)}, **options)
            page = said.get("jobs", said.get("docs", []))
            rows += page
            if len(page) < PAGE:
                return rows

    def stored(self, prefix: str) -> Iterator[dict[str, Any]]:
        """The documents in `_replicator` whose id begins with `prefix`. They hold credentials: for comparing only."""
        database = Database(self._server, DATABASE)
        yield from database.documents(prefix)

    def write(self, documents: Sequence[Mapping[str, Any]]) -> dict[str, str]:
        """Create, rewrite (with `_rev`) or delete (with `_deleted`) many at once. Returns id -> why, of those that
        were refused: mostly "conflict", where somebody was faster."""
        refused: dict[str, str] = {}
        database = Database(self._server, DATABASE)
        for at in range(0, len(documents), WRITE_BATCH):
            refused.update(_written(database, documents[at : at + WRITE_BATCH]))
        return refused


def _written(database: Database, documents: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """CouchDB refuses a whole batch for one document that it cannot use (403): then halves are tried."""
    try:
        rows = database.bulk(documents)
    except (Forbidden, BadRequest) as error:
        if len(documents) == 1:
            return {str(documents[0]["_id"]): f"{error.slug}: {error.detail}"}
        half = len(documents) // 2
        return {**_written(database, documents[:half]), **_written(database, documents[half:])}
    return {str(row.get("id")): f"{row['error']}: {row.get('reason', '')}" for row in rows if row.get("error")}


def _plain(url: str) -> str:
    return url.rstrip("/")
