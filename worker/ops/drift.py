"""Which databases have changed on some node since they were last in step?

Compares each node's update_seq of a database with the one recorded after its last sync; equal means that nothing has
happened since. It is what nodes without a feed are kept in step by, it finds what a feed missed, and it ends the echo:
what a sync wrote moves the target's update_seq, and that one was recorded. It never makes a database anywhere: one that
was deleted on a node stays deleted there until somebody asks for it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from worker.core.errors import ReplicationError
from worker.couch.cluster import Cluster
from worker.couch.database import Database
from worker.ops.look import LOOK_TIMEOUT
from worker.ops.parallel import each, pooled

AT_ONCE = 8
MOST_MEASURED = 200  # databases whose lag is asked for; beyond that it stays unknown

Recorded = Mapping[str, Mapping[str, str]]  # database -> {node: update_seq after its last sync}


@dataclass(frozen=True)
class Drift:
    """`changed`: to be synced. `in_step`: nothing happened since the last sync. Each with its nodes. `lag`: of changed
    ones, node -> changes on it that came after the last sync, where that could be asked. `unseen`: nodes that did not
    answer."""

    changed: dict[str, list[str]]
    in_step: dict[str, list[str]]
    lag: dict[str, dict[str, int]] = field(default_factory=dict)
    unseen: list[str] = field(default_factory=list)


def find_drift(
    cluster: Cluster,
    recorded: Recorded,
    wanted: Callable[[str], bool],
    selector_of: Callable[[str], Mapping[str, Any] | None] = lambda database: None,
    away: Collection[str] = (),
) -> Drift:
    """Only databases on two nodes or more count: on one alone there is nothing to keep in step. `selector_of`: what
    travels of a database, for its lag. `away`: nodes that are known not to answer."""

    def ask(name: str) -> dict[str, str]:
        server = cluster[name]
        server.capabilities()  # which remembers a refused password, and does not send it again
        return server.sequences([database for database in server.databases() if wanted(database)])

    outcomes = each([name for name in cluster.names if name not in away], ask)
    now = {name: outcome.value or {} for name, outcome in outcomes.items() if not outcome.error}
    changed: dict[str, list[str]] = {}
    in_step: dict[str, list[str]] = {}
    for database in sorted(set().union(*now.values()) if now else ()):
        here = {name: sequences[database] for name, sequences in now.items() if database in sequences}
        if len(here) < 2:
            continue
        (in_step if same(recorded.get(database, {}), here) else changed)[database] = list(here)
    unseen = [*away, *(name for name, outcome in outcomes.items() if outcome.error)]
    return Drift(changed, in_step, _lag(cluster, changed, recorded, selector_of), unseen)


def same(known: Mapping[str, str], here: Mapping[str, str]) -> bool:
    return all(known.get(name) == sequence for name, sequence in here.items())


def sequences(cluster: Cluster, database: str, away: Collection[str] = ()) -> tuple[dict[str, str], list[str]]:
    """Node -> update_seq of this database now, of those that have it; and the nodes that did not answer, or are known
    not to (`away`)."""

    def ask(name: str) -> str | None:
        cluster[name].capabilities()
        info = Database(cluster[name], database).info(tries=1, read_timeout=LOOK_TIMEOUT)
        return info.update_seq if info else None

    outcomes = each([name for name in cluster.names if name not in away], ask)
    found = {name: outcome.value for name, outcome in outcomes.items() if outcome.value is not None}
    return found, [*away, *(name for name, outcome in outcomes.items() if outcome.error is not None)]


def _lag(
    cluster: Cluster,
    changed: Mapping[str, Sequence[str]],
    recorded: Recorded,
    selector_of: Callable[[str], Mapping[str, Any] | None],
) -> dict[str, dict[str, int]]:
    """After a sync that caught up, all nodes have what each had at its recorded sequence: what comes after it has not
    been confirmed by the others."""
    wanted = [
        (database, node)
        for database, nodes in list(changed.items())[:MOST_MEASURED]
        for node in nodes
        if node in recorded.get(database, {})
    ]

    def ask(key: tuple[str, str]) -> int | None:
        database, node = key
        try:
            since = recorded[database][node]
            return Database(cluster[node], database).changes_after(since, selector=selector_of(database))
        except ReplicationError:
            return None

    found: dict[str, dict[str, int]] = {}
    for outcome in pooled(wanted, ask, AT_ONCE):
        if outcome.value is not None:
            found.setdefault(outcome.key[0], {})[outcome.key[1]] = outcome.value
    return found
