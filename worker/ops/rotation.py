"""Change a password on all nodes, while both are known (worker.core.logins).

    look      every node answers, takes one of the two, and has the user
    part      our links go, because their documents hold the password, and pulls stop: a replicator that goes on with
              the old one would lock the right one out after five tries
    change    one node after the other; what was done is noted before and after each
    (link)    whoever called has the links made again, with the password that each node has by then

Nothing is undone when it fails in the middle: each node is called with what it has, so all goes on as it is, and the
next start goes on where this one ended. The same the other way round takes everything back. Who calls has seen to it
that no other work of ours runs.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from worker.core.errors import HalfChanged, NotQuiet, PasswordsRefused, ReplicationError, Unsupported
from worker.core.logins import Which, Whose
from worker.core.model import Credentials
from worker.core.names import parse_replication_document_id
from worker.couch.cluster import Cluster
from worker.couch.replicator import Replicator
from worker.couch.server import Server
from worker.ops import logins
from worker.ops.control import Control
from worker.ops.observe import OURS
from worker.ops.parallel import each, values

# (node, whose, which it has; None: it is just being changed)
Note = Callable[[str, Whose, Which | None], None]
LETS_GO_WITHIN = 30.0  # seconds
LOOK_EVERY = 0.1
# Seconds before each try of a password that was just set: of a server admin it counts at once, of a user of _users when
# CouchDB's cache has heard of it. Fewer than the five after which the user would be locked out
PAUSES = (0.0, 0.3, 1.0, 3.0)
Task = tuple[str, Whose]
Known = Mapping[Task, Which | None]


@dataclass
class Rotation:
    """`changed`, `had`: node and whose of those that were changed, and those that had it before."""

    to: Which
    changed: list[Task] = field(default_factory=list)
    had: list[Task] = field(default_factory=list)
    links_removed: int = 0

    def as_json(self) -> dict[str, Any]:
        return {
            "to": self.to.value,
            "changed": [_json(task) for task in self.changed],
            "unchanged": [_json(task) for task in self.had],
            "links_removed": self.links_removed,
        }


def rotate(cluster: Cluster, to: Which, known: Known, note: Note, control: Control) -> Rotation:
    """`known`: which they have, as far as that was noted. Raises what a node fails with while nothing has been changed,
    PasswordsRefused and Unsupported; and HalfChanged, whose `result` says how far it came."""
    control.report("look")
    found = look(cluster, to, known, note)
    result = Rotation(to, had=[task for task, which in found.items() if which is to])
    waiting = [task for task, which in found.items() if which is not to]
    control.check()
    if waiting:
        control.report("part")
        result.links_removed = part(cluster)
    for done, (name, whose) in enumerate(waiting):
        control.check()
        control.report("change", done, len(waiting), "passwords")
        try:
            _change(cluster, name, whose, to, note)
        except ReplicationError as error:
            raise _half(result, (name, whose), error) from error
        result.changed.append((name, whose))
    control.report("change", len(waiting), len(waiting), "passwords")
    return result


def look(cluster: Cluster, to: Which, known: Known, note: Note) -> dict[Task, Which]:
    """What each node has. Raises where one does not answer: its password could not be changed with the others'."""
    found = values(each(cluster.logins, lambda name: _has(cluster, name, to, known)))
    told = {(name, whose): which for name, known in found.items() for whose, which in known.items()}
    for (name, whose), which in told.items():
        note(name, whose, which)
        cluster.use(name, whose, which)
    values(each(cluster.logins, lambda name: _require_known(cluster, name)))
    return told


def part(cluster: Cluster) -> int:
    """Take our links away on all nodes and stop the pulls that run there; returns how many links there were."""
    names = [name for name in cluster.names if cluster[name].capabilities().scheduler]
    removed = values(each(names, lambda name: _remove_links(cluster[name])))
    peers = tuple(server.node.peer_url for server in cluster.servers.values())
    values(each(names, lambda name: Replicator(cluster[name]).stop_from(peers)))
    values(each(names, lambda name: _wait_for_the_end(cluster[name], peers)))
    return sum(removed.values())


def _has(cluster: Cluster, name: str, to: Which, known: Known) -> dict[Whose, Which]:
    found = {}
    for whose, login in cluster.logins[name].items():
        which = logins.taken(cluster[name], login, known.get((name, whose)) or to.other)
        if which is None:
            raise PasswordsRefused(
                f"it takes neither of the two passwords of {login.current.user!r}; nothing was changed", node=name
            )
        found[whose] = which
    return found


def _require_known(cluster: Cluster, name: str) -> None:
    for login in cluster.logins[name].values():
        logins.require_known(cluster[name], login.current.user)


def _remove_links(server: Server) -> int:
    replicator = Replicator(server)
    ours = [row for row in replicator.stored(OURS) if parse_replication_document_id(str(row["_id"])) is not None]
    refused = replicator.write([{"_id": row["_id"], "_rev": row["_rev"], "_deleted": True} for row in ours])
    if refused:
        raise Unsupported(
            f"{len(refused)} links could not be taken away: {next(iter(refused.values()))}", node=server.node.name
        )
    return len(ours)


def _wait_for_the_end(server: Server, peers: Sequence[str]) -> None:
    """Until the scheduler has let go of our links and of the pulls, which it does some time after it was told."""
    until = time.monotonic() + LETS_GO_WITHIN
    while left := Replicator(server).running(OURS, peers):
        if time.monotonic() > until:
            raise NotQuiet(
                f"{len(left)} replications run on after {LETS_GO_WITHIN:g} s, {left[0]} one of them: no password is "
                "changed while they do",
                node=server.node.name,
            )
        time.sleep(LOOK_EVERY)


def _change(cluster: Cluster, name: str, whose: Whose, to: Which, note: Note) -> None:
    server, login = cluster[name], cluster.logins[name][whose]
    note(name, whose, None)  # before: whoever goes on after our death must ask the node
    wanted = login.of(to)
    logins.change(server, wanted.user, wanted.password)
    if not any(_taken_after(server, wanted, pause) for pause in PAUSES):
        raise PasswordsRefused(f"it was given the password of {wanted.user!r} and does not take it", node=name)
    cluster.use(name, whose, to)
    note(name, whose, to)


def _taken_after(server: Server, wanted: Credentials, seconds: float) -> bool:
    time.sleep(seconds)
    return logins.lets_in(server, wanted)


def _half(result: Rotation, task: Task, error: ReplicationError) -> HalfChanged:
    done = ", ".join(f"{name} ({whose.value})" for name, whose in (*result.had, *result.changed)) or "no node"
    half = HalfChanged(
        f"{error.detail}. {done} has the {result.to.value} password now, {task[0]} and what comes after it may have "
        "the other. Everything goes on with both in the settings: keep both, and ask for it again",
        node=task[0],
    )
    half.result = result.as_json()
    return half


def _json(task: Task) -> Mapping[str, str]:
    return {"node": task[0], "whose": task[1].value}
