"""Which nodes have this database now? For the API, which never calls CouchDB itself, and waits for the answer."""

from __future__ import annotations

import queue
import time

from tasks.wiring import Parts
from worker.core.model import DatabaseInfo
from worker.couch.cluster import Cluster
from worker.couch.database import Database
from worker.ops.parallel import start

PATIENCE = 1.5  # seconds; the API waits for two


def run_look(parts: Parts, cluster: Cluster, database: str, box: str) -> None:
    def ask(name: str) -> DatabaseInfo | None:
        cluster[name].capabilities()  # which remembers a refused password, and does not send it again
        return Database(cluster[name], database).info(tries=1, read_timeout=1.0)

    outcomes = start(cluster.names, ask)
    unreached = set(cluster.names)
    found: list[str] = []
    pending, until = len(unreached), time.monotonic() + PATIENCE
    # the first that has it is answer enough, and a node that hangs must not make the API wait in vain
    while pending and not found and (left := until - time.monotonic()) > 0:
        try:
            outcome = outcomes.get(timeout=left)
        except queue.Empty:
            break
        pending -= 1
        if outcome.error is None and outcome.defect is None:
            unreached.discard(outcome.key)
            found += [outcome.key] if outcome.value is not None else []
    parts.seen.answer_look(box, database, found, sorted(unreached))
