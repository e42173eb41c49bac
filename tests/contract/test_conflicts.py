"""Documents with a conflict are counted as the feed goes on: what is made, resolved, deleted and purged; and what
begins everything anew."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.contract.conftest import Site
from worker.core import conflicts
from worker.core.conflicts import Counter
from worker.core.errors import NotFound
from worker.couch.conflicts import conflicted
from worker.couch.database import Database
from worker.ops import conflicts as steps
from worker.ops.conflicts import further

ONE, TWO, THREE = (f"1-{letter * 32}" for letter in "abc")


@dataclass
class Counting:
    """One database on one node, counted again and again."""

    site: Site
    name: str
    counter: Counter | None = None
    rows: list[int] = field(default_factory=list)

    @property
    def database(self) -> Database:
        return Database(self.site.cluster["a"], self.name)

    def leaves(self, identity: str, *revisions: str, deleted: Sequence[str] = ()) -> None:
        documents = [{"_id": identity, "_rev": one, "on": one} for one in revisions]
        gone = [{"_id": identity, "_rev": one, "_deleted": True} for one in deleted]
        assert self.database.bulk([*documents, *gone], new_edits=False) == []

    def take(self, most: int = 100_000, page: int = steps.PAGE, *, whole: bool = True) -> Counter:
        """Take steps up to the feed's end, or so many rows."""
        known = self.site.cluster["a"].capabilities()
        step = None
        for step in further(self.database, self.counter, known.kind.value, known.uuid, most, lambda: 1_000.0, page):
            self.counter = step.counter
        assert step is not None
        assert step.whole is whole
        self.rows.append(step.rows)
        assert self.counter is not None
        return self.counter

    @property
    def told(self) -> tuple[int, bool] | None:
        assert self.counter is not None
        count = conflicts.count_of(self.counter)
        return (count.count, count.at_least) if count else None


@pytest.fixture
def counting(site: Site) -> Counting:
    made = Counting(site, site.name("conflicts"))
    made.database.create()
    return made


def test_live_leaves_are_counted_and_those_of_tombstones_are_not(counting: Counting) -> None:
    counting.database.put({"_id": "plain"})
    counting.leaves("two", ONE, TWO)
    counting.leaves("_design/two", ONE, TWO)
    counting.leaves("a/slash and ü", ONE, TWO, THREE)
    counting.leaves("loser-is-gone", ONE, deleted=[TWO])
    counting.leaves("all-gone", deleted=[ONE, TWO])

    assert counting.take().ids == {"two", "_design/two", "a/slash and ü"}
    assert counting.told == (3, False)


def test_an_empty_database_has_none_and_one_that_is_not_there_is_told(counting: Counting) -> None:
    counting.take()
    assert counting.told == (0, False)

    counting.database.drop()
    with pytest.raises(NotFound):
        counting.take()


def test_only_what_has_changed_is_read_again_and_what_was_resolved_is_taken_out(counting: Counting) -> None:
    counting.leaves("one", ONE, TWO)
    counting.leaves("other", ONE, TWO)
    counting.database.bulk([{"_id": f"plain-{number}"} for number in range(20)])
    counting.take()
    assert counting.told == (2, False)

    counting.database.delete("one", ONE)
    counting.leaves("late", ONE, TWO)

    assert counting.take().ids == {"other", "late"}
    counting.take()
    assert counting.rows == [22, 2, 0]


def test_a_document_that_was_deleted_whole_is_no_conflict_any_more(counting: Counting) -> None:
    counting.leaves("one", ONE, TWO)
    counting.take()
    for revision in (ONE, TWO):
        counting.database.delete("one", revision)

    counting.take()
    assert counting.told == (0, False)


def test_nothing_is_told_before_the_end_was_reached_and_the_next_one_goes_on(counting: Counting) -> None:
    for number in range(12):
        counting.leaves(f"doc-{number:02}", ONE, TWO)

    assert len(counting.take(5, 5, whole=False).ids) == 5
    assert counting.told is None
    counting.take(page=5)

    assert counting.told == (12, False)
    assert counting.rows == [5, 7]


def test_a_database_that_was_made_anew_is_read_from_its_beginning(counting: Counting) -> None:
    counting.database.bulk([{"_id": f"plain-{number}"} for number in range(3)])
    counting.leaves("old", ONE, TWO)
    before = counting.take()
    counting.database.drop()
    counting.database.create()
    counting.leaves("new", ONE, TWO)
    if counting.site.kind == "couchdb":  # its time is in seconds, and it may have been made anew within one
        counting.counter = _made_earlier(before)

    assert counting.take().ids == {"new"}


def _made_earlier(counter: Counter) -> Counter:
    said: dict[str, Any] = conflicts.to_json(counter)
    found = conflicts.from_json({**said, "made": str(int(counter.made or 0) - 60)})
    assert found is not None
    return found


def test_another_node_begins_anew(counting: Counting) -> None:
    counting.leaves("here", ONE, TWO)
    here = counting.take()
    there = Database(counting.site.cluster["b"], counting.name)
    there.create()

    *_, step = further(there, here, "couchdb", "another", 100, lambda: 2_000.0)

    assert step.whole
    assert step.counter.ids == frozenset()
    assert step.counter.node == "b"


def test_what_was_purged_is_no_conflict_any_more(counting: Counting) -> None:
    if not counting.site.scheduler:
        pytest.skip("a stand-in cannot purge")
    counting.leaves("one", ONE, TWO)
    counting.leaves("other", ONE, TWO)
    counting.take()
    counting.site.purge(counting.name, "a", "one")

    assert counting.take().ids == {"other"}


def test_large_documents_are_asked_for_in_smaller_parts(counting: Counting) -> None:
    text = "x" * 2_000
    for number in range(7):
        documents = [{"_id": f"large-{number}", "_rev": one, "text": text} for one in (ONE, TWO)]
        assert counting.database.bulk(documents, new_edits=False) == []
    ids = [f"large-{number}" for number in range(7)]

    assert conflicted(counting.database, [*ids, "not-there"], within=5, most=5_000) == set(ids)
