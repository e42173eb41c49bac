"""What a rejoin did, as it is told to people and programs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

MOST_TOLD = 100  # databases


@dataclass
class Rejoined:
    """`databases`: that were looked at; `in_step`: of those, where nothing had happened since the last sync. `written`:
    documents that arrived on the node. `left_alone`: databases that no other node has, or that come only from a primary
    which is away. `refused`: database -> documents that a node does not take, whoever sends them; they are told, and
    keep nobody out. `verified`: databases compared leaf by leaf. `failed`: database -> why.
    """

    node: str
    databases: int = 0
    in_step: int = 0
    written: int = 0
    left_alone: int = 0
    refused: dict[str, str] = field(default_factory=dict)
    verified: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0

    def as_json(self) -> dict[str, Any]:
        return {
            "node": self.node,
            "databases": self.databases,
            "in_step": self.in_step,
            "documents_written": self.written,
            "left_alone": self.left_alone,
            "refused": dict(sorted(self.refused.items())[:MOST_TOLD]),
            "verified": self.verified,
            "failed": dict(sorted(self.failed.items())[:MOST_TOLD]),
            "skipped": [{"node": node, "reason": why} for node, why in self.skipped.items()],
            "seconds": round(self.seconds, 3),
        }


def note_synced(done: Rejoined, written: int) -> None:
    done.written += written


def note_alone(done: Rejoined) -> None:
    done.left_alone += 1


def note_refused(done: Rejoined, database: str, words: str) -> None:
    done.refused[database] = words


def note_verified(done: Rejoined) -> None:
    done.verified += 1
