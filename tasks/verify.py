"""The body of the verify job, and how it knows that replication has caught up."""

from __future__ import annotations

from typing import Any

from tasks.jobs import Job
from tasks.route import route_for
from tasks.travels import on_change_filter
from tasks.wiring import Parts
from worker.core.rules import Direction
from worker.core.topology import links
from worker.couch.cluster import Cluster
from worker.ops.control import Control
from worker.ops.drift import same, sequences
from worker.ops.links import carried
from worker.ops.repair import cancel_repair
from worker.ops.verify import PATIENCE, Settled, nothing_to_wait_for, verify


def run_verify(parts: Parts, cluster: Cluster, job: Job, control: Control) -> dict[str, Any]:
    database = str(job.params["database"])
    nodes = job.params["nodes"]
    result = verify(
        cluster,
        database,
        control,
        nodes=nodes,
        repair=bool(job.params["repair"]),
        route=route_for(parts, cluster, database),
        settled=settled_of(parts, cluster, database, nodes),
        # where no feed tells of changes, the next periodic pass has to come first
        patience=max(PATIENCE, 2.0 * parts.settings.replication_retry_seconds + 10),
    )
    return result.as_json()


def abandon_verify(parts: Parts, cluster: Cluster, job: Job) -> list[str]:
    return cancel_repair(cluster, str(job.params["database"]))


def settled_of(parts: Parts, cluster: Cluster, database: str, nodes: list[str] | None = None) -> Settled:
    """Tells whether what replicates this database by itself has carried all that was there when it was first asked: see
    worker.ops.verify. `nodes`: only between these."""
    rules = parts.rules
    on_change = on_change_filter(parts)
    if on_change is None or not rules.selected(database):
        return nothing_to_wait_for
    noted: dict[str, str] = {}
    rule = rules.of(database)
    wanted = links(database, cluster.names, rule.topology, bidirectional=rule.direction is Direction.BOTH)

    def settled() -> bool | None:
        if not noted:
            noted.update(sequences(cluster, database)[0])
        if on_change(database):
            return _in_step(parts, cluster, database)
        # those that answered: nobody waits for a node that is away
        between = [link for link in wanted if {link.source, link.target} <= noted.keys() & set(nodes or noted)]
        return carried(cluster, between, noted, rule.selector)

    return settled


def _in_step(parts: Parts, cluster: Cluster, database: str) -> bool:
    known = parts.seen.synced(database)
    if known is None or parts.dirty.outstanding(database):
        return False
    return same(known["sequences"], sequences(cluster, database)[0])
