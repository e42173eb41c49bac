"""`_db_updates`: which databases of a server have just changed.

A hint, never a record: CouchDB coalesces events, keeps some of them only in memory, and misses what happens in the
seconds after its listener died. Whoever acts on it needs a periodic look beside it (worker.ops.drift).
https://docs.couchdb.org/en/stable/api/server/common.html#db-updates
"""

from __future__ import annotations

import json
from collections.abc import Generator
from dataclasses import dataclass

from worker.core.errors import BadAnswer, NotFound
from worker.couch.database import Database
from worker.couch.server import Server

DATABASE = "_global_changes"  # single_node does not make it, and without it the feed is 404
HEARTBEAT = 10.0  # seconds
SILENCE = 3 * HEARTBEAT


@dataclass(frozen=True)
class Update:
    """`kind` is created, updated or deleted. `sequence` is good for this server's feed alone."""

    database: str
    kind: str
    sequence: str


class Feed:
    """One server's feed, to be read again and again: it goes on where it was left."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._since = "now"

    @property
    def node(self) -> str:
        return self._server.node.name

    def updates(self) -> Generator[Update | None]:
        """Events as they come, and None for a heartbeat (the first one says that the feed is open). Ends only by an
        error of our tree; a caller that wants to go on calls again. Close the iterator to hang up."""
        params = {"feed": "continuous", "heartbeat": int(HEARTBEAT * 1000), "since": self._since}
        try:
            lines = self._server.client.lines("_db_updates", params=params, read_timeout=SILENCE)
            for line in lines:
                yield self._read(line)
        except NotFound:
            # a server that has lost it, or never had it
            Database(self._server, DATABASE).create()
            raise

    def _read(self, line: bytes) -> Update | None:
        if not line.strip():
            return None
        try:
            said = json.loads(line)
            if "last_seq" in said:
                self._since = str(said["last_seq"])
                return None
            update = Update(str(said["db_name"]), str(said["type"]), str(said["seq"]))
        except (ValueError, KeyError, TypeError):
            raise BadAnswer("a line of _db_updates is not what CouchDB writes", node=self.node) from None
        self._since = update.sequence
        return update
