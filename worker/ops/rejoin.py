"""Bring one node up to date with all others, so that clients may be sent to it again.

    look       does it answer, and which databases are there
    sync       every database that it should have, with all nodes that answer
    lag        what sources had when this began has reached their targets
    verify     of a node that was replaced: is every document there, leaf by leaf?

That the databases and links are there at all is the work of a set-up (worker.ops.setup), which came before.
A database that cannot be brought up to date does not stop the others; all of them are named at the end.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from worker.core.errors import DocumentsRefused, NotCaughtUp, NotEnoughNodes, NotFound
from worker.core.model import Route
from worker.couch.cluster import Cluster
from worker.couch.database import Database
from worker.ops.control import Control, Quiet
from worker.ops.drift import sequences
from worker.ops.look import LOOK_TIMEOUT, reason
from worker.ops.parallel import each, pooled
from worker.ops.sync import sync
from worker.ops.sync_result import SyncResult
from worker.ops.verify import Settled, verify

AT_ONCE = 8  # databases
TRIES = 3  # syncs of one database
ROUNDS = 2  # of each: the second confirms what the first has carried
PATIENCE = 10.0  # seconds that a comparison waits for replication, where clients write all the time
MOST_TOLD = 100


@dataclass(frozen=True)
class Means:
    """How this cluster's databases are brought up to date.

    `selected`: whether a database is replicated. `route_of`: how it may travel. `settled_of`: see worker.ops.verify.
    `away`: nodes that are known to be down, and why. `hub`: where syncs gather. `synced` is told of each result.
    """

    selected: Callable[[str], bool]
    route_of: Callable[[str], Route]
    settled_of: Callable[[str, list[str]], Settled]
    away: Mapping[str, str] = field(default_factory=dict)
    hub: str | None = None
    synced: Callable[[str, SyncResult], None] = lambda database, result: None


@dataclass
class Rejoined:
    """`databases`: that were looked at. `written`: documents that arrived on the node. `left_alone`: databases that no
    other node has. `refused`: documents that a node does not take, whoever sends them; they are told, and keep nobody
    out. `verified`: databases compared leaf by leaf. `failed`: database -> why."""

    node: str
    databases: int = 0
    written: int = 0
    left_alone: int = 0
    refused: dict[str, str] = field(default_factory=dict)
    verified: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0

    def as_json(self) -> dict[str, Any]:
        return {
            "node": self.node,
            "databases": self.databases,
            "documents_written": self.written,
            "left_alone": self.left_alone,
            "refused": dict(sorted(self.refused.items())[:MOST_TOLD]),
            "verified": self.verified,
            "failed": dict(sorted(self.failed.items())[:MOST_TOLD]),
            "skipped": [{"node": node, "reason": why} for node, why in self.skipped.items()],
            "seconds": round(self.seconds, 3),
        }


def rejoin(cluster: Cluster, node: str, means: Means, control: Control, *, emptied: bool) -> Rejoined:
    """`emptied`: databases are made on it where they are missing, and compared afterwards.

    Raises NotEnoughNodes (nobody else answers), NotCaughtUp (its `result` tells which databases are not), and what
    looking at the node itself failed with.
    """
    began = time.monotonic()
    control.report("look")
    databases, others = _databases(cluster, node, means, control, emptied=emptied)
    done = Rejoined(node, databases=len(databases), skipped=dict(means.away))
    _each_database(
        "sync", databases, lambda name: _bring_up(cluster, node, name, means, control, emptied), done, control
    )
    if emptied:
        left = [name for name in databases if name not in done.failed]
        _each_database(
            "verify", left, lambda name: _compare(cluster, node, others, name, means, control), done, control
        )
    done.seconds = time.monotonic() - began
    if done.failed:
        listed = "; ".join(f"{name}: {why}" for name, why in list(done.failed.items())[:3])
        error = NotCaughtUp(f"{len(done.failed)} of {len(databases)} databases are not up to date: {listed}", node=node)
        error.result = done.as_json()
        raise error
    return done


def _databases(
    cluster: Cluster, node: str, means: Means, control: Control, *, emptied: bool
) -> tuple[list[str], list[str]]:
    """Those that are replicated, by name, and the other nodes that answer. Of an emptied node all there are; else those
    that it has: one that it lacks after the set-up was deleted there, and somebody meant it."""

    def ask(name: str) -> list[str]:
        cluster[name].capabilities()
        return cluster[name].databases(tries=2, read_timeout=LOOK_TIMEOUT)

    looks = each([name for name in cluster.names if name not in means.away], ask, control)
    mine = looks.get(node)
    if mine is None or mine.error is not None:
        cluster[node].forget()
        raise mine.error if mine and mine.error else NotEnoughNodes(f"{node} is away: {means.away.get(node)}")
    others = [name for name, look in looks.items() if name != node and look.error is None]
    if not others:
        raise NotEnoughNodes(f"no other node answers that could bring {node} up to date")
    wanted = looks.values() if emptied else [mine]
    found = {name for look in wanted for name in look.value or [] if means.selected(name)}
    return sorted(found), others


Step = Callable[[str], Callable[[Rejoined], None] | None]


def _each_database(phase: str, names: Sequence[str], step: Step, done: Rejoined, control: Control) -> None:
    """Do `step` with each, a few at a time; what it returns notes its outcome, here in one thread."""
    control.report(phase, 0, len(names), "databases")
    for number, outcome in enumerate(pooled(names, step, AT_ONCE, control), start=1):
        if outcome.error is not None:
            done.failed[outcome.key] = reason(outcome.error)
        elif outcome.value is not None:
            outcome.value(done)
        control.report(phase, number, len(names), "databases")


def _bring_up(
    cluster: Cluster, node: str, database: str, means: Means, control: Control, emptied: bool
) -> Callable[[Rejoined], None]:
    """Sync it, until what was there before has arrived. In a database that is written to all the time something always
    lags: that is left to what replicates it by itself."""
    written = 0
    quiet = Quiet(control)
    for _ in range(TRIES):
        noted = sequences(cluster, database, means.away)[0]
        try:
            result = sync(
                cluster,
                database,
                quiet,
                create_missing=emptied,
                route=means.route_of(database),
                away=means.away,
                hub=means.hub,
                rounds=ROUNDS,
            )
        except DocumentsRefused as error:
            detail = error.detail
            return lambda done: done.refused.update({database: detail})
        except (NotFound, NotEnoughNodes) as error:
            if _here_alone(cluster, node, database, means):
                return _note_alone
            raise error from None
        written += sum(pull.docs_written for pull in result.pulls if pull.target == node)
        if node in result.nodes and _arrived(cluster, database, result, noted):
            if result.caught_up:
                means.synced(database, result)
            return lambda done: _note(done, written, result)
    raise NotCaughtUp(_behind(node, result), node=node, database=database)


def _arrived(cluster: Cluster, database: str, result: SyncResult, noted: Mapping[str, str]) -> bool:
    """Whether nothing lags, or no more than what came after the noted sequences."""
    return all(
        not changes
        or (
            link.source in noted
            and _passed(Database(cluster[link.source], database), result.confirmed[link], noted[link.source])
        )
        for link, changes in result.lag.items()
    )


def _passed(source: Database, confirmed: str, noted: str) -> bool:
    """Whether `confirmed` is no earlier than `noted`, by counting, because sequences cannot be compared. What came
    after `noted` is counted first: a write in between makes the other figure greater, which errs on the safe side."""
    after = source.changes_after(noted)
    return source.changes_after(confirmed) <= after


def _behind(node: str, result: SyncResult) -> str:
    if node not in result.nodes:
        return f"{node} took no part: {result.skipped.get(node, 'it does not have the database')}"
    lag = ", ".join(f"{link} by {changes}" for link, changes in result.lag.items() if changes)
    return f"still lags after {TRIES} syncs: {lag}"


def _here_alone(cluster: Cluster, node: str, database: str, means: Means) -> bool:
    """Whether no other node that answers has it: then nobody can lack it either."""
    here, silent = sequences(cluster.only([name for name in cluster.names if name not in means.away]), database)
    return not silent and set(here) <= {node}


def _note_alone(done: Rejoined) -> None:
    done.left_alone += 1


def _note(done: Rejoined, written: int, result: SyncResult) -> None:
    done.written += written
    done.skipped.update(result.skipped)


def _compare(
    cluster: Cluster, node: str, others: Iterable[str], database: str, means: Means, control: Control
) -> Callable[[Rejoined], None] | None:
    """Leaf by leaf with one other node. What is missing is fetched once; what is missing then is an error."""
    has = [name for name in others if Database(cluster[name], database).info(read_timeout=LOOK_TIMEOUT)]
    if not has:
        return None
    pair = [means.hub if means.hub in has else has[0], node]
    result = verify(
        cluster,
        database,
        Quiet(control),
        nodes=[name for name in cluster.names if name in pair],
        repair=True,
        route=means.route_of(database),
        settled=means.settled_of(database, pair),
        patience=PATIENCE,
    )
    if not result.differing:
        return _note_verified
    reasons = [str(told["reason"]) for told in result.listed if told.get("reason")]
    if len(reasons) < result.differing:
        raise NotCaughtUp(f"{result.differing} documents differ from {pair[0]}", node=node, database=database)
    words = f"{result.differing} documents that a node refuses: {reasons[0]}"
    return lambda done: done.refused.update({database: words})


def _note_verified(done: Rejoined) -> None:
    done.verified += 1
