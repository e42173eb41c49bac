"""Change a password on all nodes, while both are known (worker.core.logins).

    look      every node answers, takes one of the two, and can be told another
    part      our links go, because their documents hold the password, and pulls stop: a replicator that goes on with
              the old one would lock the right one out after five tries
    change    one node after the other; what was done is noted before and after each
    (link)    whoever called has the links made again, with the password that each node has by then

Nothing is undone when it fails in the middle: each node is called with what it has, so all goes on as it is, and the
next start goes on where this one ended. The same the other way round takes everything back. Who calls has seen to it
that no other work of ours runs, and gives a cluster that nobody else uses (`Cluster.twin`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from worker.core.errors import HalfChanged, LockedOut, NotQuiet, PasswordsRefused, ReplicationError
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

LETS_GO_WITHIN = 30.0  # seconds
LOOK_EVERY = 0.1
# Seconds before each try of a password that was just set: of a server admin it counts at once, of a user of _users when
# CouchDB's cache has heard of it. Fewer than the five after which the user would be locked out
PAUSES = (0.0, 0.3, 1.0, 3.0)

Place = tuple[str, Whose]  # a node, and whose password there
Noted = Mapping[Place, Which | None]
# (node, whose, which it has; None: it is just being changed)
Note = Callable[[str, Whose, Which | None], None]


@dataclass
class Rotation:
    """`changed`, `had`: those that were changed, and those that had it before."""

    to: Which
    changed: list[Place] = field(default_factory=list)
    had: list[Place] = field(default_factory=list)
    links_removed: int = 0

    @property
    def done(self) -> list[Place]:
        return [*self.had, *self.changed]

    def as_json(self) -> dict[str, Any]:
        return {
            "to": self.to.value,
            "changed": [_json(place) for place in self.changed],
            "unchanged": [_json(place) for place in self.had],
            "links_removed": self.links_removed,
        }


def rotate(
    cluster: Cluster, to: Which, noted: Noted, note: Note, control: Control, ready: Callable[[], None]
) -> Rotation:
    """`noted`: which they have, as far as that is known. `ready` is asked before each change, and raises where it may
    not be made any more.

    Raises what a node fails with while no node has been changed by this or an earlier start, PasswordsRefused and
    Unsupported among them; and else HalfChanged, whose `result` says how far it came.
    """
    control.report("look")
    result = Rotation(to, had=[place for place, which in noted.items() if which is to])
    begun = bool(result.had)
    try:
        found = look(cluster, to, noted, note)
        result.had = [place for place, which in found.items() if which is to]
        waiting = [place for place, which in found.items() if which is not to]
        control.check()
        if waiting:
            control.report("part")
            result.links_removed = part(cluster)
        for name, whose in waiting:
            control.check()
            control.report("change", len(result.changed), len(waiting), "passwords")
            ready()
            begun = True
            _change(cluster, name, whose, to, note)
            result.changed.append((name, whose))
    except ReplicationError as error:
        if not begun:
            raise
        raise _half(result, error) from error
    control.report("change", len(waiting), len(waiting), "passwords")
    return result


def look(cluster: Cluster, to: Which, noted: Noted, note: Note) -> dict[Place, Which]:
    """What each node has. Raises where one does not answer: its password could not be changed with the others'."""
    found = values(each(cluster.logins, lambda name: _has(cluster, name, to, noted)))
    told = {(name, whose): which for name, has in found.items() for whose, which in has.items()}
    for (name, whose), which in told.items():
        note(name, whose, which)
        cluster.use(name, whose, which)
    values(each(cluster.logins, lambda name: _require_changeable(cluster, name)))
    return told


def part(cluster: Cluster) -> int:
    """Take our links away on all nodes and stop the pulls that run there; returns how many links there were."""
    names = [name for name in cluster.names if cluster[name].capabilities().scheduler]
    removed = values(each(names, lambda name: _remove_links(cluster[name])))
    peers = tuple(server.node.peer_url for server in cluster.servers.values())
    values(each(names, lambda name: Replicator(cluster[name]).stop_from(peers)))
    values(each(names, lambda name: _wait_for_the_end(cluster[name], peers)))
    return sum(removed.values())


def _has(cluster: Cluster, name: str, to: Which, noted: Noted) -> dict[Whose, Which]:
    found = {}
    for whose, login in cluster.logins[name].items():
        which = logins.taken(cluster[name], login, noted.get((name, whose)) or to.other)
        if which is None:
            raise PasswordsRefused(f"it takes neither of the two passwords of {login.current.user!r}", node=name)
        found[whose] = which
    return found


def _require_changeable(cluster: Cluster, name: str) -> None:
    for login in cluster.logins[name].values():
        logins.require_changeable(cluster[name], login.current.user)


def _remove_links(server: Server) -> int:
    replicator = Replicator(server)
    ours = [row for row in replicator.stored(OURS) if _is_ours(str(row["_id"]))]
    refused = replicator.write([{"_id": row["_id"], "_rev": row["_rev"], "_deleted": True} for row in ours])
    if refused:  # somebody wrote them meanwhile
        raise NotQuiet(f"{len(refused)} links could not be taken away: {next(iter(refused.values()))}")
    return len(ours)


def _is_ours(identity: str) -> bool:
    return parse_replication_document_id(identity) is not None


def _wait_for_the_end(server: Server, peers: Sequence[str]) -> None:
    """Until the scheduler has let go of our links and of the pulls, which it does some time after it was told."""
    until = time.monotonic() + LETS_GO_WITHIN
    while left := Replicator(server).running(_is_ours, peers):
        if time.monotonic() > until:
            raise NotQuiet(
                f"{len(left)} replications run on after {LETS_GO_WITHIN:g} s, {left[0]} one of them: no password is "
                "changed while they do",
                node=server.node.name,
            )
        time.sleep(LOOK_EVERY)


def _change(cluster: Cluster, name: str, whose: Whose, to: Which, note: Note) -> None:
    server, wanted = cluster[name], cluster.logins[name][whose].of(to)
    note(name, whose, None)  # before: whoever goes on after our death must ask the node
    try:
        logins.change(server, wanted.user, wanted.password)
        if not any(_taken_after(server, wanted, pause) for pause in PAUSES):
            raise PasswordsRefused(f"it was given the password of {wanted.user!r} and does not take it", node=name)
    except ReplicationError:
        cluster.use(name, whose, None)
        raise
    cluster.use(name, whose, to)
    note(name, whose, to)


def _taken_after(server: Server, wanted: Credentials, seconds: float) -> bool:
    time.sleep(seconds)
    return logins.lets_in(server, wanted)


def _half(result: Rotation, error: ReplicationError) -> HalfChanged:
    done = ", ".join(f"{name} ({whose.value})" for name, whose in result.done) or "no node for certain"
    half = HalfChanged(
        f"{error.detail}. The {result.to.value} password is on {done}, and not yet on others. Everything goes on with "
        "both in the settings: keep both, and ask for it again",
        node=error.node,
    )
    half.result = result.as_json()
    half.locked_out = isinstance(error, LockedOut)
    return half


def _json(place: Place) -> Mapping[str, str]:
    return {"node": place[0], "whose": place[1].value}
