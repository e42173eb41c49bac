"""Does this database exist? Asked by the API, which never calls CouchDB itself.

The last sweep mostly knows. Where it does not, the name may be a slip, or a database made a second ago; a
worker looks (one request a node) and the API waits for the answer, for a bounded time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tasks.observations import Observations
from worker.core.names import nearest

PATIENCE = 2.0  # seconds


@dataclass(frozen=True)
class Found:
    """`exists` is None where nobody could tell: then the job itself will find out."""

    exists: bool | None
    nearest: list[str]
    unreachable: list[str]


class Lookup:
    """`ask(database, box)` has a worker look; raises StoreUnavailable."""

    def __init__(self, seen: Observations, ask: Callable[[str, str], None]) -> None:
        self._seen = seen
        self._ask = ask

    def find(self, database: str) -> Found:
        if self._seen.database_nodes(database):
            return Found(True, [], [])
        box = self._seen.new_look()
        self._ask(database, box)
        answer = self._seen.await_look(box, PATIENCE)
        if answer is None:
            return Found(None, [], [])
        close = [] if answer["found_on"] else nearest(database, self._seen.database_names())
        return Found(bool(answer["found_on"]), close, answer["unreachable"])
