"""What a look at the nodes found, as far as the planner (worker.core.plan) needs it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

MAX_JOBS = 500  # [replicator] max_jobs where nobody has set it


@dataclass(frozen=True)
class FoundLink:
    """One of our documents in a `_replicator` database. `shape`: see worker.core.replication.shape. `failed`: CouchDB
    has given it up for good, and looks at it again only in a new revision."""

    revision: str
    shape: str
    failed: bool = False


@dataclass(frozen=True)
class NodeFound:
    """One node that answered.

    `links`: document id -> what is there. `ledger`: the databases that this node is known to have had (worker.ops.
    ledger): one that it lacks now was deleted there. `foreign_jobs`: replications on it that are not ours.
    """

    databases: frozenset[str]
    links: Mapping[str, FoundLink] = field(default_factory=dict)
    ledger: frozenset[str] = frozenset()
    scheduler: bool = True
    max_jobs: int = MAX_JOBS
    foreign_jobs: int = 0


Observed = Mapping[str, NodeFound]  # node -> what was found; nodes that did not answer are missing
