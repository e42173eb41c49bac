"""From a sweep's looks to verdicts: what is remembered of each node, and what is to be remembered of it now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from typing import Any

from tasks.wiring import Parts
from worker.core.health import Bounds, Facts, Failure, Look, NodeState, Payment, Verdict, judge, restarted
from worker.core.register import Entry, Register, newest, noted, strange
from worker.couch.cluster import Cluster
from worker.ops import register as copies

UNREAD = "what we had noted on it could not be read"
KEPT = "verdict"  # in a node's record: what only the next look needs


def judged(
    parts: Parts, looks: Mapping[str, Look], earlier: Mapping[str, Verdict], register: Register, now: float
) -> tuple[dict[str, Verdict], dict[str, Entry]]:
    """The verdicts on these nodes, and the register after them."""
    bounds = Bounds(parts.settings.health_failures, parts.settings.health_successes)
    paid, notes = parts.seen.payments(), parts.seen.rejoins()
    # where nothing is carried by itself, and where there is nobody to carry it from, nothing is to be waited for
    by_itself = parts.settings.continuous_replication and len(parts.settings.nodes) > 1
    verdicts, after = {}, dict(register)
    for name, look in looks.items():
        known = register.get(name)
        before = _remembered(name, earlier.get(name), known, now)
        payment = paid.get(name)
        if not by_itself and before is not None and before.debt is NodeState.RECOVERING:
            payment = Payment(before.debt_at or now, look.uuid)
        facts = Facts(
            maintenance=bool(known and known.maintenance),
            strange=strange(known, look, others_known=bool(register) and by_itself),
            paid=payment,
            note=notes.get(name, {}).get("note"),
        )
        verdicts[name] = judge(before, look, now, bounds, facts)
        after[name] = noted(known, look, verdicts[name], now)
    return verdicts, after


def _remembered(name: str, earlier: Verdict | None, known: Entry | None, now: float) -> Verdict | None:
    """With what it owes by the register: Redis may have been lost since, and a copy read only now."""
    if known is None or known.owes is None or (earlier is not None and earlier.debt is not None):
        return earlier
    return replace(earlier or Verdict(name), debt=NodeState(known.owes), debt_at=now)


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
    asked = [name for name in back if name in noted_on]
    said = copies.read(cluster, asked, parts.settings.health_timeout)
    found = dict(looks)
    for name in asked:
        if name not in said:  # asked again at the next look, and not believed before
            found[name] = replace(looks[name], ok=False, failure=Failure.OTHER, reason=UNREAD)
        elif not said[name]:
            found[name] = replace(looks[name], own=False)
    return found


def register_of(parts: Parts, cluster: Cluster, looks: Mapping[str, Look]) -> tuple[Register, set[str]]:
    """What is remembered of the configured nodes, and the nodes whose copy of it could not be read.

    After Redis was lost it is read from each node as it answers. At the very first start, where no node has a copy, all
    of them count as known: those that answer a moment later would be taken for new ones.
    """
    known = parts.seen.register()
    # where it is lost, who has a copy is not asked of Redis: a sweep under way may have noted that after the loss
    has = parts.seen.register_copies() if known is not None else {}
    fresh = [name for name, look in looks.items() if look.ok and look.own and name not in has]
    said = copies.read(cluster, fresh, parts.settings.health_timeout)
    unread = set(fresh) - said.keys()
    merged = newest([known or {}, *said.values()])
    if not merged and not unread and any(look.ok for look in looks.values()):
        merged = {name: Entry() for name in cluster.names}
    words = parts.seen.maintenance()
    return {name: _with(entry, words.get(name)) for name, entry in merged.items() if name in cluster.names}, unread


def _with(entry: Entry, said: Mapping[str, Any] | None) -> Entry:
    """What a person has said last counts, wherever it was noted."""
    if said is None or said["at"] <= entry.said_at:
        return entry
    return replace(entry, maintenance=bool(said["on"]), said_at=said["at"])


def spread(parts: Parts, cluster: Cluster, register: Register, looks: Mapping[str, Look], unread: set[str]) -> None:
    """Keep it, and hand it to the nodes that answer and do not have it yet; not to one whose own word is not known."""
    parts.seen.save_register(register)
    has = parts.seen.register_copies()
    wanted = copies.digest(register)
    late = [
        name for name, look in looks.items() if look.ok and look.own and name not in unread and has.get(name) != wanted
    ]
    if late:
        written = copies.write(cluster, late, register, parts.settings.health_timeout)
        parts.seen.save_register_copies(dict.fromkeys(written, wanted))


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
        doubts=tuple(verdict.doubts),
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
