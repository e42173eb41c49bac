"""What is due of the backups: missed nights, tries that failed, clocks that were wrong, drills, and staleness."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.core.backup_due import RETRY, Known, backup_due, backup_overdue, drill_due, drill_overdue, hours_stale
from worker.core.windows import parse_windows

NIGHTLY = "0 3 * * *"
SUNDAYS = "0 5 * * sun"
HOUR = 3_600.0


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


NOW = at("2026-11-25T03:00:10")  # a Wednesday


def known(started: str, *, good: bool = True, drilled: str | None = None) -> Known:
    """Named by when it began."""
    return Known(started, at(started), good, at(drilled) if drilled else None)


def due(*backups: Known, tried: str | None = None, now: float = NOW, blackout: str = "") -> bool:
    return backup_due(NIGHTLY, backups, at(tried) if tried else None, parse_windows(blackout), now)


def drill(
    *backups: Known, tried: str | None = None, now: str = "2026-11-29T05:00:10", blackout: str = ""
) -> str | None:
    """At the time of a Sunday's drill."""
    return drill_due(SUNDAYS, backups, at(tried) if tried else None, parse_windows(blackout), at(now))


# backups


@pytest.mark.parametrize(
    ("last", "wanted"),
    [
        ("2026-11-24T03:00:05", True),
        ("2026-11-24T23:59", True),
        ("2026-11-25T02:59:59", True),
        ("2026-11-25T03:00:00", False),  # it begins with that minute
        ("2026-11-25T03:00:05", False),
    ],
)
def test_a_backup_is_due_once_a_night(last: str, wanted: bool) -> None:
    assert due(known(last)) is wanted


def test_the_very_first_is_due_at_once() -> None:
    assert due(now=at("2026-11-25T17:00"))


def test_nights_that_were_missed_are_made_up_for_once() -> None:
    """Whoever was away, and for however long: what the store has decides."""
    noon = at("2026-11-25T12:00")

    assert due(known("2026-11-20T03:00:05"), now=noon)
    assert not due(known("2026-11-20T03:00:05"), known("2026-11-25T11:00"), now=noon)


def test_before_its_time_nothing_is_due() -> None:
    assert not due(known("2026-11-24T03:00:05"), now=at("2026-11-25T02:59:59"))


def test_a_backup_that_is_not_good_is_not_made_again_at_once() -> None:
    """It has what could be had; the job has told what is missing."""
    assert not due(known("2026-11-25T03:00:05", good=False))


def test_a_try_that_came_to_nothing_is_repeated_after_an_hour_and_not_before() -> None:
    yesterday, tried = known("2026-11-24T03:00:05"), "2026-11-25T03:00:10"

    assert not due(yesterday, tried=tried, now=at(tried) + 1)
    assert not due(yesterday, tried=tried, now=at(tried) + RETRY - 1)
    assert due(yesterday, tried=tried, now=at(tried) + RETRY)


def test_the_next_time_by_the_schedule_does_not_wait_for_that_hour() -> None:
    tried = "2026-11-25T02:50"

    assert not due(known("2026-11-20T03:00"), tried=tried, now=at("2026-11-25T02:59"))
    assert due(known("2026-11-20T03:00"), tried=tried)


def test_a_clock_that_was_ahead_puts_nothing_off() -> None:
    future = known("2031-01-01T03:00")

    assert due(known("2026-11-24T03:00:05"), future)
    assert due(known("2026-11-24T03:00:05"), tried="2031-01-01T03:00")
    assert not due(known("2026-11-25T03:00:05"), future)


@pytest.mark.parametrize("blackout", ["00:00-06:00", "tue 22:00-12:00", "wed 03:00-03:01"])
def test_nothing_begins_in_a_blackout(blackout: str) -> None:
    assert not due(blackout=blackout)
    assert due(blackout=blackout, now=at("2026-11-25T12:00")), "it is made up for afterwards"


def test_off_is_off() -> None:
    assert not backup_due(None, [], None, (), NOW)
    assert drill_due(None, [known("2026-11-24T03:00:05")], None, (), NOW) is None


times = st.floats(at("2026-11-01T00:00"), at("2026-12-31T00:00"))


@given(st.lists(times, max_size=5), times)
def test_what_is_due_stays_due_until_it_is_made(starts: list[float], now: float) -> None:
    # one that is dated in the future counts when its time has come
    backups = [Known(str(started), started, good=True) for started in starts if started <= now]
    if backup_due(NIGHTLY, backups, None, (), now):
        assert backup_due(NIGHTLY, backups, None, (), now + 5 * HOUR)
        made = Known("made", now, good=True)
        assert not backup_due(NIGHTLY, [*backups, made], None, (), now)


# drills


def test_a_drill_is_due_once_a_week_with_the_newest_good_backup() -> None:
    backups = (
        known("2026-11-27T03:00", drilled="2026-11-22T05:00:10"),
        known("2026-11-28T03:00"),
        known("2026-11-29T03:00", good=False),
    )

    assert drill(*backups) == "2026-11-28T03:00"
    assert drill(*backups, now="2026-11-29T04:59") is None
    assert drill(*backups, known("2026-11-21T03:00", drilled="2026-11-29T05:00:05")) is None


def test_a_drill_that_was_missed_is_made_up_for() -> None:
    assert drill(known("2026-11-20T03:00"), now="2026-12-02T17:00") == "2026-11-20T03:00"


def test_a_first_start_has_no_drill_before_its_time() -> None:
    """The first backup was never drilled, and is not because of that: a cluster that was just set up has other work."""
    first = known("2026-11-25T03:00:10")

    assert drill(first, now="2026-11-25T04:00") is None
    assert drill(first, now="2026-11-28T23:00") is None
    assert drill(first) == first.id


def test_without_a_good_backup_there_is_nothing_to_drill() -> None:
    assert drill() is None
    assert drill(known("2026-11-24T03:00", good=False)) is None


def test_a_drill_that_was_tried_waits_for_its_next_time() -> None:
    backup = known("2026-11-24T03:00")

    assert drill(backup, tried="2026-11-29T05:00:05", now="2026-11-30T05:00") is None
    assert drill(backup, tried="2026-11-29T05:00:05", now="2026-12-06T05:00:10") == backup.id


def test_a_clock_that_was_ahead_keeps_no_drill_away() -> None:
    backup = known("2026-11-24T03:00", drilled="2031-01-05T05:00")

    assert drill(backup) == backup.id
    assert drill(backup, tried="2031-01-05T05:00") == backup.id
    assert drill(backup, known("2031-01-01T03:00")) == backup.id
    assert drill(known("2031-01-01T03:00")) is None


def test_no_drill_begins_in_a_blackout() -> None:
    backup = known("2026-11-24T03:00")

    assert drill(backup, blackout="sun 00:00-24:00") is None
    assert drill(backup, blackout="sat 00:00-24:00") == backup.id


# staleness


@pytest.mark.parametrize(
    ("backups", "wanted"),
    [
        ([known("2026-11-23T21:00:10")], None),
        ([known("2026-11-23T20:59:10")], 30 + 1 / 60),
        ([known("2026-11-23T20:00:10"), known("2026-11-25T03:00", good=False)], 31.0),
        ([known("2026-11-23T20:00:10"), known("2026-11-25T02:00")], None),
        ([known("2026-11-23T20:00:10"), known("2031-01-01T03:00")], 31.0),
    ],
)
def test_the_last_good_one_says_how_stale_the_backups_are(backups: list[Known], wanted: float | None) -> None:
    found = hours_stale(backups, NOW - 1_000 * HOUR, 30, NOW)

    assert found == (None if wanted is None else pytest.approx(wanted))


@pytest.mark.parametrize("backups", [[], [known("2026-11-01T03:00", good=False)]])
def test_without_a_good_one_it_counts_since_somebody_watches(backups: list[Known]) -> None:
    assert hours_stale(backups, NOW - 29 * HOUR, 30, NOW) is None
    assert hours_stale(backups, NOW - 31 * HOUR, 30, NOW) == pytest.approx(31)


# overdue


@given(st.lists(st.floats(NOW - 10 * 86_400, NOW + 86_400), max_size=5), st.floats(NOW, NOW + 5 * 86_400))
def test_a_backup_is_overdue_exactly_while_it_is_due(starts: list[float], now: float) -> None:
    backups = [Known(str(start), start, True) for start in starts]
    by = backup_overdue(NIGHTLY, backups, None, now)

    past = [start for start in starts if start <= now]
    if not past:
        assert by is None
    else:
        assert bool(by) == backup_due(NIGHTLY, backups, None, (), now) or now % 86_400 == 3 * HOUR


def test_one_is_overdue_since_the_first_time_that_was_missed() -> None:
    assert backup_overdue(NIGHTLY, [known("2026-11-22T03:00:05")], None, NOW) == 2 * 86_400 + 10
    assert backup_overdue(NIGHTLY, [], at("2026-11-24T12:00"), NOW) == 10


def test_a_drill_is_overdue_as_it_is_due() -> None:
    late = at("2026-11-29T06:00")
    assert drill_overdue(SUNDAYS, [known("2026-11-28T03:00:05", drilled="2026-11-22T05:00:20")], late) == HOUR
    assert drill_overdue(SUNDAYS, [known("2026-11-29T05:30")], late) == 0
    assert drill_overdue(SUNDAYS, [known("2026-11-20T03:00", good=False)], late) is None
    assert drill_overdue(SUNDAYS, [], late) is None
