"""How changes travel: the continuous links, the databases that travel on change, and the canary that measures both."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations

from prometheus_client.core import Metric

from api.context import Context
from api.metrics.figure import Distribution, Gauge
from tasks.fresh import fresh_canary, fresh_look, fresh_pass
from worker.core.lag import LinkState

LINKS = Gauge("links", "Continuous links in each state", "state")
CUT = Gauge("links_cut", "Links of a pair of nodes that carry nothing, although both answer", "source", "target")
CANARY = Gauge("canary_seconds", "How long the last canary write took from one node to the other", "source", "target")
LATE = Gauge(
    "canary_overdue", "1: the last canary write had not arrived when it was last looked for", "source", "target"
)
ON_CHANGE = Gauge("on_change_databases", "Databases that travel on change, as the last pass found them", "state")
WAITING = Gauge("on_change_waiting", "Changed databases that wait for their sync, and those being synced", "state")
OLDEST = Gauge(
    "on_change_oldest_age_seconds",
    "Since the oldest change was seen that is not carried yet; not there while none waits",
)
DELAY = Distribution("on_change_delay_seconds", "From when a change was seen until all nodes had it")
FIGURES = (LINKS, CUT, CANARY, LATE, ON_CHANGE, WAITING, OLDEST, DELAY)


def figures(parts: Context) -> Iterator[Metric]:
    yield from _links(parts)
    yield from _canary(parts)
    yield from _on_change(parts)


def _links(parts: Context) -> Iterator[Metric]:
    summary = parts.replication.links_summary()
    if summary is None or not fresh_look(summary, parts.settings, parts.clock()):
        return
    yield from LINKS.of({(state,): summary["states"].get(state, 0) for state in LinkState})
    cut = summary.get("cut", {})
    pairs = permutations([node.name for node in parts.settings.nodes], 2)
    yield from CUT.of({(source, target): cut.get(f"{source} -> {target}", 0) for source, target in pairs})


def _canary(parts: Context) -> Iterator[Metric]:
    last = parts.replication.canary()
    if last is None or not fresh_canary(last, parts.settings, parts.clock()):
        return
    known = {(one["source"], one["target"]): one for one in last["arrivals"]}
    yield from CANARY.of({pair: one["seconds"] for pair, one in known.items()})
    yield from LATE.of({pair: float(one["overdue"] is not None) for pair, one in known.items() if not one["error"]})


def _on_change(parts: Context) -> Iterator[Metric]:
    found = parts.seen.last_pass()
    if found is not None and fresh_pass(found, parts.settings, parts.clock()):
        behind, failing = len(found["changed"]), len(parts.replication.on_change_failures())
        yield from ON_CHANGE.of({("in-step",): found["in_step_count"], ("behind",): behind, ("failing",): failing})
    dirty = parts.workload.dirty
    counts, oldest = dirty.counts(), dirty.oldest()
    yield from WAITING.of({("waiting",): counts["dirty"], ("syncing",): counts["busy"]})
    yield from OLDEST.one(None if oldest is None else max(0.0, parts.clock() - oldest))
    yield from DELAY.of({(): parts.workload.tallies.read().delays})
