"""Which documents have a conflict, as rows of the feed come in: no server, no clock."""

from __future__ import annotations

import dataclasses
import json

import pytest

from worker.core import conflicts
from worker.core.conflicts import MOST_IDS, Counter, Place
from worker.core.figures import mark
from worker.core.model import DatabaseInfo

PLACE = Place("a", "uuid", "1700000001", "0-p", 7, "m7")


def counter(*ids: str, more: bool = False, since: str = "5-x") -> Counter:
    return Counter("a", "uuid", "1700000001", "0-p", since, frozenset(ids), more, through="m5", ended_at=50.0)


def info(update_seq: str = "12-abc", made: str | None = "1700000001") -> DatabaseInfo:
    return DatabaseInfo("pdfs", 1, 0, update_seq, purge_seq="0-p", instance_start_time=made)


@pytest.mark.parametrize(
    ("kind", "made", "known"),
    [
        ("couchdb", "1700000001", "1700000001"),
        ("couchdb", "0", None),
        ("couchdb", None, None),
        ("stand-in", "17", None),
    ],
    ids=["couchdb", "couchdb-2", "not-told", "stand-in"],
)
def test_a_place_knows_when_the_database_was_made_where_that_is_told(
    kind: str, made: str | None, known: str | None
) -> None:
    place = conflicts.place_of("a", "uuid", kind, info(made=made))

    assert place == Place("a", "uuid", known, "0-p", 12, mark("12-abc"))


def test_counting_begins_at_the_beginning_and_goes_on_where_it_stopped() -> None:
    assert conflicts.begun(None, PLACE) == Counter("a", "uuid", "1700000001", "0-p", since="0")
    assert conflicts.begun(counter("one"), PLACE) == counter("one")


@pytest.mark.parametrize(
    "place",
    [
        dataclasses.replace(PLACE, node="b"),
        dataclasses.replace(PLACE, uuid="another"),
        dataclasses.replace(PLACE, made="1700000002"),
        dataclasses.replace(PLACE, made=None),
    ],
    ids=["node", "server", "database", "not-told-any-more"],
)
def test_another_place_begins_anew(place: Place) -> None:
    assert conflicts.begun(counter("one"), place) == Counter(place.node, place.uuid, place.made, "0-p")


@pytest.mark.parametrize(("number", "anew"), [(7, False), (5, False), (4, True)])
def test_where_the_time_is_not_told_fewer_changes_are_those_of_another_database(number: int, anew: bool) -> None:
    place = dataclasses.replace(PLACE, made=None, number=number)
    so_far = dataclasses.replace(counter("one"), made=None)

    assert (conflicts.begun(so_far, place) != so_far) is anew


def test_rows_with_one_leaf_need_no_second_look() -> None:
    assert conflicts.candidates([("one", ("1-a",)), ("two", ("1-a", "1-b")), ("three", ("1-a", "1-b", "2-c"))]) == [
        "two",
        "three",
    ]


def test_each_row_tells_its_document_anew() -> None:
    after = conflicts.told(
        counter("resolved", "still", "untouched"), ["resolved", "still", "new", "plain"], {"still", "new"}
    )

    assert after.ids == {"still", "untouched", "new"}
    assert not after.more


def test_of_very_many_documents_a_thousand_are_remembered_and_the_count_is_at_least_that() -> None:
    many = [f"doc-{number:05}" for number in range(MOST_IDS + 1)]

    full = conflicts.told(counter(), many[:-1], many[:-1])
    over = conflicts.told(full, many[-1:], many[-1:])
    less = conflicts.told(over, many[:10], [])

    assert (len(full.ids), full.more) == (MOST_IDS, False)
    assert (len(over.ids), over.more) == (MOST_IDS, True)
    assert (len(less.ids), less.more) == (MOST_IDS - 10, True), "those left out are still there"
    found = conflicts.count_of(less)
    assert found is not None
    assert (found.count, found.at_least) == (MOST_IDS - 10, True)


def test_where_most_are_resolved_those_left_out_are_looked_for_again() -> None:
    ids = [f"doc-{number:05}" for number in range(MOST_IDS // 2)]

    assert conflicts.begun(counter(*ids, more=True), PLACE) == counter(*ids, more=True)
    assert conflicts.begun(counter(*ids[1:], more=True), PLACE).since == "0"
    assert conflicts.begun(counter(*ids[1:]), PLACE) == counter(*ids[1:]), "none was left out"


def test_a_purge_has_the_known_ones_asked_again() -> None:
    assert conflicts.doubted(counter("b", "a"), PLACE) == []
    assert conflicts.doubted(counter("b", "a"), dataclasses.replace(PLACE, purges="1-p")) == ["a", "b"]


def test_nothing_is_told_before_the_end_and_then_with_its_time() -> None:
    reading = conflicts.read_to(conflicts.told(Counter("a", "uuid", None, None), ["one"], ["one"]), "3-x")
    assert conflicts.count_of(reading) is None

    whole = conflicts.ended(reading, PLACE, 99.0)

    found = conflicts.count_of(whole)
    assert found == conflicts.Count(1, False, 99.0, "a", "m7")
    assert (whole.since, whole.purges) == ("3-x", "0-p")


@pytest.mark.parametrize(
    ("so_far", "uuid", "seen", "seen_at", "due"),
    [
        (None, "uuid", "m5", 60.0, True),
        (Counter("a", "uuid", None, None, since="3-x"), "uuid", "m5", 60.0, True),
        (counter(), "uuid", "m5", 60.0, False),
        (counter(), "uuid", "m6", 60.0, True),
        (counter(), "uuid", "m4", 40.0, False),
        (counter(), "uuid", None, None, False),
        (counter(), "another", "m5", 60.0, True),
    ],
    ids=["never", "unfinished", "unchanged", "changed", "seen-before-the-count", "not-seen", "another-server"],
)
def test_only_what_has_changed_is_worth_a_call(
    so_far: Counter | None, uuid: str, seen: str | None, seen_at: float | None, due: bool
) -> None:
    assert conflicts.due(so_far, uuid, seen, seen_at) is due


def test_a_counter_survives_being_written_down() -> None:
    so_far = counter("b", "ü/a")

    assert conflicts.from_json(json.loads(json.dumps(conflicts.to_json(so_far)))) == so_far
    assert conflicts.from_json({"ids": ["a"], "other": 1}) is None
    assert conflicts.from_json({}) is None
