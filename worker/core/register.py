"""What is remembered of each node beyond what a look tells: is it the server it was, does it owe us something? Pure.

Copies are kept on the nodes themselves (worker.ops.register), so that a node which comes back empty while Redis was
lost, too, is not taken for one on which everybody deleted everything. The newest word about a node counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from worker.core.health import Look, NodeState, Verdict


@dataclass(frozen=True)
class Entry:
    """Of one node. `uuid`: of the server that was let in last. `own`: whether our own database has been seen on it.
    `maintenance`: a person has taken it out. `owes`: recovering or replaced, until its data is what it should be.
    `at`: when this was noted, in seconds since the epoch."""

    uuid: str | None = None
    own: bool = False
    maintenance: bool = False
    owes: str | None = None
    at: float = 0.0


Register = Mapping[str, Entry]  # node -> what is remembered of it


def strange(known: Entry | None, look: Look, *, others_known: bool) -> str | None:
    """Why this is not the server it was, in words; None where it is, or nobody can tell. `others_known`: other nodes
    are remembered, so one that is not has been added."""
    if not look.ok:
        return None
    if known is None:
        return "a node that is new here" if others_known else None
    if known.uuid and look.uuid and known.uuid != look.uuid:
        return f"another server answers there (uuid {look.uuid}, it was {known.uuid})"
    if known.own and look.own is False:
        return "it was emptied: our own database is gone from it"
    return None


def noted(known: Entry | None, look: Look, verdict: Verdict, now: float) -> Entry:
    """What is to be remembered after this look: `known` itself where nothing has changed."""
    before = known or Entry()
    owes = verdict.debt.value if verdict.debt else None
    now_known = replace(before, owes=owes)
    if look.ok and verdict.debt is not NodeState.REPLACED:
        # until a replaced node was let in, it is measured by what it was
        own = before.own if look.own is None else look.own
        now_known = replace(now_known, uuid=look.uuid or before.uuid, own=own)
    if known is not None and now_known == before:
        return known
    return replace(now_known, at=now)


def newest(registers: Iterable[Register]) -> dict[str, Entry]:
    """What counts, of what several nodes remember."""
    found: dict[str, Entry] = {}
    for register in registers:
        for name, entry in register.items():
            if name not in found or entry.at > found[name].at:
                found[name] = entry
    return found


def as_json(register: Register) -> dict[str, Any]:
    return {name: vars(entry) for name, entry in sorted(register.items())}


def from_json(said: Mapping[str, Any]) -> dict[str, Entry]:
    """What an older or newer version of ours wrote may have other fields."""
    known = {field.name for field in fields(Entry)}
    return {name: Entry(**{key: value for key, value in entry.items() if key in known}) for name, entry in said.items()}
