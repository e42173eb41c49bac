"""What a sweep leaves besides its verdicts: the databases' figures, and how each node was in this minute."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tasks.fresh import fresh_look, fresh_pass
from tasks.lags import node_lags, on_change
from tasks.wiring import Parts
from worker.core.health import Verdict
from worker.ops.node_look import NodeSeen


def note_figures(parts: Parts, seen: Mapping[str, NodeSeen], now: float, *, whole: bool) -> None:
    """`whole`: all nodes were looked at: what is kept of others is forgotten."""
    if whole:
        parts.seen.figures.keep_nodes(seen)
    for name, node in seen.items():
        if node.asked is not None and node.databases is not None:
            parts.seen.figures.save(name, node.asked, node.databases, now)


def note_history(
    parts: Parts,
    seen: Mapping[str, NodeSeen],
    verdicts: Mapping[str, Verdict],
    links: Mapping[str, Any] | None,
    now: float,
) -> None:
    """`links`: the summary of the last look at them. What was seen too long ago is no lag of this minute."""
    last = parts.seen.last_pass()
    fresh = fresh_look(links, parts.settings, now) if links else True
    known = fresh and (last is None or fresh_pass(last, parts.settings, now))
    passes = on_change(parts.replication.reconcile())
    lags = node_lags(seen, links, last, passes=passes) if known else {}
    for name, node in seen.items():
        parts.seen.history.note(name, now, node.look.latency_ms, lags.get(name), verdicts[name].state)
