"""From what was seen of a node to what we say about it. Pure: (earlier verdict, look, facts, now) -> verdict.

One bad look does not make a node down, and one good look does not bring it back (flapping would move clients and hubs
to and fro): counts in a row decide, a node that fails every other look is down too, and one that went down again and
again has to answer for longer each time.

A node that was down, was restarted unseen, or is not the server it was, owes us something: it is `recovering` or
`replaced`, whatever it answers, until its data was brought up to date (worker.ops.rejoin). Each such debt is known by
the moment at which it was made, so that what paid an earlier one does not pay the next.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum

FLAPPING = 2  # bad looks more than are enough in a row, among twice as many, and the node is down too
FLAP_SECONDS = 600.0  # getting into trouble twice within so many seconds is flapping
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


# It answers, so it is never called down for it: of a slow one, that would only make the others slow
SOFT = frozenset({Failure.SLOW, Failure.DISK})


@dataclass(frozen=True)
class Look:
    """One look at one node. `reason`: words where it failed; figures not had are None.

    `uptime`: seconds since its server was started, as it told at `seen_at` (seconds since the epoch). `own`: whether
    our own database is on it.
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
    seen_at: float | None = None
    own: bool | None = None


@dataclass(frozen=True)
class Strange:
    """Why a node is not the server it was, in words, and what it owes for that."""

    why: str
    debt: NodeState


@dataclass(frozen=True)
class Payment:
    """That a node's data is what it should be. `debt`: which debt that pays, by the moment at which it was made.
    `uuid`: of the server that was brought up to date; another one has not paid anything."""

    debt: float
    uuid: str | None = None


@dataclass(frozen=True)
class Facts:
    """What else is known of a node when it is judged.

    `maintenance`: a person has taken it out. `paid`: the last payment. `note`: what there is to say about paying, for
    `recovering` and `replaced`.
    """

    maintenance: bool = False
    strange: Strange | None = None
    paid: Payment | None = None
    note: str | None = None


@dataclass(frozen=True)
class Verdict:
    """What we say about a node, since when (seconds since the epoch) and why.

    `failures`, `successes`, `answers`: bad looks, good looks, and looks that were answered, in a row. `recent`: the
    last looks, "+" or "-" each. `downs`, `doubts`: when it was called down, and when it came into doubt, lately.
    `debt`: recovering or replaced, where its data has to be brought up to date; `debt_at`: when that was found.
    `why`: of such a debt, in words; who looks again may find the traces gone. `uptime`: of its server, at `uptime_at`.
    `down`, `doubted`: as if there were neither maintenance nor debt.
    """

    node: str
    state: NodeState = NodeState.UNKNOWN
    since: float = 0.0
    reason: str | None = None
    failure: Failure | None = None
    failures: int = 0
    successes: int = 0
    answers: int = 0
    recent: str = ""
    downs: tuple[float, ...] = ()
    doubts: tuple[float, ...] = ()
    down: bool = False
    doubted: bool = False
    debt: NodeState | None = None
    debt_at: float | None = None
    why: str | None = None
    uptime: float | None = None
    uptime_at: float | None = None


@dataclass(frozen=True)
class Bounds:
    failures: int
    successes: int


def judge(earlier: Verdict | None, look: Look, now: float, bounds: Bounds, facts: Facts = Facts()) -> Verdict:
    """The verdict after one more look."""
    before = _counted(earlier or Verdict(look.node), look)
    downs, doubts = (tuple(at for at in times if now - at < FLAP_SECONDS) for times in (before.downs, before.doubts))
    was_down, was_doubted = before.down, before.doubted
    if look.ok and before.state is NodeState.MAINTENANCE and not facts.maintenance:
        was_down = was_doubted = False  # let in by a person, who knows what it went through
    too_many = bounds.failures + FLAPPING
    recent = before.recent[-2 * too_many :]
    if was_down:
        down = before.answers < _wanted(downs, bounds)
    else:
        down = _hard(look) and (before.failures >= bounds.failures or recent.count("-") >= too_many)
        downs += (now,) if down and not facts.maintenance else ()
    doubted = not look.ok or (was_doubted and not was_down and before.successes < _wanted(doubts, bounds))
    doubts += (now,) if doubted and not was_doubted and not facts.maintenance else ()
    debt, debt_at = _debt(before, look, now, facts, fell=down and not was_down)
    state = _state(facts, down=down, doubted=doubted, debt=debt)
    counted = (before.answers, _wanted(downs, bounds)) if down else (before.successes, _wanted(doubts, bounds))
    strange = facts.strange if facts.strange and facts.strange.debt is debt else None
    why = (before.why or (strange.why if strange else None)) if debt is not None else None
    return replace(
        before,
        state=state,
        since=before.since if earlier and before.state is state else now,
        reason=_reason(state, look, facts, "answers again: {} of {} good looks in a row".format(*counted), why),
        failure=look.failure or (Failure.REPLACED if state is NodeState.REPLACED else None),
        recent="" if was_down and not down else recent,
        downs=downs,
        doubts=doubts,
        down=down,
        doubted=doubted,
        debt=debt,
        debt_at=debt_at,
        why=why,
        uptime=before.uptime if look.uptime is None else look.uptime,
        uptime_at=before.uptime_at if look.uptime is None else _seen_at(look, now),
    )


def _hard(look: Look) -> bool:
    return not look.ok and look.failure not in SOFT


def _counted(before: Verdict, look: Look) -> Verdict:
    """With this look in its counts."""
    hard = _hard(look)
    return replace(
        before,
        failures=before.failures + 1 if hard else 0,
        successes=before.successes + 1 if look.ok else 0,
        answers=0 if hard else before.answers + 1,
        recent=before.recent if look.failure in SOFT else before.recent + "-+"[look.ok],
    )


def _wanted(troubles: tuple[float, ...], bounds: Bounds) -> int:
    """Good looks in a row that end it: twice as many for each time that it got into this trouble lately."""
    return bounds.successes << min(max(len(troubles) - 1, 0), MOST_DOUBLINGS)


def _debt(
    before: Verdict, look: Look, now: float, facts: Facts, *, fell: bool
) -> tuple[NodeState | None, float | None]:
    """`before` has this look in its counts. What is owed already is still owed after new trouble, by a new effort."""
    strange = facts.strange
    if fell or (before.state is NodeState.MAINTENANCE and not facts.maintenance):
        return before.debt or NodeState.RECOVERING, now
    if not look.ok:
        return before.debt, before.debt_at
    if strange is not None and before.debt is not NodeState.REPLACED and strange.debt is not before.debt:
        return strange.debt, now
    # a disk that was full may have kept from it what the others have
    if restarted(before, look, now) or before.failure is Failure.DISK:
        return before.debt or NodeState.RECOVERING, now
    if before.debt is not None and _paid(before, look, facts):
        return None, None
    return before.debt, before.debt_at


def _paid(before: Verdict, look: Look, facts: Facts) -> bool:
    paid = facts.paid
    if paid is None or paid.debt != before.debt_at or paid.uuid not in {None, look.uuid}:
        return False
    return not (look.own is False and facts.strange is not None)  # it was emptied once more


def restarted(before: Verdict, look: Look, now: float) -> bool:
    """Whether it was away between two looks, and nobody saw it. Where it does not tell since when it runs, one bad look
    has to be taken for that.

    A server that was started anew runs for a shorter time than before. Only where it had been started just before the
    last look the clocks have to tell, and those may be set.
    """
    if look.uptime is None:
        return before.successes == 1 and before.failure not in {None, Failure.REPLACED, *SOFT}
    if before.uptime is None or before.uptime_at is None:
        return False
    passed = _seen_at(look, now) - before.uptime_at
    young = before.uptime < passed
    return look.uptime < before.uptime - 1 or (young and look.uptime + CLOCK_SLACK < before.uptime + passed)


def _seen_at(look: Look, now: float) -> float:
    return now if look.seen_at is None else look.seen_at


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
        return counted
    if state is NodeState.REPLACED:
        return f"{why or 'not the server it was'}; {facts.note or 'to be set up from nothing'}"
    if state is NodeState.RECOVERING:
        return f"{why or 'was away'}; {facts.note or 'being brought up to date'}"
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
