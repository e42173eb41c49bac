"""A whole set onto an empty cluster: every database onto one node; links and the other nodes come afterwards, and by
other means (setup, sync, verify)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial

from worker.blobs.vault import Vault
from worker.core.errors import DatabaseExists, ReplicationError
from worker.core.manifest import DatabaseManifest, Manifest
from worker.core.names import OWN_DATABASE, is_own
from worker.couch.cluster import Cluster
from worker.couch.database import Database
from worker.ops.control import Control, Quiet
from worker.ops.look import LOOK_TIMEOUT
from worker.ops.own import ensure_own_database, put_local
from worker.ops.parallel import each, pooled, values
from worker.ops.restore.chain import Chain
from worker.ops.restore.database import is_begun, restore_new
from worker.ops.restore.mark import SYSTEM, end, is_bare
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
    own = Database(server, OWN_DATABASE)
    wanted = [entry.database for entry in manifest.entries if databases is None or entry.database in databases]
    lists = values(each(cluster.names, lambda name: cluster[name].databases(read_timeout=LOOK_TIMEOUT)))
    done = [name for name in _done(own, manifest.id) if name in lists[node]]
    there = {name: Database(server, name) for name in wanted if name in lists[node] and name not in done}
    begun = {name for name, target in there.items() if _is_begun(vault, manifest, target)}
    _require_empty(lists, {*done, *begun})
    _require_bare(target for name, target in there.items() if name in SYSTEM and name not in begun)
    ensure_own_database(server)
    for name in done:
        end(Database(server, name))  # where an attempt broke off just before it did that
    noting = threading.Lock()

    def finish(database: str) -> None:
        with noting:
            put_local(own, {"_id": DONE, "backup": manifest.id, "databases": [*_done(own, manifest.id), database]})

    def one(database: str) -> Restored:
        entry = manifest.entry(database)
        assert entry is not None  # noqa: S101 - its names are the keys
        target = Database(server, database)
        return restore_new(vault, Chain.of(vault, entry), target, Quiet(control), finish=partial(finish, database))

    return _each([name for name in wanted if name not in done], one, len(wanted), control)


def finished(cluster: Cluster, node: str) -> None:
    """Nothing is left to go on with."""
    database = Database(cluster[node], OWN_DATABASE)
    found = database.get(DONE)
    if found:
        try:
            database.delete(DONE, str(found["_rev"]))
        except ReplicationError:
            return


def _each(names: Sequence[str], restore: Callable[[str], Restored], total: int, control: Control) -> list[Restored]:
    restored: list[Restored] = []
    before = total - len(names)
    control.report("restore", before, total, "databases")
    for outcome in pooled(names, restore, AT_ONCE, control):
        if outcome.error is not None:
            raise outcome.error
        assert outcome.value is not None  # noqa: S101 - a value or an error
        restored.append(outcome.value)
        control.report("restore", before + len(restored), total, "databases")
    return restored


def _require_empty(lists: Mapping[str, Sequence[str]], ours: Collection[str]) -> None:
    """`lists`: node -> its databases. What an unfinished restore has made may be on other nodes by now."""
    for node, names in lists.items():
        others = [name for name in names if not name.startswith("_") and not is_own(name) and name not in ours]
        if others:
            raise DatabaseExists(
                f"{node} is not empty: it has {', '.join(others[:5])}{' and others' if len(others) > 5 else ''}. Mode "
                "cluster is for nodes without databases; single ones are restored with mode new",
                node=node,
                database=others[0],
            )


def _require_bare(targets: Iterable[Database]) -> None:
    """Of those that every new server has."""
    for target in targets:
        if not is_bare(target):
            raise DatabaseExists(
                f"{target.name} is not as a new server has it: mode cluster is for nodes without documents",
                node=target.server.node.name,
                database=target.name,
            )


def _is_begun(vault: Vault, manifest: Manifest, target: Database) -> bool:
    entry = manifest.entry(target.name)
    return entry is not None and is_begun(vault.read_record(entry.manifest, DatabaseManifest), target)


def _done(own: Database, backup: str) -> list[str]:
    if own.info() is None:
        return []
    found = own.get(DONE)
    return [str(name) for name in found["databases"]] if found and found.get("backup") == backup else []
