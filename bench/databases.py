"""`GET /api/databases` at ten thousand databases on three nodes, beside Redis alone: the same rows, read and left.

    python -m bench.databases [--databases 10000] [--times 20]

The API is in this process, without HTTP, on a Redis of its own that holds what sweeps, looks at links and counts leave.
Beside each order, in turn and in the same run, stand the reads of Redis that it cannot do without: the names and fifty
rows of each column, or the names and every column whole.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from statistics import median
from typing import Any

import redis
from flask.testing import FlaskClient

from api.app import create_app
from bench.rig import private_redis, timed
from config.settings import Settings, build
from tasks.audit_log import AuditLog
from tasks.backups_seen import BackupsSeen
from tasks.conflicts_seen import COUNTS
from tasks.dirty import DirtySet
from tasks.events import Events
from tasks.figures_seen import PREFIX
from tasks.lookup import Lookup
from tasks.observations import DATABASES, Observations
from tasks.receivers import Receivers
from tasks.redis import connect
from tasks.replication_seen import STANDINGS, ReplicationSeen
from tasks.sign_ins import SignIns
from tasks.store import JobStore
from tasks.submit import Jobs
from tasks.tallies import Tallies
from tasks.workload import Workload
from worker.core.figures import Asked, Figures, mark

NODES = ("primary", "replica1", "replica2")
NOW = 1_795_446_000.0
PAGE = 50
TARGETS = {"name": 0.2, "size": 1.0, "documents": 1.0, "conflicts": 1.0, "lag": 1.0, "fragmentation": 1.0}  # seconds
COLUMNS = (DATABASES, STANDINGS, COUNTS, *(PREFIX + node for node in NODES))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--databases", type=int, default=10_000)
    parser.add_argument("--times", type=int, default=20)
    asked = parser.parse_args()
    met = True
    with private_redis() as server:
        client = connect(server.url)
        fill(client, [f"database-{number:06}" for number in range(asked.databases)])
        api = app(client).test_client()
        for sort, target in TARGETS.items():
            ours, bare = beside(lambda sort=sort: page(api, sort), reads(client, whole=sort != "name"), asked.times)  # type: ignore[misc]
            met &= ours <= target
            print(
                f"sort={sort:<14} {ours * 1000:7.1f} ms, bare reads of Redis {bare * 1000:7.1f} ms, "
                f"ours / bare = {ours / bare:.2f}, target {target * 1000:g} ms {'met' if ours <= target else 'missed'}",
                flush=True,
            )
    return 0 if met else 1


def beside(ours: Callable[[], object], bare: Callable[[], object], times: int) -> tuple[float, float]:
    """The middle of each, taken in turn."""
    found: tuple[list[float], list[float]] = ([], [])
    for _ in range(times):
        for seconds, work in zip(found, (ours, bare), strict=True):
            seconds.append(timed(work))
    return median(found[0]), median(found[1])


def page(api: FlaskClient, sort: str) -> None:
    answer = api.get(f"/api/databases?sort={sort}")
    if answer.status_code != 200 or len(answer.get_json()["databases"]) != PAGE:
        sys.exit(f"bench: {answer.text}")


def reads(client: redis.Redis, *, whole: bool) -> Callable[[], object]:
    def once() -> None:
        names = sorted(client.hkeys(DATABASES))
        for key in COLUMNS:
            if whole:
                client.hgetall(key)
            else:
                client.hmget(key, names[:PAGE])

    return once


def fill(client: redis.Redis, names: list[str]) -> None:
    """As a sweep, a look at the links and a run of the counter leave it."""
    seen, links = Observations(client), ReplicationSeen(client)
    nodes = [{"name": node, "url": "http://127.0.0.1:5984", "state": "healthy", "failures": 0} for node in NODES]
    seen.save_sweep({"observed_at": NOW, "nodes": nodes}, {name: list(NODES) for name in names})
    figures = tuple(
        Figures(name, number * 7_919 % 10_007, 3, 20_000 + number, 9_000, mark(f"{number}-g1AAAACLeJzLYW"))
        for number, name in enumerate(names)
    )
    for node in NODES:
        seen.figures.save(node, Asked(tuple(names), figures, last=True), names, NOW)
    pairs = [(source, target) for source in NODES for target in NODES if source != target]
    told: dict[str, Any] = {"state": "running", "observed_at": NOW}
    links.save_links(
        {
            name: [{**told, "database": name, "source": one, "target": two, "lag": number % 5} for one, two in pairs]
            for number, name in enumerate(names)
        },
        {"states": {}, "lag": {}, "broken": 0, "observed_at": NOW},
    )
    counts: dict[Any, Any] = {
        name: json.dumps([number % 3, False, NOW, "primary", "m"]) for number, name in enumerate(names)
    }
    client.hset(COUNTS, mapping=counts)


def app(client: redis.Redis) -> Any:
    settings: Settings = build({"couchdb_url": "http://127.0.0.1:5984", "replication_nodes": _replicas()})
    seen = Observations(client)
    store = JobStore(client, result_ttl=3_600, lease_seconds=15, max_attempts=3)
    jobs = Jobs(store, lambda job_id, request: None)
    parts = Events(client), BackupsSeen(client), AuditLog(client), SignIns(client), Receivers(client, ())
    workload = Workload(Tallies(client), DirtySet(client, 15), dict)
    lookup = Lookup(seen, lambda database, box: None)
    return create_app(settings, jobs, seen, lookup, ReplicationSeen(client), lambda task: None, *parts, workload)


def _replicas() -> str:
    return ",".join(f"{node}=http://127.0.0.1:{5985 + number}" for number, node in enumerate(NODES[1:]))


if __name__ == "__main__":
    sys.exit(main())
