"""Which documents of a database have a conflict, counted as the changes feed goes on. Pure.

A document has one where two or more of its leaf revisions are not deleted. CouchDB has no count of them, and looking at
every document each time would cost more than all else. So the feed is read once from its beginning, and from then on
from where it stopped: each row tells a document anew, which is put among those that have a conflict or taken out.

The sequence at which it stopped means something on this node (by its uuid) and in this database (by the time at which
it was made) alone: on another one everything is read again. A purge leaves no row: then the documents that are known to
have a conflict are asked again.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from worker.core.figures import mark
from worker.core.model import DatabaseInfo, NodeKind, Row
from worker.core.replication import BEGINNING

MOST_IDS = 1_000  # documents that are remembered by name; of more the count is "at least"


@dataclass(frozen=True)
class Place:
    """One database on one server, as it is now: what a sequence means something in. `made`: when the database was made,
    None where the server does not tell."""

    node: str
    uuid: str | None
    made: str | None
    purges: str | None
    number: int  # that its update_seq begins with
    mark: str  # of its update_seq


@dataclass(frozen=True)
class Counter:
    """How far the counting has come. `more`: documents with a conflict had to be left out of `ids`. `through`: the mark
    (worker.core.figures) of the update_seq up to which all was read, None before the feed's end was reached once."""

    node: str
    uuid: str | None
    made: str | None
    purges: str | None
    since: str = BEGINNING
    ids: frozenset[str] = frozenset()
    more: bool = False
    through: str | None = None
    ended_at: float | None = None


@dataclass(frozen=True)
class Count:
    """What is told: as it was at `at` (seconds since the epoch), read on `node` up to `through`."""

    count: int
    at_least: bool
    at: float
    node: str
    through: str


def place_of(node: str, uuid: str | None, kind: str | None, info: DatabaseInfo) -> Place:
    """A stand-in's time is that of its own start, and one of 0 is CouchDB's before 3.0: neither tells anything."""
    told = kind != NodeKind.STANDIN and info.instance_start_time not in {None, "0"}
    made = info.instance_start_time if told else None
    return Place(node, uuid, made, info.purge_seq, _number(info.update_seq), mark(info.update_seq))


def begun(so_far: Counter | None, place: Place) -> Counter:
    """The counter to go on with: a new one where the other's sequence means nothing here, and where so many of its
    documents were resolved that those left out would be most."""
    if so_far is None or not _fits(so_far, place) or (so_far.more and len(so_far.ids) < MOST_IDS // 2):
        return Counter(place.node, place.uuid, place.made, place.purges)
    return so_far


def _fits(so_far: Counter, place: Place) -> bool:
    same = (so_far.node, so_far.uuid, so_far.made) == (place.node, place.uuid, place.made)
    # where it is not known when the database was made, one that has had fewer changes is another
    return same and (place.made is not None or _number(so_far.since) <= place.number)


def doubted(so_far: Counter, place: Place) -> list[str]:
    """The documents to ask again before the feed is read: something was purged."""
    return sorted(so_far.ids) if so_far.purges != place.purges else []


def candidates(rows: Sequence[Row]) -> list[str]:
    """The documents whose leaves have to be looked at: with a single one there is no conflict."""
    return [key for key, leaves in rows if len(leaves) > 1]


def told(so_far: Counter, asked: Collection[str], conflicted: Collection[str]) -> Counter:
    """After these documents were looked at (`asked`): those of them that have a conflict, and the others."""
    ids = (so_far.ids - set(asked)) | set(conflicted)
    kept = frozenset(sorted(ids)[:MOST_IDS]) if len(ids) > MOST_IDS else frozenset(ids)
    return replace(so_far, ids=kept, more=so_far.more or len(ids) > MOST_IDS)


def read_to(so_far: Counter, since: str) -> Counter:
    return replace(so_far, since=since)


def ended(so_far: Counter, place: Place, now: float) -> Counter:
    """The feed's end was reached. `place`: as it was before the first row was read."""
    return replace(so_far, purges=place.purges, through=place.mark, ended_at=now)


def count_of(so_far: Counter) -> Count | None:
    """None before the end was reached once."""
    if so_far.through is None or so_far.ended_at is None:
        return None
    return Count(len(so_far.ids), so_far.more, so_far.ended_at, so_far.node, so_far.through)


def due(so_far: Counter | None, uuid: str | None, seen: str | None, seen_at: float | None) -> bool:
    """Whether the database is worth a call. `seen`: the mark of its update_seq on the counter's node when somebody
    looked last, at `seen_at`; None: nobody has."""
    if so_far is None or so_far.through is None or so_far.ended_at is None or so_far.uuid != uuid:
        return True
    return seen is not None and seen != so_far.through and (seen_at or 0.0) > so_far.ended_at


def to_json(so_far: Counter) -> dict[str, Any]:
    return {**asdict(so_far), "ids": sorted(so_far.ids)}


def from_json(said: Mapping[str, Any]) -> Counter | None:
    """What `to_json` wrote; None where another version did."""
    try:
        return Counter(**{**said, "ids": frozenset(said["ids"])})
    except (KeyError, TypeError):
        return None


def _number(sequence: str) -> int:
    found = re.match(r'\[?"?(\d+)', sequence)
    return int(found[1]) if found else 0
