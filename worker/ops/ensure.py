"""Make a database where it is missing, the way it is elsewhere. Shared by sync and setup."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from worker.core.model import DatabaseInfo
from worker.couch.cluster import Cluster
from worker.couch.database import Database
from worker.ops.parallel import each, values


def create_missing(cluster: Cluster, database: str, missing: Sequence[str], like: DatabaseInfo | None) -> list[str]:
    """Make it on `missing` with the shape of `like` (the partitioned flag cannot be changed later).

    Returns the nodes on which it was made; not those on which somebody else was faster.
    """

    def create(name: str) -> bool:
        shape: dict[str, Any] = {"partitioned": like.partitioned, "shards": like.shards} if like else {}
        return Database(cluster[name], database).create(**shape)

    return [name for name, made in values(each(missing, create)).items() if made]


def copy_security(cluster: Cluster, database: str, source: str, targets: Sequence[str]) -> list[str]:
    """Give `targets` the `_security` of `source`. Returns those on which it was another.

    CouchDB does not replicate it, and a new database is open to server admins alone: clients that may read
    on one node would be refused on the next.
    """
    wanted = Database(cluster[source], database).security()

    def copy(name: str) -> bool:
        there = Database(cluster[name], database)
        if same_security(wanted, there.security()):
            return False
        there.set_security(wanted)
        return True

    return [name for name, changed in values(each(targets, copy)).items() if changed]


def same_security(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Equal but for order: names and roles are sets."""

    def plain(security: Mapping[str, Any]) -> dict[str, Any]:
        return {
            key: {part: sorted(names) if isinstance(names, list) else names for part, names in value.items() if names}
            if isinstance(value, dict)
            else value
            for key, value in security.items()
        }

    return plain(one) == plain(other)
