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
    cluster: Cluster,
    database: str,
    found: Mapping[str, tuple[DatabaseInfo, Mapping[str, Any]]],
    made_now: Sequence[str] = (),
) -> Security:
    """Give new databases the `_security` that somebody made for this one on another node.

    CouchDB does not replicate it, and a new database is open to server admins alone: clients that may read on
    one node would be refused on the next. New are those in `made_now`, and empty ones with the default (made by
    an attempt that did not come so far). Everywhere else what is there was meant, a lock-down to the default
    included: it is never overwritten, only told where it differs. `found`: node -> (info, `_security`), in
    configured order.
    """

    def chosen(name: str) -> bool:
        security = found[name][1]
        default = DEFAULT_SECURITY[cluster[name].capabilities().kind]
        # an empty one is never spread: on CouchDB 3 it opens the database to everybody
        return bool(_plain(security)) and not same_security(security, default)

    def new(name: str) -> bool:
        info = found[name][0]
        return not chosen(name) and info.doc_count == info.doc_del_count == 0

    wanted = next((found[name][1] for name in found if chosen(name)), None)
    if wanted is None:
        return Security([], [])
    fresh = [*(name for name in found if new(name)), *made_now]
    values(each(fresh, lambda name: Database(cluster[name], database).set_security(wanted)))
    others = [name for name in found if name not in fresh]
    return Security(fresh, [name for name in others if not same_security(wanted, found[name][1])])


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
