"""What a verify found, as it is told to people and programs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from worker.core.model import Leaves

MOST_LISTED = 100  # documents that are named; all are counted
MOST_LEAVES = 20  # of one document on one node that are listed


@dataclass
class Repaired:
    """Documents that were different, and are not any more: how many, and the first ids."""

    count: int = 0
    ids: list[str] = field(default_factory=list)

    def add(self, ids: list[str]) -> None:
        self.count += len(ids)
        self.ids += sorted(ids)[: MOST_LISTED - len(self.ids)]

    def as_json(self) -> dict[str, Any]:
        return {"count": self.count, "ids": self.ids, "truncated": self.count > len(self.ids)}


@dataclass
class VerifyResult:
    """`documents`: node -> documents compared; `differing` those that are known to differ, of which `listed` are named,
    and `refused` because a node does not take them; `unconfirmed`: documents that may just not have been replicated
    yet; `repaired` None where not asked."""

    database: str
    nodes: list[str] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    documents: dict[str, int] = field(default_factory=dict)
    differing: int = 0
    refused: int = 0
    listed: list[dict[str, Any]] = field(default_factory=list)
    not_carried: int = 0
    unconfirmed: int = 0
    repaired: Repaired | None = None
    seconds: float = 0.0
    digest_seconds: float = 0.0

    @property
    def equal(self) -> bool | None:
        """None: no document is known to differ, and some could not be told."""
        if self.differing:
            return False
        return None if self.unconfirmed else True

    @property
    def room(self) -> int:
        """How many more documents can be named."""
        return MOST_LISTED - len(self.listed)

    def name(self, document_id: str, nodes: Mapping[str, Leaves], reason: str | None) -> None:
        told = {"id": document_id, "nodes": {name: list(leaves[:MOST_LEAVES]) for name, leaves in nodes.items()}}
        self.listed.append({**told, "reason": reason} if reason else told)

    def as_json(self) -> dict[str, Any]:
        rows = sum(self.documents.values())
        return {
            "database": self.database,
            "equal": self.equal,
            "complete": not self.skipped,
            "nodes": self.nodes,
            "skipped": [{"node": node, "reason": why} for node, why in self.skipped.items()],
            "documents": self.documents,
            "differing": {
                "count": self.differing,
                "ids": self.listed,
                "truncated": self.differing > len(self.listed),
            },
            "unconfirmed": self.unconfirmed,
            "not_carried": self.not_carried,
            "repaired": self.repaired.as_json() if self.repaired else None,
            "seconds": round(self.seconds, 3),
            "rate": round(rows / self.digest_seconds) if self.digest_seconds else None,
        }
