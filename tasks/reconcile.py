"""Set-ups, asked for by people or by the schedule, and what the last one found.

The schedule only looks (tasks.app runs `run_reconcile` in the control process). Where there is something to do it asks
for a set-up like anybody else: so the work has a record, progress, a lease, and another worker when its own dies.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from config.logs import get
from tasks.health import sweep_now
from tasks.jobs import Job, Kind, Request, State
from tasks.redis import StoreUnavailable
from tasks.store import Filter
from tasks.submit import BeingMade
from tasks.wiring import Parts
from worker.core.errors import ReplicationError
from worker.core.plan import Plan
from worker.core.rules import Mode
from worker.couch.cluster import Cluster
from worker.ops.control import Control, Unattended
from worker.ops.observe import Found
from worker.ops.setup import Wanted, look, remember, setup
from worker.ops.setup_result import overall
from worker.ops.tuning import differs, in_force

log = get(__name__)
LONGEST_PAUSE = 600.0  # seconds between two tries of a plan that cannot be carried out
MOST_TOLD = 1_000  # databases that were deleted somewhere
AUTOMATIC = {"databases": None, "bidirectional": True, "dry_run": False, "asked": False}


def run_setup(parts: Parts, cluster: Cluster, job: Job, control: Control) -> dict[str, Any]:
    params = job.params
    asked = bool(params["asked"])
    wanted = wanted_of(
        parts,
        databases=params["databases"],
        bidirectional=bool(params["bidirectional"]),
        asked=asked,
        dry_run=bool(params["dry_run"]),
    )
    result = setup(cluster, wanted, control)
    if not result.dry_run:
        with suppress(StoreUnavailable):  # what was made is to be seen now, not after the next sweep
            _after(parts, cluster, result.plan, asked_for_all=params["databases"] is None)
    return result.as_json()


def _after(parts: Parts, cluster: Cluster, planned: Plan, *, asked_for_all: bool) -> None:
    sweep_now(parts, cluster)
    kicked = {kick.link.document_id for kick in planned.kicks}
    if kicked or asked_for_all:
        left = [] if asked_for_all else [name for name in parts.replication.wanted_kicks() if name not in kicked]
        parts.replication.save_wanted_kicks(left)


def wanted_of(
    parts: Parts,
    *,
    databases: list[str] | None = None,
    bidirectional: bool = True,
    asked: bool = False,
    dry_run: bool = False,
    kicks: Iterable[str] = (),
) -> Wanted:
    """What the settings, and a request, want. `kicks`: links to be started anew besides those that wait for it."""
    settings = parts.settings
    earlier = (parts.replication.reconcile() or {}).get("automatic")
    return Wanted(
        databases=databases,
        bidirectional=bidirectional,
        rules=parts.rules,
        continuous=settings.continuous_replication,
        asked=asked,
        canary=settings.continuous_replication and settings.canary_seconds > 0,
        kicks=frozenset(parts.replication.wanted_kicks()).union(kicks),
        earlier=Mode(earlier) if earlier else None,
        tune=settings.tune_nodes,
        dry_run=dry_run,
    )


def run_reconcile(parts: Parts, cluster: Cluster) -> None:
    """Look at what there is, keep what was seen, and ask for a set-up where something is to be done."""
    if not parts.settings.continuous_replication or not cluster.names:
        return
    now = time.time()
    wanted = wanted_of(parts)
    try:
        found, planned = look(cluster, wanted, Unattended())
    except ReplicationError as error:
        log.warning("reconcile could not look", error=str(error))
        return
    parts.replication.save_reconcile(_record(parts, found, planned, now))
    if planned.steps or _to_tune(wanted, found):
        _ask_for_setup(parts, planned, now)
    else:
        parts.replication.save_attempt({})
        for trouble in remember(cluster, wanted, found, planned):
            log.warning("ledger not written", trouble=trouble)


def _record(parts: Parts, found: Found, planned: Plan, now: float) -> dict[str, Any]:
    counts: dict[str, int] = {}
    for mode in planned.modes.values():
        counts[mode.value] = counts.get(mode.value, 0) + 1
    return {
        "observed_at": now,
        "automatic": planned.automatic.value,
        "mode": overall(planned.modes.values()),
        "reason": _reason(parts, found, planned),
        "modes": counts,
        "steps": planned.steps,
        "removed": dict(sorted(planned.removed.items())[:MOST_TOLD]),
        "narrowed": sorted(found.narrowed),
        "configuration": {
            name: in_force(found.configuration[name]) for name, node in found.nodes.items() if node.scheduler
        },
        "schedulers": all(node.scheduler for node in found.nodes.values()),
    }


def _reason(parts: Parts, found: Found, planned: Plan) -> str:
    every = parts.settings.replication_retry_seconds
    if not all(node.scheduler for node in found.nodes.values()):
        return f"the nodes have no replication scheduler and no feed: databases that changed are synced every {every} s"
    if parts.settings.replication_mode != "auto":
        return f"REPLICATION_MODE={parts.settings.replication_mode}"
    load = planned.load
    if load is None:
        return "nothing is known of the nodes' schedulers"
    what = "fit" if planned.automatic is Mode.CONTINUOUS else "are too many"
    return f"auto: {load.jobs} replication jobs on {load.node} {what}: {load.limit} of its max_jobs may be taken"


def _to_tune(wanted: Wanted, found: Found) -> bool:
    scheduled = [name for name, node in found.nodes.items() if node.scheduler]
    return wanted.tune and any(differs(found.configuration[name]) for name in scheduled)


def _ask_for_setup(parts: Parts, planned: Plan, now: float) -> None:
    """Once a plan: one that is still the same after it was carried out waits longer and longer."""
    digest = planned.digest
    tried = parts.replication.attempt() or {}
    tries = tried.get("tries", 0) if tried.get("plan") == digest else 0
    pause = min(LONGEST_PAUSE, parts.settings.replication_retry_seconds * 2 ** min(tries - 1, 10)) if tries else 0
    if tries and now < tried["at"] + pause:
        return
    if parts.store.list(Filter(kind=Kind.SETUP, state=State.RUNNING), limit=1).jobs:
        return
    with suppress(BeingMade):  # an equal request is on its way
        parts.jobs.submit(Request(Kind.SETUP, None, AUTOMATIC))
        parts.replication.save_attempt({"plan": digest, "tries": tries + 1, "at": now})
