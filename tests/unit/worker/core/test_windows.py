"""When scheduled work rests: what is read, what is refused, and when a blackout ends."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.core.windows import DAY, DAYS, WEEK, Window, closed, parse_windows

EVERY_DAY = frozenset(range(7))
MINUTES = 7 * DAY


def at(text: str) -> float:
    """A moment of the week whose Monday is the 23rd of November 2026: "mon 08:00"."""
    day, _, time = text.partition(" ")
    return datetime.fromisoformat(f"2026-11-{23 + DAYS.index(day)}T{time}").replace(tzinfo=UTC).timestamp()


def test_windows_are_read() -> None:
    assert parse_windows("mon-fri 08:00-18:00, sat 22:00-02:00, 12:00-13:00") == (
        Window(frozenset(range(5)), 480, 1080),
        Window(frozenset({5}), 1320, 1560),
        Window(EVERY_DAY, 720, 780),
    )
    assert parse_windows("  ") == ()


@pytest.mark.parametrize(
    ("text", "window"),
    [
        ("fri-mon 00:00-24:00", Window(frozenset({4, 5, 6, 0}), 0, 1440)),
        ("mon wed/fri 08:00-09:00", Window(frozenset({0, 2, 4}), 480, 540)),
        (" Mon - Tue  Sat 08:00 - 09:00 ", Window(frozenset({0, 1, 5}), 480, 540)),
        ("sun-sun 08:00-09:00", Window(frozenset({6}), 480, 540)),
        ("22:00-00:00", Window(EVERY_DAY, 1320, 1440)),
        ("22:00-24:00", Window(EVERY_DAY, 1320, 1440)),
    ],
)
def test_days_and_times_may_be_written_so(text: str, window: Window) -> None:
    assert parse_windows(text) == (window,)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("8:00-18:00", '"8:00-18:00": write days and UTC times such as'),
        ("mon-fri", '"mon-fri": write days'),
        ("mon 08:00", '"mon 08:00": write days'),
        ("08:00-24:01", '"08:00-24:01": write days'),
        ("24:00-02:00", '"24:00-02:00": write days'),
        ("08:00-18:60", '"08:00-18:60": write days'),
        ("08:00-18:00 mon", '"08:00-18:00 mon": write days'),
        ("08:00-１８:00", "write days"),
        ("mon 08:00-09:00,, tue 08:00-09:00", '"": write days'),
        ("mon 08:00-09:00,", '"": write days'),
        ("monday 08:00-18:00", '"monday" is no day; days are mon, tue'),
        ("mon-/tue 08:00-18:00", '"mon-" is no day'),
        ("mon-x 08:00-18:00", '"mon-x" is no day'),
        ("mon-tue-wed 08:00-18:00", '"mon-tue-wed" is no day'),
        ("mon 08:00-08:00", "ends when it begins: a whole day is 00:00-24:00"),
        ("00:00-00:00", "ends when it begins"),
    ],
)
def test_a_mistake_is_told_with_its_piece(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=re.escape(says)):
        parse_windows(text)


@pytest.mark.parametrize(
    "text", ["00:00-24:00", "00:00-12:00, 12:00-24:00", "mon-sat 00:00-24:00, sun 00:00-23:00, sun 22:00-00:00"]
)
def test_windows_that_leave_no_time_open_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="leaves no time open"):
        parse_windows(text)


def test_a_minute_a_week_is_enough() -> None:
    windows = parse_windows("mon-sat 00:00-24:00, sun 00:00-23:59")

    assert closed(windows, at("mon 00:00")) == at("sun 23:59")
    assert closed(windows, at("sun 23:59")) is None


@pytest.mark.parametrize(
    ("now", "end"),
    [
        ("mon 07:59:59.999", None),
        ("mon 08:00", "mon 18:00"),
        ("fri 17:59:59.999", "fri 18:00"),
        ("fri 18:00", None),
        ("sat 12:00", None),
    ],
)
def test_a_window_begins_with_its_first_moment_and_is_over_at_its_end(now: str, end: str | None) -> None:
    assert closed(parse_windows("mon-fri 08:00-18:00"), at(now)) == (end and at(end))


def test_a_window_over_midnight_belongs_to_the_day_it_begins() -> None:
    windows = parse_windows("sat 22:00-02:00")

    assert closed(windows, at("sat 23:00")) == at("sun 02:00")
    assert closed(windows, at("sun 01:59")) == at("sun 02:00")
    assert closed(windows, at("sun 23:00")) is None
    assert closed(windows, at("sat 01:00")) is None


def test_sundays_night_reaches_into_the_next_week() -> None:
    windows = parse_windows("sun 22:00-06:00, mon 05:00-07:00")

    assert closed(windows, at("sun 23:00")) == at("mon 07:00") + WEEK
    assert closed(windows, at("mon 00:00")) == at("mon 07:00")


def test_windows_that_touch_or_overlap_are_followed() -> None:
    windows = parse_windows("tue 08:00-12:00, tue 12:00-13:00, tue 12:30-22:00, tue 22:00-03:00, wed 04:00-05:00")

    assert closed(windows, at("tue 09:00")) == at("wed 03:00")


def test_without_windows_work_may_always_run() -> None:
    assert closed((), at("mon 00:00")) is None


def test_windows_of_two_texts_that_leave_nothing_open_still_get_an_answer() -> None:
    windows = parse_windows("00:00-12:00") + parse_windows("12:00-24:00")

    assert (closed(windows, at("mon 08:00")) or 0) >= at("mon 08:00") + WEEK


times = st.integers(0, DAY - 1)
some_windows = st.lists(
    st.tuples(st.sets(st.integers(0, 6), min_size=1), times, times).filter(lambda drawn: drawn[1] != drawn[2]),
    max_size=4,
)


@given(some_windows, st.integers(0, MINUTES - 1))
def test_it_ends_with_the_first_minute_that_no_window_has(drawn: list[tuple[set[int], int, int]], minute: int) -> None:
    covered = {
        (day * DAY + passing) % MINUTES
        for days, begin, end in drawn
        for day in days
        for passing in range(begin, end if end > begin else end + DAY)
    }
    text = ", ".join(
        f"{'/'.join(DAYS[day] for day in days)} {begin // 60:02}:{begin % 60:02}-{end // 60:02}:{end % 60:02}"
        for days, begin, end in drawn
    )
    if len(covered) == MINUTES:
        with pytest.raises(ValueError, match="leaves no time open"):
            parse_windows(text)
        return
    open_after = next(count for count in range(MINUTES) if (minute + count) % MINUTES not in covered)
    now = at("mon 00:00") + minute * 60

    assert closed(parse_windows(text), now) == (now + open_after * 60 if open_after else None)
