"""Read from every node what reconciling needs: its databases, our links, what it may run, and what it once had.

A few calls a node, however many databases there are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from worker.core.names import parse_replication_document_id
from worker.core.observed import MAX_JOBS, FoundLink, NodeFound
from worker.core.replication import shape
from worker.couch.cluster import Cluster
from worker.couch.database import Database
from worker.couch.replicator import DATABASE as REPLICATOR
from worker.couch.replicator import Replicator
from worker.couch.server import Server
from worker.ops import choices, ledger
from worker.ops.choices import Choice
from worker.ops.control import Control
from worker.ops.look import LOOK_TIMEOUT, answers
from worker.ops.parallel import each

OURS = "nbr:"
NOT_LINKS = 1  # documents in _replicator that are no replications: its design document


@dataclass
class Found:
    """`nodes`: what each node that answered has. `skipped`: node -> why it did not. `choices`: node -> what it
    remembers of databases that were set up one way. `configuration`: node -> what its [replicator] section sets."""

    nodes: dict[str, NodeFound] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    choices: dict[str, dict[str, Choice]] = field(default_factory=dict)
    configuration: dict[str, dict[str, str]] = field(default_factory=dict)

    @property
    def newest(self) -> dict[str, Choice]:
        return choices.newest(self.choices.values())

    @property
    def narrowed(self) -> frozenset[str]:
        """The databases that go one way because somebody set them up so."""
        return frozenset(name for name, choice in self.newest.items() if choice.one_way)


@dataclass(frozen=True)
class _Answer:
    node: NodeFound
    choices: dict[str, Choice]
    configuration: Mapping[str, str]


def observe(cluster: Cluster, control: Control) -> Found:
    """Raises what all nodes failed with, where a person has to act."""
    answered, skipped = answers(cluster, each(cluster.names, lambda name: _look(cluster[name]), control))
    return Found(
        nodes={name: answer.node for name, answer in answered.items()},
        skipped=skipped,
        choices={name: answer.choices for name, answer in answered.items()},
        configuration={name: dict(answer.configuration) for name, answer in answered.items()},
    )


def _look(server: Server) -> _Answer:
    scheduler = server.capabilities().scheduler
    databases = frozenset(server.databases(read_timeout=LOOK_TIMEOUT))
    configuration = server.configuration("replicator") if scheduler else {}
    links = found_links(server) if scheduler else {}
    node = NodeFound(
        databases=databases,
        links=links,
        ledger=ledger.read(server),
        scheduler=scheduler,
        max_jobs=_number(configuration.get("max_jobs")),
        foreign_jobs=_foreign(server, len(links)) if scheduler else 0,
    )
    return _Answer(node, choices.read(server), configuration)


def found_links(server: Server) -> dict[str, FoundLink]:
    """Our documents in the server's `_replicator`, by id."""
    found = {}
    for document in Replicator(server).stored(OURS):
        parsed = parse_replication_document_id(str(document["_id"]))
        if parsed is not None:
            failed = document.get("_replication_state") == "failed"
            found[str(document["_id"])] = FoundLink(str(document["_rev"]), shape(document, parsed[2]), failed)
    return found


def _foreign(server: Server, ours: int) -> int:
    info = Database(server, REPLICATOR).info()
    return max(0, info.doc_count - ours - NOT_LINKS) if info else 0


def _number(text: Any) -> int:
    try:
        return int(text)
    except (TypeError, ValueError):
        return MAX_JOBS
