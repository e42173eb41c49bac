"""/metrics for Prometheus, made of what is known when it is asked for: docs/metrics.md has every figure.

https://prometheus.io/docs/instrumenting/writing_exporters/ : base units, and a metric that is unknown is not there. It
answers without Redis, too, with what this process knows by itself and `nbr_redis_up 0`: a monitor that is told nothing
cannot tell what is wrong. Nor may a record of another form, as another version of ours may have left it, take more away
than its own part.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from flask import Blueprint, Response
from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from api import reading
from api.context import Context, context
from api.metrics import backups, databases, jobs, links, nodes, processes, requests, schedules, security
from api.metrics.figure import Figure, Gauge
from api.openapi import Answer, Operation, operation
from api.schemas import NoQuery
from config.logs import get
from tasks.redis import StoreUnavailable

log = get(__name__)
blueprint = Blueprint("metrics", __name__)
REDIS = Gauge("redis_up", "1: Redis answered all that was asked for this answer; 0: what it would have told is missing")
UNREADABLE = Gauge(
    "metrics_unreadable",
    "1: something of this part is missing, because a record has another form: the log says more",
    "part",
)
_MODULES = (nodes, links, databases, jobs, processes, schedules, backups, security)
FIGURES: tuple[Figure, ...] = (
    REDIS,
    UNREADABLE,
    *(each for module in _MODULES for each in module.FIGURES),
    *requests.FIGURES,
)
_READERS: dict[str, Callable[[Context], Iterator[Metric]]] = {
    module.__name__.rpartition(".")[2]: module.figures for module in _MODULES
}
_ANOTHER_FORM = (AttributeError, LookupError, TypeError, ValueError)


@blueprint.get("/metrics")
@operation(
    Operation("Figures for Prometheus.", {200: Answer("Text in Prometheus' format.", media="text/plain")},
              query=NoQuery)
)  # fmt: skip
def metrics() -> Response:
    reading.query(NoQuery)
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Known(_all(context())))
    return Response(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)


class _Known(Collector):
    def __init__(self, found: Iterable[Metric]) -> None:
        self._found = list(found)

    def collect(self) -> Iterable[Metric]:
        return self._found


def _all(parts: Context) -> Iterator[Metric]:
    yield from requests.figures(parts)
    unreadable: dict[tuple[str, ...], float] = {}
    try:
        for part, read in _READERS.items():
            unreadable[(part,)] = 0
            try:
                yield from read(parts)
            except _ANOTHER_FORM:
                unreadable[(part,)] = 1
                log.exception("figures not readable", part=part)
    except StoreUnavailable:
        # at the first silence: the others would each wait as long, and the scrape be given up
        yield from REDIS.one(0)
    else:
        yield from REDIS.one(1)
        yield from UNREADABLE.of(unreadable)
