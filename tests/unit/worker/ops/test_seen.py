"""A set of ids on the disk is a set."""

from __future__ import annotations

import sqlite3
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.core.errors import StoreFull
from worker.ops.restore.seen import SeenIds

# whatever JSON can say, NUL and halves of surrogate pairs included
ids = st.text(st.characters(), max_size=20)


class FullDisk(SeenIds):
    """Whose database takes no page more than it has."""

    def __init__(self) -> None:
        super().__init__()
        pages = self._database.execute("PRAGMA page_count").fetchone()[0]
        self._database.execute(f"PRAGMA max_page_count = {pages}")


def fill(seen: SeenIds) -> None:
    for number in range(10_000):
        seen.add(f"doc-{number}")


@given(st.lists(ids, max_size=30))
def test_an_id_is_new_once(added: list[str]) -> None:
    known: set[str] = set()
    with SeenIds() as seen:
        for identity in added:
            assert (identity in seen) == (identity in known)
            assert seen.add(identity) == (identity not in known)
            known.add(identity)
        assert all(identity in seen for identity in added)
        assert "\0never added\0" not in seen


def test_two_sets_know_nothing_of_each_other() -> None:
    with SeenIds() as one, SeenIds() as other:
        one.add("a")
        assert "a" not in other


def test_many_ids_are_all_remembered() -> None:
    with SeenIds() as seen:
        assert all(seen.add(f"doc-{number}") for number in range(20_000))
        assert not any(seen.add(f"doc-{number}") for number in range(0, 20_000, 7))


def test_a_thread_may_use_what_another_has_made() -> None:
    found: list[bool] = []
    with SeenIds() as seen:
        thread = threading.Thread(target=lambda: found.append(seen.add("a")))
        thread.start()
        thread.join()
        assert (found, "a" in seen) == ([True], True)


def test_a_full_disk_is_an_error_that_says_where() -> None:
    with FullDisk() as seen, pytest.raises(StoreFull, match=r"the folder for temporary files, /.*: .*full"):
        fill(seen)


def test_it_is_gone_with_its_end() -> None:
    with SeenIds() as seen:
        seen.add("a")
    with pytest.raises(sqlite3.ProgrammingError):
        seen.add("a")
