"""What a sync did, as it is told to people and programs."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from worker.core.model import Link
from worker.ops.check import Missing
from worker.ops.ensure import Security


@dataclass(frozen=True)
class Pull:
    """One pull as the result tells it. `phase` is gather or scatter."""

    source: str
    target: str
    phase: str
    round: int
    docs_read: int
    docs_written: int
    doc_write_failures: int
    seconds: float


@dataclass
class SyncResult:
    """What a sync did. `lag`: link -> changes its target has not confirmed; `missing`: link -> documents its
    target confirmed and lacks; `sequences`: node -> update_seq read before the last check, so that equal ones
    later mean that nothing has changed since; `confirmed`: link -> the source's sequence up to which its target has
    everything; `refused`: link -> write failures in its whole history; `left`:
    pulls of a node that hangs, left running there."""

    database: str
    hub: str = ""
    nodes: list[str] = field(default_factory=list)
    created_on: list[str] = field(default_factory=list)
    security: Security = field(default_factory=lambda: Security([], []))
    skipped: dict[str, str] = field(default_factory=dict)
    pulls: list[Pull] = field(default_factory=list)
    before: dict[str, int] = field(default_factory=dict)
    after: dict[str, int] = field(default_factory=dict)
    lag: dict[Link, int] = field(default_factory=dict)
    missing: dict[Link, Missing] = field(default_factory=dict)
    refused: dict[Link, int] = field(default_factory=dict)
    left: list[Link] = field(default_factory=list)
    sequences: dict[str, str] = field(default_factory=dict)
    confirmed: dict[Link, str] = field(default_factory=dict)
    rounds: int = 0
    seconds: float = 0.0

    @property
    def caught_up(self) -> bool:
        """Every change on every node that took part is confirmed by the others, and none is known to be missing."""
        return bool(self.lag) and not any(self.lag.values()) and not self.missing

    def as_json(self) -> dict[str, Any]:
        return {
            "database": self.database,
            "caught_up": self.caught_up,
            "complete": not self.skipped,
            "hub": self.hub,
            "nodes": self.nodes,
            "created_on": self.created_on,
            "security_copied_to": self.security.copied_to,
            "security_differs_on": self.security.differs_on,
            "skipped": [{"node": node, "reason": why} for node, why in self.skipped.items()],
            "documents": {
                node: {"before": self.before.get(node, 0), "after": self.after.get(node)} for node in self.nodes
            },
            "pulls": [asdict(pull) for pull in self.pulls],
            "lag": [
                {"source": link.source, "target": link.target, "changes": changes} for link, changes in self.lag.items()
            ],
            "missing": [
                {"source": link.source, "target": link.target, "documents": missing.count, "ids": missing.ids}
                for link, missing in self.missing.items()
            ],
            "write_failures": [
                {"source": link.source, "target": link.target, "documents": count}
                for link, count in self.refused.items()
                if count
            ],
            "rounds": self.rounds,
            "seconds": round(self.seconds, 3),
        }
