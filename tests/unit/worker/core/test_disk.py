"""Sizes are added up over as many sweeps as it takes, and what is told is whole or not at all."""

from __future__ import annotations

import json

import pytest

from worker.core import disk
from worker.core.disk import Round, Size

NAMES = [f"db-{number}" for number in range(7)]


def size(name: str, file: int = 100, active: int = 40) -> Size:
    return Size(name, file, active)


def step(so_far: Round, names: list[str], sizes: dict[str, Size] | None = None, now: float = 1.0) -> Round:
    asked = disk.wanted(so_far, names, 3)
    known = {name: size(name) for name in names} if sizes is None else sizes
    return disk.added(so_far, asked, [known[name] for name in asked if name in known], names, now)


def test_a_round_goes_on_where_it_stopped_and_ends_with_totals() -> None:
    rounds = [Round("uuid")]
    for now in (1.0, 2.0, 3.0):
        rounds.append(step(rounds[-1], NAMES, now=now))

    assert [one.cursor for one in rounds] == ["", "db-2", "db-5", ""]
    assert [one.totals for one in rounds[:3]] == [None, None, None]
    totals = rounds[3].totals
    assert totals is not None
    assert (totals["databases"], totals["file_bytes"], totals["active_bytes"]) == (7, 700, 280)
    assert (totals["fragmentation"], totals["observed_at"]) == (0.6, 3.0)
    assert (rounds[3].file, rounds[3].largest, rounds[3].server) == (0, (), "uuid")


def test_the_largest_and_those_that_compaction_would_shrink_most_are_named() -> None:
    sizes = {name: size(name, 100 * (number + 1), 50 * number) for number, name in enumerate(NAMES)}
    sizes["db-0"] = size("db-0", 10_000, 10_000)
    so_far = Round()
    for _ in range(3):
        so_far = step(so_far, NAMES, sizes)

    totals = so_far.totals
    assert totals is not None
    assert [one["name"] for one in totals["largest"]] == ["db-0", "db-6", "db-5", "db-4", "db-3"]
    assert [one["name"] for one in totals["most_fragmented"]] == ["db-6", "db-5", "db-4", "db-3", "db-2"]
    assert totals["most_fragmented"][0] == {
        "name": "db-6",
        "file_bytes": 700,
        "active_bytes": 300,
        "fragmentation": 0.5714,
    }


def test_databases_that_went_meanwhile_and_new_ones_do_no_harm() -> None:
    first = step(Round(), NAMES)
    later = [name for name in NAMES if name != "db-3"] + ["a-new-one", "z-new-one"]
    sizes = {name: size(name) for name in later if name != "db-4"}  # gone between two calls

    second = step(first, later, sizes)
    third = step(second, later, sizes)

    assert third.totals is not None
    assert third.totals["databases"] == 6  # a-new-one is for the next round


def test_a_server_without_databases_has_none() -> None:
    totals = step(Round(), []).totals

    assert totals is not None
    assert (totals["databases"], totals["file_bytes"], totals["fragmentation"]) == (0, 0, None)


def test_another_server_begins_anew() -> None:
    so_far = step(Round("one"), NAMES)

    assert disk.begun(so_far, "one") is so_far
    assert disk.begun(so_far, "another") == Round("another")
    assert disk.begun(None, "one") == Round("one")


@pytest.mark.parametrize("steps", [0, 1, 3, 4])
def test_a_round_survives_being_written_down(steps: int) -> None:
    so_far = Round("uuid")
    for _ in range(steps):
        so_far = step(so_far, NAMES)

    assert disk.from_json(json.loads(json.dumps(disk.to_json(so_far)))) == so_far


@pytest.mark.parametrize("said", [None, {}, {"cursor": "x"}, {"largest": [{"other": 1}], "wasteful": []}])
def test_what_an_earlier_version_wrote_down_is_forgotten(said: dict[str, object] | None) -> None:
    assert disk.from_json(said) is None


@pytest.mark.parametrize(("file", "active", "share"), [(0, 0, None), (100, 25, 0.75), (100, 120, 0.0), (10, 0, 1.0)])
def test_fragmentation(file: int, active: int, share: float | None) -> None:
    assert disk.fragmentation(file, active) == share
