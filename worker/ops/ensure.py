"""Make a database where it is missing, the way it is elsewhere. Shared by sync and setup."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from worker.core.model import DatabaseInfo, NodeKind
from worker.couch.cluster import Cluster
from worker.couch.database import Database
from worker.ops.parallel import each, values

# What a database has that nobody has given another: on CouchDB 3 nothing at all means "open to everybody"
DEFAULT_SECURITY: Mapping[NodeKind, Mapping[str, Any]] = {
    NodeKind.COUCHDB: {"members": {"roles": ["_admin"]}, "admins": {"roles": ["_admin"]}},
    NodeKind.STANDIN: {},
}


def create(cluster: Cluster, name: str, database: str, like: DatabaseInfo | None) -> bool:
    """Make it on this node with the shape of `like` (the partitioned flag cannot be changed later). False where
    somebody else was faster."""
    shape: dict[str, Any] = {"partitioned": like.partitioned, "shards": like.shards} if like else {}
    return Database(cluster[name], database).create(**shape)


@dataclass(frozen=True)
class Security:
    """What became of `_security`: nodes that got a copy, and nodes that have another of their own."""

    copied_to: list[str]
    differs_on: list[str]


def share_security(
    cluster: Cluster, database: str, found: Mapping[str, Mapping[str, Any]], made_now: Sequence[str] = ()
) -> Security:
    """Give nodes whose `_security` is that of a new database (and those in `made_now`) the one that somebody
    made on another node.

    CouchDB does not replicate it, and a new database is open to server admins alone: clients that may read on
    one node would be refused on the next. One that was made on purpose is never overwritten, whichever node it
    is on: two that differ are for a person to settle. `found`: node -> its `_security`, in configured order.
    """
    chosen = {
        name: security
        for name, security in found.items()
        if not same_security(security, DEFAULT_SECURITY[cluster[name].capabilities().kind])
    }
    if not chosen:
        return Security([], [])
    wanted = next(iter(chosen.values()))
    fresh = [name for name in (*found, *made_now) if name not in chosen]
    values(each(fresh, lambda name: Database(cluster[name], database).set_security(wanted)))
    return Security(fresh, [name for name, security in chosen.items() if not same_security(wanted, security)])


def same_security(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Equal but for order: names and roles are sets."""

    return _plain(one) == _plain(other)


def _plain(security: Mapping[str, Any]) -> dict[str, Any]:
    parts = {key: _part(value) for key, value in security.items()}
    return {key: value for key, value in parts.items() if value}


def _part(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return {name: sorted(who) if isinstance(who, list) else who for name, who in value.items() if who}
