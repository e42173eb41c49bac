"""Jobs: those that wait and run now, from the job store; those that ended, from what all workers have counted."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import Metric

from api.context import Context
from api.metrics.figure import Counter, Distribution, Gauge
from tasks.redis import StoreUnavailable

QUEUED = Gauge("jobs_queued", "Jobs that are queued, whatever they wait for", "kind")
RUNNING = Gauge("jobs_running", "Jobs that run", "kind")
OLDEST = Gauge(
    "jobs_oldest_queued_age_seconds",
    "Since the oldest job was asked for that is queued; not there while none is",
    "kind",
)
ENDED = Counter("jobs_ended_total", "Jobs that ended, by how", "kind", "state")
DURATION = Distribution("job_duration_seconds", "From the last start of a job to its end", "kind", "state")
BROKER = Gauge("broker_up", "1: the broker told how long its queues are")
MESSAGES = Gauge("queue_messages", "Messages on a queue that no worker has taken", "queue")
FIGURES = (QUEUED, RUNNING, OLDEST, ENDED, DURATION, BROKER, MESSAGES)


def figures(parts: Context) -> Iterator[Metric]:
    now, backlog = parts.clock(), parts.jobs.backlog()
    yield from QUEUED.of({(kind,): found.queued for kind, found in backlog.items()})
    yield from RUNNING.of({(kind,): found.running for kind, found in backlog.items()})
    oldest = {kind: found.oldest_at for kind, found in backlog.items()}
    yield from OLDEST.of({(kind,): None if at is None else max(0.0, now - at) for kind, at in oldest.items()})
    tallied = parts.workload.tallies.read()
    yield from ENDED.of({(kind, state): count for (kind, state), count in tallied.ended.items()})
    yield from DURATION.of({(kind, state): took for (kind, state), took in tallied.durations.items()})
    yield from _queues(parts)


def _queues(parts: Context) -> Iterator[Metric]:
    """The broker may be another Redis (BROKER_URL): that it is away says nothing about the first one."""
    try:
        depths = parts.workload.depths()
    except StoreUnavailable:
        yield from BROKER.one(0)
        return
    yield from BROKER.one(1)
    yield from MESSAGES.of({(queue,): depth for queue, depth in depths.items()})
