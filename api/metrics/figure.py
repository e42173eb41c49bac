"""What a figure of /metrics is: its name, type, labels and meaning, written once beside the code that reads it.

docs/metrics.md lists them all, and a test holds the two together. What is not known is not there: never 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import inf

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.utils import floatToGoString

from tasks.tallies import Histogram

PREFIX = "nbr_"
Values = Mapping[tuple[str, ...], float | None]


@dataclass(frozen=True)
class Figure:
    name: str  # without PREFIX
    meaning: str
    labels: tuple[str, ...]
    type: str

    @property
    def full_name(self) -> str:
        return f"{PREFIX}{self.name}"


@dataclass(frozen=True)
class Gauge(Figure):
    def __init__(self, name: str, meaning: str, *labels: str) -> None:
        super().__init__(name, meaning, labels, "gauge")

    def one(self, value: float | None) -> Iterator[Metric]:
        """Of a figure without labels."""
        yield from self.of({(): value})

    def of(self, values: Values) -> Iterator[Metric]:
        """Labels -> value, those that are known."""
        yield from _filled(GaugeMetricFamily(self.full_name, self.meaning, labels=self.labels), values)


@dataclass(frozen=True)
class Counter(Figure):
    def __init__(self, name: str, meaning: str, *labels: str) -> None:
        super().__init__(name, meaning, labels, "counter")

    def of(self, values: Values) -> Iterator[Metric]:
        yield from _filled(CounterMetricFamily(self.full_name, self.meaning, labels=self.labels), values)


@dataclass(frozen=True)
class Distribution(Figure):
    def __init__(self, name: str, meaning: str, *labels: str) -> None:
        super().__init__(name, meaning, labels, "histogram")

    def of(self, values: Mapping[tuple[str, ...], Histogram]) -> Iterator[Metric]:
        family = HistogramMetricFamily(self.full_name, self.meaning, labels=self.labels)
        for labels, histogram in values.items():
            family.add_metric(labels, _cumulative(histogram), histogram.seconds)
        if family.samples:
            yield family


def states(keys: Sequence[tuple[str, ...]], now: Mapping[tuple[str, ...], str], among: Sequence[str]) -> Values:
    """One value for each state there is: 1 for the one that it is, so that a change is a line that falls and another
    that rises."""
    return {(*key, state): float(now[key] == state) for key in keys for state in among}


def _filled(family: GaugeMetricFamily | CounterMetricFamily, values: Values) -> Iterator[Metric]:
    for labels, value in values.items():
        if value is not None:
            family.add_metric(labels, value)
    if family.samples:
        yield family


def _cumulative(histogram: Histogram) -> list[tuple[str, float]]:
    bounds = [floatToGoString(bound) for bound in (*histogram.bounds, inf)]  # type: ignore[no-untyped-call]
    return list(zip(bounds, map(float, accumulate(histogram.counts)), strict=True))
