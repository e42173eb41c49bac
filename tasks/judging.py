"""From a sweep's looks to verdicts: what is remembered of each node, and what is to be remembered of it now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from typing import Any

from tasks.wiring import Parts
from worker.core.health import Bounds, Facts, Failure, Look, NodeState, Verdict, judge, restarted
from worker.core.register import Entry, Register, noted, strange
from worker.couch.cluster import Cluster
from worker.ops import register as copies

KEPT = "verdict"  # in a node's record: what only the next look needs


def judged(
    parts: Parts, looks: Mapping[str, Look], earlier: Mapping[str, Verdict], register: Register, now: float
) -> tuple[dict[str, Verdict], dict[str, Entry]]:
    """The verdicts on these nodes, and the register after them."""
    bounds = Bounds(parts.settings.health_failures, parts.settings.health_successes)
    paid, notes = parts.seen.paid_debts(), parts.seen.rejoins()
    by_itself = parts.settings.continuous_replication
    verdicts, after = {}, dict(register)
    for name, look in looks.items():
        known = register.get(name)
        before = earlier.get(name) or _remembered(name, known)
        facts = Facts(
            maintenance=bool(known and known.maintenance),
            # where nothing is carried by itself, nothing is to be waited for either
            strange=strange(known, look, others_known=bool(register) and by_itself),
            paid=paid.get(name)
            if by_itself or before is None or before.debt is not NodeState.RECOVERING
            else before.debts,
            note=notes.get(name, {}).get("note"),
        )
        verdicts[name] = judge(before, look, now, bounds, facts)
        after[name] = noted(known, look, verdicts[name], now)
    return verdicts, after


def _remembered(name: str, known: Entry | None) -> Verdict | None:
    """Of a node that owed something when Redis was lost."""
    if known is None or known.owes is None:
        return None
    return Verdict(name, debt=NodeState(known.owes), debts=1)


def with_memory(
    parts: Parts, cluster: Cluster, looks: Mapping[str, Look], earlier: Mapping[str, Verdict], now: float
) -> dict[str, Look]:
    """The looks, and of nodes that have come back whether what we had noted on them is still there. Our own database
    may be: whoever sets up makes it again, and may be quicker than the sweep."""

    def came_back(look: Look) -> bool:
        before = earlier.get(look.node)
        return before is not None and (not before.successes or restarted(before, look, now))

    back = [name for name, look in looks.items() if look.ok and look.own and came_back(look)]
    noted_on = parts.seen.register_copies() if back else {}
    said = copies.read(cluster, [name for name in back if name in noted_on], parts.settings.health_timeout)
    emptied = {name for name, register in said.items() if not register}
    return {name: replace(look, own=False) if name in emptied else look for name, look in looks.items()}


def register_of(parts: Parts, cluster: Cluster, looks: Mapping[str, Look]) -> Register:
    """What is remembered of the configured nodes. After Redis was lost it is read from the nodes; at the very first
    start all of them count as known, or those that answer a moment later would be taken for new ones."""
    known = parts.seen.register()
    if known is None:
        answering = [name for name, look in looks.items() if look.ok and look.own is not False]
        known = copies.merged(copies.read(cluster, answering, parts.settings.health_timeout))
        known = known or {name: Entry() for name in cluster.names}
    said = parts.seen.maintenance()
    return {name: _with(entry, said.get(name)) for name, entry in known.items() if name in cluster.names}


def _with(entry: Entry, said: Mapping[str, Any] | None) -> Entry:
    """What a person says counts, whatever was remembered."""
    if said is None or said["on"] == entry.maintenance:
        return entry
    return replace(entry, maintenance=bool(said["on"]), at=max(entry.at, said["at"]))


def spread(parts: Parts, cluster: Cluster, register: Register, looks: Mapping[str, Look]) -> None:
    """Keep it, and hand it to the nodes that answer and do not have it yet."""
    parts.seen.save_register(register)
    has = parts.seen.register_copies()
    wanted = copies.digest(register)
    late = [name for name, look in looks.items() if look.ok and look.own and has.get(name) != wanted]
    if late:
        parts.seen.save_register_copies(dict.fromkeys(copies.write(cluster, late, register), wanted))


def read(record: Mapping[str, Any]) -> Verdict:
    """From a node's record in a sweep. What an older or newer version of ours wrote may have other fields."""
    known = {field.name for field in fields(Verdict)}
    kept = {key: value for key, value in record.get(KEPT, {}).items() if key in known}
    verdict = Verdict(**{**kept, "node": record["name"]})
    return replace(
        verdict,
        state=NodeState(verdict.state),
        failure=Failure(verdict.failure) if verdict.failure else None,
        debt=NodeState(verdict.debt) if verdict.debt else None,
        downs=tuple(verdict.downs),
    )


def told(verdict: Verdict) -> dict[str, Any]:
    """As it stands in a node's record."""
    return {
        "state": verdict.state.value,
        "since": verdict.since,
        "reason": verdict.reason,
        "failure": verdict.failure.value if verdict.failure else None,
        "failures": verdict.failures,
        "successes": verdict.successes,
        KEPT: asdict(verdict),
    }
