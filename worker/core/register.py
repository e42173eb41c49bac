"""What is remembered of each node beyond what a look tells: is it the server it was, does it owe us something? Pure.

Copies are kept on the nodes themselves (worker.ops.register), so that a node which comes back empty while Redis was
lost, too, is not taken for one on which everybody deleted everything. The newest word about a node counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from worker.core.health import Look, NodeState, Strange, Verdict


@dataclass(frozen=True)
class Entry:
    """Of one node. `uuid`: of the server that was let in last. `own`: whether our own database has been seen on it.
    `owes`: recovering or replaced, until its data is what it should be. `at`: when these were noted, in seconds since
    the epoch; 0 for a first sight, which overrules nobody. `maintenance`: a person has taken it out, at `said_at`."""

    uuid: str | None = None
    own: bool = False
    owes: str | None = None
    at: float = 0.0
    maintenance: bool = False
    said_at: float = 0.0


Register = Mapping[str, Entry]  # node -> what is remembered of it


def strange(known: Entry | None, look: Look, *, others_known: bool) -> Strange | None:
    """Why this is not the server it was; None where it is, or nobody can tell. `others_known`: other nodes are
    remembered, so one that is not has been added."""
    if not look.ok:
        return None
    if known is None:
        return Strange("a node that is new here", NodeState.REPLACED) if others_known else None
    if known.own and look.own is False:
        return Strange("it was emptied: our own database is gone from it", NodeState.REPLACED)
    if known.uuid and look.uuid and known.uuid != look.uuid:
        words = f"answers with another uuid ({look.uuid}, it was {known.uuid})"
        # with all that we had noted on it, it has lost its configuration and not its data
        return Strange(words, NodeState.RECOVERING if known.own and look.own else NodeState.REPLACED)
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
    if now_known == before:
        return before
    first_sight = before.at == 0.0 and owes is None
    return replace(now_known, at=0.0 if first_sight else now)


def newest(registers: Iterable[Register]) -> dict[str, Entry]:
    """What counts, of what several nodes remember: what a person said apart from what was seen."""
    found: dict[str, Entry] = {}
    for register in registers:
        for name, entry in register.items():
            other = found.get(name, entry)
            seen = entry if (entry.at, entry.own) > (other.at, other.own) else other
            said = entry if entry.said_at > other.said_at else other
            found[name] = replace(seen, maintenance=said.maintenance, said_at=said.said_at)
    return found


def as_json(register: Register) -> dict[str, Any]:
    return {name: vars(entry) for name, entry in sorted(register.items())}


def from_json(said: Mapping[str, Any]) -> dict[str, Entry]:
    """What an older or newer version of ours wrote may have other fields."""
    known = {field.name for field in fields(Entry)}
    return {name: Entry(**{key: value for key, value in entry.items() if key in known}) for name, entry in said.items()}
