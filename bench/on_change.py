"""From a write on one node to its being seen on the other: on-change replication beside CouchDB's own scheduler.

    COUCHDB_TEST_URLS=http://user:password@127.0.0.1:5984,... python -m bench.on_change [--databases 1000] [--writes 40]

Two nodes, the same databases, the same random writes, in turn: first through our watcher and workers, then through a
continuous link a database, as somebody with a script would make them. Stock but for what the nodes are set to. Nothing
is told of a write but the write: the other node is asked for the document until it has it. Then both are left idle, and
the requests that each node serves are counted from its own statistics.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from bench.rig import percentile, private_redis, processes, require, system
from config.settings import build
from embedded.api_client import ApiClient, ApiError
from embedded.ports import any_free
from worker.core.errors import ReplicationError
from worker.core.model import Link
from worker.core.replication import link_document
from worker.couch.cluster import Cluster
from worker.couch.database import Database
from worker.couch.replicator import DATABASE as REPLICATOR
from worker.couch.replicator import Replicator
from worker.couch.server import Server
from worker.ops.parallel import pooled

WAIT = 240.0  # seconds after which a write counts as unseen
IDLE = 30.0
EVERY = 0.5  # seconds between two writes


@dataclass(frozen=True)
class Outcome:
    seconds: list[float]
    unseen: int
    idle: dict[str, float]  # node -> requests a second


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--databases", type=int, default=1_000)
    parser.add_argument("--writes", type=int, default=40)
    parser.add_argument("--only", choices=["ours", "stock"])
    arguments = parser.parse_args()
    urls = [url for url in os.environ.get("COUCHDB_TEST_URLS", "").split(",") if url][:2]
    if len(urls) < 2:
        print("bench: name two nodes in COUCHDB_TEST_URLS", file=sys.stderr)
        return 2
    prefix = f"bench-{uuid.uuid4().hex[:8]}-"
    names = [f"{prefix}{number:05}" for number in range(arguments.databases)]
    settings = build({"couchdb_url": urls[0], "replication_nodes": urls[1]})
    cluster = Cluster.from_settings(settings)
    print(f"{len(names)} databases on 2 nodes, {arguments.writes} writes, one every {EVERY} s")
    try:
        for server in cluster.servers.values():
            list(pooled(names, partial(make, server), 8))
        for side, run in {"ours": ours, "stock": stock}.items():
            if arguments.only in {None, side}:
                with run(cluster, urls, names, prefix):
                    tell(side, measure(cluster, names, arguments.writes))
    finally:
        for server in cluster.servers.values():
            list(pooled(names, server.client.delete, 8))
    return 0


def make(server: Server, name: str) -> bool:
    return Database(server, name).create(shards=1)


@contextmanager
def ours(cluster: Cluster, urls: Sequence[str], names: Sequence[str], prefix: str) -> Iterator[None]:
    port = any_free()
    environ = {"COUCHDB_URL": urls[0], "REPLICATION_NODES": urls[1], "API_PORT": str(port)}
    environ |= {"REPLICATION_INCLUDE": f"{prefix}*", "REPLICATION_MODE": "on-change", "CANARY_SECONDS": "0"}
    with (
        private_redis() as redis,
        processes(system(["worker", "control", "beat", "watcher", "api"]), environ | {"REDIS_URL": redis.url}),
    ):
        api = ApiClient(f"http://127.0.0.1:{port}")
        began = time.monotonic()
        require(lambda: in_step(api) == len(names), "every database in step", 600.0)
        print(f"ours: all {len(names)} databases known to be in step {time.monotonic() - began:.0f} s after the start")
        yield


def in_step(api: ApiClient) -> int:
    """How many databases are in step, by their rows in the status."""
    found, cursor = 0, ""
    while True:
        try:
            status, said = api.call("GET", f"/api/replication/status?limit=1000{cursor}")
        except ApiError:
            return -1
        if status != 200:
            return -1
        found += len({link["database"] for link in said["links"] if link["state"] == "in-step"})
        if not said["next"]:
            return found
        cursor = f"&cursor={said['next']}"


@contextmanager
def stock(cluster: Cluster, _urls: Sequence[str], names: Sequence[str], _prefix: str) -> Iterator[None]:
    """One continuous link a database and direction, with the options we would give it."""
    first, second = cluster.names
    pairs = ((first, second), (second, first))
    documents = {
        target: [
            link_document(Link(name, source, target), cluster[source].node, cluster[target].node) for name in names
        ]
        for source, target in pairs
    }
    for target, wanted in documents.items():
        Database(cluster[target], REPLICATOR).create()
        Replicator(cluster[target]).write(wanted)

    def started() -> bool:
        rows = [row for name in cluster.names for row in Replicator(cluster[name]).documents()]
        full = sum(row["state"] == "running" for row in rows)
        return len(rows) >= 2 * len(names) and full >= min(2 * len(names), 2 * 490)

    require(started, "links that run", 300.0)
    try:
        yield
    finally:
        for name in cluster.names:
            replicator = Database(cluster[name], REPLICATOR)
            gone = [
                {"_id": document["_id"], "_rev": document["_rev"], "_deleted": True}
                for document in replicator.documents("nbr:")
                if str(document["_id"]).rpartition(":")[2] in set(names)
            ]
            Replicator(cluster[name]).write(gone)


def measure(cluster: Cluster, names: Sequence[str], writes: int) -> Outcome:
    chance = random.Random(7)
    threads: list[threading.Thread] = []
    seen: list[float | None] = []

    def write_and_look() -> None:
        source, target = chance.sample(cluster.names, 2)
        database, document = chance.choice(names), uuid.uuid4().hex
        Database(cluster[source], database).put({"_id": document, "written": time.time()})
        began = time.monotonic()
        looked = Database(cluster[target], database)
        while time.monotonic() - began < WAIT:
            if looked.get(document) is not None:
                seen.append(time.monotonic() - began)
                return
            time.sleep(0.02)
        seen.append(None)

    for _ in range(writes):
        threads.append(threading.Thread(target=write_and_look))
        threads[-1].start()
        time.sleep(EVERY)
    for thread in threads:
        thread.join()
    time.sleep(15)  # what the last writes set off has ended
    before = {name: served(cluster, name) for name in cluster.names}
    time.sleep(IDLE)
    idle = {name: (served(cluster, name) - before[name]) / IDLE for name in cluster.names}
    return Outcome([one for one in seen if one is not None], seen.count(None), idle)


def served(cluster: Cluster, name: str) -> int:
    """Requests that the node has served since its start."""
    try:
        said = cluster[name].client.get("_node", "_local", "_stats", "couchdb", "httpd", "requests")
    except ReplicationError:
        return 0
    return int(said["value"])


def tell(side: str, outcome: Outcome) -> None:
    seconds = outcome.seconds or [float("nan")]
    idle = ", ".join(f"{name} {rate:.1f}" for name, rate in outcome.idle.items())
    print(
        f"{side:<6} seen {len(outcome.seconds)}, unseen after {WAIT:g} s: {outcome.unseen};  p50 "
        f"{percentile(seconds, 0.5):.2f} s  p99 {percentile(seconds, 0.99):.2f} s  worst {max(seconds):.2f} s;  "
        f"idle, requests/s: {idle}",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())
