"""What is kept of a database, from what nodes of each kind say."""

from __future__ import annotations

from worker.core.disk import Size
from worker.core.figures import Figures, figures, mark


def test_of_what_couchdb_says() -> None:
    said = {
        "doc_count": 3,
        "doc_del_count": 1,
        "update_seq": "7-g1AAAAB",
        "sizes": {"file": 12_477, "external": 12, "active": 613},
    }

    found = figures("pdfs", said)

    assert found == Figures("pdfs", 3, 1, 12_477, 613, mark("7-g1AAAAB"))
    assert found.size == Size("pdfs", 12_477, 613)


def test_what_a_stand_in_does_not_say_is_not_known() -> None:
    found = figures("pdfs", {"doc_count": 3, "update_seq": 7})

    assert found == Figures("pdfs", 3, None, None, None, mark("7"))
    assert found.size is None


def test_a_mark_is_short_and_of_one_sequence() -> None:
    assert len(mark("7-g1AAAAB" * 1_000)) == 12
    assert mark("7-a") == mark("7-a")
    assert mark("7-a") != mark("8-a")
