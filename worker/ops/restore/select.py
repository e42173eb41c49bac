"""Which documents of a backup match a Mango selector, asked of CouchDB itself.

A chunk at a time goes into a scratch database, without attachments, and its own feed filter says which match: a second
implementation of Mango would agree with it nearly always. A document is chosen by its winning revision.
https://docs.couchdb.org/en/stable/api/database/changes.html#selector
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from worker.core.documents import with_attachments
from worker.core.rollback import winner
from worker.couch.revisions import Revisions
from worker.couch.server import Server
from worker.ops.control import Control
from worker.ops.restore.chain import DOCUMENTS, Chain
from worker.ops.restore.leaves import Document, documents
from worker.ops.restore.write import batched
from worker.ops.scratch import scratch


def matching(chain: Chain, selector: Mapping[str, Any], server: Server, tag: str, control: Control) -> list[str]:
    """The ids, sorted. `tag` names the scratch database. Raises what the store and the node raise: BadRequest for a
    selector that CouchDB does not take."""
    found: list[str] = []
    there = scratch(server, tag)
    try:
        for piece in chain.pieces(DOCUMENTS):
            control.check()
            control.report("select", len(found), None, "documents")
            there.drop()
            there.create(shards=1 if server.capabilities().scheduler else None)
            for batch in batched(line for document in documents(piece) for line in _live(document)):
                Revisions(there).write(batch)
            found += [key for key, _ in there.leaves(selector=selector)]
    finally:
        there.drop()
    return sorted(found)


def _live(document: Document) -> list[bytes]:
    """Its winner as a document of its own, if it is not deleted."""
    best = winner(document.leaves)
    if best is None or best.deleted:
        return []
    return [with_attachments(msgspec.Raw(bytes(document.lines[best.rev].doc)), {})]
