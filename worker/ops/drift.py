"""The periodic pass: which databases have changed on some node since they were last in step?

For nodes without a replication scheduler, where nothing moves by itself. Compares each node's update_seq of a
database with the one recorded after its last sync; equal means that nothing has happened since. It never
makes a database anywhere: one that was deleted on a node stays deleted there until somebody asks for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from worker.core.names import selected
from worker.couch.cluster import Cluster
from worker.ops.parallel import each


@dataclass(frozen=True)
class Drift:
    """`changed`: to be synced. `in_step`: nothing happened since the last sync. Each with its nodes."""

    changed: dict[str, list[str]]
    in_step: dict[str, list[str]]


def find_drift(
    cluster: Cluster,
    recorded: Mapping[str, Mapping[str, str]],
    include: Sequence[str],
    exclude: Sequence[str],
) -> Drift:
    """`recorded`: database -> {node: update_seq after its last sync}. Only databases on two nodes or more
    count: on one alone there is nothing to keep in step."""

    def ask(name: str) -> dict[str, str]:
        server = cluster[name]
        server.capabilities()  # which remembers a refused password, and does not send it again
        wanted = [database for database in server.databases() if selected(database, include, exclude)]
        return server.sequences(wanted)

    now = {name: outcome.value or {} for name, outcome in each(cluster.names, ask).items() if not outcome.error}
    changed: dict[str, list[str]] = {}
    in_step: dict[str, list[str]] = {}
    for database in sorted(set().union(*now.values()) if now else ()):
        here = {name: sequences[database] for name, sequences in now.items() if database in sequences}
        if len(here) < 2:
            continue
        known = recorded.get(database, {})
        same = all(known.get(name) == sequence for name, sequence in here.items())
        (in_step if same else changed)[database] = list(here)
    return Drift(changed, in_step)
