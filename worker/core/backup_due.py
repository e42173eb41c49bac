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
    past = _past(known, now)
    good = [one for one in past if one.good]
    if not good:
        return None
    times = [one.drilled_at for one in past if one.drilled_at is not None and one.drilled_at <= now]
    newest = max(good, key=lambda one: one.started_at)
    # one that was never drilled waits for the schedule, from the first backup on: not at once at the first start
    last = max(times, default=min(one.started_at for one in past))
    tried = tried_at is not None and tried_at <= now and not cron.is_due(schedule, tried_at, now)
    return newest.id if cron.is_due(schedule, last, now) and not tried else None


def hours_stale(known: Sequence[Known], watched_since: float, most_hours: float, now: float) -> float | None:
    """Hours since the last good backup began, where that is too long ago; where there is none, since somebody began
    to watch."""
    last = max((one.started_at for one in _past(known, now) if one.good), default=watched_since)
    hours = (now - last) / 3_600.0
    return hours if hours > most_hours else None


def _past(known: Sequence[Known], now: float) -> list[Known]:
    return [one for one in known if one.started_at <= now]
