"""A database of a backup into one that does not exist: never a document into one that was there before.

The restored database carries a mark (a `_local` document) until all is in it. So a restore that broke off can be told
from somebody's database: it is gone on with by the same restore, and refused to any other.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from contextlib import suppress

import msgspec

from worker.blobs.vault import Vault
from worker.core.errors import Conflict, DatabaseExists, Forbidden, NotFound
from worker.core.manifest import Kind, Shape
from worker.core.names import is_own
from worker.couch.database import Database
from worker.ops.control import Control
from worker.ops.ensure import same_security
from worker.ops.own import put_local
from worker.ops.restore.chain import DOCUMENTS, Chain
from worker.ops.restore.result import Restored
from worker.ops.restore.write import Writer

MARK = "_local/notebook-restore"
MARK_EVERY = 1.0  # seconds; what was written since is written again, which changes nothing
SYSTEM = ("_users",)  # a new server has it already


def restore_new(
    vault: Vault,
    chain: Chain,
    target: Database,
    control: Control,
    *,
    only: Collection[str] | None = None,
) -> Restored:
    """`only`: just the documents with these ids. Raises DatabaseExists, what the store and the node raise, and tells
    in `refused` which documents the node did not take."""
    began = time.monotonic()
    newest = chain.newest
    result = Restored(newest.database, target.name, target.server.node.name, newest.backup)
    reached = _make(chain, target, only, result)
    shape = newest.shape
    if shape.revs_limit is not None and target.server.capabilities().scheduler:
        target.set_revs_limit(shape.revs_limit)  # before documents whose histories are longer than the default
    _secure(target, shape, result)
    _write(vault, chain, target, control, only, reached, result)
    if only is None:
        _write_local(chain, target, result)
    _unmark(target)
    result.seconds = time.monotonic() - began
    return result


def _make(chain: Chain, target: Database, only: Collection[str] | None, result: Restored) -> int:
    """Make the database, or find it as an earlier attempt left it; returns the place of the last piece in it."""
    shape = chain.newest.shape
    wanted = {"backup": chain.newest.backup, "database": chain.newest.database, "only": sorted(only or ()) or None}
    couchdb = target.server.capabilities().scheduler
    made = target.create(
        partitioned=shape.partitioned and couchdb,
        shards=shape.q if couchdb else None,
        copies=shape.n if couchdb else None,
    )
    if made or _is_bare(target):
        put_local(target, {"_id": MARK, **wanted, "reached": -1})
        return -1
    mark = target.get(MARK)
    if mark is None or {key: mark.get(key) for key in wanted} != wanted:
        unfinished = "" if mark is None else ", which an unfinished restore of something else has begun,"
        raise DatabaseExists(
            f"there is a database {target.name} already{unfinished}: name another with `as`, or delete it first; to "
            "bring an existing one back to an earlier state, use mode rollback",
            node=target.server.node.name,
            database=target.name,
        )
    result.resumed = True
    return int(mark["reached"])


def _secure(target: Database, shape: Shape, result: Restored) -> None:
    """At once: the other nodes are given what it has here as soon as they are given the database."""
    if not shape.security or same_security(target.security(), shape.security):
        return
    try:
        target.set_security(shape.security)
    except Forbidden as error:
        # CouchDB lets nobody change that of _users unless its configuration says so
        if target.name not in SYSTEM:
            raise
        result.refused.add("_security", None, error.detail)


def _is_bare(target: Database) -> bool:
    """A database that every new server has, with nothing in it but what the server put there."""
    if target.name not in SYSTEM or target.get(MARK) is not None:
        return False
    return all(document.startswith("_design/") for document, _ in target.leaves())


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
                    _mark(target, at)
                    marked = time.monotonic()
            control.report("restore", result.documents, total, "documents")
        for at in writer.finished():
            _mark(target, at)
        # design documents last: what they refuse was taken by the source before they were there
        for piece in chain.pieces((Kind.DESIGN,), only=only):
            control.check()
            list(writer.write(piece))
        list(writer.finished())


def _mark(target: Database, reached: int) -> None:
    found = target.get(MARK)
    if found is None:
        raise NotFound(
            f"{target.name} was deleted, or made anew, while it was being restored",
            node=target.server.node.name,
            database=target.name,
        )
    put_local(target, {**found, "reached": reached})


def _unmark(target: Database) -> None:
    found = target.get(MARK)
    if found is not None:
        with suppress(NotFound, Conflict):
            target.delete(MARK, str(found["_rev"]))


def _write_local(chain: Chain, target: Database, result: Restored) -> None:
    for line in chain.local():
        document = msgspec.json.decode(line)
        if document["_id"] != MARK:
            put_local(target, {key: value for key, value in document.items() if key != "_rev"})
            result.local_documents += 1


def refuse_name(name: str) -> str | None:
    """Why nothing may be restored under this name, in words."""
    return f"{name} is a database of this system's own" if is_own(name) else None
