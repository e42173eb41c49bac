"""What is known of many databases at once, read column by column as it is asked for.

A page by name needs the columns of its own fifty rows; to sort by something else, or to leave some out, a column of all
databases is read whole, and no other one: at ten thousand databases each costs some hundredths of a second.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

from api.context import Context
from api.database_schemas import Only, Sort
from api.status import Status, Travel
from tasks.figures_seen import Kept
from tasks.fresh import fresh_pass
from worker.core.conflicts import Count
from worker.core.rules import Mode
from worker.core.selecting import backed_up
from worker.core.standing import DatabaseState

HALF = 0.5  # of the files, and
WORTH = 1024 * 1024  # bytes that compaction would free at least: then a database is called fragmented
_STATES = {Only.BEHIND: DatabaseState.BEHIND, Only.BROKEN: DatabaseState.BROKEN}


class Table:
    """`names`: the rows; None: all databases. Every column is read when it is asked for first."""

    def __init__(self, parts: Context, names: Sequence[str] | None) -> None:
        self._parts = parts
        self._names = None if names is None else list(names)

    @cached_property
    def nodes(self) -> dict[str, list[str]]:
        """Database -> the nodes that have it."""
        return self._parts.seen.nodes_of(self._names)

    @cached_property
    def figures(self) -> dict[str, dict[str, Kept]]:
        """Node -> database -> what is kept of it. Of nodes that answered the last sweep or did not."""
        of = self._parts.seen.figures.of
        return {node.name: of(node.name, self._names) for node in self._parts.settings.nodes}

    @cached_property
    def conflicts(self) -> dict[str, Count]:
        return self._parts.seen.conflicts.counts(self._names)

    @cached_property
    def travels(self) -> dict[str, Travel]:
        parts = self._parts
        status = Status(parts.settings, parts.seen, parts.replication)
        return status.standings(self.nodes, whole=self._names is None)

    @cached_property
    def held(self) -> dict[str, list[str]]:
        """Database -> the backups that hold it, newest first."""
        return self._parts.backups.holding(self._names)

    @cached_property
    def backups(self) -> dict[str, dict[str, Any]]:
        """Id -> summary, of all that can be read."""
        return {one["id"]: one for one in self._parts.backups.all() if one["readable"]}

    # --- one row's cells

    def copies(self, name: str) -> dict[str, Kept]:
        """Of the nodes that have it."""
        found = {node: self.figures.get(node, {}).get(name) for node in self.nodes.get(name, [])}
        return {node: kept for node, kept in found.items() if kept is not None}

    def fullest(self, name: str) -> Kept | None:
        """The copy with the most documents."""
        return max(self.copies(name).values(), key=lambda kept: kept.documents, default=None)

    def largest(self, name: str) -> Kept | None:
        known = [kept for kept in self.copies(name).values() if kept.file is not None]
        return max(known, key=lambda kept: kept.file or 0, default=None)

    def fragmentation(self, name: str) -> float | None:
        largest = self.largest(name)
        return largest.fragmentation if largest else None

    def lag(self, name: str) -> int | None:
        return self.travels[name][1].lag if name in self.travels else None

    def state(self, name: str) -> DatabaseState | None:
        """None where it is not replicated."""
        mode, standing = self.travels.get(name, (None, None))
        if mode == Mode.OFF:
            return None
        return standing.state if standing else DatabaseState.UNKNOWN

    def backups_of(self, name: str) -> Iterator[dict[str, Any]]:
        """Summaries of those that hold it, newest first."""
        return (self.backups[one] for one in self.held.get(name, []) if one in self.backups)

    @functools.cached_property
    def _store_read(self) -> bool:
        return self._parts.backups.observed_at() is not None

    # --- which rows, and in which order

    def fits(self, name: str, only: Only) -> bool:
        if only is Only.CONFLICTS:
            return name in self.conflicts and self.conflicts[name].count > 0
        if only is Only.FRAGMENTED:
            return self._fragmented(name)
        if only is Only.NOT_BACKED_UP:
            return self._not_backed_up(name)
        if only is Only.UNKNOWN:
            return self._unknown(name)
        return self.state(name) is _STATES[only]

    def _unknown(self, name: str) -> bool:
        """Replicated, and nobody can tell how it stands or how far it is behind: what was seen too long ago says
        nothing of now."""
        if self.state(name) is None:
            return False
        mode, _ = self.travels.get(name, (None, None))
        return mode in self._unseen or self.state(name) is DatabaseState.UNKNOWN or self.lag(name) is None

    @cached_property
    def _unseen(self) -> set[str]:
        """Modes of travelling that nobody has looked at for too long."""
        parts = self._parts
        looks = {Mode.CONTINUOUS: parts.replication.links_summary(), Mode.ON_CHANGE: parts.seen.last_pass()}
        return {mode.value for mode, look in looks.items() if not fresh_pass(look, parts.settings, parts.clock())}

    def _fragmented(self, name: str) -> bool:
        largest = self.largest(name)
        if largest is None or largest.file is None or largest.active is None:
            return False
        return (largest.fragmentation or 0.0) >= HALF and largest.file - largest.active >= WORTH

    def _not_backed_up(self, name: str) -> bool:
        """To be backed up, and in no good backup that is young enough. Before the store was read nothing is known."""
        parts = self._parts
        if parts.backups.observed_at() is None or not backed_up(
            name, parts.backup_plan.include, parts.backup_plan.exclude
        ):
            return False
        oldest = parts.clock() - parts.settings.backup_stale_hours * 3_600
        return not any(is_good(one) and one["started_at"] >= oldest for one in self.backups_of(name))

    def place(self, name: str, sort: Sort) -> float | None:
        """What the row is sorted by, the smallest first; None comes last, but for backups, where it comes first."""
        if sort is Sort.BACKUP:
            return next((one["started_at"] for one in self.backups_of(name) if is_good(one)), None)
        value = self._figure(name, sort)
        return None if value is None else -value

    def _figure(self, name: str, sort: Sort) -> float | None:
        if sort is Sort.SIZE:
            largest = self.largest(name)
            return largest.file if largest else None
        if sort is Sort.DOCUMENTS:
            fullest = self.fullest(name)
            return fullest.documents if fullest else None
        if sort is Sort.CONFLICTS:
            return self.conflicts[name].count if name in self.conflicts else None
        return self.lag(name) if sort is Sort.LAG else self.fragmentation(name)


def is_good(backup: dict[str, Any]) -> bool:
    """For a database that it holds: others may have failed in it."""
    return not backup["damage"]
