"""Rejoin jobs: asked for by the sweep (or a person), and what they lead to.

A node that owes something (worker.core.health) gets one job at a time; one that failed is asked for again, later and
later. What the job has achieved counts for the debt that the node had when it began: a node that went down meanwhile
owes anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

from tasks.jobs import Kind, Request, State
from tasks.store import Filter
from tasks.submit import BeingMade
from tasks.wiring import Parts
from worker.core.health import NodeState, Verdict

FIRST_PAUSE = 15.0  # seconds after a rejoin that did not help; doubles
LONGEST_PAUSE = 600.0
OWING = frozenset({NodeState.RECOVERING, NodeState.REPLACED})


def rejoin_request(node: str, *, asked: bool) -> Request:
    """`asked`: by a person."""
    return Request(Kind.REJOIN, None, {"node": node, "asked": asked})


def ask_for_rejoins(parts: Parts, verdicts: Mapping[str, Verdict], now: float) -> None:
    """For every node that owes something, unless nothing is done by itself, or one is under way."""
    owing = {name: verdict for name, verdict in verdicts.items() if verdict.state in OWING}
    if not owing or not parts.settings.continuous_replication:
        return
    tried = parts.seen.rejoins()
    running = rejoining(parts)
    for name, verdict in owing.items():
        last = tried.get(name, {})
        tries = int(last.get("tries", 0)) if last.get("debt") == verdict.debt_at else 0
        pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(tries - 1, 10)) if tries else 0.0
        if name in running or (tries and now < last["at"] + pause):
            continue
        with suppress(BeingMade):  # an equal request is on its way
            parts.jobs.submit(rejoin_request(name, asked=False))
            note = last.get("note") if tries else None
            parts.seen.save_rejoin(name, {"debt": verdict.debt_at, "tries": tries + 1, "at": now, "note": note})


def rejoining(parts: Parts) -> set[str]:
    """The nodes for which a rejoin waits or runs."""
    found = set()
    for state in (State.QUEUED, State.RUNNING):
        jobs = parts.store.list(Filter(kind=Kind.REJOIN, state=state), limit=100).jobs
        found |= {str(job.params["node"]) for job in jobs}
    return found
