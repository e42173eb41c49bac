"""A database of a backup into one that does not exist: never a document into one that was there before.

The restored database carries a mark until all is in it (worker.ops.restore.mark), so that one that broke off is gone on
with by the same restore, and refused to any other.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Collection
from typing import Any

import msgspec

from worker.blobs.vault import Vault
from worker.core.errors import Forbidden, ReplicationError
from worker.core.manifest import DatabaseManifest, Kind, Shape
from worker.core.names import is_own
from worker.couch.database import Database
from worker.ops.control import Control
from worker.ops.ensure import same_security
from worker.ops.own import put_over
from worker.ops.restore.chain import DOCUMENTS, Chain
from worker.ops.restore.mark import MARK, SYSTEM, Reached, begin, begun, end, reach
from worker.ops.restore.result import Refusals, Restored
from worker.ops.restore.write import Writer

MARK_EVERY = 1.0  # seconds; what was written since is written again, which changes nothing


def restore_new(
    vault: Vault,
    chain: Chain,
    target: Database,
    control: Control,
    *,
    only: Collection[str] | None = None,
    retried: bool = False,
    finish: Callable[[Restored], None] = lambda restored: None,
) -> Restored:
    """`only`: just the documents with these ids. `retried`: by the same job as before. `finish` is called when all is
    in it, before its mark goes. Raises DatabaseExists, what the store and the node raise, and tells in `refused` which
    documents the node did not take."""
    began = time.monotonic()
    newest = chain.newest
    result = Restored(newest.database, target.name, target.server.node.name, newest.backup)
    reached = _make(chain, target, only, result, retried=retried)
    try:
        _prepare(target, newest.shape, result)
        if reached is not None and reached.refused is not None:
            result.refused = Refusals.of_json(reached.refused)
        _write(vault, chain, target, control, only, reached.place if reached else -1, result)
        if only is None:
            _write_local(chain, target, result)
        finish(result)
        end(target)
    except ReplicationError as error:
        result.seconds = time.monotonic() - began
        if not is_own(target.name):  # a drill drops what it made
            error.detail += f". Half of it is in {target.name}: asked for again, the same restore goes on from there"
        error.result = result.as_json()
        raise
    result.seconds = time.monotonic() - began
    return result


def _make(
    chain: Chain, target: Database, only: Collection[str] | None, result: Restored, *, retried: bool
) -> Reached | None:
    """Make the database, or find it as an earlier attempt left it; returns how far that one came."""
    shape = chain.newest.shape
    couchdb = target.server.capabilities().scheduler
    made = {"partitioned": shape.partitioned, "shards": shape.q, "copies": shape.n} if couchdb else {}
    hint = "; to bring an existing one back to an earlier state, use mode rollback"
    reached = begin(target, _about(chain.newest, only), hint, retried=retried, **made)
    result.resumed = reached is not None
    return reached


def is_begun(newest: DatabaseManifest, target: Database, only: Collection[str] | None = None) -> bool:
    """Whether an earlier attempt at restoring just this has left it unfinished."""
    return begun(target, _about(newest, only))


def _about(newest: DatabaseManifest, only: Collection[str] | None) -> dict[str, Any]:
    """By a hash of the ids: there may be so many that no document could hold them."""
    ids = None if only is None else hashlib.sha256("\0".join(sorted(only)).encode("utf-8", "surrogatepass")).hexdigest()
    return {"backup": newest.backup, "database": newest.database, "only": ids}


def _prepare(target: Database, shape: Shape, result: Restored) -> None:
    """`_revs_limit` before documents whose histories are longer than the default; `_security` at once, because other
    nodes are given what it has here as soon as they are given the database."""
    if shape.revs_limit is not None and target.server.capabilities().scheduler:
        target.set_revs_limit(shape.revs_limit)
    if not shape.security or same_security(target.security(), shape.security):
        return
    try:
        target.set_security(shape.security)
    except Forbidden as error:
        # CouchDB lets nobody change that of _users unless its configuration says so
        if target.name not in SYSTEM:
            raise
        result.refused.add("_security", None, error.detail)


def _write(
    vault: Vault,
    chain: Chain,
    target: Database,
    control: Control,
    only: Collection[str] | None,
    reached: int,
    result: Restored,
) -> None:
    total = sum(chunk.documents for chunk in chain.chunks(DOCUMENTS))
    marked = time.monotonic()
    with Writer(target, vault, result) as writer:
        for piece in chain.pieces(DOCUMENTS, only=only, after=reached):
            control.check()
            for at in writer.write(piece):
                if time.monotonic() - marked >= MARK_EVERY:
                    reach(target, at, result.refused.as_json())
                    marked = time.monotonic()
            control.report("restore", result.documents, total, "documents")
        for at in writer.finished():
            reach(target, at, result.refused.as_json())
        # design documents last: what they refuse was taken by the source before they were there
        for piece in chain.pieces((Kind.DESIGN,), only=only):
            control.check()
            list(writer.write(piece))
        list(writer.finished())


def _write_local(chain: Chain, target: Database, result: Restored) -> None:
    for line in chain.local():
        document = msgspec.json.decode(line)
        if document["_id"] != MARK:
            put_over(target, {key: value for key, value in document.items() if key != "_rev"})
            result.local_documents += 1


def refuse_name(name: str) -> str | None:
    """Why nothing may be restored under this name, in words."""
    return f"{name} is a database of this system's own" if is_own(name) else None
