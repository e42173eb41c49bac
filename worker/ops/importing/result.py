"""What an import did, as it is told to people and programs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from worker.core.dumps import Format
from worker.ops.restore.result import Refusals


@dataclass
class Imported:
    """One dump into one database.

    `revisions`: that were sent, and of them `deleted` ones, `design_documents`, and those that came `without_history`,
    so that only their last revision is known, or even `without_revision`, so that they got one. `attachments` that came
    with them; `attachments_missing`: revisions that were written without some of theirs, because the dump has only the
    names. `without_document`: rows of the dump with nothing in them; `total_rows`: what the dump says that the
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
        """Whether all that the database had, as far as the dump tells, is there now."""
        lacking = self.refused.count or self.attachments_missing.count
        return not (lacking or self.broken_lines or self.damaged)

    def as_json(self) -> dict[str, Any]:
        told = {name: value.as_json() if isinstance(value, Refusals) else value for name, value in vars(self).items()}
        return {**told, "complete": self.complete, "seconds": round(self.seconds, 3)}

    def lines(self) -> list[str]:
        """For people: what is there, then what is not."""
        return [line for line in (*self._there(), *self._lacking()) if line]

    def _there(self) -> list[str]:
        found = [
            f"{self.documents:,} documents ({self.format}) are in {self.into} now: {self.revisions:,} revisions, of them "
            f"{self.deleted:,} deletions and {self.design_documents:,} design documents; {self.attachments:,} attachments",
            f"{self.without_history:,} revisions came without their histories: who can edited them is known, and not what "
            "led there",
        ]
        return found

    def _lacking(self) -> list[str]:
        return []
