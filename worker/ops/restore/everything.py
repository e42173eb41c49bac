"""A whole set onto an empty cluster: every database onto one node; links and the other nodes come afterwards, and by
other means (setup, sync, verify)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from worker.blobs.vault import Vault
from worker.core.errors import DatabaseExists, ReplicationError
from worker.core.manifest import DatabaseManifest, Manifest
from worker.core.names import OWN_DATABASE, is_own
from worker.couch.cluster import Cluster
from worker.couch.database import Database
from worker.couch.server import Server
from worker.ops.control import Control, Quiet
from worker.ops.look import LOOK_TIMEOUT
from worker.ops.own import ensure_own_database, put_over
from worker.ops.parallel import each, pooled, values
from worker.ops.restore.chain import Chain
from worker.ops.restore.database import is_begun, restore_new
from worker.ops.restore.mark import SYSTEM, end, is_bare, is_untouched
from worker.ops.restore.result import Refusals, Restored

AT_ONCE = 2
DONE = "_local/notebook-restore-done"
MOST_KEPT = 5  # refusals of one database that are named after an attempt that broke off


def restore_all(
    cluster: Cluster, vault: Vault, manifest: Manifest, node: str, control: Control, *, retried: bool = False
) -> list[Restored]:
    """Onto `node`. Databases that an earlier attempt of the same restore has finished are left as they are: what is
    told of them is what was refused then. Raises DatabaseExists where a node has any other database, and before
    anything was written."""
    server = cluster[node]
    wanted = [entry.database for entry in manifest.entries]
    lists = values(each(cluster.names, lambda name: cluster[name].databases(read_timeout=LOOK_TIMEOUT)))
    done = _Done(server, manifest.id, lists[node])
    there = {name: Database(server, name) for name in wanted if name in lists[node] and name not in done.refused}
    begun = {
        name
        for name, target in there.items()
        if _is_begun(vault, manifest, target) or (retried and is_untouched(target))
    }
    _require_empty(lists, {*done.refused, *begun})
    _require_bare(target for name, target in there.items() if name in SYSTEM and name not in begun)
    ensure_own_database(server)
    before = [done.restored(name) for name in wanted if name in done.refused]

    def one(database: str) -> Restored:
        entry = manifest.entry(database)
        assert entry is not None  # noqa: S101 - its names are the keys
        return restore_new(
            vault, Chain.of(vault, entry), Database(server, database), Quiet(control), retried=retried, finish=done.add
        )

    return _each([name for name in wanted if name not in done.refused], one, before, control)


class _Done:
    """Which databases a restore of everything has finished: kept on the node, in our own database. Safe to share
    between threads."""

    def __init__(self, server: Server, backup: str, there: Sequence[str]) -> None:
        """`there`: databases that the node has now; one that was deleted since is not done any more."""
        self._server = server
        self._own = Database(server, OWN_DATABASE)
        self._backup = backup
        self._lock = threading.Lock()
        found = self._own.get(DONE) if OWN_DATABASE in there else None
        of_this = found["databases"] if found and found.get("backup") == backup else {}
        self.refused = {name: told for name, told in of_this.items() if name in there}

    def restored(self, database: str) -> Restored:
        """What is known of one, after what the attempt that broke off may have left was put right."""
        end(Database(self._server, database))
        told = self.refused[database]
        refused = Refusals.of_json(told) if told else Refusals()
        return Restored(database, database, self._server.node.name, self._backup, resumed=True, refused=refused)

    def add(self, restored: Restored) -> None:
        with self._lock:
            told = restored.refused.as_json(MOST_KEPT) if restored.refused.count else None
            self.refused[restored.database] = told
            put_over(self._own, {"_id": DONE, "backup": self._backup, "databases": self.refused})


def finished(cluster: Cluster, node: str) -> None:
    """Nothing is left to go on with."""
    database = Database(cluster[node], OWN_DATABASE)
    found = database.get(DONE)
    if found:
        try:
            database.delete(DONE, str(found["_rev"]))
        except ReplicationError:
            return


def _each(
    names: Sequence[str], restore: Callable[[str], Restored], before: Sequence[Restored], control: Control
) -> list[Restored]:
    restored, total = list(before), len(before) + len(names)
    control.report("restore", len(restored), total, "databases")
    for outcome in pooled(names, restore, AT_ONCE, control):
        if outcome.error is not None:
            raise outcome.error
        assert outcome.value is not None  # noqa: S101 - a value or an error
        restored.append(outcome.value)
        control.report("restore", len(restored), total, "databases")
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
