"""What a backup of one database has done so far, kept in the store: a job that was killed goes on from there.

One record a group of chunks, in pages that are rewritten while they fill: a record of its own for each would double the
objects, and one for all would be written again a thousand times.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import msgspec

from worker.blobs.vault import Vault
from worker.core.errors import ObjectDamaged, ObjectMissing, WrongKey
from worker.core.manifest import Chunk, Counts, Parent, Source, Stored, folder, hashed

PAGE = 50  # groups


class Done(msgspec.Struct, frozen=True):
    """A group: what it added, and the sequence up to which everything is in the store (None: in the midst of a page
    of the feed, so this group counts only together with the next). `after`: the sequence up to which the groups before
    it came, by which a page that another attempt has written shows."""

    seq: str | None
    chunks: tuple[Chunk, ...]
    references: tuple[Stored, ...]
    counts: Counts
    after: str | None = None
    lost: tuple[str, ...] = ()


class _Page(msgspec.Struct, frozen=True):
    key: str | None  # for whom its chunks are sealed
    source: Source
    parent: Parent | None
    groups: tuple[Done, ...]


@dataclass
class Journal:
    """Of one database in one backup. `groups`: what was done before, if it can be gone on from."""

    vault: Vault
    backup: str
    database: str
    source: Source
    parent: Parent | None
    groups: list[Done] = field(default_factory=list)

    def load(self) -> None:
        """Take up what an earlier attempt left, where it read the same database from the same point."""
        found: list[Done] = []
        while True:
            try:
                page = self.vault.find_record(self._name(len(found) // PAGE), _Page)
            except (ObjectMissing, ObjectDamaged, WrongKey):
                break
            if (page.key, *_basis(page.source), page.parent) != (self._key, *_basis(self.source), self.parent):
                return
            found += page.groups
            if len(page.groups) < PAGE:
                break
        self.groups = list(_in_line(found))
        self._end_at_a_page()

    def keep_while(self, is_there: Callable[[Done], bool]) -> None:
        """Forget the first group of which something is not there, and all after it."""
        self.groups = list(itertools.takewhile(is_there, self.groups))
        self._end_at_a_page()

    def _end_at_a_page(self) -> None:
        while self.groups and self.groups[-1].seq is None:
            self.groups.pop()

    @property
    def _key(self) -> str | None:
        return self.vault.seals.key

    @property
    def reached(self) -> str | None:
        return next((group.seq for group in reversed(self.groups) if group.seq is not None), None)

    def add(self, done: Done) -> None:
        self.groups.append(msgspec.structs.replace(done, after=self.reached))
        first = (len(self.groups) - 1) // PAGE * PAGE
        page = _Page(self._key, self.source, self.parent, tuple(self.groups[first : first + PAGE]))
        self.vault.write_record(self._name(first // PAGE), page)

    def _name(self, page: int) -> str:
        return f"{folder(self.backup)}/journal/{hashed(self.database)}/{page:05}"


def _in_line(groups: Iterable[Done]) -> Iterator[Done]:
    """As long as each goes on where the one before ended."""
    reached: str | None = None
    for group in groups:
        if group.after != reached:
            return
        reached = group.seq or reached
        yield group


def _basis(source: Source) -> tuple[object, ...]:
    """What has to be the same for sequences to go on; the moment and the last sequence are not."""
    return source.node, source.uuid, source.purge_seq, source.instance_start_time
