"""A database back to what a backup says, in place, in a mesh that goes on replicating (worker.core.rollback)."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import msgspec

from worker.blobs.vault import Vault
from worker.core.errors import Conflict, NotFound
from worker.core.manifest import Kind, Wrapped
from worker.core.model import NodeKind, Row
from worker.core.rollback import Action, Leaf, Step, step, winner
from worker.couch.database import Database
from worker.couch.revisions import HEAD, Revisions, has_no_url
from worker.ops.backup.feed import Feed
from worker.ops.control import Control
from worker.ops.parallel import batches
from worker.ops.restore import attached
from worker.ops.restore.chain import DOCUMENTS, Chain
from worker.ops.restore.leaves import Document, documents, leaf
from worker.ops.restore.result import MOST_LISTED, Refusals
from worker.ops.restore.seen import SeenIds
from worker.ops.restore.write import REFUSED, batched

AT_ONCE = 200  # documents that are compared at a time
TRIES = 3  # of a document that somebody writes to meanwhile
CHANGES = (Action.UPDATE, Action.RECREATE, Action.DELETE)


@dataclass
class RolledBack:
    """`counts`: what was done (or would be) to how many documents. `listed`: the first of those that change."""

    database: str
    node: str
    backup: str
    dry_run: bool
    counts: dict[Action, int] = field(default_factory=lambda: dict.fromkeys(Action, 0))
    listed: list[dict[str, str]] = field(default_factory=list)
    refused: Refusals = field(default_factory=Refusals)
    seconds: float = 0.0

    def add(self, document: str, action: Action) -> None:
        self.counts[action] += 1
        if action in CHANGES and len(self.listed) < MOST_LISTED:
            self.listed.append({"id": document, "action": action.value})

    def as_json(self) -> dict[str, Any]:
        changed = sum(self.counts[action] for action in CHANGES)
        return {
            "database": self.database,
            "node": self.node,
            "backup": self.backup,
            "dry_run": self.dry_run,
            "counts": {action.value: count for action, count in self.counts.items()},
            "documents": self.listed,
            "truncated": changed > len(self.listed),
            "refused": self.refused.as_json(),
            "seconds": round(self.seconds, 3),
        }


def roll_back(
    vault: Vault,
    chain: Chain,
    target: Database,
    control: Control,
    *,
    only: Collection[str] | None = None,
    delete_newer: bool = False,
    dry_run: bool = False,
) -> RolledBack:
    """`only`: just these ids. `delete_newer`: documents made since are deleted, and otherwise kept. Doing it again
    changes nothing, so one that broke off is simply begun anew.

    Raises NotFound (no such database), and what the store and the node raise.
    """
    began = time.monotonic()
    if target.info() is None:
        raise NotFound(
            f"there is no database {target.name} to roll back: mode new makes one",
            node=target.server.node.name,
            database=target.name,
        )
    result = RolledBack(target.name, target.server.node.name, chain.newest.backup, dry_run)
    work = _Rollback(vault, target, result, delete_newer=delete_newer)
    with SeenIds() as seen:
        # design documents last, as in every restore
        for kinds in (DOCUMENTS, (Kind.DESIGN,)):
            _known(work, chain, kinds, only, seen, control)
        _newer(work, only, seen, control)
    result.seconds = time.monotonic() - began
    return result


def _known(
    work: _Rollback,
    chain: Chain,
    kinds: Sequence[Kind],
    only: Collection[str] | None,
    seen: SeenIds,
    control: Control,
) -> None:
    """What the backup has."""
    total = sum(chunk.documents for chunk in chain.chunks(kinds))
    done = 0
    for piece in chain.pieces(kinds, only=only):
        for batch in batches(list(documents(piece)), AT_ONCE):
            control.check()
            for document in batch:
                seen.add(document.id)
            work.bring_back(batch)
            done += len(batch)
            control.report("roll back", done, total, "documents")


def _newer(work: _Rollback, only: Collection[str] | None, seen: SeenIds, control: Control) -> None:
    """What the backup does not know."""
    control.report("newer documents")
    with Feed(work.revisions, None) as feed:
        for page in feed:
            control.check()
            unknown = [(key, leaves) for key, leaves in page.rows if key not in seen and (only is None or key in only)]
            for batch in batches(unknown, AT_ONCE):
                work.consider_newer(batch)


class _Rollback:
    def __init__(self, vault: Vault, target: Database, result: RolledBack, *, delete_newer: bool) -> None:
        self.revisions = Revisions(target)
        self._target = target
        self._vault = vault
        self._result = result
        self._delete_newer = delete_newer
        self._inline = target.server.capabilities().kind is NodeKind.STANDIN

    def bring_back(self, wanted: list[Document]) -> None:
        """Compare, and write what differs; once more for those that somebody wrote to in between. What was done is
        counted when the node has answered."""
        for _ in range(TRIES):
            now = self._now([document.id for document in wanted])
            steps = {
                document.id: step(document.leaves, now.get(document.id, []), delete_newer=self._delete_newer)
                for document in wanted
            }
            undone = self._carry_out([(document, steps[document.id]) for document in wanted], now)
            for document in wanted:
                if document.id not in undone:
                    self._result.add(document.id, steps[document.id].action)
            for key, reason in undone.items():
                if reason is not None:
                    self._result.refused.add(key, None, reason)
            wanted = [document for document in wanted if undone.get(document.id, "done") is None]
            if not wanted:
                return
        for document in wanted:
            self._result.refused.add(document.id, None, "conflict: somebody writes to it all the time")

    def consider_newer(self, rows: list[Row]) -> None:
        self.bring_back([Document(key, [], {}) for key, _ in rows])

    def _now(self, ids: list[str]) -> dict[str, list[Leaf]]:
        return self._read(list(self._target.leaves_of(ids).items()))

    def _read(self, rows: list[Row]) -> dict[str, list[Leaf]]:
        if not rows:
            return {}
        found, _ = self.revisions.leaves(rows)
        return {one.id: [leaf(revision)[1] for revision in one.revisions] for one in found}

    def _carry_out(self, steps: Sequence[tuple[Document, Step]], now: dict[str, list[Leaf]]) -> dict[str, str | None]:
        """Returns the ids of documents that were not written: with the node's reason, or None where somebody wrote to
        them in between."""
        if self._result.dry_run:
            return {}
        undone: dict[str, str | None] = {}
        plain: list[bytes] = []
        for document, what in steps:
            if what.action is Action.DELETE:
                plain += [_tombstone(document.id, rev) for rev in what.leaves]
            elif what.action in CHANGES:
                was = winner(document.leaves)
                assert was is not None  # noqa: S101 - there is something to bring back
                if was.attachments:
                    undone |= self._write_attached(document, was, what, winner(now.get(document.id, [])))
                else:
                    plain.append(_renewed(document.lines[was.rev].doc, what.parent, {}))
        return undone | self._write_plain(plain)

    def _write_plain(self, lines: Sequence[bytes]) -> dict[str, str | None]:
        undone: dict[str, str | None] = {}
        for batch in batched(lines):
            for row in self.revisions.write(batch, new_edits=True):
                if "error" in row:
                    refused = f"{row['error']}: {row.get('reason')}"
                    undone[str(row["id"])] = None if row["error"] == "conflict" else refused
        return undone

    def _write_attached(self, document: Document, was: Leaf, what: Step, is_now: Leaf | None) -> dict[str, str | None]:
        wrapped = document.lines[was.rev]
        same = dict(is_now.attachments.items() & was.attachments.items()) if what.parent and is_now else {}
        if self._inline or has_no_url(document.id):
            return self._write_plain([self._inlined(wrapped, what)])
        with ExitStack() as stack:
            _, text, parts = attached.related(self._vault, wrapped, stack, known=same)
            text = _renewed(msgspec.Raw(text), what.parent, None)
            if not parts:
                return self._write_plain([text])
            try:
                self.revisions.write_with_attachments(document.id, text, parts, new_edits=True)
            except Conflict:
                return {document.id: None}
            except REFUSED as error:
                return {document.id: error.detail}
        return {}

    def _inlined(self, wrapped: Wrapped, what: Step) -> bytes:
        return _renewed(msgspec.Raw(attached.inline(self._vault, wrapped)), what.parent, None)


def _tombstone(document_id: str, rev: str) -> bytes:
    return msgspec.json.encode({"_id": document_id, "_rev": rev, "_deleted": True})


def _renewed(revision: msgspec.Raw, parent: str | None, attachments: dict[str, Any] | None) -> bytes:
    """The same content as a new revision on top of `parent`. `attachments` None: as they are in it."""
    fields: dict[str, Any] = msgspec.json.decode(revision, type=dict[str, msgspec.Raw])
    kept = fields.get("_attachments") if attachments is None else attachments
    fields = {name: value for name, value in fields.items() if not name.startswith("_")}
    fields["_id"] = HEAD.decode(revision).id
    if parent is not None:
        fields["_rev"] = parent
    if kept:
        fields["_attachments"] = kept
    return msgspec.json.encode(fields)
