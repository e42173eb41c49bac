"""Databases that somebody set up one way (`"bidirectional": false`), remembered on the nodes.

Reconciling goes on long after the request, and must not give such a database the links back that nobody asked for. One
document a database in our own database, on every node that answers: it outlives Redis. A node that was away has an
older word, or none: so choices carry their time, the newest of all nodes counts, and reconciling hands it to the
others. For the same reason one that was taken back is not deleted, but overruled.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from worker.core.errors import Forbidden
from worker.core.names import OWN_DATABASE
from worker.couch.cluster import Cluster
from worker.couch.database import Database
from worker.couch.server import Server
from worker.ops.look import LOOK_TIMEOUT
from worker.ops.parallel import batches, each

PREFIX = "one-way:"
BATCH = 1_000


@dataclass(frozen=True, order=True)
class Choice:
    """`at`: when it was made, in seconds since the epoch."""

    at: float
    one_way: bool


Choices = Mapping[str, Choice]  # database -> choice


def read(server: Server) -> dict[str, Choice]:
    found = Database(server, OWN_DATABASE).documents(PREFIX)
    return {str(document["_id"]).removeprefix(PREFIX): _choice(document) for document in found}


def newest(of_nodes: Iterable[Choices]) -> dict[str, Choice]:
    """What counts, of what several nodes say."""
    found: dict[str, Choice] = {}
    for said in of_nodes:
        for database, choice in said.items():
            found[database] = max(choice, found.get(database, choice))
    return found


def is_one_way(cluster: Cluster, names: Iterable[str], database: str) -> bool:
    """What these nodes say now, as far as they answer."""

    def ask(name: str) -> Choice | None:
        cluster[name].capabilities()
        own = Database(cluster[name], OWN_DATABASE)
        document = own.get(f"{PREFIX}{database}", tries=1, read_timeout=LOOK_TIMEOUT)
        return _choice(document) if document else None

    said = [outcome.value for outcome in each(names, ask).values() if outcome.value is not None]
    return max(said).one_way if said else False


def write(server: Server, choices: Choices) -> None:
    """Remember these, whatever the node said before. Raises Forbidden where it refuses one."""
    database = Database(server, OWN_DATABASE)
    for batch in batches(sorted(choices), BATCH):
        found = database.by_ids([f"{PREFIX}{name}" for name in batch])
        documents: list[dict[str, Any]] = []
        for name in batch:
            identity, choice = f"{PREFIX}{name}", choices[name]
            before = {"_rev": found[identity]["_rev"]} if identity in found else {}
            documents.append({"_id": identity, "one_way": choice.one_way, "at": choice.at, **before})
        for row in database.bulk(documents):
            # a conflict: the same, written on another node, came by replication in between
            if row.get("error") not in {None, "conflict"}:
                raise Forbidden(f"{row['id']}: {row.get('reason')}")


def _choice(document: Mapping[str, Any]) -> Choice:
    return Choice(float(document.get("at") or 0.0), bool(document.get("one_way")))
