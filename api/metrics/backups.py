"""The backups, as the catalogue was last read from the store."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from prometheus_client.core import Metric

from api.context import Context
from api.metrics.figure import Gauge
from tasks.backups_seen import newest_good

COUNT = Gauge("backups", "Backups in the store that can be read")
STALE = Gauge("backup_stale", "1: no good backup of everything for BACKUP_STALE_HOURS")
FAILING = Gauge("backup_store_failing", "1: the store could not be read the last time")
LAST_FAILED = Gauge("backup_last_failed", "1: something is missing in the newest backup")
AGE = Gauge("backup_age_seconds", "Since the newest good backup of everything began")
DURATION = Gauge("backup_duration_seconds", "How long the newest good backup of everything took")
STORED = Gauge("backup_stored_bytes", "What the newest good backup of everything added to the store")
DATABASES = Gauge("backup_databases", "Databases in the newest good backup of everything")
DOCUMENTS = Gauge("backup_documents", "Documents in the newest good backup of everything")
DRILL_AGE = Gauge("backup_drill_age_seconds", "Since the last restore drill")
DRILL_OK = Gauge("backup_drill_ok", "1: the last restore drill found what it should")
VERIFIED = Gauge("backup_verified_age_seconds", "Since a restore drill last found what it should")
FIGURES = (
    COUNT, STALE, FAILING, LAST_FAILED, AGE, DURATION, STORED, DATABASES, DOCUMENTS, DRILL_AGE, DRILL_OK, VERIFIED,
)  # fmt: skip


def figures(parts: Context) -> Iterator[Metric]:
    if not parts.backup_plan.on:
        return
    now, seen = parts.clock(), parts.backups
    read, stale, trouble = seen.observed_at() is not None, seen.noted("stale"), seen.noted("trouble")
    found = [one for one in seen.all() if one["readable"]]
    good = newest_good(found, now)
    if read:
        yield from COUNT.one(len(found))
    if read or stale:
        yield from STALE.one(int(bool(stale)))
    if read or trouble:
        yield from FAILING.one(int(bool(trouble)))
    if found:
        yield from LAST_FAILED.one(int(not found[0]["good"]))
    if good is not None:
        yield from _newest(good, now)
    yield from _drills([one["drill"] for one in found if one["drill"]], now)


def _newest(good: dict[str, Any], now: float) -> Iterator[Metric]:
    yield from AGE.one(now - good["started_at"])
    yield from DURATION.one(good["finished_at"] - good["started_at"])
    yield from STORED.one(good["stored_bytes"])
    yield from DATABASES.one(good["databases"])
    yield from DOCUMENTS.one(good["documents"])


def _drills(drills: list[dict[str, Any]], now: float) -> Iterator[Metric]:
    if not drills:
        return
    last = max(drills, key=lambda drill: float(drill["at"]))
    yield from DRILL_AGE.one(now - last["at"])
    yield from DRILL_OK.one(int(last["ok"]))
    passed = [drill["at"] for drill in drills if drill["ok"]]
    yield from VERIFIED.one(now - max(passed) if passed else None)
