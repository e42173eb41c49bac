"""One look at one node: is it there, does it take our credentials, is it up, what is it; and what it tells of its work.

The first part decides, so it is short and told at once: GET / and /_up. The second part, details, costs a node more and
may be missing: whatever could not be had is None, and never makes the look a failed one.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from worker.core import details, disk
from worker.core.details import Details
from worker.core.disk import Round
from worker.core.errors import BadAnswer, ReplicationError, TimedOut
from worker.core.failures import failure_of, reason_of
from worker.core.figures import Asked
from worker.core.health import Failure, Look
from worker.core.model import Identity, NodeKind
from worker.core.names import OWN_DATABASE, is_own
from worker.core.rules import USERS
from worker.couch.server import DBS_INFO_BATCH, Server

Value = TypeVar("Value")
ONE_BY_ONE = 10  # databases of a server that tells of each alone


@dataclass(frozen=True)
class NodeSeen:
    """`databases` is None where they could not be read: unknown, not empty. `errors`: what else could not be had, in
    words. `disk_round`: to be handed to the next sweep. `asked`: the databases whose figures came with this one."""

    look: Look
    databases: list[str] | None = None
    errors: tuple[str, ...] = ()
    details: Details = field(default_factory=Details)
    disk_round: Round | None = None
    asked: Asked | None = None


@dataclass(frozen=True)
class Deadline:
    at: float  # by time.monotonic

    def left(self) -> float:
        """Seconds. Raises TimedOut where there are none."""
        seconds = self.at - time.monotonic()
        if seconds <= 0:
            raise TimedOut("no time was left for it")
        return seconds


def failed(name: str, error: ReplicationError, disk_round: Round | None) -> NodeSeen:
    return without_details(Look(name, ok=False, failure=failure_of(error), reason=reason_of(error)), disk_round)


def without_details(look: Look, disk_round: Round | None) -> NodeSeen:
    """Sizes stand until they are known anew, and have their own time."""
    return NodeSeen(look, details=Details(disk=disk_round.totals if disk_round else None), disk_round=disk_round)


def look_at(server: Server, deadline: Deadline, slow_ms: float, disk_round: Round | None) -> NodeSeen:
    """The part that decides."""
    name = server.node.name
    try:
        began = time.monotonic()
        identity = server.identity(within=deadline.left())
        latency = (time.monotonic() - began) * 1000
        not_ready = server.not_ready(within=deadline.left())
    except ReplicationError as error:
        server.forget()
        return failed(name, error, disk_round)
    look = Look(
        name,
        ok=True,
        latency_ms=round(latency, 1),
        version=_version(identity),
        uuid=identity.uuid,
        kind=identity.kind.value,
    )
    if not_ready:
        words = f"maintenance-mode: its /_up says {not_ready}; [couchdb] maintenance_mode takes it back in"
        look = replace(look, ok=False, failure=Failure.MAINTENANCE_MODE, reason=words)
    elif latency > slow_ms:
        words = f"slow: answers in {latency:.0f} ms, more than HEALTH_SLOW_MS"
        look = replace(look, ok=False, failure=Failure.SLOW, reason=words)
    return without_details(look, disk.begun(disk_round, identity.uuid))


def _version(identity: Identity) -> str | None:
    # a stand-in's number is not CouchDB's
    standin = identity.kind is NodeKind.STANDIN and identity.version
    return f"express-pouchdb {identity.version}" if standin else identity.version or None


@dataclass
class Asking:
    """What is asked of one node beside its being there, until the time is over."""

    server: Server
    deadline: Deadline
    errors: list[str] = field(default_factory=list)

    def told(self, what: str, ask: Callable[[float], Value]) -> Value | None:
        """What `ask`, given the seconds that are left, returns; None where it fails, with a word of why."""
        try:
            return ask(self.deadline.left())
        except ReplicationError as error:
            self.errors.append(f"{what}: {error.slug}: {error.detail}")
        except (AttributeError, KeyError, TypeError, ValueError):
            self.errors.append(f"{what}: {BadAnswer.slug}: not in the form that is known")
        return None

    def figures(self, what: str, parse: Callable[[Any], Value], *path: str) -> Value | None:
        def ask(within: float) -> Value | None:
            said = self.server.tells(*path, within=within)
            return None if said is None else parse(said)

        return self.told(what, ask)


def with_details(server: Server, seen: NodeSeen, deadline: Deadline) -> NodeSeen:
    """The same look with what the node tells of its work. What decides for others comes first."""
    asking = Asking(server, deadline)
    names = asking.told("databases", lambda within: server.databases(tries=1, within=within))
    couchdb = seen.look.kind == NodeKind.COUCHDB
    system = asking.figures("load", _system, "_node", "_local", "_system") if couchdb else None
    seen_at = time.time()  # when the uptime was told, and not when the last node has answered
    tasks = asking.figures("active tasks", details.active_tasks, "_active_tasks")
    jobs = None
    if couchdb:
        path = ("_node", "_local", "_stats", "couch_replicator", "jobs")
        jobs = asking.figures("replication jobs", details.replication_jobs, *path)
    further = _further if couchdb else _one_by_one
    so_far, asked = further(asking, seen.disk_round, names) if names is not None else (seen.disk_round, None)
    missing = details.system_databases_missing(names) if couchdb and names is not None else None
    uptime, load = system or (None, None)
    return NodeSeen(
        replace(seen.look, own=None if names is None else OWN_DATABASE in names, uptime=uptime, seen_at=seen_at),
        None if names is None else _replicated(names),
        tuple(asking.errors),
        Details(tasks, jobs, load, so_far.totals if so_far else None, missing),
        so_far,
        asked,
    )


def _system(said: Any) -> tuple[float, dict[str, int]]:
    return details.uptime(said), details.load(said)


def _further(asking: Asking, so_far: Round | None, names: list[str]) -> tuple[Round | None, Asked | None]:
    """The round of sizes, one call further where that is possible."""
    if so_far is None:
        return None, None
    wanted = disk.wanted(so_far, names, DBS_INFO_BATCH)
    found = asking.told("disk", lambda within: asking.server.figures(wanted, within=within))
    if found is None:
        return so_far, None
    after = disk.added(so_far, wanted, [one.size for one in found if one.size], names, time.time())
    return after, Asked(tuple(wanted), tuple(found), last=not after.cursor)


def _one_by_one(asking: Asking, so_far: Round | None, names: list[str]) -> tuple[Round | None, Asked | None]:
    """The same of a server that tells of each database alone, and of no sizes: a few of them."""
    if so_far is None:
        return None, None
    wanted = disk.wanted(so_far, users := _replicated(names), ONE_BY_ONE)
    found = asking.told(
        "documents", lambda within: [asking.server.figures_of(name, within=asking.deadline.left()) for name in wanted]
    )
    if found is None:
        return so_far, None
    after = disk.passed(so_far, wanted, users)
    return after, Asked(tuple(wanted), tuple(one for one in found if one), last=not after.cursor)


def _replicated(names: list[str]) -> list[str]:
    """Without CouchDB's own, but for its users, and without ours."""
    others = [name for name in names if not name.startswith("_") and not is_own(name)]
    return others + [name for name in names if name == USERS]
