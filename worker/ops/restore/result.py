"""What a restore did, as it is told to people and programs."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

MOST_LISTED = 100  # refusals that are named; all are counted


@dataclass
class Refusals:
    """Documents that a node did not take, with its reason. Safe to share between threads."""

    count: int = 0
    listed: list[dict[str, Any]] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def add(self, document: str, revision: str | None, reason: str) -> None:
        with self._lock:
            self.count += 1
            if len(self.listed) < MOST_LISTED:
                self.listed.append({"id": document, "rev": revision, "reason": reason})

    def add_row(self, row: Mapping[str, Any]) -> None:
        """A row of `_bulk_docs`'s answer."""
        self.add(str(row.get("id")), row.get("rev"), f"{row.get('error')}: {row.get('reason')}")

    def add_all(self, others: Refusals) -> None:
        with self._lock:
            self.count += others.count
            self.listed += others.listed[: MOST_LISTED - len(self.listed)]

    def as_json(self, most: int = MOST_LISTED) -> dict[str, Any]:
        listed = self.listed[:most]
        return {"count": self.count, "documents": listed, "truncated": self.count > len(listed)}

    @classmethod
    def of_json(cls, told: Mapping[str, Any]) -> Refusals:
        return cls(int(told["count"]), list(told["documents"]))


@dataclass
class Restored:
    """One database into one other. `documents` and `revisions` that were sent by this attempt; `resumed`: after an
    earlier one that broke off, whose refusals are in `refused` too."""

    database: str
    into: str
    node: str
    backup: str
    documents: int = 0
    revisions: int = 0
    attachments: int = 0
    local_documents: int = 0
    resumed: bool = False
    seconds: float = 0.0
    refused: Refusals = field(default_factory=Refusals)

    def as_json(self) -> dict[str, Any]:
        told = {name: value for name, value in vars(self).items() if name not in {"refused", "seconds"}}
        return {**told, "refused": self.refused.as_json(), "seconds": round(self.seconds, 3)}
