"""How figures and moments are written for people: the filters of the templates. Pure.

What is unknown is a dash, never a 0 (docs/architecture.md, Principles).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

UNKNOWN = "–"
_UNITS = ("B", "KB", "MB", "GB", "TB", "PB")
_SPANS = ((86_400.0, "d"), (3_600.0, "h"), (60.0, "min"), (1.0, "s"))


def size(count: float | None) -> str:
    """Bytes, in powers of 1000: 11.1 MB."""
    if count is None:
        return UNKNOWN
    value, unit = float(count), 0
    while value >= 999.5 and unit < len(_UNITS) - 1:
        value, unit = value / 1000, unit + 1
    return f"{value:.0f} {_UNITS[unit]}" if unit == 0 or value >= 99.5 else f"{value:.1f} {_UNITS[unit]}"


def number(count: float | None) -> str:
    return UNKNOWN if count is None else f"{count:,}".replace(",", "\u202f")  # a narrow space that does not break


def lag(whole: int | None, seen: Iterable[int | None]) -> str:
    """`seen`: of each link to the node. While a node is away nobody can tell the whole, but what the others have."""
    known = [each for each in seen if each is not None]
    return f"≥\u202f{number(sum(known))}" if whole is None and known else number(whole)


def share(part: float | None) -> str:
    return UNKNOWN if part is None else f"{part * 100:.0f} %"


def milliseconds(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:.0f} ms" if value >= 10 else f"{value:.1f} ms"


def span(seconds: float | None) -> str:
    """The two greatest units: 2 h 5 min."""
    if seconds is None:
        return UNKNOWN
    if seconds < 10:
        return f"{seconds:.1f} s" if seconds >= 0.05 else "0 s"
    left = seconds
    words: list[tuple[int, str]] = []
    for length, unit in _SPANS:
        count, left = divmod(left, length)
        if count or words:
            words.append((int(count), unit))
        if len(words) == 2:
            break
    return " ".join(f"{count} {unit}" for count, unit in words if count)


def moment(text: str) -> float:
    """RFC 3339 -> seconds since the epoch."""
    return datetime.fromisoformat(text).timestamp()


def ago(text: str | None, now: float) -> str:
    """How long ago that was, or in how long it will be; rounded, because the page says it until it is told anew."""
    if text is None:
        return "never"
    seconds = now - moment(text)
    if abs(seconds) < 1:
        return "now"
    if seconds < 0:
        return f"in {_about(-seconds)}"
    return f"{_about(seconds)} ago"


def _about(seconds: float) -> str:
    if seconds >= _SPANS[1][0]:  # of a backup "1 d ago" may be 47 hours
        return span(seconds)
    for length, unit in _SPANS:
        if seconds >= length:
            return f"{int(seconds // length)} {unit}"
    return "0 s"


def percent(progress: Mapping[str, Any] | None) -> int | None:
    """Of a job's progress; None while it is not known how much there is."""
    if not progress or not progress.get("total") or progress.get("done") is None:
        return None
    return min(100, int(100 * progress["done"] / progress["total"]))


def plural(count: int, one: str, many: str | None = None) -> str:
    return f"{number(count)} {one if count == 1 else many or one + 's'}"


def as_json(value: Any) -> str:
    """For people: what a page has to escape is escaped by it."""
    return json.dumps(value, indent=2, ensure_ascii=False)


FILTERS: Mapping[str, Callable[..., Any]] = {
    "size": size,
    "number": number,
    "share": share,
    "milliseconds": milliseconds,
    "span": span,
    "percent": percent,
    "plural": plural,
    "json": as_json,
}
