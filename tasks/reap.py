"""The reaper: lost work goes back on the queue, and what is past its time is forgotten."""

from __future__ import annotations

import time

from config.logs import get
from tasks.jobs import Kind
from tasks.wiring import Parts

log = get(__name__)
LOST_AFTER = 10.0  # seconds after which a job nobody claimed is put on the queue again, where that is empty
LOST_AFTER_BEHIND_OTHERS = 60.0  # the same where messages wait: its own is most likely one of them


def run_reap(parts: Parts) -> None:
    depths = {kind: parts.publisher.depth(kind.value) for kind in Kind}
    bounds = {kind: LOST_AFTER_BEHIND_OTHERS if depth else LOST_AFTER for kind, depth in depths.items()}
    ids = parts.store.reap(time.time(), bounds)
    if ids:
        log.info("jobs put on the queue again", count=len(ids))
    parts.jobs.wake(ids)
    parts.seen.tick(time.time())
