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
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from worker.core.errors import DocumentsRefused, NotCaughtUp, NotEnoughNodes
from worker.core.model import Route
from worker.couch.cluster import Cluster
from worker.couch.database import Database
from worker.ops import ensure
from worker.ops.control import Control, Quiet
from worker.ops.drift import same, sequences
from worker.ops.look import LOOK_TIMEOUT, reason
from worker.ops.parallel import each, pooled, values
from worker.ops.rejoin_result import Rejoined, note_alone, note_refused, note_synced, note_verified
from worker.ops.sync import sync
from worker.ops.sync_result import SyncResult
from worker.ops.verify import verify

AT_ONCE = 20  # databases: a sync mostly waits for CouchDB's replicator, and the node serves nobody meanwhile
TRIES = 3  # syncs of one database
ROUNDS = 2  # of each: the second confirms what the first has carried


@dataclass(frozen=True)
class Means:
    """How this cluster's databases are brought up to date.

    `selected`: whether a database is replicated. `route_of`: how it may travel. `deleted`: databases that somebody
    deleted on this node, which it is not to have; None where that is not known: then it is to have what it has.
    `recorded`: database -> {node: update_seq} when it was last in step. `away`: nodes that are known to be down, and
    why. `hub`: where syncs gather. `synced` is told of each result.
    """

    selected: Callable[[str], bool]
    route_of: Callable[[str], Route]
    deleted: Collection[str] | None = None
    recorded: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    away: Mapping[str, str] = field(default_factory=dict)
    hub: str | None = None
    synced: Callable[[str, SyncResult], None] = lambda database, result: None


def rejoin(cluster: Cluster, node: str, means: Means, control: Control, *, emptied: bool) -> Rejoined:
    """`emptied`: databases are made on it where they are missing, and compared afterwards.

    Raises NotEnoughNodes (nobody else answers), NotCaughtUp (its `result` tells which databases are not), and what
    looking at the node itself failed with.
    """
    began = time.monotonic()
    control.report("look")
    found = _look(cluster, node, means, control)
    names = _wanted(found, node, means, emptied=emptied)
    done = Rejoined(node, databases=len(names), skipped=dict(means.away))
    left = names if emptied else _changed(cluster, names, found, node, means, control)
    done.in_step = len(names) - len(left)
    work = _Work(cluster, node, found, means, control)
    if emptied:
        _each_database("create", [name for name in names if name not in found[node]], work.create, done, control)
    _each_database("sync", [name for name in left if name not in done.failed], work.bring_up, done, control)
    if emptied:
        _each_database("verify", [name for name in names if name not in done.failed], work.compare, done, control)
    done.seconds = time.monotonic() - began
    if done.failed:
        listed = "; ".join(f"{name}: {why}" for name, why in list(done.failed.items())[:3])
        error = NotCaughtUp(f"{len(done.failed)} of {len(names)} databases are not up to date: {listed}", node=node)
        error.result = done.as_json()
        raise error
    return done


Found = Mapping[str, Collection[str]]  # node that answers -> its databases that are replicated


def _look(cluster: Cluster, node: str, means: Means, control: Control) -> Found:
    """What each node has that is not away. One that does not say holds everything up: what it alone has would not be
    missed."""

    def ask(name: str) -> set[str]:
        cluster[name].capabilities()
        names = cluster[name].databases(tries=2, read_timeout=LOOK_TIMEOUT)
        return {database for database in names if means.selected(database)}

    looks = each([name for name in cluster.names if name not in means.away], ask, control)
    for name, look in looks.items():
        if look.error is not None:
            cluster[name].forget()
            raise look.error
    if node not in looks:
        raise NotEnoughNodes(f"{node} is away: {means.away.get(node)}")
    if len(looks) < 2:
        raise NotEnoughNodes(f"no other node answers that could bring {node} up to date")
    return {name: look.value or set() for name, look in looks.items()}


def _wanted(found: Found, node: str, means: Means, *, emptied: bool) -> list[str]:
    """The databases that it is to have, by name."""
    everywhere = set().union(*found.values())
    if emptied:
        return sorted(everywhere)
    return sorted(found[node] if means.deleted is None else everywhere - set(means.deleted))


def _changed(
    cluster: Cluster, names: Sequence[str], found: Found, node: str, means: Means, control: Control
) -> list[str]:
    """Without those in which nothing has happened on any node since they were last in step. Asked in bulk: of ten
    thousand databases mostly a few have changed."""
    noted = [name for name in names if name in means.recorded and node in means.recorded[name]]
    now = values(
        each(found, lambda name: cluster[name].sequences([one for one in noted if one in found[name]]), control)
    )
    still = {
        name
        for name in noted
        if same(means.recorded[name], {at: sequences[name] for at, sequences in now.items() if name in sequences})
        and name in now[node]
    }
    return [name for name in names if name not in still]


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


class _Work:
    """What is done with one database."""

    def __init__(self, cluster: Cluster, node: str, found: Found, means: Means, control: Control) -> None:
        self._cluster, self._node, self._found, self._means = cluster, node, found, means
        self._control = Quiet(control)

    def create(self, database: str) -> None:
        """On this node alone: another one that lacks it had it deleted."""
        like = Database(self._cluster[self._owners(database)[0]], database).info()
        ensure.create(self._cluster, self._node, database, like)

    def bring_up(self, database: str) -> Callable[[Rejoined], None]:
        """Sync it, until what was there before has arrived. In a database that is written to all the time something
        always lags: that is left to what replicates it by itself."""
        if not self._owners(database) or not self._has_source(database):
            return note_alone
        written, why = 0, ""
        for _ in range(TRIES):
            try:
                result, why = self._sync(database)
            except DocumentsRefused as error:
                return partial(note_refused, database=database, words=error.detail)
            written += sum(pull.docs_written for pull in result.pulls if pull.target == self._node)
            if not why:
                if result.caught_up:
                    self._means.synced(database, result)
                return partial(note_synced, written=written)
        raise NotCaughtUp(why, node=self._node, database=database)

    def compare(self, database: str) -> Callable[[Rejoined], None] | None:
        """Leaf by leaf with one other node. What is missing is fetched once; what is missing then is an error."""
        owners = self._owners(database)
        if not owners:
            return None
        other = self._means.hub if self._means.hub in owners else owners[0]
        result = verify(
            self._cluster,
            database,
            self._control,
            nodes=[name for name in self._cluster.names if name in {other, self._node}],
            repair=True,
            route=self._means.route_of(database),
            settled=partial(self._settled, database),
        )
        told = {"node": self._node, "database": database}
        if result.unconfirmed or self._node in result.skipped or other in result.skipped:
            raise NotCaughtUp(f"it could not be compared with {other}", **told)
        if result.differing > result.refused:
            raise NotCaughtUp(f"{result.differing} documents differ from {other}", **told)
        if result.documents.get(other) and not result.documents.get(self._node):
            raise NotCaughtUp("it takes none of the documents", **told)
        if not result.differing:
            return note_verified
        words = f"{result.differing} documents that a node refuses"
        return partial(note_refused, database=database, words=words)

    def _sync(self, database: str) -> tuple[SyncResult, str]:
        """The result, and what of that which was there before has not arrived; nothing where all has."""
        means = self._means
        noted = sequences(self._cluster, database, means.away)[0]
        result = sync(
            self._cluster,
            database,
            self._control,
            create_missing=False,
            route=means.route_of(database),
            away=means.away,
            hub=means.hub,
            rounds=ROUNDS,
        )
        return result, self._incomplete(database, result) or _behind(self._cluster, database, result, noted)

    def _settled(self, database: str) -> bool:
        """Carry what is there now: not only what replicates by itself is to be waited for."""
        try:
            return not self._sync(database)[1]
        except DocumentsRefused:
            return True

    def _owners(self, database: str) -> list[str]:
        """The other nodes that have it."""
        return [name for name, databases in self._found.items() if name != self._node and database in databases]

    def _has_source(self, database: str) -> bool:
        """One that goes one way, from a primary that is away, can be had from nobody: that keeps the node not out."""
        return self._means.route_of(database).gathers or self._cluster.names[0] in self._found

    def _incomplete(self, database: str, result: SyncResult) -> str:
        """Which node that has it took no part, though it is not away; nothing where all did."""
        for name in (self._node, *self._owners(database)):
            if name not in result.nodes:
                return f"{name} took no part: {result.skipped.get(name, 'it does not have the database')}"
        return ""


def _behind(cluster: Cluster, database: str, result: SyncResult, noted: Mapping[str, str]) -> str:
    """Which links lag by more than what came after the noted sequences; nothing where none does."""
    late = [
        f"{link} by {changes}"
        for link, changes in result.lag.items()
        if changes
        and (
            link.source not in noted
            or not _passed(Database(cluster[link.source], database), result.confirmed[link], noted[link.source])
        )
    ]
    return f"still lags after {TRIES} syncs: {', '.join(late)}" if late else ""


def _passed(source: Database, confirmed: str, noted: str) -> bool:
    """Whether `confirmed` is no earlier than `noted`, by counting, because sequences cannot be compared. What came
    after `noted` is counted first: a write in between makes the other figure greater, which errs on the safe side."""
    after = source.changes_after(noted)
    return source.changes_after(confirmed) <= after
