"""What a database really holds on a node, read from the node: the demo's own check, which does not trust the job.

Two nodes hold the same when every document has the same leaf revisions on both (CouchDB: a revision's id is
a hash of its content and history) and every leaf's attachments have the same bytes, hashed here. Digests
that servers report are not compared: the kinds of nodes compute them differently.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from worker.couch.database import Database


@dataclass(frozen=True)
class Census:
    """`leaves`: id -> leaf revisions, deleted ones too. `attachments`: (id, revision, name) -> (SHA-256, bytes)."""

    leaves: Mapping[str, tuple[str, ...]]
    attachments: Mapping[tuple[str, str, str], tuple[str, int]] = field(default_factory=dict)
    deleted: int = 0

    @property
    def documents(self) -> int:
        return len(self.leaves) - self.deleted

    @property
    def conflicts(self) -> int:
        return sum(1 for revisions in self.leaves.values() if len(revisions) > 1)

    @property
    def attachment_bytes(self) -> int:
        return sum(size for _, size in self.attachments.values())


def take(database: Database) -> Census:
    """Read everything, attachments' bytes included: for small databases."""
    leaves = dict(database.leaves())
    attachments: dict[tuple[str, str, str], tuple[str, int]] = {}
    deleted = 0
    for document_id, revisions in leaves.items():
        alive = 0
        for revision in revisions:
            document = database.get(document_id, rev=revision, attachments="true")
            if document is None or document.get("_deleted"):
                continue
            alive += 1
            for name, item in document.get("_attachments", {}).items():
                content = base64.b64decode(item["data"])
                attachments[document_id, revision, name] = (hashlib.sha256(content).hexdigest(), len(content))
        deleted += not alive
    return Census(leaves, attachments, deleted)


def differing(nodes: Mapping[str, Census]) -> list[str]:
    """Ids of documents that are not the same on all nodes, in order. Empty: identical."""
    found = set()
    for document_id in {item for census in nodes.values() for item in census.leaves}:
        if len({_fingerprint(census, document_id) for census in nodes.values()}) > 1:
            found.add(document_id)
    return sorted(found)


def _fingerprint(census: Census, document_id: str) -> tuple[Sequence[str], tuple[object, ...]]:
    held = sorted((key[1:], value) for key, value in census.attachments.items() if key[0] == document_id)
    return tuple(census.leaves.get(document_id, ())), tuple(held)
