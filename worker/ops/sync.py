"""Bring one database to the same content on all nodes that answer, now.

    look      who answers, and who has the database
    create    where it is missing
    gather    the hub pulls from every other node, at once
    scatter   every other node pulls from the hub, at once
    check     for each link: how many changes of its source has its target not confirmed?

2(n-1) pulls instead of the n(n-1) of a mesh. Check finds more work where somebody wrote meanwhile, and
always finds the echo: what scatter wrote on a node are new changes there, which the hub has, but has not
confirmed. So gather and scatter are repeated for the links that are behind until none is, for a few rounds;
a database that is written to all the time is left with its remaining lag named, not waited for.

A node lost on the way is dropped and named, and where it was the hub another one takes over.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import permutations
from typing import Any, NoReturn

from worker.core.errors import DocumentsRefused, ReplicationError
from worker.core.model import DatabaseInfo, Link, PullStats
from worker.core.replication import BEGINNING
from worker.couch.cluster import Cluster
from worker.couch.database import Database
from worker.ops import ensure, pulls
from worker.ops.control import Control
from worker.ops.look import Participants, look, reason, require_database, require_two
from worker.ops.parallel import each, values

MAX_ROUNDS = 4


@dataclass(frozen=True)
class Pull:
    """One pull as the result tells it. `phase` is gather or scatter."""

    source: str
    target: str
    phase: str
    round: int
    docs_read: int
    docs_written: int
    doc_write_failures: int
    seconds: float


@dataclass
class SyncResult:
    """What a sync did. `lag`: link -> changes its target has not confirmed; `sequences`: node -> update_seq
    read before the last check, so that equal ones later mean that nothing has changed since."""

    database: str
    hub: str
    nodes: list[str]
    created_on: list[str] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    pulls: list[Pull] = field(default_factory=list)
    before: dict[str, int] = field(default_factory=dict)
    after: dict[str, int] = field(default_factory=dict)
    lag: dict[Link, int] = field(default_factory=dict)
    sequences: dict[str, str] = field(default_factory=dict)
    rounds: int = 0
    seconds: float = 0.0

    @property
    def caught_up(self) -> bool:
        """Every change on every node that took part is confirmed by the others."""
        return bool(self.lag) and not any(self.lag.values())

    def as_json(self) -> dict[str, Any]:
        return {
            "database": self.database,
            "caught_up": self.caught_up,
            "hub": self.hub,
            "nodes": self.nodes,
            "created_on": self.created_on,
            "skipped": [{"node": node, "reason": why} for node, why in self.skipped.items()],
            "documents": {
                node: {"before": self.before.get(node, 0), "after": self.after.get(node)} for node in self.nodes
            },
            "pulls": [asdict(pull) for pull in self.pulls],
            "lag": [
                {"source": link.source, "target": link.target, "changes": changes} for link, changes in self.lag.items()
            ],
            "rounds": self.rounds,
            "seconds": round(self.seconds, 3),
        }


class _NodeLost(Exception):
    """A node went away in mid-sync; the rest goes on without it."""


def sync(cluster: Cluster, database: str, control: Control, *, create_missing: bool = True) -> SyncResult:
    """Returns the result, also where some nodes were skipped or some lag is left.

    Raises NotFound (no node has the database), NotEnoughNodes, MixedNodeKinds, DocumentsRefused (a target
    skipped documents: its `result` holds the figures), and what a pull failed with.
    """
    began = time.monotonic()
    control.report("look")
    found = look(cluster, database)
    require_database(cluster, database, found)
    result = SyncResult(database, hub="", nodes=[], skipped=found.skipped)
    result.before = {name: info.doc_count for name, info in found.infos.items()}
    _create(cluster, database, found, result, create=create_missing)
    names = [name for name in cluster.names if name in found.infos]
    while True:
        require_two(cluster, names, result.skipped)
        try:
            _rounds(cluster, names, result, control)
            break
        except _NodeLost:
            names = [name for name in names if name not in result.skipped]
    result.seconds = time.monotonic() - began
    _refused(result)
    return result


def cancel_sync(cluster: Cluster, database: str) -> None:
    """Stop on the nodes whatever pulls an earlier attempt at a sync may have left running there."""
    pulls.cancel(cluster, [Link(database, source, target) for source, target in permutations(cluster.names, 2)])


def _create(cluster: Cluster, database: str, found: Participants, result: SyncResult, *, create: bool) -> None:
    if not found.missing:
        return
    if not create:
        result.skipped.update(dict.fromkeys(found.missing, "database-missing: made there only by setup or a sync"))
        return
    model_node, model = next(iter(found.infos.items()))
    result.created_on = ensure.create_missing(cluster, database, found.missing, model)
    ensure.copy_security(cluster, database, model_node, found.missing)
    for name in found.missing:
        found.infos[name] = DatabaseInfo(database, 0, 0, BEGINNING)


def _rounds(cluster: Cluster, names: Sequence[str], result: SyncResult, control: Control) -> None:
    """Gather, scatter and check until nothing is behind. The first name is the hub."""
    hub, others = names[0], names[1:]
    result.hub, result.nodes = hub, list(names)
    inward = [Link(result.database, name, hub) for name in others]
    outward = [Link(result.database, hub, name) for name in others]
    checkpoints: dict[Link, str] = {}
    behind = set(inward + outward)
    first = result.rounds + 1
    for number in range(first, first + MAX_ROUNDS):
        result.rounds = number
        written = _pull(cluster, [link for link in inward if link in behind], "gather", result, checkpoints, control)
        news = set(outward) if written else behind
        _pull(cluster, [link for link in outward if link in news], "scatter", result, checkpoints, control)
        _check(cluster, names, checkpoints, result, control)
        behind = {link for link, changes in result.lag.items() if changes}
        if not behind:
            return


def _pull(
    cluster: Cluster,
    links: Sequence[Link],
    phase: str,
    result: SyncResult,
    checkpoints: dict[Link, str],
    control: Control,
) -> int:
    """Run the pulls and record them; returns the documents written. Raises _NodeLost."""
    if not links:
        return 0
    outcomes = pulls.retried(cluster, links, phase, control)
    written = 0
    for link, pulled in outcomes.done.items():
        stats = pulled.stats
        checkpoints[link] = stats.source_last_seq
        result.pulls.append(_told(link, phase, result.rounds, stats, pulled.seconds))
        written += stats.docs_written
    if outcomes.lost:
        _drop(cluster, outcomes.lost, result)
    return written


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


def _check(
    cluster: Cluster, names: Sequence[str], checkpoints: dict[Link, str], result: SyncResult, control: Control
) -> None:
    """Read every node's figures, then every link's lag, in that order: a write in between shows as lag."""
    control.report("check")

    def figures(name: str) -> DatabaseInfo | None:
        return Database(cluster[name], result.database).info()

    def lag(link: Link) -> int:
        return Database(cluster[link.source], result.database).changes_after(checkpoints[link])

    infos = each(names, figures)
    lags = each(sorted(checkpoints), lag)
    errors = {name: outcome.error for name, outcome in infos.items() if outcome.error}
    errors |= {link.source: outcome.error for link, outcome in lags.items() if outcome.error}
    if errors:
        _drop(cluster, errors, result)
    result.after = {name: info.doc_count for name, info in values(infos).items() if info}
    result.sequences = {name: info.update_seq for name, info in values(infos).items() if info}
    result.lag = values(lags)


def _drop(cluster: Cluster, errors: Mapping[str, ReplicationError], result: SyncResult) -> NoReturn:
    """Go on without these nodes."""
    for name, error in errors.items():
        result.skipped[name] = f"lost in mid-sync: {reason(error)}"
        cluster[name].forget()
    raise _NodeLost


def _refused(result: SyncResult) -> None:
    refused = [pull for pull in result.pulls if pull.doc_write_failures]
    if not refused:
        return
    listed = ", ".join(f"{pull.target} refused {pull.doc_write_failures} from {pull.source}" for pull in refused)
    error = DocumentsRefused(
        f"documents were skipped: {listed}. Common causes: a validate_doc_update function that refuses them, "
        "a document or attachment over the target's size limit, an attachment name that starts with _",
        database=result.database,
    )
    error.result = result.as_json()
    raise error
