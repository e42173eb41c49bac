"""The words of the domain as frozen records: node, link, and what was seen of them.

Plain dataclasses, no behaviour that needs the world: everything here can be built in a test with one line.
Sequences (`update_seq`, `last_seq`) are opaque strings, comparable only for equality and only when they
come from the same node and database (CouchDB, "Update sequences").
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from worker.core.names import replication_document_id

Leaves = tuple[str, ...]  # a document's leaf revisions, deleted ones too, sorted
Row = tuple[str, Leaves]  # a document's id and its leaves


class NodeKind(StrEnum):
    COUCHDB = "couchdb"
    STANDIN = "stand-in"


@dataclass(frozen=True)
class Credentials:
    """A user and a password. Neither repr nor str shows the password."""

    user: str
    password: str = field(repr=False)


# Of a user whose password is being changed, while nobody knows which one a node has (worker.core.logins). Not None,
# which is nobody, or of a peer the same as ours
UNKNOWN = Credentials("", "")


@dataclass(frozen=True)
class Node:
    """One CouchDB endpoint: `url` is how we reach it, `peer_url` how its peers do (Docker and NAT differ).

    `credentials` are ours; `peer_credentials` are what its peers use to replicate with it.
    """

    name: str
    url: str
    peer_url: str
    credentials: Credentials | None = None
    peer_credentials: Credentials | None = None


@dataclass(frozen=True)
class Identity:
    """What a server says it is."""

    kind: NodeKind
    version: str
    uuid: str | None


@dataclass(frozen=True)
class Capabilities:
    """What a server can do, asked once. Everything asks this record, never a version string."""

    kind: NodeKind
    version: str
    uuid: str | None
    scheduler: bool  # continuous replication, joining and cancelling of one-shot replications
    dbs_info: bool  # POST /_dbs_info
    up: bool  # GET /_up
    selective: bool  # _replicate takes doc_ids and selector
    ancestors: bool  # _revs_diff knows revisions that came by replication as mere ancestors
    feed: bool  # GET /_db_updates


@dataclass(frozen=True)
class DatabaseInfo:
    """What `GET /db` says."""

    name: str
    doc_count: int
    doc_del_count: int
    update_seq: str
    partitioned: bool = False
    shards: int | None = None  # None where the server has no shards
    copies: int | None = None
    purge_seq: str | None = None
    instance_start_time: str | None = None
    external_bytes: int | None = None  # of its documents and attachments, not compressed


@dataclass(frozen=True, order=True)
class Link:
    """`target` pulls `database` from `source`."""

    database: str
    source: str
    target: str

    def __str__(self) -> str:
        return f"{self.source} -> {self.target}"

    @property
    def document_id(self) -> str:
        """The id of its document in the target's `_replicator`."""
        return replication_document_id(self.database, self.source, self.target)


@dataclass(frozen=True)
class Route:
    """How a sync may carry one database. `gathers`: the hub takes what the other nodes have; without it changes only
    go out from the primary. `selector`: only documents that match this Mango selector travel."""

    gathers: bool = True
    selector: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class PullStats:
    """What one `_replicate` did. `source_last_seq` is the checkpoint that source and target agreed on;
    `ever_refused` counts the write failures of the link's whole history, as far as the server tells."""

    source_last_seq: str
    docs_read: int
    docs_written: int
    doc_write_failures: int
    ever_refused: int = 0
