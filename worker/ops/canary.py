"""How many seconds does a write on one node take to every other, now?

The only honest figure for "how far behind": lag counts what a target has not confirmed, and says nothing of time.
Every node gets a document of its own in our own database, all at once, and every node is then asked for the
documents of the others. Whatever carries changes between nodes carries these (links, on-change, the periodic pass);
nothing is carried here.

Seconds are by one clock, ours, from the moment a write was confirmed. A node is asked at intervals, so a mark may
have been there before it was seen: `precision` says for how long at most. One thread a node writes, then asks: a
hung node holds up no measurement but its own.

A full disk shows at a write alone. CouchDB 3.5.0 then goes on answering every read and `/_up`, and says no more of a
write than `500 {"error": "error", "reason": "internal_server_error"}` (measured; its log says enospc). Twice that,
where the read just before went well, is called a full disk here.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from worker.core.errors import Conflict, DiskFull, LockedOut, Permanent, ReplicationError, ServerFault
from worker.core.names import OWN_DATABASE
from worker.couch.cluster import Cluster
from worker.couch.database import Database
from worker.ops.canary_board import Board, Written
from worker.ops.control import Control
from worker.ops.look import reason
from worker.ops.parallel import each, values

FIRST_PAUSE = 0.05  # seconds between two looks at a node
LONGEST_PAUSE = 1.0
GROWTH = 1.5
CALL_TIMEOUT = 10.0  # seconds
TRIES = 5
CRASH_PAUSE = 1.0  # seconds until a write that crashed the node's writer is tried once more
KEPT = 5  # marks in a document: who overwrites one carries it on, so that two who measure at once disturb nobody


@dataclass(frozen=True)
class Arrival:
    """What became of a write on `source` at `target`; figures in seconds, None where unknown.

    `seconds`: it arrived within that, and by `precision` earlier at most. `overdue`: it had not arrived after that.
    `error`: neither is known, because of this node for this reason.
    """

    source: str
    target: str
    seconds: float | None = None
    precision: float | None = None
    overdue: float | None = None
    error: str | None = None


@dataclass
class _Watch:
    """What one node saw of the others' marks: source -> when. `missed`: when the last look without it began."""

    seen: dict[str, float]
    missed: dict[str, float]
    error: ReplicationError | None = None


def measure(
    cluster: Cluster,
    names: Sequence[str],
    control: Control,
    deadline: float,
    *,
    database: str = OWN_DATABASE,
    wrote: Callable[[str, ReplicationError | None], None] = lambda name, error: None,
) -> list[Arrival]:
    """Write on each of these nodes, and wait at most `deadline` seconds for it on each other. Nodes that fail are
    named in the arrivals they are part of. The database must be there (`own.ensure_own_database`).

    `wrote`: called as soon as it is known whether a node took its write, from that node's thread; with the error where
    it did not. What a full disk needs is told long before the last arrival is waited for.
    """
    board = Board(names, time.monotonic() + deadline)

    def take_part(name: str) -> _Watch:
        held = Database(cluster[name], database)
        try:
            cluster[name].capabilities()  # which remembers a refused password, and does not send it again
            board.wrote(name, _write(held, name, board))
            wrote(name, None)
        except ReplicationError as error:
            cluster[name].forget()
            board.failed(name, error)
            wrote(name, error)
            if not _may_pass(error):
                return _Watch({}, {}, error)
        watch = _watch(held, name, board)
        if watch.error is not None:
            cluster[name].forget()
        return watch

    control.report("measure")
    try:
        watches = values(each(names, take_part, control))
    finally:
        board.stop()
    return [
        _arrival(board, watches[target], source, target) for source in names for target in names if source != target
    ]


def _write(database: Database, name: str, board: Board) -> Written:
    """A new mark in this node's document. Raises what its node failed with."""
    mark, identity = uuid.uuid4().hex, _id(name)
    for left in reversed(range(TRIES)):
        found = database.by_ids([identity], tries=1, read_timeout=_patience(board)).get(identity, {})
        document = {
            "_id": identity,
            "marks": [mark, *_marks(found)][:KEPT],
            "written_at": datetime.now(UTC).isoformat(timespec="milliseconds"),
        }
        if found:
            document["_rev"] = found["_rev"]
        try:
            _put(database, document, board)
        except Conflict:
            if not left:
                raise
        else:
            break
    return Written(mark, time.monotonic())


def _put(database: Database, document: dict[str, Any], board: Board) -> None:
    """Raises DiskFull where the node's writer crashes of it twice."""
    for again in (True, False):
        try:
            database.put(document, read_timeout=_patience(board))
        except ServerFault as error:
            if not error.crashed:
                raise
            crash = error
        else:
            return
        if again:
            board.pause(CRASH_PAUSE)
    words = f"its writer crashed twice ({crash.detail}) while reads go well: the disk is most likely full or read-only"
    raise DiskFull(words, node=crash.node)


def _watch(database: Database, name: str, board: Board) -> _Watch:
    """Ask this node until it has every mark that was written, or the time is over."""
    watch, pause = _Watch({}, {}), FIRST_PAUSE
    while awaited := board.awaited(name, watch.seen):
        began = time.monotonic()
        try:
            found = database.by_ids([_id(source) for source in awaited], tries=1, read_timeout=_patience(board))
            watch.error = None
        except ReplicationError as error:
            watch.error = error
            if not _may_pass(error):
                return watch
        else:
            now = time.monotonic()
            for source, written in awaited.items():
                if written.mark in _marks(found.get(_id(source), {})):
                    watch.seen[source] = now
                else:
                    watch.missed[source] = began
        board.pause(pause)
        pause = min(LONGEST_PAUSE, pause * GROWTH)
    return watch


def _arrival(board: Board, watch: _Watch, source: str, target: str) -> Arrival:
    written = board.written.get(source)
    if written is None:
        return Arrival(source, target, error=f"{source}: {reason(board.errors[source])}")
    missed = watch.missed.get(source)
    if source in watch.seen:
        seconds = max(0.0, watch.seen[source] - written.at)
        since = written.at if missed is None else max(missed, written.at)
        return Arrival(source, target, round(seconds, 3), round(max(0.0, watch.seen[source] - since), 3))
    if watch.error is not None:
        return Arrival(source, target, error=f"{target}: {reason(watch.error)}")
    if missed is None:
        return Arrival(source, target, error=f"{source}: written too late to be looked for")
    return Arrival(source, target, overdue=round(max(0.0, missed - written.at), 3))


def _may_pass(error: ReplicationError) -> bool:
    """Whether to ask the node again: never with a password that was refused, which would lock it out for everybody."""
    return isinstance(error, Conflict) or not isinstance(error, Permanent | LockedOut)


def _patience(board: Board) -> float:
    return min(CALL_TIMEOUT, max(1.0, board.left()))


def _marks(document: Mapping[str, Any]) -> list[Any]:
    """Whatever somebody may have made of our document."""
    marks = document.get("marks")
    return marks if isinstance(marks, list) else []


def _id(name: str) -> str:
    return f"canary:{name}"
