"""What beat does, and how often. The names are those of tasks (tests hold the two together).

Any number of beats may run: each entry's task takes its time slot in Redis first, so that only one does the
work. A tick that nobody took for a while is dropped (`expires`), so that none pile up while no worker runs; the
bound is generous, because it is a time of beat's clock, read by another machine's.
"""

from __future__ import annotations

from typing import Any

from config.settings import Settings

REAP_EVERY = 5  # seconds
AUDITS_EVERY = 60  # seconds between two looks at whether a security report is due: one is made a day
BACKUPS_EVERY = 30  # seconds between two looks at whether one is due; the schedule itself is BACKUP_SCHEDULE
CONFLICTS_EVERY = 60  # seconds between two runs that count conflicts further, at most: six sweeps
CLOCK_SKEW = 60  # seconds


def beat_table(settings: Settings) -> dict[str, dict[str, Any]]:
    intervals = {
        "sweep": settings.health_interval,
        "reap": REAP_EVERY,
        "reconcile": settings.replication_retry_seconds,
        "links": settings.health_interval,
        "drift": settings.replication_retry_seconds,
        "security": settings.replication_retry_seconds,
        "backups": BACKUPS_EVERY,
        "audits": AUDITS_EVERY,
        "receivers": settings.health_interval,
        "conflicts": min(CONFLICTS_EVERY, 6 * settings.health_interval),
    }
    if settings.canary_seconds and settings.continuous_replication:
        intervals["canary"] = settings.canary_seconds
    return {
        name: {"task": name, "schedule": seconds, "args": (seconds,), "options": {"expires": seconds + CLOCK_SKEW}}
        for name, seconds in intervals.items()
    }
