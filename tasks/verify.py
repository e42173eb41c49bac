"""The body of the verify job."""

from __future__ import annotations

from typing import Any

from tasks.jobs import Job
from tasks.wiring import Parts
from worker.couch.cluster import Cluster
from worker.ops.control import Control
from worker.ops.repair import cancel_repair
from worker.ops.verify import Settled, nothing_to_wait_for, verify


def run_verify(parts: Parts, cluster: Cluster, job: Job, control: Control) -> dict[str, Any]:
    database = str(job.params["database"])
    result = verify(
        cluster,
        database,
        control,
        nodes=job.params["nodes"],
        repair=bool(job.params["repair"]),
        settled=settled_of(parts, cluster, database),
    )
    return result.as_json()


def abandon_verify(cluster: Cluster, job: Job) -> list[str]:
    return cancel_repair(cluster, str(job.params["database"]))


def settled_of(parts: Parts, cluster: Cluster, database: str) -> Settled:
    """Tells whether what replicates this database by itself has nothing outstanding: see worker.ops.verify."""
    return nothing_to_wait_for
