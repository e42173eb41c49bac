"""How long this process's own requests take, by route: the one thing that is counted here and not in Redis.

It sits on every request, so it costs two looks at a clock and one at a table. What a caller chooses is no label: an
address that is no route, or a method that nobody has, is `other`, whatever it was.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from flask import Flask, Request, Response, request
from prometheus_client import Histogram, disable_created_metrics
from prometheus_client.core import Metric

NAME = "nbr_api_request_duration_seconds"
MEANING = "From the head of a request to the head of its answer, waits that were asked for included"
LABELS = ("route", "method", "status")
BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
OTHER = "other"
_BEGAN = "nbr.began"


class Latency:
    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._histogram = Histogram(NAME, MEANING, LABELS, registry=None, buckets=BOUNDS)
        # beside the library's own table, which takes a lock for each look
        self._known: dict[tuple[str, str, str], Histogram] = {}

    def install(self, app: Flask) -> None:
        """First of all, so that what is refused before any route counts too."""
        app.before_request(self._begin)
        app.after_request(self._end)

    def figures(self) -> Iterator[Metric]:
        if self._known:
            yield from self._histogram.collect()

    def _begin(self) -> None:
        request.environ[_BEGAN] = time.perf_counter()

    def _end(self, response: Response) -> Response:
        asked: Request = request._get_current_object()  # type: ignore[attr-defined] # each look at the proxy costs one
        rule, method = asked.url_rule, asked.method
        key = (rule.rule if rule else OTHER, method if method in METHODS else OTHER, f"{response.status_code // 100}xx")
        child = self._known.get(key)
        if child is None:
            child = self._known[key] = self._histogram.labels(*key)
        child.observe(time.perf_counter() - asked.environ[_BEGAN])
        return response
