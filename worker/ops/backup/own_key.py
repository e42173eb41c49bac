"""The system's own key, with which it reads its records again where BACKUP_KEY holds only recipients.

It lies in our own database on every node, where server admins and REPLICATION_USER alone can read it: both read every
database anyway, and a record tells of these only their names and sizes. Nothing is lost with it but the way to go on
from earlier backups: the next one is full, and the identity in the safe opens everything.

It is an ordinary document, because CouchDB takes any `_local` one, whatever was there before: of two who make a key at
the same moment both would believe that theirs is the one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress

from worker.core.errors import Conflict, NotEnoughNodes, ReplicationError
from worker.core.names import OWN_DATABASE
from worker.couch.cluster import Cluster
from worker.couch.database import Database
from worker.ops.look import reason
from worker.ops.own import ensure_own_database
from worker.ops.parallel import each

ID = "backup-key"


def own_key(cluster: Cluster, make: Callable[[], str]) -> str:
    """The first that a node has, in their order; made where none has one, and given to those that lack it.

    Raises NotEnoughNodes where none is found and not all nodes could be asked: a second key would begin, and with it
    everything anew.
    """
    looks = each(cluster.names, lambda name: _read(cluster, name))
    found = {name: outcome.value for name, outcome in looks.items() if outcome.error is None}
    key = _first(found)
    if key is None:
        away = {name: outcome.error for name, outcome in looks.items() if outcome.error is not None}
        if away:
            told = ", ".join(f"{name} ({reason(error)})" for name, error in away.items())
            raise NotEnoughNodes(f"the key of the backups' records may be on a node that does not answer: {told}")
        key = _agreed(cluster, next(iter(found)), make())
    _spread(cluster, found, key)
    return key


def _agreed(cluster: Cluster, first: str, key: str) -> str:
    """The key of whoever comes first to the first node."""
    ensure_own_database(cluster[first])
    try:
        Database(cluster[first], OWN_DATABASE).put({"_id": ID, "key": key})
    except Conflict:
        return _read(cluster, first) or key
    return key


def _first(found: Mapping[str, str | None]) -> str | None:
    return next((value for value in found.values() if value), None)


def _spread(cluster: Cluster, found: Mapping[str, str | None], key: str) -> None:
    for name, value in found.items():
        if value != key:
            _write(cluster, name, key)


def _read(cluster: Cluster, name: str) -> str:
    found = Database(cluster[name], OWN_DATABASE).get(ID, tries=2)
    return str(found["key"]) if found else ""


def _write(cluster: Cluster, name: str, key: str) -> None:
    """A copy for the day when another node is lost; where it cannot be written now, it is the next time."""
    with suppress(ReplicationError):
        ensure_own_database(cluster[name])
        database = Database(cluster[name], OWN_DATABASE)
        found = database.get(ID) or {"_id": ID}
        if found.get("key") != key:
            database.put({**found, "key": key})
