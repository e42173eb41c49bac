"""/metrics for Prometheus, made of what is known when it is asked for: nothing is counted in this process.

https://prometheus.io/docs/instrumenting/writing_exporters/ : base units, and a metric that is unknown is not there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from flask import Blueprint, Response
from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from api import reading
from api.context import Context, context
from api.openapi import Answer, Operation, operation
from api.schemas import NoQuery
from worker.core.manifest import EVERYTHING

blueprint = Blueprint("metrics", __name__)
PREFIX = "nbr"


@blueprint.get("/metrics")
@operation(
    Operation("Figures for Prometheus.", {200: Answer("Text in Prometheus' format.", media="text/plain")}, (503,),
              query=NoQuery)
)  # fmt: skip
def metrics() -> Response:
    reading.query(NoQuery)
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Known([*_backups(context()), *_security(context())]))
    return Response(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)


class _Known(Collector):
    def __init__(self, found: Iterable[Metric]) -> None:
        self._found = found

    def collect(self) -> Iterable[Metric]:
        return self._found


def _backups(parts: Context) -> Iterator[Metric]:
    if not parts.backup_plan.on:
        return
    now, seen = parts.clock(), parts.backups
    read, stale, trouble = seen.observed_at() is not None, seen.noted("stale"), seen.noted("trouble")
    found = [one for one in seen.all() if one["readable"]]
    # one from the future tells that a clock was ahead, and nothing of how old the newest is
    good = [one for one in found if one["good"] and one["scope"] == [EVERYTHING] and one["started_at"] <= now]
    if read:
        yield _gauge("backups", "Backups in the store that can be read", len(found))
    if read or stale:
        yield _gauge("backup_stale", "1: no good backup of everything for BACKUP_STALE_HOURS", int(bool(stale)))
    if read or trouble:
        yield _gauge("backup_store_failing", "1: the store could not be read the last time", int(bool(trouble)))
    if found:
        yield _gauge("backup_last_failed", "1: something is missing in the newest backup", int(not found[0]["good"]))
    if good:
        yield from _of(good[0], now)
    drills = [one for one in found if one["drill"]]
    if drills:
        last = max(drills, key=lambda one: one["drill"]["at"])["drill"]
        yield _gauge("backup_drill_age_seconds", "Since the last restore drill", now - last["at"])
        yield _gauge("backup_drill_ok", "1: the last restore drill found what it should", int(last["ok"]))


def _security(parts: Context) -> Iterator[Metric]:
    report = parts.seen.audits.report()
    if report is None:
        return
    found = GaugeMetricFamily(f"{PREFIX}_security_findings", "Of the last security report.", labels=["severity"])
    for severity, count in report["counts"].items():
        found.add_metric([severity], count)
    yield found
    unknown = sum(len(each["unknown"]) for each in report["checked"])
    yield _gauge("security_not_checked", "Checks that the last security report could not make", unknown)
    yield _gauge("security_report_age_seconds", "Since the last security report", parts.clock() - report["observed_at"])


def _of(newest: dict[str, Any], now: float) -> Iterator[Metric]:
    """Of the newest good backup of everything."""
    took = newest["finished_at"] - newest["started_at"]
    yield _gauge("backup_age_seconds", "Since the newest good backup of everything began", now - newest["started_at"])
    yield _gauge("backup_duration_seconds", "How long it took", took)
    yield _gauge("backup_stored_bytes", "What it added to the store, without attachments", newest["stored_bytes"])
    yield _gauge("backup_databases", "Databases in it", newest["databases"])
    yield _gauge("backup_documents", "Documents in its databases", newest["documents"])


def _gauge(name: str, what: str, value: float) -> Metric:
    return GaugeMetricFamily(f"{PREFIX}_{name}", f"{what}.", value=value)
