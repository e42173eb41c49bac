"""`python -m tasks worker|control|beat|watcher|agent|flower`; `python -m tasks celery ...`: Celery's own commands.

The arguments of every process stand here once; Procfile, docker-compose.yml and app.py only name them.
"""

from __future__ import annotations

import os
import socket
import sys
import warnings
from contextlib import suppress

from celery.platforms import SecurityWarning

from config.celery import CONTROL_CONCURRENCY, CONTROL_QUEUE, JOB_QUEUES, ON_CHANGE_QUEUE
from config.logs import configure, get
from config.settings import Settings, SettingsError, current
from tasks import agent, flower, watcher
from tasks.app import register
from tasks.redis import StoreUnavailable
from tasks.wiring import build
from worker.core.errors import MixedNodeKinds, SameNodeTwice
from worker.core.redact import scrub
from worker.couch.cluster import Cluster
from worker.ops.look import refuse_unfit_nodes

USAGE = "usage: python -m tasks worker | control | beat | watcher | agent | flower | celery ARGUMENTS"


def arguments(process: str, settings: Settings) -> list[str]:
    """The Celery command line of one of our processes."""
    name = f"{process}-{os.getpid()}@{socket.gethostname()}"
    worker = ["--quiet", "worker", "--pool", "threads", "--events", "--without-gossip", "--without-mingle", "-n", name]
    if process == "worker":
        return [
            *worker,
            "--queues",
            ",".join((*JOB_QUEUES, ON_CHANGE_QUEUE)),
            "--concurrency",
            str(settings.worker_concurrency),
        ]
    if process == "control":
        return [*worker, "--queues", CONTROL_QUEUE, "--concurrency", str(CONTROL_CONCURRENCY)]
    if process == "beat":
        # in memory: every entry is an interval, and what must not be missed looks at its own record
        return ["--quiet", "beat", "--scheduler", "celery.beat:Scheduler"]
    return [
        "flower",
        f"--address={settings.flower_host}",
        f"--port={settings.flower_port}",
        "--purge_offline_workers=60",
        "--inspect_timeout=2000",
        "--logging=warning",
    ]


def main(argv: list[str]) -> int:
    process = argv[0] if argv else ""
    if process not in {"worker", "control", "beat", "watcher", "agent", "flower", "celery"}:
        print(USAGE, file=sys.stderr)
        return 2
    try:
        settings = current()
        parts = build(settings)
    except SettingsError as error:
        print(f"cannot start: {error}", file=sys.stderr)
        return 2
    configure(settings, scrub)
    # said twice at every start as root; the container runs as another user, and a laptop's root knows
    warnings.filterwarnings("ignore", category=SecurityWarning)
    if process == "flower":
        flower.prepare(settings)
    if process == "agent":
        return agent.main(parts)
    cluster = Cluster.from_settings(settings)
    if process == "control":
        with suppress(StoreUnavailable):
            parts.in_force.settle(cluster)
        try:
            for name, why in refuse_unfit_nodes(cluster).items():
                get(__name__).warning("node cannot be used", node=name, reason=why)
        except (MixedNodeKinds, SameNodeTwice) as error:
            print(f"cannot start: {error.detail}", file=sys.stderr)
            return 2
    if process == "watcher":
        return watcher.main(parts, cluster)
    app = register(parts, cluster)
    return int(app.start(argv[1:] if process == "celery" else arguments(process, settings)) or 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
