"""What an import did, as it is told to people and programs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from worker.core.dumps import Format
from worker.ops.restore.result import Refusals

MOST_SHOWN = 20  # documents that people are told of one by one; programs get more
_WORDS = {
    Format.ALL_DOCS: "an answer of _all_docs",
    Format.COUCHBACKUP: "a backup file of couchbackup",
    Format.DOCUMENTS: "a list of documents",
}


@dataclass
class Imported:
    """One dump into one database.

    `revisions` that were sent: of them `deleted` ones, `design_documents`, those that came `without_history`, so that
    only their last revision is known, and those that came `without_revision`, so that they got one. `attachments` that
    came with them; `attachments_missing`: revisions that were written without some of theirs, because the dump has only
    the names. `without_document`: rows of the dump with nothing in them; `total_rows`: what the dump says that the
    database had. `broken_lines` and `damaged`: what could not be read, see worker.core.dumps.
    """

    into: str
    node: str
    format: Format = Format.DOCUMENTS
    documents: int = 0
    revisions: int = 0
    deleted: int = 0
    design_documents: int = 0
    without_history: int = 0
    without_revision: int = 0
    without_document: int = 0
    total_rows: int | None = None
    attachments: int = 0
    attachments_missing: Refusals = field(default_factory=Refusals)
    refused: Refusals = field(default_factory=Refusals)
    broken_lines: list[int] = field(default_factory=list)
    damaged: str | None = None
    resumed: bool = False
    seconds: float = 0.0

    @property
    def complete(self) -> bool:
        """Whether all that was in the dump, or is named there, is in the database now."""
        lacking = self.refused.count or self.attachments_missing.count
        return not (lacking or self.broken_lines or self.damaged)

    def as_json(self) -> dict[str, Any]:
        told = {name: value.as_json() if isinstance(value, Refusals) else value for name, value in vars(self).items()}
        return {**told, "complete": self.complete, "seconds": round(self.seconds, 3)}

    def lines(self) -> Iterator[str]:
        """For people: what is there, then what is not."""
        yield (
            f"{self.into}: {self.documents:,} documents of {_WORDS[self.format]}, in {self.revisions:,} revisions "
            f"({self.deleted:,} deletions, {self.design_documents:,} design documents), with {self.attachments:,} "
            f"attachments, in {self.seconds:.1f} s"
        )
        yield from self._notes()
        if self.attachments_missing.count:
            yield f"{self.attachments_missing.count:,} revisions lack attachments, as the dump has only their names:"
            yield from _listed(self.attachments_missing)
        if self.refused.count:
            yield f"{self.refused.count:,} revisions were refused by the node:"
            yield from _listed(self.refused)
        if self.broken_lines:
            numbers = ", ".join(f"{number:,}" for number in self.broken_lines[:MOST_SHOWN])
            yield f"{len(self.broken_lines):,} lines of the dump are broken off, the rest of each is lost: {numbers}"
        if self.damaged:
            yield f"the dump is damaged, and what follows is lost: {self.damaged}"

    def _notes(self) -> Iterator[str]:
        if self.resumed:
            yield "an import of this dump had broken off, and was gone on with"
        if self.without_history:
            yield f"{self.without_history:,} revisions came without a history: only the last revision of each is known"
        if self.without_revision:
            yield f"{self.without_revision:,} documents came without a revision, and were given one"
        if self.without_document:
            yield f"{self.without_document:,} rows of the dump have no document"
        if self.total_rows is not None and self.total_rows != self.documents:
            yield f"by the dump, the database had {self.total_rows:,} documents, not {self.documents:,}"
        yield "who may read and write it is not in a dump: look at its _security"


def _listed(found: Refusals) -> Iterator[str]:
    for one in found.listed[:MOST_SHOWN]:
        yield f"  {one['id']} {one['rev'] or ''}: {one['reason']}"
    if found.count > MOST_SHOWN:
        yield f"  and {found.count - MOST_SHOWN:,} more"
