"""Figures and times in words, and texts of others made fit for a terminal. Pure: `now` is an argument.

Names, reasons and error texts come from nodes, callers and proxies. A terminal obeys what is in them (it can be told to
clear itself, to retitle its window, to write right to left), so nothing of theirs is printed but through `safe`.
"""

from __future__ import annotations

import shlex
import unicodedata
from datetime import UTC, datetime
from typing import Any

UNKNOWN = "?"
_MINUTE, _HOUR, _DAY = 60, 3_600, 86_400
# control characters, invisible formatting (text direction too), halves of characters, line and paragraph separators
_UNSEEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}
_STEPS = ("B", "KB", "MB", "GB", "TB")


def safe(text: object, *, lines: bool = False) -> str:
    """The text with everything that a terminal would obey written out (\\x1b). `lines`: line breaks stay."""
    kept = "\n" if lines else ""
    return "".join(char if char in kept or not _obeyed(char) else _written(char) for char in str(text))


def typed(text: object) -> str:
    """For a command that is shown to be copied: one word for a shell, whatever is in it."""
    return shlex.quote(safe(text))


def _obeyed(char: str) -> bool:
    return unicodedata.category(char) in _UNSEEN


def _written(char: str) -> str:
    return char.encode("unicode_escape", "backslashreplace").decode("ascii")


def count(value: Any, one: str, many: str | None = None) -> str:
    """`1 node`, `2 nodes`."""
    return f"{number(value)} {one if value == 1 else many or one + 's'}"


def number(value: Any) -> str:
    if value is None:
        return UNKNOWN
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else str(value)


def share(value: float | None) -> str:
    """A fraction as percent."""
    return UNKNOWN if value is None else f"{value * 100:.0f} %"


def size(value: float | None) -> str:
    """Bytes, in powers of 1000."""
    if value is None:
        return UNKNOWN
    for step in _STEPS:
        if value < 1_000 or step == _STEPS[-1]:
            break
        value /= 1_000
    return f"{value:.0f} {step}" if step == "B" or value >= 100 else f"{value:.1f} {step}"


def span(seconds: float | None) -> str:
    if seconds is None:
        return UNKNOWN
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 2 * _MINUTE:
        return f"{seconds:.0f} s"
    if seconds < 2 * _HOUR:
        return f"{seconds / _MINUTE:.0f} min"
    return f"{seconds / _HOUR:.0f} h" if seconds < 2 * _DAY else f"{seconds / _DAY:.0f} days"


def epoch(rfc3339: str) -> float:
    """Raises ValueError where it is none."""
    moment = datetime.fromisoformat(rfc3339)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def ago(rfc3339: Any, now: float) -> str:
    """`3 min ago`; from two days on when it was."""
    if not rfc3339:
        return UNKNOWN
    try:
        seconds = now - epoch(rfc3339)
    except (TypeError, ValueError):
        return safe(rfc3339)
    if seconds < 0:
        return "now" if seconds > -_MINUTE else moment(rfc3339)
    if seconds < 2 * _MINUTE:
        return f"{seconds:.0f} s ago"
    return f"{span(seconds)} ago" if seconds < 2 * _DAY else moment(rfc3339)


def moment(rfc3339: Any) -> str:
    """`2026-11-23 16:00:00 CET`, in the zone of this machine."""
    if not rfc3339:
        return UNKNOWN
    try:
        there = datetime.fromtimestamp(epoch(rfc3339), UTC).astimezone()
    except (TypeError, ValueError, OverflowError, OSError):
        return safe(rfc3339)
    return there.strftime("%Y-%m-%d %H:%M:%S %Z")


def percent(progress: Any) -> float | None:
    """Of a job's `progress`; None while it is not known how much there is."""
    done, total = (progress or {}).get("done"), (progress or {}).get("total")
    if done is None or not total:
        return None
    return float(round(min(100.0, 100 * done / total), 1))


def amount(progress: Any) -> str:
    """`120 of 500 changes, 24 %, 3 s left`: as much of it as is known."""
    progress = progress or {}
    done, total, unit, left = (progress.get(key) for key in ("done", "total", "unit", "eta_seconds"))
    parts = []
    if done is not None:
        parts.append(" ".join(filter(None, [number(done), f"of {number(total)}" if total else "", safe(unit or "")])))
    reached = percent(progress)
    if reached is not None:
        parts.append(f"{reached:.0f} %")
    if left is not None:
        parts.append(f"{span(left)} left")
    return ", ".join(parts)
