"""The copies of the registered webhook receivers (worker.core.registrations) on the nodes: a `_local` document in our
own database, which is never replicated, so that a node's word is its own. What is secret in it is sealed."""

from __future__ import annotations

from collections.abc import Iterable

from worker.core.names import OWN_DATABASE
from worker.core.registrations import Registrations, as_json, from_json
from worker.couch.cluster import Cluster
from worker.couch.database import Database
from worker.ops.own import put_over
from worker.ops.parallel import each

ID = "_local/webhooks"


def read(
    cluster: Cluster, names: Iterable[str], timeout: float, database: str = OWN_DATABASE
) -> dict[str, Registrations]:
    """Node -> what it remembers (nothing, where it has no copy), of those of these nodes that answer in time."""

    def ask(name: str) -> Registrations:
        found = Database(cluster[name], database).get(ID, tries=1, within=timeout)
        return from_json((found or {}).get("webhooks", {}))

    return {name: outcome.value for name, outcome in each(names, ask).items() if outcome.value is not None}


def write(
    cluster: Cluster, names: Iterable[str], known: Registrations, timeout: float, database: str = OWN_DATABASE
) -> list[str]:
    """Have these nodes remember it; returns those that do now. `timeout`: seconds for each call. Where our own database
    is not there, nothing is: making it is the business of a set-up."""

    def put(name: str) -> bool:
        put_over(Database(cluster[name], database), {"_id": ID, "webhooks": as_json(known)}, within=timeout)
        return True

    return [name for name, outcome in each(names, put).items() if outcome.value]
