"""Blackout windows: times of the week in which scheduled work rests. Pure: (windows, now) -> when they end.

All in UTC, as everything here is: a window in local time would be an hour off twice a year, and be there twice or not
at all on two nights. A window over midnight belongs to the day on which it begins.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY = 24 * 60  # minutes
WEEK = 7 * 24 * 3_600.0  # seconds
_A_MONDAY = 4 * 24 * 3_600.0  # the epoch began on a Thursday
_TIMES = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])-(?:(24):(00)|([01][0-9]|2[0-3]):([0-5][0-9]))", re.ASCII)
_RIGHT = 'write days and UTC times such as "mon-fri 08:00-18:00", "sat/sun 22:00-02:00" or "12:00-13:00"'


@dataclass(frozen=True)
class Window:
    """`days`: 0 is Monday. `begins`, `ends`: minutes after that day's midnight; more than a day's over midnight."""

    days: frozenset[int]
    begins: int
    ends: int


def parse_windows(text: str) -> tuple[Window, ...]:
    """Of text like "mon-fri 08:00-18:00, sat 22:00-02:00, 12:00-13:00"; none of no text. ValueError says what is wrong,
    also of windows that leave no time open."""
    if not text.strip():
        return ()
    windows = tuple(_window(piece.strip()) for piece in text.split(","))
    end = closed(windows, _A_MONDAY)
    if end is not None and end >= _A_MONDAY + WEEK:
        raise ValueError(f'"{text.strip()}" leaves no time open: nothing would ever run')
    return windows


def closed(windows: Sequence[Window], now: float) -> float | None:
    """When the blackout that covers `now` ends, through windows that touch or overlap; None where work may run. Its end
    is no part of a window. Both moments in seconds since the epoch."""
    end = now
    # windows of two texts put together may leave nothing open: then a week is as good an answer as any
    while end < now + WEEK:
        further = _end_of_one(windows, end)
        if further is None:
            break
        end = further
    return end if end > now else None


def _end_of_one(windows: Sequence[Window], now: float) -> float | None:
    monday = _A_MONDAY + math.floor((now - _A_MONDAY) / WEEK) * WEEK
    ends = []
    for window in windows:
        for day in window.days:
            for week in (monday - WEEK, monday):  # Sunday's may reach into this week
                midnight = week + day * DAY * 60
                if midnight + window.begins * 60 <= now < midnight + window.ends * 60:
                    ends.append(midnight + window.ends * 60)
    return max(ends, default=None)


def _window(piece: str) -> Window:
    *days, times = re.sub(r"\s*-\s*", "-", piece).replace("/", " ").split() or [""]
    found = _TIMES.fullmatch(times)
    if found is None:
        raise ValueError(f'blackout window "{piece}": {_RIGHT}')
    hour, minute, *end = (int(part) for part in found.groups() if part is not None)
    begins, ends = hour * 60 + minute, end[0] * 60 + end[1]
    if begins == ends:
        raise ValueError(f'blackout window "{piece}" ends when it begins: a whole day is 00:00-24:00')
    chosen = [day for word in days for day in _days(word.lower(), piece)]
    return Window(frozenset(chosen or range(7)), begins, ends if ends > begins else ends + DAY)


def _days(word: str, piece: str) -> list[int]:
    first, _, last = word.partition("-")
    if first not in DAYS or (last or first) not in DAYS or word.endswith("-"):
        raise ValueError(f'blackout window "{piece}": "{word}" is no day; days are {", ".join(DAYS)}. {_RIGHT}')
    begin = DAYS.index(first)
    length = (DAYS.index(last or first) - begin) % 7
    return [(begin + day) % 7 for day in range(length + 1)]
