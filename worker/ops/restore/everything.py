"""A whole set onto an empty cluster: every database onto one node; links and the other nodes come afterwards, and by
other means (setup, sync, verify)."""

from __future__ import annotations

from collections.abc import Sequence

from worker.blobs.vault import Vault
from worker.core.errors import DatabaseExists, ReplicationError
from worker.core.manifest import Manifest
from worker.core.names import OWN_DATABASE, is_own
from worker.couch.cluster import Cluster
from worker.couch.database import Database
from worker.ops.control import Control, Quiet
from worker.ops.look import LOOK_TIMEOUT
from worker.ops.own import ensure_own_database, put_local
from worker.ops.parallel import each, pooled, values
from worker.ops.restore.chain import Chain
from worker.ops.restore.database import restore_new
from worker.ops.restore.result import Restored

AT_ONCE = 2
DONE = "_local/notebook-restore-done"


def restore_all(
    cluster: Cluster,
    vault: Vault,
    manifest: Manifest,
    node: str,
    control: Control,
    databases: Sequence[str] | None = None,
) -> list[Restored]:
    """Onto `node`. Databases that an earlier attempt of the same restore has finished are left as they are. Raises
    DatabaseExists where a node has any other database, and before anything was written."""
    server = cluster[node]
    done = _done(Database(server, OWN_DATABASE), manifest.id)
    wanted = [entry for entry in manifest.entries if databases is None or entry.database in databases]
    _require_empty(cluster, {*done, *(entry.database for entry in wanted)})
    ensure_own_database(server)
    restored: list[Restored] = []

    def one(database: str) -> Restored:
        entry = manifest.entry(database)
        assert entry is not None  # noqa: S101 - its names are the keys
        return restore_new(vault, Chain.of(vault, entry), Database(server, database), Quiet(control))

    left = [entry.database for entry in wanted if entry.database not in done]
    control.report("restore", len(done), len(wanted), "databases")
    for outcome in pooled(left, one, AT_ONCE, control):
        if outcome.error is not None:
            raise outcome.error
        assert outcome.value is not None  # noqa: S101 - a value or an error
        restored.append(outcome.value)
        done.append(outcome.key)
        _note(Database(server, OWN_DATABASE), manifest.id, done)
        control.report("restore", len(done), len(wanted), "databases")
    return restored


def finished(cluster: Cluster, node: str) -> None:
    """Nothing is left to go on with."""
    database = Database(cluster[node], OWN_DATABASE)
    found = database.get(DONE)
    if found:
        try:
            database.delete(DONE, str(found["_rev"]))
        except ReplicationError:
            return


def _require_empty(cluster: Cluster, ours: set[str]) -> None:
    """Those of an unfinished restore carry its mark, which is looked at when their turn comes."""
    lists = values(each(cluster.names, lambda name: cluster[name].databases(read_timeout=LOOK_TIMEOUT)))
    for node, names in lists.items():
        others = [name for name in names if not name.startswith("_") and not is_own(name) and name not in ours]
        if others:
            raise DatabaseExists(
                f"{node} is not empty: it has {', '.join(others[:5])}{' and others' if len(others) > 5 else ''}. Mode "
                "cluster is for nodes without databases; single ones are restored with mode new",
                node=node,
                database=others[0],
            )


def _done(own: Database, backup: str) -> list[str]:
    if own.info() is None:
        return []
    found = own.get(DONE)
    return [str(name) for name in found["databases"]] if found and found.get("backup") == backup else []


def _note(own: Database, backup: str, done: Sequence[str]) -> None:
    put_local(own, {"_id": DONE, "backup": backup, "databases": list(done)})
