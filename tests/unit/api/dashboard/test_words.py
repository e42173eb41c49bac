from __future__ import annotations

import pytest

from api.dashboard import words
from worker.core.times import rfc3339

NOW = 1_795_446_000.0


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (None, "–"),
        (0, "0 B"),
        (999, "999 B"),
        (1_000, "1.0 KB"),
        (11_100_000, "11.1 MB"),
        (99_960_000, "100 MB"),
        (2.5e15, "2.5 PB"),
        (999_999, "1.0 MB"),
    ],
    ids=str,
)
def test_bytes(count: float | None, text: str) -> None:
    assert words.size(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "–"),
        (0, "0 s"),
        (0.23, "0.2 s"),
        (9.94, "9.9 s"),
        (59.9, "59 s"),
        (60, "1 min"),
        (125, "2 min 5 s"),
        (7_500, "2 h 5 min"),
        (90_061, "1 d 1 h"),
        (86_400, "1 d"),
    ],
    ids=str,
)
def test_spans(seconds: float | None, text: str) -> None:
    assert words.span(seconds) == text


@pytest.mark.parametrize(
    ("at", "text"),
    [
        (None, "never"),
        (NOW, "now"),
        (NOW - 59, "59 s ago"),
        (NOW - 61, "1 min ago"),
        (NOW - 3_601, "1 h ago"),
        (NOW - 200_000, "2 d 7 h ago"),
        (NOW + 120, "in 2 min"),
    ],
    ids=str,
)
def test_moments(at: float | None, text: str) -> None:
    assert words.ago(None if at is None else rfc3339(at), NOW) == text


@pytest.mark.parametrize(
    ("progress", "done"),
    [
        (None, None),
        ({"done": 1, "total": None}, None),
        ({"done": None, "total": 5}, None),
        ({"done": 0, "total": 0}, None),
        ({"done": 1, "total": 3}, 33),
        ({"done": 9, "total": 3}, 100),
    ],
    ids=str,
)
def test_what_is_not_known_has_no_percent(progress: dict[str, int | None] | None, done: int | None) -> None:
    assert words.percent(progress) == done


def test_figures() -> None:
    assert (words.number(None), words.number(0), words.number(12_345_678)) == ("–", "0", "12\u202f345\u202f678")
    assert (words.share(None), words.share(0.307)) == ("–", "31 %")
    assert (words.milliseconds(None), words.milliseconds(2.64), words.milliseconds(141.7)) == ("–", "2.6 ms", "142 ms")
    assert (words.plural(1, "node"), words.plural(0, "node"), words.plural(2, "copy", "copies")) == (
        "1 node",
        "0 nodes",
        "2 copies",
    )


@pytest.mark.parametrize(
    ("whole", "seen", "told"),
    [
        (3, [1, 2], "3"),
        (None, [30, None], "≥\u202f30"),
        (None, [0, None], "≥\u202f0"),
        (None, [None], "–"),
        (None, [], "–"),
    ],
    ids=["known", "a part", "nothing of it", "unknown", "no link"],
)
def test_a_lag_of_which_a_part_is_known_is_at_least_that(whole: int | None, seen: list[int | None], told: str) -> None:
    assert words.lag(whole, seen) == told
