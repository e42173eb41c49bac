"""Our own processes, by the heartbeats that they leave in Redis."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from prometheus_client.core import Metric

from api.context import Context
from api.metrics.figure import Gauge

PROCESSES = Gauge("processes", "Processes of ours that were heard of within 20 s", "process")
TICK = Gauge("beat_last_tick_timestamp_seconds", "When an entry of beat's schedule last ran")
FEEDS = Gauge("watcher_feed_open", "1: the leading watcher listens to the node's changes", "node")
FIGURES = (PROCESSES, TICK, FEEDS)


def figures(parts: Context) -> Iterator[Metric]:
    now = parts.clock()
    alive = Counter(name.partition("-")[0] for name in parts.seen.workers(now))
    watchers = parts.replication.watchers(now)
    counts = {"worker": alive["worker"], "control": alive["control"], "watcher": len(watchers)}
    yield from PROCESSES.of({(process,): count for process, count in counts.items()})
    yield from TICK.one(parts.seen.last_tick())
    leaders = [told for told in watchers.values() if told["leads"]]
    yield from FEEDS.of({(node,): float(since is not None) for one in leaders for node, since in one["feeds"].items()})
