"""The last security report."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import Metric

from api.context import Context
from api.metrics.figure import Gauge

FINDINGS = Gauge("security_findings", "Findings of the last security report", "severity")
NOT_CHECKED = Gauge("security_not_checked", "Checks that the last security report could not make")
AGE = Gauge("security_report_age_seconds", "Since the last security report")
FIGURES = (FINDINGS, NOT_CHECKED, AGE)


def figures(parts: Context) -> Iterator[Metric]:
    report = parts.seen.audits.report()
    if report is None:
        return
    yield from FINDINGS.of({(severity,): count for severity, count in report["counts"].items()})
    yield from NOT_CHECKED.one(sum(len(each["unknown"]) for each in report["checked"]))
    yield from AGE.one(parts.clock() - report["observed_at"])
