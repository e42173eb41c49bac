"""Counts the conflicts of each database a little further, once a minute, for a few seconds. See worker.core.conflicts.

One node is enough: what it lacks is on its way, and the lag says so. The node that was read last is read again while it
is well, because on another one everything begins anew. A database whose update_seq has not moved since, by the figures
that the sweep keeps, costs no call.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from config.logs import get
from tasks.fresh import fresh_look
from tasks.wiring import Parts
from worker.core import conflicts
from worker.core.conflicts import Counter
from worker.core.errors import (
    LockedOut,
    NotFound,
    PasswordUnknown,
    ReplicationError,
    TimedOut,
    Unauthorized,
    Unreachable,
)
from worker.core.health import NodeState
from worker.couch.cluster import Cluster
from worker.couch.database import Database
from worker.ops.conflicts import further

log = get(__name__)
SECONDS = 10.0  # of a run
ROWS = 500_000  # of a run
TURN = 100_000  # rows of one database before the next one's turn comes
NODE_IS_AWAY = (
    Unreachable,
    TimedOut,
    Unauthorized,
    LockedOut,
    PasswordUnknown,
)  # other failures may be those of one database
WINDOW = 500  # databases that are asked for in one call of Redis


@dataclass
class Run:
    """One run: until `over` (by time.monotonic), or so many rows. `away`: nodes that have failed in it. `doubted`: that
    are only suspect: what was begun on one is not begun anew elsewhere for a single bad look."""

    parts: Parts
    cluster: Cluster
    nodes: dict[str, dict[str, Any]]  # name -> its record in the last sweep, of those that are well; the primary first
    over: float
    doubted: frozenset[str] = frozenset()
    rows: int = ROWS
    away: set[str] = field(default_factory=set)

    @property
    def left(self) -> bool:
        return self.rows > 0 and time.monotonic() < self.over

    def node_for(self, holders: Sequence[str], so_far: Counter | None) -> str | None:
        if so_far is not None and so_far.node in self.doubted and so_far.node in holders:
            return None
        fit = [name for name in self.nodes if name in holders and name not in self.away]
        return so_far.node if so_far is not None and so_far.node in fit else next(iter(fit), None)


def run_conflicts(parts: Parts, cluster: Cluster, seconds: float = SECONDS) -> None:
    nodes = _nodes(parts, cluster, time.time())
    well = {name: node for name, node in nodes.items() if node["state"] == NodeState.HEALTHY}
    doubted = frozenset(name for name, node in nodes.items() if node["state"] == NodeState.SUSPECT)
    run = Run(parts, cluster, well, time.monotonic() + seconds, doubted)
    if not run.nodes:
        return
    unfinished: deque[str] = deque()
    for name in _due(run):
        if not run.left:
            return
        if not _turn(run, name):
            unfinished.append(name)
        parts.seen.conflicts.save_cursor(name)
    while unfinished and run.left:
        name = unfinished.popleft()
        if not _turn(run, name):
            unfinished.append(name)


def _nodes(parts: Parts, cluster: Cluster, now: float) -> dict[str, dict[str, Any]]:
    """As the last sweep saw them, the acting primary first; none where that was too long ago."""
    sweep = parts.seen.sweep()
    if sweep is None or not fresh_look(sweep, parts.settings, now):
        return {}
    nodes = {node["name"]: node for node in sweep["nodes"]}
    primary = parts.seen.primary()
    order = sorted((name for name in cluster.names if name in nodes), key=lambda name: name != primary)
    return {name: nodes[name] for name in order}


def _due(run: Run) -> Iterator[str]:
    """The databases that are worth a call, each once, from where the last run stopped. To look for them takes time,
    too: where there are so many that a run ends before, the next one looks further."""
    seen = run.parts.seen
    names, cursor = seen.database_names(), seen.conflicts.cursor()
    names = [name for name in names if name > cursor] + [name for name in names if name <= cursor]
    for start in range(0, len(names), WINDOW):
        if not run.left:
            return
        window = names[start : start + WINDOW]
        counters, holders = seen.conflicts.counters(window), seen.nodes_of(window)
        figures = {node: seen.figures.of(node, window) for node in run.nodes}
        for name in window:
            counter = counters.get(name)
            node = run.node_for(holders.get(name, []), counter)
            if node is None:
                continue
            here = counter if counter is not None and counter.node == node else None
            known = figures[node].get(name)
            seen_as = (known.mark, known.at) if known else (None, None)
            if conflicts.due(here, run.nodes[node]["uuid"], *seen_as):
                yield name
        seen.conflicts.save_cursor(window[-1])


def _turn(run: Run, name: str) -> bool:
    """Whether nothing more is to be done for it in this run."""
    seen = run.parts.seen
    so_far = seen.conflicts.counters([name]).get(name)
    node = run.node_for(seen.database_nodes(name), so_far)
    if node is None:
        return True
    record, database = run.nodes[node], Database(run.cluster[node], name)
    before = 0
    try:
        run.cluster[node].capabilities()  # which remembers a refused password, and does not send it again
        for step in further(database, so_far, record["kind"], record["uuid"], TURN, time.time):
            run.rows -= step.rows - before
            before = step.rows
            seen.conflicts.save(name, step.counter, whole=step.whole)
            if step.whole or not run.left:
                return step.whole
    except NotFound:
        seen.conflicts.forget([name])
        return True
    except ReplicationError as error:
        log.warning("conflicts not counted", database=name, node=node, error=str(error))
        if isinstance(error, NODE_IS_AWAY):
            run.away.add(node)
        return True
    except (AttributeError, KeyError, TypeError, ValueError):
        log.warning("conflicts not counted", database=name, node=node, error="not in the form known", exc_info=True)
        return True
    return False
