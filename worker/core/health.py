"""From what was seen of a node to what we say about it. Pure: (earlier verdict, look, facts, now) -> verdict.

One bad look does not make a node down, and one good look does not bring it back (flapping would move clients and hubs
to and fro): counts in a row decide, a node that fails every other look is down too, and one that went down again and
again has to answer for longer each time.

A node that was down, was restarted unseen, or is not the server it was, owes us something: it is `recovering` or
`replaced`, whatever it answers, until its data was brought up to date (worker.ops.rejoin). Each such debt has a
number, so that what paid an earlier one does not pay the next.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

FLAPPING = 2  # bad looks more than are enough in a row, among twice as many, and the node is down too
FLAP_SECONDS = 600.0  # going down twice within so many seconds is flapping
MOST_DOUBLINGS = 4  # of the good looks that a flapping node has to give in a row
CLOCK_SLACK = 5.0  # seconds by which two computed starts of one server may differ: uptimes are rounded, clocks are set


class NodeState(StrEnum):
    UNKNOWN = "unknown"  # never looked at
    HEALTHY = "healthy"
    SUSPECT = "suspect"  # failing, not yet often enough to be called down
    DOWN = "down"
    RECOVERING = "recovering"  # answers again, and is being brought up to date
    REPLACED = "replaced"  # another server, or an emptied one, under the same name
    MAINTENANCE = "maintenance"  # a person has taken it out


class ClusterState(StrEnum):
    UNKNOWN = "unknown"
    HEALTHY = "healthy"
    DEGRADED = "degraded"
    DOWN = "down"


class Failure(StrEnum):
    """What is wrong with a node, as one word for programs."""

    REFUSED = "refused"  # nobody listens there
    DNS = "dns"
    UNREACHABLE = "unreachable"  # no route, reset, cut off
    TIMED_OUT = "timed-out"
    TLS = "tls"
    UNAUTHORIZED = "unauthorized"
    FORBIDDEN = "forbidden"
    LOCKED_OUT = "locked-out"
    SERVER_FAULT = "server-fault"  # 5xx
    MAINTENANCE_MODE = "maintenance-mode"  # CouchDB's own: /_up answers 404
    NOT_COUCHDB = "not-couchdb"
    SLOW = "slow"
    DISK = "disk"  # full, or not to be written to
    REPLACED = "replaced"
    OTHER = "other"


@dataclass(frozen=True)
class Look:
    """One look at one node. `reason`: words where it failed; figures not had are None.

    `uptime`: seconds since its server was started. `own`: whether our own database is on it.
    """

    node: str
    ok: bool
    failure: Failure | None = None
    reason: str | None = None
    latency_ms: float | None = None
    version: str | None = None
    uuid: str | None = None
    kind: str | None = None
    uptime: float | None = None
    own: bool | None = None


@dataclass(frozen=True)
class Facts:
    """What else is known of a node when it is judged.

    `maintenance`: a person has taken it out. `strange`: why it is not the server it was, in words. `paid`: the number
    of the debt that was paid last. `note`: what there is to say about paying, for `recovering` and `replaced`.
    """

    maintenance: bool = False
    strange: str | None = None
    paid: int | None = None
    note: str | None = None


@dataclass(frozen=True)
class Verdict:
    """What we say about a node, since when (seconds since the epoch) and why.

    `failures`, `successes`: looks in a row. `recent`: the last looks, "+" or "-" each. `downs`: when it was called
    down lately. `debt`: recovering or replaced, where its data has to be brought up to date; `debts` numbers them.
    `why`: of being replaced, in words; who looks again may find the traces gone. `started_at`: when its server was
    started. `down`, `doubted`: as if there were neither maintenance nor debt.
    """

    node: str
    state: NodeState = NodeState.UNKNOWN
    since: float = 0.0
    reason: str | None = None
    failure: Failure | None = None
    failures: int = 0
    successes: int = 0
    recent: str = ""
    downs: tuple[float, ...] = ()
    down: bool = False
    doubted: bool = False
    debt: NodeState | None = None
    debts: int = 0
    why: str | None = None
    started_at: float | None = None


@dataclass(frozen=True)
class Bounds:
    failures: int
    successes: int


def judge(earlier: Verdict | None, look: Look, now: float, bounds: Bounds, facts: Facts = Facts()) -> Verdict:
    """The verdict after one more look."""
    before = earlier or Verdict(look.node)
    slow = look.failure is Failure.SLOW  # never a reason to call it down: that would only make the others slow
    failures = 0 if look.ok else before.failures + (not slow)
    successes = before.successes + 1 if look.ok else 0
    too_many = bounds.failures + FLAPPING
    recent = before.recent if slow else (before.recent + "-+"[look.ok])[-2 * too_many :]
    downs = tuple(at for at in before.downs if now - at < FLAP_SECONDS)
    if before.down:
        down = successes < _wanted(downs, bounds)
    else:
        down = not look.ok and not slow and (failures >= bounds.failures or recent.count("-") >= too_many)
        downs += (now,) if down else ()
    doubted = not look.ok or (before.doubted and not before.down and successes < bounds.successes)
    fell = down and not before.down
    debt, debts = _debt(before, look, now, facts, fell=fell)
    state = _state(facts, down=down, doubted=doubted, debt=debt)
    why = (before.why or facts.strange) if debt is NodeState.REPLACED else None
    return Verdict(
        node=look.node,
        state=state,
        since=before.since if earlier and before.state is state else now,
        reason=_reason(state, look, facts, f"{successes} of {_wanted(downs, bounds)} good looks in a row", why),
        failure=look.failure or (Failure.REPLACED if state is NodeState.REPLACED else None),
        failures=failures,
        successes=successes,
        recent="" if before.down and not down else recent,
        downs=downs,
        down=down,
        doubted=doubted,
        debt=debt,
        debts=debts,
        why=why,
        started_at=before.started_at if look.uptime is None else now - look.uptime,
    )


def _wanted(downs: tuple[float, ...], bounds: Bounds) -> int:
    """Good looks in a row that bring a node back: twice as many for each time it went down lately."""
    return bounds.successes << min(max(len(downs) - 1, 0), MOST_DOUBLINGS)


def _debt(before: Verdict, look: Look, now: float, facts: Facts, *, fell: bool) -> tuple[NodeState | None, int]:
    if fell or (before.state is NodeState.MAINTENANCE and not facts.maintenance):
        # what it had to make up for before is still to be made up for, and by a new effort
        return before.debt or NodeState.RECOVERING, before.debts + 1
    if not look.ok:
        return before.debt, before.debts
    if facts.paid is not None and before.debt is not None and facts.paid == before.debts:
        return None, before.debts
    if facts.strange is not None and before.debt is not NodeState.REPLACED:
        return NodeState.REPLACED, before.debts + 1
    if restarted(before, look, now):
        return before.debt or NodeState.RECOVERING, before.debts + 1
    return before.debt, before.debts


def restarted(before: Verdict, look: Look, now: float) -> bool:
    """Whether it was away between two looks, and nobody saw it. Where it does not tell since when it runs, one bad look
    has to be taken for that."""
    if look.uptime is None:
        return before.failures > 0
    if before.started_at is None:
        return False
    return now - look.uptime > before.started_at + CLOCK_SLACK


def _state(facts: Facts, *, down: bool, doubted: bool, debt: NodeState | None) -> NodeState:
    if facts.maintenance:
        return NodeState.MAINTENANCE
    if down:
        return NodeState.DOWN
    if doubted:
        return NodeState.SUSPECT
    return debt or NodeState.HEALTHY


def _reason(state: NodeState, look: Look, facts: Facts, counted: str, why: str | None) -> str | None:
    if state is NodeState.MAINTENANCE:
        return "taken out by a person" + (f"; {look.reason}" if look.reason else "")
    if not look.ok:
        return look.reason
    if state in {NodeState.DOWN, NodeState.SUSPECT}:
        return f"answers again: {counted}"
    if state is NodeState.REPLACED:
        return f"{why or 'not the server it was'}; {facts.note or 'to be set up from nothing'}"
    if state is NodeState.RECOVERING:
        return facts.note or "was away, and is being brought up to date"
    return None


def cluster(states: Iterable[NodeState]) -> ClusterState:
    """healthy: every node is. down: no node answers. degraded: anything between."""
    seen = list(states)
    if not seen or all(state is NodeState.UNKNOWN for state in seen):
        return ClusterState.UNKNOWN
    if all(state is NodeState.HEALTHY for state in seen):
        return ClusterState.HEALTHY
    if all(state in {NodeState.DOWN, NodeState.UNKNOWN} for state in seen):
        return ClusterState.DOWN
    return ClusterState.DEGRADED
