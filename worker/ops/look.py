"""The first step of every operation on a database: who answers, and who has it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, TypeVar

from worker.core.errors import (
    NotEnoughNodes,
    NotFound,
    OneNodeOnly,
    Permanent,
    ReplicationError,
    ServerFault,
    Unreachable,
)
from worker.core.model import DatabaseInfo
from worker.core.names import nearest
from worker.couch.cluster import Cluster
from worker.couch.database import Database
from worker.couch.server import Server
from worker.ops.control import Control
from worker.ops.parallel import Outcome, each, values

Value = TypeVar("Value")
LOOK_TIMEOUT = 10.0  # seconds a node has to say what it has; a hung one costs a job no more than that


@dataclass
class Participants:
    """The nodes of one operation, and what each says of the database. `skipped`: node -> why it takes no part."""

    infos: dict[str, DatabaseInfo] = field(default_factory=dict)
    security: dict[str, dict[str, Any]] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)

    @property
    def answering(self) -> list[str]:
        return [*self.infos, *self.missing]


def look(
    cluster: Cluster, database: str, control: Control, away: Mapping[str, str] = MappingProxyType({})
) -> Participants:
    """Ask every node for the database, all at once. Nodes that fail are skipped and named, not fatal, unless all
    fail alike for a reason that only a person can mend. `away`: not asked, and skipped with these words.

    Raises MixedNodeKinds, and what all nodes failed with (Unauthorized, TlsRefused …).
    """
    names = [name for name in cluster.names if name not in away]
    answered, skipped = answers(cluster, each(names, lambda name: _ask(cluster[name], database), control))
    found = Participants(skipped={**away, **skipped})
    for name, answer in answered.items():
        if answer is None:
            found.missing.append(name)
        else:
            found.infos[name], found.security[name] = answer
    cluster.refuse_unfit(found.answering)
    return found


def _ask(server: Server, database: str) -> tuple[DatabaseInfo, dict[str, Any]] | None:
    server.capabilities()
    if not server.is_up(read_timeout=LOOK_TIMEOUT):
        raise ServerFault("in maintenance mode", node=server.node.name)
    return describe(Database(server, database), tries=2, read_timeout=LOOK_TIMEOUT)


def describe(database: Database, **options: Any) -> tuple[DatabaseInfo, dict[str, Any]] | None:
    """Its figures and its `_security`; None where there is no such database. `options` are those of `info`."""
    info = database.info(**options)
    return (info, database.security()) if info else None


def answers(cluster: Cluster, outcomes: Mapping[str, Outcome[str, Value]]) -> tuple[dict[str, Value], dict[str, str]]:
    """Node -> what it said, for those that answered; and node -> why it did not, for the others.

    Raises the nodes' error where every one failed, and permanently: skipping them all would only hide it.
    """
    errors = {name: outcome.error for name, outcome in outcomes.items() if outcome.error is not None}
    if errors and len(errors) == len(outcomes) and all(isinstance(error, Permanent) for error in errors.values()):
        raise next(iter(errors.values()))
    for name in errors:
        cluster[name].forget()
    answered = {name: outcome for name, outcome in outcomes.items() if name not in errors}
    return values(answered), {name: reason(error) for name, error in errors.items()}


def reason(error: ReplicationError) -> str:
    return f"{error.slug}: {error.detail}"


def require_database(cluster: Cluster, database: str, found: Participants) -> None:
    """Raises NotFound, with the nearest names and the nodes that could not be asked."""
    if found.infos:
        return
    require_any(found.answering, found.skipped, database)
    lists = each(found.answering, lambda name: cluster[name].databases(read_timeout=LOOK_TIMEOUT))
    known = {name for names in values(lists).values() for name in names if not name.startswith("_")}
    close = nearest(database, known)
    hint = f"; did you mean {', '.join(close)}?" if close else ""
    away = f" (not asked: {_named(found.skipped)})" if found.skipped else ""
    raise NotFound(f"no node has a database {database!r}{away}{hint}", database=database)


def require_any(names: Sequence[str], skipped: dict[str, str], database: str | None = None) -> None:
    """Raises Unreachable."""
    if not names:
        raise Unreachable(f"no node answers: {_named(skipped)}", database=database)


def require_two(cluster: Cluster, names: Sequence[str], skipped: dict[str, str]) -> None:
    """Raises NotEnoughNodes, and OneNodeOnly where no more are configured."""
    if len(names) >= 2:
        return
    if len(cluster.names) < 2:
        raise OneNodeOnly("replication needs two nodes: add more to REPLICATION_NODES")
    raise NotEnoughNodes(f"only {', '.join(names) or 'no node'} can take part: {_named(skipped)}")


def _named(skipped: dict[str, str]) -> str:
    return ", ".join(f"{name} ({why})" for name, why in skipped.items())


def refuse_unfit_nodes(cluster: Cluster) -> dict[str, str]:
    """Look once at all nodes, for a process that starts. Returns node -> why it cannot be used now.

    Raises MixedNodeKinds and SameNodeTwice, as far as the nodes that answer tell.
    """
    looks = each(cluster.names, lambda name: cluster[name].capabilities())
    cluster.refuse_unfit([name for name, outcome in looks.items() if outcome.error is None])
    return {name: reason(outcome.error) for name, outcome in looks.items() if outcome.error is not None}
