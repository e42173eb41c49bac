"""What of the backups is to be done now, and what is to be told. Pure.

Everything is decided by what the store has, not by what was asked for: a night that was missed, whatever the reason, is
made up for as soon as somebody looks again. A moment that is still to come says nothing: some clock was ahead, and must
not put everything off until it is right.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from worker.core import cron
from worker.core.windows import Window, closed

RETRY = 3_600.0  # seconds after a try that came to nothing


@dataclass(frozen=True)
class Known:
    """A backup of everything that the schedule asked for. `drilled_at`: when it was last restored as a drill."""

    id: str
    started_at: float
    good: bool
    drilled_at: float | None = None


def backup_due(
    schedule: str | None, known: Sequence[Known], tried_at: float | None, windows: Sequence[Window], now: float
) -> bool:
    """`tried_at`: when one was asked for last, whatever became of it."""
    if schedule is None or closed(windows, now) is not None:
        return False
    last = max((one.started_at for one in _past(known, now)), default=None)
    if not cron.is_due(schedule, last, now):
        return False
    if tried_at is None or tried_at > now:
        return True
    return now - tried_at >= RETRY or cron.is_due(schedule, tried_at, now)


def drill_due(
    schedule: str | None, known: Sequence[Known], tried_at: float | None, windows: Sequence[Window], now: float
) -> str | None:
    """The backup that a drill should be made with: the newest good one; None: not now."""
    if schedule is None or closed(windows, now) is not None:
        return None
    good = [one for one in _past(known, now) if one.good]
    if not good:
        return None
    newest = max(good, key=lambda one: one.started_at)
    tried = tried_at is not None and tried_at <= now and not cron.is_due(schedule, tried_at, now)
    return newest.id if cron.is_due(schedule, _last_drill(known, now), now) and not tried else None


def backup_overdue(schedule: str, known: Sequence[Known], watched_since: float | None, now: float) -> float | None:
    """Seconds since one was due that was not made, 0 where none is; None where nothing is known to count from.
    `watched_since`: what counts while there is none. While a window puts it off, it is overdue."""
    last = max((one.started_at for one in _past(known, now)), default=watched_since)
    return None if last is None else _since_due(schedule, last, now)


def drill_overdue(schedule: str, known: Sequence[Known], now: float) -> float | None:
    """The same of drills; None where there is nothing to make one with."""
    if not any(one.good for one in _past(known, now)):
        return None
    return _since_due(schedule, _last_drill(known, now), now)


def _last_drill(known: Sequence[Known], now: float) -> float:
    """One that was never made waits for the schedule, from the first backup on: not at once at the first start."""
    past = _past(known, now)
    times = [one.drilled_at for one in past if one.drilled_at is not None and one.drilled_at <= now]
    return max(times, default=min(one.started_at for one in past))


def _since_due(schedule: str, last: float, now: float) -> float:
    return max(0.0, now - cron.next_due(schedule, last))


def hours_stale(known: Sequence[Known], watched_since: float, most_hours: float, now: float) -> float | None:
    """Hours since the last good backup began, where that is too long ago; where there is none, since somebody began
    to watch."""
    last = max((one.started_at for one in _past(known, now) if one.good), default=watched_since)
    hours = (now - last) / 3_600.0
    return hours if hours > most_hours else None


def _past(known: Sequence[Known], now: float) -> list[Known]:
    return [one for one in known if one.started_at <= now]
