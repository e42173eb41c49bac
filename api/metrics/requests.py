"""Requests to this process (api.latency)."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import Metric

from api import latency
from api.context import Context
from api.metrics.figure import PREFIX, Distribution

FIGURES = (Distribution(latency.NAME.removeprefix(PREFIX), latency.MEANING, *latency.LABELS),)


def figures(parts: Context) -> Iterator[Metric]:
    yield from parts.latency.figures()
