"""The first step of every operation on a database: who answers, and who has it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from worker.core.errors import NotEnoughNodes, NotFound, ReplicationError, Unreachable
from worker.core.model import DatabaseInfo
from worker.core.names import nearest
from worker.couch.cluster import Cluster
from worker.couch.database import Database
from worker.ops.parallel import each, values


@dataclass
class Participants:
    """The nodes of one operation. `skipped`: node -> why it takes no part."""

    infos: dict[str, DatabaseInfo] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)

    @property
    def answering(self) -> list[str]:
        return [*self.infos, *self.missing]


def look(cluster: Cluster, database: str, without: Sequence[str] = ()) -> Participants:
    """Ask every node for the database, all at once. Nodes that fail are skipped and named, not fatal.

    Raises MixedNodeKinds.
    """

    def ask(name: str) -> DatabaseInfo | None:
        server = cluster[name]
        server.capabilities()
        return Database(server, database).info(tries=2)

    found = Participants()
    for name, outcome in each([name for name in cluster.names if name not in without], ask).items():
        if outcome.error is not None:
            found.skipped[name] = reason(outcome.error)
            cluster[name].forget()
        elif outcome.value is None:
            found.missing.append(name)
        else:
            found.infos[name] = outcome.value
    cluster.refuse_mixed_kinds(found.answering)
    return found


def reason(error: ReplicationError) -> str:
    return f"{error.slug}: {error.detail}"


def require_database(cluster: Cluster, database: str, found: Participants) -> None:
    """Raises NotFound, with the nearest names and the nodes that could not be asked."""
    if found.infos:
        return
    if not found.answering:
        raise Unreachable(f"no node answers: {_named(found.skipped)}", database=database)
    lists = each(found.answering, lambda name: cluster[name].databases())
    known = {name for names in values(lists).values() for name in names if not name.startswith("_")}
    close = nearest(database, known)
    hint = f"; did you mean {', '.join(close)}?" if close else ""
    away = f" (not asked: {_named(found.skipped)})" if found.skipped else ""
    raise NotFound(f"no node has a database {database!r}{away}{hint}", database=database)


def require_two(cluster: Cluster, names: Sequence[str], skipped: dict[str, str]) -> None:
    """Raises NotEnoughNodes."""
    if len(names) >= 2:
        return
    if len(cluster.names) < 2:
        raise NotEnoughNodes("replication needs two nodes: add more to REPLICATION_NODES")
    raise NotEnoughNodes(f"only {', '.join(names) or 'no node'} can take part: {_named(skipped)}")


def _named(skipped: dict[str, str]) -> str:
    return ", ".join(f"{name} ({why})" for name, why in skipped.items())
