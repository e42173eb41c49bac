"""How much disk the databases of a node take, added up a hundred at a time. Pure.

CouchDB tells sizes by database, a hundred a call. A node with 100,000 of them is asked for one hundred a sweep, from
where the last sweep stopped, and its totals are known when the round is complete. So each total has a time of its own,
and stands until the next round is over.

A database is compacted as a whole, so what counts is how much space that would free: by share alone, empty databases of
a few kilobytes would lead the list for ever.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

LISTED = 5


@dataclass(frozen=True)
class Size:
    """Bytes of one database: of its files, and of what is live in them."""

    name: str
    file: int
    active: int

    @property
    def wasted(self) -> int:
        return max(0, self.file - self.active)


@dataclass(frozen=True)
class Round:
    """How far the round has come on one server, and `totals` (JSON) of the last complete one."""

    server: str | None = None  # its uuid: another server begins anew
    cursor: str = ""  # the last name that was asked for
    databases: int = 0
    file: int = 0
    active: int = 0
    largest: tuple[Size, ...] = ()
    wasteful: tuple[Size, ...] = ()
    totals: Mapping[str, Any] | None = None


def begun(carried: Round | None, server: str | None) -> Round:
    """The round to go on with."""
    return carried if carried is not None and carried.server == server else Round(server)


def wanted(so_far: Round, names: Sequence[str], most: int) -> list[str]:
    """The databases whose sizes come next."""
    return sorted(name for name in names if name > so_far.cursor)[:most]


def added(so_far: Round, asked: Sequence[str], sizes: Sequence[Size], names: Sequence[str], now: float) -> Round:
    """The round with these sizes in it; the first one of the next round where no database is left to ask for.

    `asked`: what was asked for (`wanted`), of which some may be gone. `names`: all there are.
    """
    grown = replace(
        so_far,
        cursor=asked[-1] if asked else so_far.cursor,
        databases=so_far.databases + len(sizes),
        file=so_far.file + sum(size.file for size in sizes),
        active=so_far.active + sum(size.active for size in sizes),
        largest=_first((*so_far.largest, *sizes), by="file"),
        wasteful=_first((*so_far.wasteful, *(size for size in sizes if size.wasted)), by="wasted"),
    )
    return grown if _more(grown, names) else Round(so_far.server, totals=_totals(grown, now))


def passed(so_far: Round, asked: Sequence[str], names: Sequence[str]) -> Round:
    """The same where the server tells no sizes: only how far the round has come."""
    moved = replace(so_far, cursor=asked[-1] if asked else so_far.cursor)
    return moved if _more(moved, names) else Round(so_far.server)


def _more(so_far: Round, names: Sequence[str]) -> bool:
    return any(name > so_far.cursor for name in names)


def _first(sizes: Sequence[Size], *, by: str) -> tuple[Size, ...]:
    return tuple(sorted(sizes, key=lambda size: (-getattr(size, by), size.name))[:LISTED])


def _totals(whole: Round, now: float) -> dict[str, Any]:
    return {
        "databases": whole.databases,
        "file_bytes": whole.file,
        "active_bytes": whole.active,
        "fragmentation": fragmentation(whole.file, whole.active),
        "largest": [_told(size) for size in whole.largest],
        "most_fragmented": [_told(size) for size in whole.wasteful],
        "observed_at": now,
    }


def _told(size: Size) -> dict[str, Any]:
    share = fragmentation(size.file, size.active)
    return {"name": size.name, "file_bytes": size.file, "active_bytes": size.active, "fragmentation": share}


def fragmentation(file: int, active: int) -> float | None:
    """The share of the files that compaction would free; None where there are none."""
    return round(max(0.0, 1 - active / file), 4) if file else None


def to_json(so_far: Round) -> dict[str, Any]:
    return asdict(so_far)


def from_json(said: Mapping[str, Any] | None) -> Round | None:
    """What `to_json` wrote; None where nothing is known, or another version wrote it."""
    try:
        lists = {key: tuple(Size(**size) for size in (said or {})[key]) for key in ("largest", "wasteful")}
        return Round(**{**(said or {}), **lists})
    except (KeyError, TypeError):
        return None
