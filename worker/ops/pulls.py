"""Run several one-shot pulls at once, watch them, and tell which node failed when one breaks.

A `_replicate` blocks without a time-out of its own. So each runs in a side thread, while this one looks at
the clock: is the job to stop? how far are the pulls? do their nodes still answer? A node that stays silent
is given up, whatever its pull says.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Any

from worker.core.errors import Cancelled, Interrupted, ReplicationError, TimedOut, Transient
from worker.core.model import Link, PullStats
from worker.core.replication import database_url, pull_body
from worker.couch.cluster import Cluster
from worker.couch.database import Database
from worker.couch.replicator import Orders, PullProgress, Replicator
from worker.ops.control import Control
from worker.ops.look import reason
from worker.ops.parallel import TICK, Outcome, each, start

PAUSES = (0.2, 0.5)  # seconds before a broken pull is tried again
WATCH_EVERY = 1.0  # seconds between two looks at the nodes; a pull that is done sooner costs no extra request
PROBE_TIMEOUT = 3.0
SILENT_PROBES = 3  # in a row, until a node is given up


@dataclass(frozen=True)
class Pulled:
    stats: PullStats
    seconds: float


@dataclass
class Outcomes:
    """What became of a set of pulls. `lost`: node -> why; its pulls are neither done nor failed, and `left` names
    those of them that were not even cancelled."""

    done: dict[Link, Pulled] = field(default_factory=dict)
    failed: dict[Link, ReplicationError] = field(default_factory=dict)
    lost: dict[str, ReplicationError] = field(default_factory=dict)
    left: list[Link] = field(default_factory=list)


BodyOf = Callable[[Cluster, Link], Mapping[str, Any]]


def body_of(cluster: Cluster, link: Link, selector: Mapping[str, Any] | None = None) -> dict[str, Any]:
    source, target = cluster[link.source].node, cluster[link.target].node
    tuned = cluster[link.target].capabilities().scheduler
    return pull_body(link.database, source, target, tuned=tuned, selector=selector)


def run(cluster: Cluster, links: Sequence[Link], phase: str, control: Control, body: BodyOf = body_of) -> Outcomes:
    """Pull all `links` at once and return when each has ended or lost one of its nodes. `body` says what a link's
    `_replicate` is, the same at each call.

    Raises Cancelled after the nodes were told to stop; LeaseLost and HandedBack at once, because whoever
    goes on joins what still runs.
    """
    return _Run(cluster, links, phase, control, body).run()


def cancel(cluster: Cluster, links: Sequence[Link], body: BodyOf = body_of) -> list[str]:
    """Stop these pulls on the nodes. Returns those that may still run, each with the reason."""
    outcomes = each(links, lambda link: Replicator(cluster[link.target]).cancel(body(cluster, link)))
    return [f"{link}: {reason(outcome.error)}" for link, outcome in outcomes.items() if outcome.error is not None]


class _Run:
    def __init__(self, cluster: Cluster, links: Sequence[Link], phase: str, control: Control, body: BodyOf) -> None:
        self._cluster = cluster
        self._body = body
        self._phase = phase
        self._control = control
        self._total = len(links)
        self._open = set(links)
        self._order = Orders.GO
        self._silent: dict[str, int] = {}
        self._first_seen: dict[Link, int] = {}
        self._outcomes = Outcomes()

    def run(self) -> Outcomes:
        self._control.report(self._phase, 0, self._total, "pulls")
        ended = start(sorted(self._open), self._pull)
        watch_at = time.monotonic() + WATCH_EVERY
        try:
            while self._open:
                self._collect(ended)
                self._control.check()
                if self._open and time.monotonic() >= watch_at:
                    self._watch()
                    watch_at = time.monotonic() + WATCH_EVERY
        except Cancelled:
            self._order = Orders.CANCEL
            raise Cancelled(cancel(self._cluster, list(self._open), self._body)) from None
        finally:
            if self._order is Orders.GO:
                # whatever ended this: nobody waits any more, so nobody may post the pulls again
                self._order = Orders.LEAVE
        return self._outcomes

    def _orders(self, link: Link) -> Orders:
        if self._order is Orders.GO and link not in self._open:
            # one of its nodes was given up
            return Orders.LEAVE if isinstance(self._outcomes.lost.get(link.source), TimedOut) else Orders.CANCEL
        return self._order

    def _pull(self, link: Link) -> Pulled:
        began = time.monotonic()
        replicator = Replicator(self._cluster[link.target])
        stats = replicator.pull(self._body(self._cluster, link), orders=lambda: self._orders(link))
        return Pulled(stats, round(time.monotonic() - began, 3))

    def _collect(self, ended: SimpleQueue[Outcome[Link, Pulled]]) -> None:
        try:
            outcome = ended.get(timeout=TICK)
        except Empty:
            return
        if outcome.defect is not None and not isinstance(outcome.defect, Interrupted):
            raise outcome.defect
        link = outcome.key
        if link not in self._open:  # given up before: its node was lost
            return
        self._open.discard(link)
        if outcome.value is not None:
            self._outcomes.done[link] = outcome.value
        elif isinstance(outcome.error, Transient):
            self._blame(link, outcome.error)
        elif outcome.error is not None:
            self._outcomes.failed[link] = outcome.error

    def _blame(self, link: Link, error: ReplicationError) -> None:
        """A pull broke: was it one of its nodes, or the pull itself?"""
        silent = self._probe([link.source, link.target])
        for name, why in silent.items():
            self._lose(name, why)
        if not silent:
            self._outcomes.failed[link] = error

    def _lose(self, name: str, why: ReplicationError) -> None:
        self._outcomes.lost[name] = why
        self._cluster[name].forget()
        given_up = [link for link in self._open if name in (link.source, link.target)]
        self._open.difference_update(given_up)
        if isinstance(why, TimedOut):
            # to cancel a pull whose source hangs, CouchDB's scheduler stops all others for up to 30 s: leave it
            self._outcomes.left += given_up
            return
        # the other end still answers, mostly: it should not go on trying
        cancel(self._cluster, [link for link in given_up if link.target != name], self._body)

    def _probe(self, names: Sequence[str]) -> dict[str, ReplicationError]:
        looks = each(sorted(set(names)), lambda name: self._cluster[name].welcome(tries=1, read_timeout=PROBE_TIMEOUT))
        return {name: look.error for name, look in looks.items() if look.error is not None}

    def _watch(self) -> None:
        """The nodes of the open pulls: do they answer, and how far are they?"""
        names = {name for link in self._open for name in (link.source, link.target)}
        errors = self._probe(sorted(names))
        self._silent = {name: self._silent.get(name, 0) + 1 for name in errors}
        for name, error in errors.items():
            if self._silent[name] >= SILENT_PROBES:
                self._lose(name, error)
        self._report(errors.keys())

    def _report(self, silent: Set[str]) -> None:
        """Nothing is asked of `silent` nodes: an ordinary call waits longer for them than a probe."""
        # a server without a scheduler, or one that fails just now, simply adds nothing to what is told
        targets = sorted({link.target for link in self._open} - silent)
        looks = each(targets, lambda name: Replicator(self._cluster[name]).progress())
        seen: dict[tuple[str, str], PullProgress] = {}
        for look in looks.values():
            seen.update(look.value or {})
        asked = [link for link in self._open if link.source not in silent]
        found = {link: progress for link in asked if (progress := seen.get(self._urls(link)))}
        pending = each(found, lambda link: self._left(link, found[link]))
        if found and all(left.value is not None for left in pending.values()):
            # the counters go on from earlier pulls of the same link: count from the first look
            for link, progress in found.items():
                self._first_seen.setdefault(link, progress.checked)
            checked = sum(progress.checked - self._first_seen[link] for link, progress in found.items())
            left = sum(outcome.value or 0 for outcome in pending.values())
            self._control.report(self._phase, checked, checked + left, "changes")
        else:
            self._control.report(self._phase, self._total - len(self._open), self._total, "pulls")

    def _left(self, link: Link, progress: PullProgress) -> int:
        return Database(self._cluster[link.source], link.database).changes_after(progress.through)

    def _urls(self, link: Link) -> tuple[str, str]:
        source, target = self._cluster[link.source].node, self._cluster[link.target].node
        return database_url(source, link.database), database_url(target, link.database)


def retried(cluster: Cluster, links: Sequence[Link], phase: str, control: Control, body: BodyOf = body_of) -> Outcomes:
    """`run`, with pulls that broke for no fault of their nodes tried again. Raises what a pull ended with
    when its tries are used up or its error is permanent."""
    whole = Outcomes()
    left: Sequence[Link] = links
    tries = len(PAUSES) + 1
    for attempt in range(1, tries + 1):
        part = run(cluster, left, phase, control, body)
        whole.done.update(part.done)
        whole.lost.update(part.lost)
        whole.left += part.left
        for link, error in part.failed.items():
            if attempt == tries or not isinstance(error, Transient):
                error.database = link.database
                error.node = error.node or link.target
                raise error
        left = [link for link in part.failed if not {link.source, link.target} & whole.lost.keys()]
        if not left or whole.lost:
            break
        # after a peer was away CouchDB goes on using its dead connections for a moment
        _pause(PAUSES[attempt - 1], control)
    return whole


def _pause(seconds: float, control: Control) -> None:
    control.check()
    time.sleep(seconds)
    control.check()
