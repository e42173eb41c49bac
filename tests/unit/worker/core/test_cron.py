"""When an expression is due, and which expressions are refused before they surprise anybody."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.core.cron import check, is_due, last_due, next_due

NIGHTLY = "30 2 * * *"


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    "expression",
    [
        "* * * * *",
        "*/15 0,12 1-7 * *",
        "8-18/2 10/4 * jan-mar,dec sun",
        " 0  0\t* * 7 ",
        "0 0 29 2 *",
        "0 0 L * *",
        "0 0 31 2 mon",  # cron's way: one of both is enough, and there are Mondays
        "0 22-2 * * fri-mon",
        "10-19 10 * * *",
    ],
)
def test_what_cron_takes_is_taken(expression: str) -> None:
    check(expression)


@pytest.mark.parametrize(
    ("expression", "says"),
    [
        ("0 2 * *", "has 4 fields: five fields are asked for: minute, hour, day of the month, month, day of the week"),
        ("", "has 0 fields: five"),
        ("0\u00a02 * * *", "has 4 fields: five"),
        ("@daily", "has 1 field: five"),
        ("0 2 * * * 30", "has 6 fields: five"),
        ("0 2 * * * 30 2026", "has 7 fields: five"),
        ("60 2 * * *", 'the minute "60" is not understood: 0-59'),
        ("0 24 * * *", 'the hour "24" is not understood: 0-23'),
        ("0 0 0 * *", 'the day of the month "0" is not understood: 1-31'),
        ("0 0 * 13 *", 'the month "13" is not understood: 1-12 or jan-dec'),
        ("0 0 * * 8", 'the day of the week "8" is not understood: 0-7 or sun-sat'),
        ("0 0 * * someday", 'the day of the week "someday" is not understood'),
        ("*/0 * * * *", 'the minute "*/0" is not understood'),
        ("1,,2 * * * *", 'the minute "1,,2" is not understood'),
        ("-5 * * * *", 'the minute "-5" is not understood'),
        ("１ * * * *", 'the minute "１" is not understood'),
        ("R * * * *", 'the minute "R" would be drawn by chance'),
        ("0 r(1-5) * * *", 'the hour "r(1-5)" would be drawn by chance'),
        ("H/15 * * * *", 'the minute "H/15" would be drawn by chance'),
        ("0 h * * *", 'the hour "h" would be drawn by chance'),
        ("5-5 * * * *", 'the minute "5-5" has a range that ends where it begins: write one value, or *'),
        ("0 0 1,05-5/2 * *", '"1,05-5/2" has a range that ends where it begins'),
        ("0 0 * * Sun-sun", '"Sun-sun" has a range that ends where it begins'),
        ("0 0 31 2 *", "is never due"),
        ("0 0 30,31 2 *", "is never due"),
        ("0 0 31 4,6,9,11 *", "is never due"),
    ],
)
def test_a_mistake_is_told(expression: str, says: str) -> None:
    with pytest.raises(ValueError, match=re.escape(says)) as refusal:
        check(expression)
    assert str(refusal.value).startswith(f'cron "{expression}"')


@pytest.mark.parametrize(
    ("expression", "now", "last", "following"),
    [
        (NIGHTLY, "2026-11-25T02:29:59.999", "2026-11-24T02:30", "2026-11-25T02:30"),
        (NIGHTLY, "2026-11-25T02:30", "2026-11-25T02:30", "2026-11-26T02:30"),
        (NIGHTLY, "2026-11-25T02:30:00.001", "2026-11-25T02:30", "2026-11-26T02:30"),
        (NIGHTLY, "2026-12-31T23:59:59.999", "2026-12-31T02:30", "2027-01-01T02:30"),
        ("* * * * *", "2026-11-25T02:30:59", "2026-11-25T02:30", "2026-11-25T02:31"),
        ("0 0 * * 7", "2026-11-25T12:00", "2026-11-22T00:00", "2026-11-29T00:00"),
        ("0 0 31 * *", "2026-11-25T12:00", "2026-10-31T00:00", "2026-12-31T00:00"),
        ("0 0 L * *", "2028-02-29T12:00", "2028-02-29T00:00", "2028-03-31T00:00"),
        ("0 0 29 2 *", "2026-11-25T12:00", "2024-02-29T00:00", "2028-02-29T00:00"),
        ("0 0 29 2 *", "2099-01-01T12:00", "2096-02-29T00:00", "2104-02-29T00:00"),
        ("0 0 13 * fri", "2026-11-25T12:00", "2026-11-20T00:00", "2026-11-27T00:00"),
        # a night on which clocks change in Europe: none of ours does
        (NIGHTLY, "2026-03-29T03:00", "2026-03-29T02:30", "2026-03-30T02:30"),
    ],
)
def test_it_was_and_will_be_due(expression: str, now: str, last: str, following: str) -> None:
    assert last_due(expression, at(now)) == at(last)
    assert next_due(expression, at(now)) == at(following)


def test_what_never_started_is_due() -> None:
    assert is_due(NIGHTLY, None, at("2026-11-25T12:00"))


def test_it_is_due_once_for_each_time_and_once_for_all_that_were_missed() -> None:
    started = at("2026-11-24T02:30:07")

    assert not is_due(NIGHTLY, started, at("2026-11-24T02:30:08"))
    assert not is_due(NIGHTLY, started, at("2026-11-25T02:29:59"))
    assert is_due(NIGHTLY, started, at("2026-11-25T02:30"))
    assert is_due(NIGHTLY, started, at("2026-12-05T12:00"))
    assert not is_due(NIGHTLY, at("2026-12-05T12:00"), at("2026-12-05T12:00:01"))


def test_one_that_started_on_the_very_moment_is_not_due_for_it() -> None:
    assert not is_due(NIGHTLY, at("2026-11-25T02:30"), at("2026-11-25T02:31"))


def test_a_start_later_than_now_leaves_it_at_rest_until_its_time_comes() -> None:
    started = at("2026-11-25T02:30:03")

    assert not is_due(NIGHTLY, started, at("2026-11-25T02:30:01"))
    assert is_due(NIGHTLY, started, at("2026-11-26T02:30"))


numbers = st.tuples(
    st.sets(st.integers(0, 59), min_size=1, max_size=3),
    st.sets(st.integers(0, 23), min_size=1, max_size=3),
    st.sets(st.integers(1, 31), min_size=1, max_size=3),
)


@given(numbers, st.integers(0, 400 * 1440 * 60).map(lambda passed: at("2027-06-01T00:00") + passed))
def test_nothing_that_is_due_is_passed_over(fields: tuple[set[int], ...], now: float) -> None:
    """Counted day by day: months of every length, a leap year among them."""
    expression = " ".join(",".join(map(str, field)) for field in fields) + " * *"
    today = datetime.fromtimestamp(now, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    due = [
        (day + timedelta(hours=hour, minutes=minute)).timestamp()
        for day in (today + timedelta(days=offset) for offset in range(-63, 64))
        if day.day in fields[2]
        for hour in fields[1]
        for minute in fields[0]
    ]

    check(expression)
    assert last_due(expression, now) == max(moment for moment in due if moment <= now)
    assert next_due(expression, now) == min(moment for moment in due if moment > now)
