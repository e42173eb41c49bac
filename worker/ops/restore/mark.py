"""The mark (a `_local` document) that a database carries until all of a restore is in it.

It tells what broke off from somebody's database: the same restore goes on with its own, and everything else that is
there already is refused, whatever is in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from worker.core.errors import Conflict, DatabaseExists, NotFound
from worker.couch.database import Database
from worker.ops.own import put_over

MARK = "_local/notebook-restore"
SYSTEM = ("_users",)  # a new server has it already


@dataclass(frozen=True)
class Reached:
    """How far an earlier attempt came: the place of the last piece in the database (-1: none), and what was refused up
    to there."""

    place: int
    refused: Mapping[str, Any] | None


def begin(
    target: Database, about: Mapping[str, Any], hint: str = "", *, retried: bool = False, **shape: Any
) -> Reached | None:
    """Make the database, with `shape` as for Database.create, and mark it; or find it as an earlier attempt at the same
    (`about`) left it. Returns how far that one came; None: it begins now.

    Raises DatabaseExists for any other database of this name. `hint`: what else a person might want. `retried`: an
    attempt before, which found none of this name, may have died just after it had made this one: nothing was ever
    written to it then.
    """
    if target.create(**shape) or is_bare(target) or (retried and is_untouched(target)):
        put_over(target, {"_id": MARK, **about, "reached": -1})
        return None
    mark = target.get(MARK)
    if mark is None or not _is_of(mark, about):
        unfinished = "" if mark is None else ", which an unfinished restore or import of something else has begun"
        raise DatabaseExists(
            f"there is a database {target.name} already{unfinished}: name another, or delete it first{hint}",
            node=target.server.node.name,
            database=target.name,
        )
    return Reached(int(mark["reached"]), mark.get("refused"))


def begun(target: Database, about: Mapping[str, Any]) -> bool:
    """Whether there is one that an earlier attempt at the same has begun, and not ended."""
    mark = target.get(MARK)
    return mark is not None and _is_of(mark, about)


def reach(target: Database, place: int, refused: Mapping[str, Any]) -> None:
    """All up to this place is on the node, but what it `refused`. Raises NotFound where the database is no longer the
    one that was begun."""
    found = target.get(MARK)
    if found is None:
        raise NotFound(
            f"{target.name} was deleted, or made anew, while it was being restored",
            node=target.server.node.name,
            database=target.name,
        )
    put_over(target, {**found, "reached": place, "refused": refused})


def end(target: Database) -> None:
    found = target.get(MARK)
    if found is not None:
        with suppress(NotFound, Conflict):
            target.delete(MARK, str(found["_rev"]))


def _is_of(mark: Mapping[str, Any], about: Mapping[str, Any]) -> bool:
    return {key: mark.get(key) for key in about} == dict(about)


def is_untouched(target: Database) -> bool:
    """A database that nothing was ever written to."""
    info = target.info()
    return (
        info is not None
        and info.doc_count + info.doc_del_count == 0
        and info.update_seq.partition("-")[0] == "0"
        and target.get(MARK) is None
    )


def is_bare(target: Database) -> bool:
    """A database that every new server has, with nothing in it but what the server put there."""
    if target.name not in SYSTEM or target.get(MARK) is not None:
        return False
    return all(document.startswith("_design/") for document, _ in target.leaves())
