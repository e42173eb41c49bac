"""Which databases are to be backed up, and where each can be read."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from worker.core.errors import NotFound, ReplicationError, Unreachable
from worker.core.names import nearest
from worker.core.selecting import backed_up, never
from worker.couch.cluster import Cluster
from worker.ops.control import Control
from worker.ops.look import LOOK_TIMEOUT, reason
from worker.ops.parallel import each


@dataclass(frozen=True)
class Chosen:
    """`databases` -> the nodes that have it, in their order. `silent`: nodes that could not be asked."""

    databases: dict[str, list[str]]
    silent: list[str]


def databases(
    cluster: Cluster,
    nodes: Sequence[str],
    globs: Sequence[str],
    exclude: Sequence[str],
    control: Control,
    *,
    asked: bool = True,
) -> Chosen:
    """All that match a glob. `asked`: a person named them, so that each name and at least one glob has to fit.

    Raises Unreachable where no node answers, and NotFound.
    """
    outcomes = each(nodes, lambda name: cluster[name].databases(read_timeout=LOOK_TIMEOUT), control)
    answered = {name: outcome.value for name, outcome in outcomes.items() if outcome.value is not None}
    if not answered:
        errors = [outcome.error for outcome in outcomes.values() if outcome.error is not None]
        raise _nobody(errors)
    found: dict[str, list[str]] = {}
    for node, names in answered.items():
        for name in names:
            if backed_up(name, globs, exclude):
                found.setdefault(name, []).append(node)
    if asked:
        _require(globs, found, {name for names in answered.values() for name in names if not never(name)})
    silent = [name for name in cluster.names if name not in answered]
    return Chosen(dict(sorted(found.items())), silent)


def _require(globs: Sequence[str], found: Collection[str], known: set[str]) -> None:
    missing = [glob for glob in globs if not set(glob) & set("*?[") and glob not in found and glob != "_users"]
    if missing:
        if never(missing[0]):
            raise NotFound(f"{missing[0]} is never backed up: it is made anew by what uses it", database=missing[0])
        hints = nearest(missing[0], known)
        close = f"; did you mean {', '.join(hints)}?" if hints else ""
        raise NotFound(f"no node that answers has a database {missing[0]!r}{close}", database=missing[0])
    if not found:
        raise NotFound(f"no node that answers has a database that matches {', '.join(globs)}")


def _nobody(errors: Sequence[ReplicationError]) -> ReplicationError:
    if len(errors) == 1:
        return errors[0]
    return Unreachable("no node answers: " + ", ".join(f"{error.node} ({reason(error)})" for error in errors))
