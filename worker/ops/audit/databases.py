"""Which databases of a node are open? One request a database, so a look has a bound, and the next one goes on.

Looked at each time: system databases, and those that were open the last time, so that a finding stays as long as what
it tells of. Then as many others as the bound allows, in the order of their names.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from worker.core.audit.content import is_open
from worker.core.audit.observed import Databases, OpenDatabase
from worker.core.errors import Forbidden, LockedOut, NotFound, ReplicationError, Unauthorized
from worker.couch.client import CouchClient
from worker.couch.database import Database
from worker.couch.server import ASK_TIMEOUT, Server
from worker.ops.control import Control
from worker.ops.parallel import pooled

A_TURN = 2_000  # databases of a node
LONGEST = 60.0  # seconds
AT_ONCE = 4  # fewer than the five wrong passwords that lock a user out
MOST_ASKED = 200  # open databases that are asked without credentials as well


@dataclass(frozen=True)
class Before:
    """Where the last look ended, and what it found open."""

    last: str = ""
    open: tuple[str, ...] = ()


def turn(names: Sequence[str], before: Before, most: int = A_TURN) -> list[str]:
    """Which to look at now, each once."""
    there = set(names)
    known = [name for name in before.open if name in there][: most // 2]  # however many: others have their turn too
    first = [name for name in names if name.startswith("_")] + known
    later = sorted(name for name in there if name > before.last)
    earlier = sorted(name for name in there if name <= before.last)
    return list(dict.fromkeys([*first, *later, *earlier]))[:most]


def look(server: Server, before: Before, control: Control) -> Databases:
    names = server.databases(tries=1, within=ASK_TIMEOUT * 2)
    wanted = turn(names, before)
    until = time.monotonic() + LONGEST
    found: dict[str, bool] = {}
    gone: set[str] = set()
    refused: list[ReplicationError] = []
    for outcome in pooled(wanted, lambda name: _is_open(server, name, refused), AT_ONCE, control):
        if refused:
            raise refused[0]
        if isinstance(outcome.error, NotFound):
            gone.add(outcome.key)
        elif outcome.error is None:
            found[outcome.key] = bool(outcome.value)
        if time.monotonic() > until:
            break
    opened = sorted(name for name, is_so in found.items() if is_so)
    asked = _anybody(server.client.acting_as(None), opened, control)
    return Databases(
        total=len(set(names) - gone),
        looked_at=len(found),
        open=tuple(OpenDatabase(name, asked.get(name)) for name in opened),
        last=_end(wanted, found.keys() | gone, before),
    )


def _is_open(server: Server, name: str, refused: list[ReplicationError]) -> bool:
    """`refused`: what ends the whole look. Looked at before each request, so that no more than AT_ONCE are sent with a
    password that was changed meanwhile: five wrong ones lock the right one out."""
    if refused:
        raise refused[0]
    try:
        return is_open(Database(server, name).security(tries=1, within=ASK_TIMEOUT))
    except (Unauthorized, LockedOut) as error:
        refused.append(error)
        raise


def _anybody(client: CouchClient, names: Sequence[str], control: Control) -> dict[str, bool]:
    """Whether each answers without credentials; those of which that is not known are missing."""

    def ask(name: str) -> bool:
        try:
            client.get(name, tries=1, within=ASK_TIMEOUT)
        except (Unauthorized, Forbidden):
            return False
        return True

    outcomes = pooled(names[:MOST_ASKED], ask, AT_ONCE, control)
    return {outcome.key: outcome.value for outcome in outcomes if outcome.value is not None}


def _end(wanted: Sequence[str], looked_at: Collection[str], before: Before) -> str:
    """The last one, in the order in which they come in turn, before one that was not looked at."""
    known = set(before.open)
    last = before.last
    for name in wanted:
        if name.startswith("_") or name in known:
            continue
        if name not in looked_at:
            break
        last = name
    return last
