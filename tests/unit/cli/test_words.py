"""Figures and times in words, and texts that a terminal does not obey."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli import words
from tests.unit.cli.bodies import NOW, progress


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2J", "\\x1b[2J"),
        ("a\x9b31m", "a\\x9b31m"),
        ("one\ntwo\r", "one\\ntwo\\r"),
        ("evil\u202etxt", "evil\\u202etxt"),
        ("\ud800", "\\ud800"),
        ("[red]Grüße – 日本[/]", "[red]Grüße – 日本[/]"),
    ],
    ids=["escape", "c1", "lines", "direction", "half", "plain"],
)
def test_what_a_terminal_would_obey_is_written_out(text: str, shown: str) -> None:
    assert words.safe(text) == shown


@given(st.text(st.characters(categories=["Cc", "Cf", "Cs", "Lu", "Zl", "Zp"])))
def test_nothing_that_is_shown_is_obeyed(text: str) -> None:
    assert words.safe(text).isprintable()


def test_lines_may_stay() -> None:
    assert words.safe("a\nb\x07", lines=True) == "a\nb\\x07"


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, "?"), (0, "0 B"), (999, "999 B"), (1_500, "1.5 KB"), (250_000_000, "250 MB"), (7e15, "7000 TB")],
)
def test_sizes(value: float | None, shown: str) -> None:
    assert words.size(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, "?"), (0.04, "0.0 s"), (9.5, "9.5 s"), (119, "119 s"), (180, "3 min"), (7_200, "2 h"), (200_000, "2 days")],
)
def test_spans(value: float | None, shown: str) -> None:
    assert words.span(value) == shown


@pytest.mark.parametrize(
    ("at", "shown"),
    [
        (None, "?"),
        ("2026-11-23T15:00:58.000Z", "2 s ago"),
        ("2026-11-23T14:58:00Z", "3 min ago"),
        ("2026-11-23T15:01:20Z", "now"),
        ("soon", "soon"),
        ("\x1b", "\\x1b"),
    ],
    ids=["unknown", "seconds", "minutes", "clocks-differ", "no-time", "escape"],
)
def test_how_long_ago(at: str | None, shown: str) -> None:
    assert words.ago(at, NOW) == shown


def test_what_is_long_ago_has_its_date_in_the_zone_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "Europe/Vienna")
        time.tzset()
        shown = words.ago("2026-11-20T23:30:00.000Z", NOW)
    time.tzset()
    assert shown == "2026-11-21 00:30:00 CET"


@pytest.mark.parametrize(
    ("given", "percent", "shown"),
    [
        (None, None, ""),
        (progress(None, None), None, ""),
        (progress(1_200, None), None, "1,200 changes"),
        (progress(0, 0), None, "0 changes"),
        (progress(1, 3, 12.0), 33.3, "1 of 3 changes, 33 %, 12 s left"),
        (progress(9, 3), 100.0, "9 of 3 changes, 100 %"),
    ],
    ids=["none", "unknown", "no-total", "nothing-to-do", "all", "more-than-all"],
)
def test_how_far(given: dict[str, object] | None, percent: float | None, shown: str) -> None:
    assert words.percent(given) == percent
    assert words.amount(given) == shown


@pytest.mark.parametrize(("value", "shown"), [(1, "1 node"), (1_000, "1,000 nodes"), (None, "? nodes")])
def test_counts(value: int | None, shown: str) -> None:
    assert words.count(value, "node") == shown
