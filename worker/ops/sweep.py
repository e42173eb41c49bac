"""Look at every node once, all at the same time.

Each node has `timeout` seconds in all, whatever it does: refuses, hangs, or sends a byte now and then. Threads cannot
be stopped, so a sweep does not wait for them: it ends in time, and calls a node that has told nothing timed-out. A node
whose earlier look still hangs gets no second thread until that one has ended, so however long nodes hang, there is one
thread for each at most.
"""

from __future__ import annotations

import queue
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType

from worker.core.disk import Round
from worker.core.errors import TimedOut
from worker.couch.cluster import Cluster
from worker.ops.node_look import Deadline, NodeSeen, failed, look_at, with_details
from worker.ops.parallel import Outcome, start

GRACE = 0.5  # seconds for details, where a node took all of its time to answer at all
SLACK = 0.1  # seconds for a thread to end after its last call has
TICK = 0.05  # seconds between two looks at whether an earlier look has ended
SLOW_MS = 1000.0


def sweep(
    cluster: Cluster,
    timeout: float,
    names: Iterable[str] | None = None,
    *,
    slow_ms: float = SLOW_MS,
    carried: Mapping[str, Round] = MappingProxyType({}),
) -> dict[str, NodeSeen]:
    """Node -> what was seen of it, of these nodes or of all; over after `timeout` + GRACE + SLACK seconds at most.

    `carried`: node -> the `disk_round` that the sweep before has left.
    """
    return _Sweep(cluster, timeout, cluster.names if names is None else list(names), slow_ms, carried).run()


class _Sweep:
    def __init__(
        self, cluster: Cluster, timeout: float, names: list[str], slow_ms: float, carried: Mapping[str, Round]
    ) -> None:
        now = time.monotonic()
        self._cluster, self._names, self._slow_ms, self._carried = cluster, names, slow_ms, carried
        self._first, self._second = Deadline(now + timeout), Deadline(now + timeout + GRACE)
        self._ends = now + timeout + GRACE + SLACK
        self._decided: dict[str, NodeSeen] = {}  # as soon as it is known, without details
        self._outcomes: queue.SimpleQueue[Outcome[str, NodeSeen]] = queue.SimpleQueue()

    def run(self) -> dict[str, NodeSeen]:
        found: dict[str, NodeSeen] = {}
        waiting = self._begin(self._names)
        while len(found) < len(self._names) and (left := self._ends - time.monotonic()) > 0:
            try:
                outcome = self._outcomes.get(timeout=min(left, TICK) if waiting else left)
            except queue.Empty:
                waiting = self._begin(waiting)
                continue
            if outcome.defect is not None:
                raise outcome.defect
            if outcome.value is not None:
                found[outcome.key] = outcome.value
        return {name: found.get(name) or self._in_time(name, waiting) for name in self._names}

    def _begin(self, names: list[str]) -> list[str]:
        """Start those whose earlier look has ended; returns the others."""
        free = [name for name in names if self._cluster[name].being_looked_at.acquire(blocking=False)]
        for at, name in enumerate(free):
            try:
                start([name], self._look, self._outcomes)
            except RuntimeError:  # no thread to be had
                for left_out in free[at:]:
                    self._cluster[left_out].being_looked_at.release()
                raise
        return [name for name in names if name not in free]

    def _look(self, name: str) -> NodeSeen:
        server = self._cluster[name]
        try:
            seen = look_at(server, self._first, self._slow_ms, self._carried.get(name))
            self._decided[name] = seen
            return with_details(server, seen, self._second) if seen.look.kind else seen
        finally:
            server.being_looked_at.release()

    def _in_time(self, name: str, waiting: list[str]) -> NodeSeen:
        """What is known of a node that has not ended."""
        if name in self._decided:
            return replace(self._decided[name], errors=("details: no answer within the time-out",))
        words = "an earlier look at it has not ended yet" if name in waiting else "no answer within the time-out"
        return failed(name, TimedOut(words), self._carried.get(name))
