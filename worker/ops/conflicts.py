"""One step of counting a database's conflicts: the changes feed, from where the last step stopped. Only reads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from worker.core import conflicts
from worker.core.conflicts import Counter
from worker.core.errors import NotFound
from worker.couch.conflicts import conflicted
from worker.couch.database import Database

PAGE = 2_000  # rows of the feed
CALL = 10.0  # seconds for each call


@dataclass(frozen=True)
class Step:
    """`counter` to go on with, and how many rows were read. `whole`: the feed's end was reached."""

    counter: Counter
    rows: int
    whole: bool


def further(
    database: Database,
    so_far: Counter | None,
    kind: str | None,
    uuid: str | None,
    most: int,
    now: Callable[[], float],
    page: int = PAGE,
) -> Iterator[Step]:
    """Page by page, until the feed's end or `most` rows: whoever takes the steps may stop after any of them. `kind` and
    `uuid`: what the node is. Raises NotFound where there is no such database, and what the node fails with."""
    info = database.info(tries=1, read_timeout=CALL)
    if info is None:
        raise NotFound(f"no database {database.name!r}", node=database.server.node.name, database=database.name)
    place = conflicts.place_of(database.server.node.name, uuid, kind, info)
    counter = conflicts.begun(so_far, place)
    if again := conflicts.doubted(counter, place):
        counter = conflicts.told(counter, again, conflicted(database, again, within=CALL))
    read, whole = 0, False
    while not whole and read < most:
        rows, last = database.page(counter.since, page, within=CALL)
        wanted = conflicts.candidates(rows)
        found = conflicted(database, wanted, within=CALL) if wanted else set()
        counter = conflicts.read_to(conflicts.told(counter, [key for key, _ in rows], found), last)
        read, whole = read + len(rows), len(rows) < page
        if whole:
            counter = conflicts.ended(counter, place, now())
        yield Step(counter, read, whole)
