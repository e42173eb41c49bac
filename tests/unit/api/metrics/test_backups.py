"""What /metrics tells of the backups, and that what is not known is not there."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.api.backing import NOW, backing, backup, read, unreadable
from tests.unit.api.metrics.scraped import scrape
from tests.unit.api.world import World
from worker.ops.backup.notes import Drill

TROUBLE = {"at": NOW, "error": "backup-store-unavailable", "detail": "no answer"}
OF_NEWEST = {"age_seconds", "duration_seconds", "stored_bytes", "databases", "documents"}


def figures(world: World) -> dict[str, float]:
    """Name without its prefix -> value."""
    named = {name: value for name, value in scrape(world.client).items() if name.startswith("nbr_backup")}
    return {name.removeprefix("nbr_"): values[()] for name, values in named.items()}


def drill(ok: bool, ago: float) -> Drill:
    return Drill(ok, NOW - ago, "replica1", 1.5, 2, None if ok else "pdfs: 1 documents came back otherwise")


def test_where_no_backups_are_kept_nothing_is_told_of_them() -> None:
    world = backing(backup_url="")
    world.backups.note("stale", True)

    assert figures(world) == {}


def test_what_is_not_known_is_not_there() -> None:
    assert figures(backing()) == {}


def test_a_store_that_never_answered_is_told_and_no_more() -> None:
    world = backing()
    world.backups.note("trouble", TROUBLE)

    assert figures(world) == {"backup_store_failing": 1}


def test_an_empty_store_has_no_newest_backup() -> None:
    world = backing()
    read(world)

    assert figures(world) == {"backups": 0, "backup_stale": 0, "backup_store_failing": 0}


def test_the_figures_of_the_newest_good_backup_of_everything() -> None:
    world = backing()
    read(
        world,
        backup(21, "pdfs", ago=9_000),
        backup(22, "categories", "pdfs", ago=7_200, drill=drill(True, 600)),
        backup(23, "pdfs", ago=3_600, failed=["drafts"]),
        backup(24, "pdfs", ago=60, scope=["pdfs"]),
        unreadable(25),
    )

    found = figures(world)

    assert found.pop("backup_age_seconds") == pytest.approx(7_200.123)
    assert found.pop("backup_drill_age_seconds") == pytest.approx(600.123)
    assert found.pop("backup_verified_age_seconds") == pytest.approx(600.123)
    assert found == {
        "backups": 4,
        "backup_stale": 0,
        "backup_store_failing": 0,
        "backup_last_failed": 0,
        "backup_duration_seconds": 90,
        "backup_stored_bytes": 9_422,
        "backup_databases": 2,
        "backup_documents": 20,
        "backup_drill_ok": 1,
    }


def test_without_a_good_one_there_are_no_figures_of_it() -> None:
    world = backing()
    read(world, backup(23, "pdfs", failed=["drafts"]), backup(24, "pdfs", scope=["pdfs"], failed=["pdfs-2"]))

    found = figures(world)

    assert not {f"backup_{name}" for name in OF_NEWEST} & found.keys()
    assert (found["backups"], found["backup_last_failed"]) == (2, 1)


def test_a_backup_from_the_future_says_nothing_of_how_old_the_newest_is() -> None:
    world = backing()
    read(world, backup(23, "pdfs", ago=7_200), backup(24, "pdfs", ago=-90 * 86_400))

    assert figures(world)["backup_age_seconds"] == pytest.approx(7_200.123)


@pytest.mark.parametrize("ok", [True, False])
@pytest.mark.parametrize("last", [23, 24])
def test_the_last_drill_counts_whichever_backup_it_was_of(last: int, ok: bool) -> None:
    world = backing()
    drills = {23: drill(not ok, 900), 24: drill(not ok, 900), last: drill(ok, 60)}
    read(world, *(backup(number, "pdfs", drill=done) for number, done in drills.items()), backup(25, "pdfs"))

    found = figures(world)

    assert found["backup_drill_ok"] == int(ok)
    assert found["backup_drill_age_seconds"] == pytest.approx(60.123)
    # that a later one failed does not undo that an earlier one was good
    assert found["backup_verified_age_seconds"] == pytest.approx(60.123 if ok else 900.123)


@pytest.mark.parametrize(
    ("name", "value", "figure"), [("stale", True, "backup_stale"), ("trouble", TROUBLE, "backup_store_failing")]
)
def test_what_the_watch_has_noted_is_1_or_0(name: str, value: Any, figure: str) -> None:
    world = backing()
    read(world, backup(24, "pdfs"))
    world.backups.note(name, value)
    assert figures(world)[figure] == 1

    world.backups.note(name, None)
    assert figures(world)[figure] == 0


def test_it_needs_a_token_as_everything_does() -> None:
    world = backing(api_tokens="a-token-of-sixteen-characters")

    assert world.client.get("/metrics").status_code == 401


def test_it_takes_no_query() -> None:
    assert backing().client.get("/metrics?name=x").status_code == 422
