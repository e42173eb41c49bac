"""Webhook receivers that were registered through the API, as they are remembered. Pure.

Copies are kept on the nodes (worker.ops.registrations), and several may differ: of a node that was away, or from before
Redis was lost. A registration never changes after it was made, so putting copies together is easy: all that any of
them has counts, but for what any of them knows to be deleted. For GONE_KEPT a deleted one is remembered, so that no
older copy brings it back.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from worker.core.events import SENT_ONLY, EventType

PREFIX = "wh_"  # of their ids; those of WEBHOOK_URLS have none
MOST = 50
MOST_GONE = 1_000  # deletions that are remembered: each is written to every node
GONE_KEPT = 90 * 86_400.0  # seconds


@dataclass(frozen=True)
class Registration:
    """`host`: scheme, host and port, all that is shown of the URL. `sealed`: the URL and the secret (tasks.sealing).
    `events`: the types that are sent there; None: all that are kept."""

    id: str
    host: str
    created_at: float
    sealed: str = field(repr=False)
    events: tuple[str, ...] | None = None
    description: str | None = None

    def wants(self, kind: EventType) -> bool:
        return kind not in SENT_ONLY if self.events is None else kind.value in self.events


@dataclass(frozen=True)
class Registrations:
    """`gone`: id -> when it was deleted, in seconds since the epoch."""

    living: Mapping[str, Registration] = field(default_factory=dict)
    gone: Mapping[str, float] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.living or self.gone)


def merged(copies: Iterable[Registrations], now: float) -> Registrations:
    """What counts, of what several copies remember."""
    living: dict[str, Registration] = {}
    gone: dict[str, float] = {}
    for copy in copies:
        living |= copy.living
        for identity, at in copy.gone.items():
            gone[identity] = max(at, gone.get(identity, at))
    return Registrations(
        {identity: found for identity, found in living.items() if identity not in gone},
        {identity: at for identity, at in gone.items() if at > now - GONE_KEPT},
    )


def as_json(known: Registrations) -> dict[str, Any]:
    living = {identity: one_as_json(found) for identity, found in sorted(known.living.items())}
    return {"living": living, "gone": dict(sorted(known.gone.items()))}


def from_json(said: Mapping[str, Any]) -> Registrations:
    living = {identity: one_from_json(raw) for identity, raw in said.get("living", {}).items()}
    return Registrations(living, {identity: float(at) for identity, at in said.get("gone", {}).items()})


def one_as_json(found: Registration) -> dict[str, Any]:
    return asdict(found)


def one_from_json(raw: Mapping[str, Any]) -> Registration:
    """What an older or newer version of ours wrote may have other fields."""
    known = {each.name for each in fields(Registration)}
    values = {key: value for key, value in raw.items() if key in known}
    return Registration(**{**values, "events": tuple(raw["events"]) if raw.get("events") is not None else None})


def digest(known: Registrations) -> str:
    """Equal for equal ones: what a node is known to have."""
    return hashlib.sha256(json.dumps(as_json(known), sort_keys=True).encode()).hexdigest()[:16]
