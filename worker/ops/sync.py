"""Bring one database to the same content on all nodes that answer, now.

    look      who answers, who has the database, and who may read it there
    create    where it is missing
    gather    the hub pulls from every other node, at once
    scatter   every other node pulls from the hub, at once
    check     for each link: how many changes of its source has its target not confirmed?
    doubt     where there is reason to: does the target have what it confirmed?

2(n-1) pulls instead of the n(n-1) of a mesh. Check finds more work where somebody wrote meanwhile, and
always finds the echo: what scatter wrote on a node are new changes there, which the hub has, but has not
confirmed. So gather and scatter are repeated for the links that are behind until none is, for a few rounds;
a database that is written to all the time is left with its remaining lag named, not waited for.

A node lost on the way is dropped and named, and where it was the hub another one takes over. Another one is also tried
where the hub cannot reach a node that we can: a network may be cut between just two of them.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import permutations
from types import MappingProxyType
from typing import NoReturn

from worker.core.errors import Cancelled, DocumentsRefused, NotEnoughNodes, ReplicationError, Transient
from worker.core.model import Link, PullStats, Route
from worker.couch.cluster import Cluster
from worker.couch.database import Database
from worker.ops import ensure, pulls
from worker.ops.check import Checked, check, doubtful, find_missing
from worker.ops.control import Control
from worker.ops.look import Participants, look, reason, require_database, require_two
from worker.ops.parallel import each
from worker.ops.sync_result import Pull, SyncResult

MAX_ROUNDS = 4


class _NodeLost(Exception):
    """A node went away in mid-sync; the rest goes on without it."""


def sync(
    cluster: Cluster,
    database: str,
    control: Control,
    *,
    create_missing: bool = True,
    route: Route = Route(),
    told_refusals: int | None = None,
    away: Mapping[str, str] = MappingProxyType({}),
    hub: str | None = None,
    rounds: int = MAX_ROUNDS,
) -> SyncResult:
    """Returns the result, also where some nodes were skipped or some lag is left. `told_refusals`: so many write
    failures in the links' history are known already, and what they cost: documents are compared where there are more.
    `away`: nodes that are known to be down, and why: they are not asked. `hub`: who gathers, where it takes part and
    changes may come from everywhere. `rounds`: most of gather and scatter.

    Raises NotFound (no node has the database), NotEnoughNodes, OneNodeOnly, MixedNodeKinds, DocumentsRefused (a
    target lacks documents that it confirmed: the error's `result` holds the figures), what all nodes failed with,
    and what a pull failed with.
    """
    began = time.monotonic()
    control.report("look")
    found = look(cluster, database, control, away)
    require_database(cluster, database, found)
    result = SyncResult(database, skipped=found.skipped)
    result.before = {name: info.doc_count for name, info in found.infos.items()}
    names = _prepare(cluster, found, result, create=create_missing)
    if hub in names and route.gathers:
        names = _led_by(hub, names)
    tried: set[str] = set()
    while True:
        require_two(cluster, names, result.skipped)
        _require_source(cluster, names, route, result)
        tried.add(names[0])
        try:
            _Rounds(cluster, names, result, control, route, told_refusals, rounds).run()
            break
        except _NodeLost:
            names = [name for name in names if name not in result.skipped]
        except Transient:
            others = [name for name in names if name not in tried]
            if not others or len(names) < 3 or not route.gathers:
                raise
            names = _led_by(others[0], names)
        except Cancelled as cancelled:
            left = [f"{link}: left running, its node hangs" for link in result.left]
            raise Cancelled([*cancelled.still_running, *left]) from None
    result.seconds = time.monotonic() - began
    if result.missing:
        raise _refused(result)
    return result


def cancel_sync(cluster: Cluster, database: str, route: Route = Route()) -> list[str]:
    """Stop on the nodes whatever pulls an earlier attempt at a sync may have left running there. Returns those
    that may still run, each with the reason."""
    links = [Link(database, source, target) for source, target in permutations(cluster.names, 2)]
    return pulls.cancel(cluster, links, partial(pulls.body_of, selector=route.selector))


def _led_by(hub: str, names: Sequence[str]) -> list[str]:
    return [hub, *(name for name in names if name != hub)]


def _require_source(cluster: Cluster, names: Sequence[str], route: Route, result: SyncResult) -> None:
    """Where changes only go out from the primary, no other node can take its place. Raises NotEnoughNodes."""
    primary = cluster.names[0]
    if not route.gathers and primary not in names:
        why = result.skipped.get(primary, "it does not have the database")
        raise NotEnoughNodes(f"this database goes one way, from {primary}, which takes no part: {why}")


def _prepare(cluster: Cluster, found: Participants, result: SyncResult, *, create: bool) -> list[str]:
    """Make the database where it is missing and share its `_security`; returns the nodes to sync."""
    ready = list(found.infos)
    if found.missing and not create:
        result.skipped.update(dict.fromkeys(found.missing, "database-missing: made there only by setup or a sync"))
    elif found.missing:
        like = next(iter(found.infos.values()))
        outcomes = each(found.missing, lambda name: ensure.create(cluster, name, result.database, like))
        for name, outcome in outcomes.items():
            if outcome.error is not None:
                result.skipped[name] = f"database not made: {reason(outcome.error)}"
            else:
                ready.append(name)
        result.created_on = [name for name, outcome in outcomes.items() if outcome.value]
    known = {name: (found.infos[name], found.security[name]) for name in found.infos}
    result.security = ensure.share_security(cluster, result.database, known, result.created_on)
    return [name for name in cluster.names if name in ready]


class _Rounds:
    """Gather, scatter and check until nothing is behind. The first of `names` is the hub."""

    def __init__(
        self,
        cluster: Cluster,
        names: Sequence[str],
        result: SyncResult,
        control: Control,
        route: Route,
        told_refusals: int | None,
        rounds: int,
    ) -> None:
        self._cluster = cluster
        self._rounds = rounds
        self._told_refusals = told_refusals
        self._selector = route.selector
        self._body = partial(pulls.body_of, selector=route.selector)
        self._result = result
        self._control = control
        self._checkpoints: dict[Link, str] = {}
        hub, others = names[0], names[1:]
        result.hub, result.nodes = hub, list(names)
        self._inward = [Link(result.database, name, hub) for name in others] if route.gathers else []
        self._outward = [Link(result.database, hub, name) for name in others]

    def run(self) -> None:
        """Raises _NodeLost."""
        behind = {*self._inward, *self._outward}
        first = self._result.rounds + 1
        for number in range(first, first + self._rounds):
            self._result.rounds = number
            written = self._pull([link for link in self._inward if link in behind], "gather")
            news = set(self._outward) if written else behind
            self._pull([link for link in self._outward if link in news], "scatter")
            checked = self._check()
            behind = {link for link, changes in self._result.lag.items() if changes}
            if not behind:
                self._doubt(checked)
                return

    def _pull(self, links: Sequence[Link], phase: str) -> int:
        """Run the pulls and record them; returns the documents written."""
        if not links:
            return 0
        outcomes = pulls.retried(self._cluster, links, phase, self._control, self._body)
        self._result.left += outcomes.left
        written = 0
        for link, pulled in outcomes.done.items():
            stats = pulled.stats
            self._checkpoints[link] = stats.source_last_seq
            refused = self._result.refused
            refused[link] = max(stats.ever_refused, stats.doc_write_failures, refused.get(link, 0))
            self._result.pulls.append(_told(link, phase, self._result.rounds, stats, pulled.seconds))
            written += stats.docs_written
        if outcomes.lost:
            self._drop(outcomes.lost)
        return written

    def _check(self) -> Checked:
        self._control.report("check")
        result = self._result
        checked = check(self._cluster, result.database, result.nodes, self._checkpoints, self._control, self._selector)
        if checked.errors:
            self._drop(checked.errors)
        result.after = {name: info.doc_count for name, info in checked.infos.items()}
        result.sequences = {name: info.update_seq for name, info in checked.infos.items()}
        result.lag, result.confirmed = checked.lag, dict(self._checkpoints)
        return checked

    def _doubt(self, checked: Checked) -> None:
        if self._told_refusals is not None and sum(self._result.refused.values()) <= self._told_refusals:
            return
        # where not everything travels, counts differ and mean nothing: only refusals are a reason to doubt
        counted = self._selector is None and bool(self._inward)
        for link in doubtful(checked, self._result.refused, counted=counted):
            self._control.report("compare")
            missing = find_missing(self._cluster, link, self._control, self._selector)
            if missing.count:
                # written since the check? then it is lag, and the next sync's business
                source = Database(self._cluster[link.source], link.database)
                self._result.lag[link] = source.changes_after(self._checkpoints[link], selector=self._selector)
                if not self._result.lag[link]:
                    self._result.missing[link] = missing

    def _drop(self, errors: Mapping[str, ReplicationError]) -> NoReturn:
        """Go on without these nodes."""
        for name, error in errors.items():
            self._result.skipped[name] = f"lost in mid-sync: {reason(error)}"
            self._cluster[name].forget()
        raise _NodeLost


def _told(link: Link, phase: str, number: int, stats: PullStats, seconds: float) -> Pull:
    return Pull(
        link.source,
        link.target,
        phase,
        number,
        stats.docs_read,
        stats.docs_written,
        stats.doc_write_failures,
        seconds,
    )


def _refused(result: SyncResult) -> DocumentsRefused:
    listed = "; ".join(
        f"{link.target} lacks {missing.count} of {link.source} ({', '.join(missing.ids[:3])}"
        f"{', …' if missing.count > 3 else ''})"
        for link, missing in result.missing.items()
    )
    error = DocumentsRefused(
        f"documents are missing although replication has confirmed them: {listed}. Common causes: a "
        "validate_doc_update function that refuses them (design documents need an admin), a document or attachment "
        "over the target's size limit, an attachment name that starts with _, a purge",
        database=result.database,
    )
    error.result, error.sync = result.as_json(), result
    return error
