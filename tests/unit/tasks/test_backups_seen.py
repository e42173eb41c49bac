"""The catalogue in Redis: what is kept, what is forgotten, and what it costs."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from tasks.backups_seen import BY_DATABASE, ENTRIES, BackupsSeen, newest_good
from tasks.redis import StoreUnavailable, connect
from tests.unit.tasks.world import NOW, World

ROWS = [{"database": f"notes-{number:05}", "full": True, "node": "a", "documents": number} for number in range(10_000)]


def summaries(*ids: str) -> list[dict[str, Any]]:
    return [{"id": identity, "readable": True, "why": None} for identity in ids]


def test_before_the_first_reading_nothing_is_known(world: World) -> None:
    seen = world.backups

    assert (seen.observed_at(), seen.all(), seen.known()) == (None, [], set())
    assert (seen.one("a"), seen.entries("a"), seen.noted("stale")) == (None, [], None)


def test_what_was_read_is_told_newest_first(world: World) -> None:
    seen = world.backups
    seen.save(summaries("20261124T", "20261125T", "20261123T"), {"20261125T": [{"database": "pdfs"}]}, NOW)

    assert [one["id"] for one in seen.all()] == ["20261125T", "20261124T", "20261123T"]
    assert seen.one("20261124T") == {"id": "20261124T", "readable": True, "why": None}
    assert seen.entries("20261125T") == [{"database": "pdfs"}]
    assert (seen.known(), seen.observed_at()) == ({"20261125T"}, NOW)


def test_databases_are_read_once_and_stay_known(world: World) -> None:
    seen = world.backups
    seen.save(summaries("a"), {"a": [{"database": "pdfs"}]}, NOW)
    seen.save(summaries("a", "b"), {"b": []}, NOW + 1)

    assert seen.entries("a") == [{"database": "pdfs"}]
    assert seen.known() == {"a", "b"}


def test_what_has_gone_from_the_store_is_forgotten(world: World) -> None:
    seen = world.backups
    seen.save(summaries("a", "b"), {"a": [{"database": "pdfs"}], "b": []}, NOW)
    seen.save(summaries("b"), {}, NOW + 1)

    assert ([one["id"] for one in seen.all()], seen.one("a"), seen.entries("a")) == (["b"], None, [])
    assert seen.known() == {"b"}

    seen.save([], {}, NOW + 2)
    assert (seen.all(), seen.known(), seen.observed_at()) == ([], set(), NOW + 2)


def test_who_holds_a_database_is_known_newest_first_and_follows_what_comes_and_goes(world: World) -> None:
    seen = world.backups
    seen.save(summaries("a", "b"), {"a": [{"database": "pdfs"}], "b": [{"database": "pdfs"}, {"database": "x"}]}, NOW)
    assert seen.holding() == {"pdfs": ["b", "a"], "x": ["b"]}

    seen.save(summaries("a", "b", "c"), {"c": [{"database": "x"}, {"database": "new"}]}, NOW + 1)
    assert seen.holding(["x", "new", "nobody"]) == {"x": ["c", "b"], "new": ["c"]}

    seen.save(summaries("a", "c"), {}, NOW + 2)
    assert seen.holding() == {"pdfs": ["a"], "x": ["c"], "new": ["c"]}
    seen.save([], {}, NOW + 3)
    assert seen.holding() == {}


def test_backups_that_an_earlier_version_has_read_are_looked_into_once(world: World) -> None:
    seen = world.backups
    seen.save(summaries("a"), {"a": [{"database": "pdfs"}]}, NOW)
    world.redis.delete(BY_DATABASE)
    seen.note("indexed", None)

    seen.save(summaries("a"), {}, NOW + 1)

    assert seen.holding() == {"pdfs": ["a"]}


def test_ten_thousand_databases_take_little_room(world: World) -> None:
    world.backups.save(summaries("a"), {"a": ROWS}, NOW)

    assert world.backups.entries("a") == ROWS
    assert len(str(world.redis.hget(ENTRIES, "a"))) < 150_000


@pytest.mark.parametrize("value", [None, True, False, 0, 17.5, "text", {"at": NOW, "detail": "ü"}])
def test_what_is_noted_comes_back(world: World, value: Any) -> None:
    world.backups.note("something", value)

    assert world.backups.noted("something") == value


def test_a_reading_leaves_the_notes_alone(world: World) -> None:
    world.backups.note("tried_at", NOW)
    world.backups.save(summaries("a"), {}, NOW + 1)

    assert world.backups.noted("tried_at") == NOW


@pytest.mark.parametrize(
    "call",
    [
        lambda seen: seen.save(summaries("a"), {}, NOW),
        lambda seen: seen.known(),
        lambda seen: seen.all(),
        lambda seen: seen.one("a"),
        lambda seen: seen.entries("a"),
        lambda seen: seen.note("a", 1),
        lambda seen: seen.noted("a"),
        lambda seen: seen.observed_at(),
        lambda seen: seen.holding(),
        lambda seen: seen.holding(["a"]),
    ],
)
def test_redis_that_does_not_answer_is_told_as_what_it_is(call: Callable[[BackupsSeen], object]) -> None:
    with pytest.raises(StoreUnavailable):
        call(BackupsSeen(connect("redis://127.0.0.1:1/0")))


@pytest.mark.parametrize(
    ("newer", "until", "found"),
    [
        ({}, math.inf, "newer"),
        ({"readable": False, "good": None, "scope": None, "started_at": None}, math.inf, "older"),
        ({"good": False}, math.inf, "older"),
        ({"scope": ["pdfs"]}, math.inf, "older"),
        ({"started_at": NOW + 1}, NOW, "older"),
        ({"started_at": NOW + 1}, math.inf, "newer"),
    ],
    ids=["good", "unreadable", "incomplete", "partial", "from-the-future", "from-the-future-and-restored-all-the-same"],
)
def test_the_newest_good_one_of_everything(newer: dict[str, Any], until: float, found: str) -> None:
    good = {"readable": True, "good": True, "scope": ["*"]}
    older = {**good, "id": "older", "started_at": NOW - 60}

    assert (newest_good([{**good, "id": "newer", "started_at": NOW, **newer}, older], until) or {})["id"] == found
    assert newest_good([]) is None
