"""A sync through our API, queue and worker, beside the plain `_replicate` calls that it replaces.

    COUCHDB_TEST_URLS=http://user:password@127.0.0.1:5984,... python -m bench.sync [--times 30]

Both sides work on the same nodes in turn, each on a database of its own. Plain: one `POST _replicate` with
stock options for every other node, one after the other, as somebody with curl would; ours: one
`POST /api/replication/sync {"wait": true}`, from the request to the answer, which also gathers what the other
nodes have, checks that every link has caught up, and keeps a record.
"""

from __future__ import annotations

import argparse
import os
import sys
import uuid
from statistics import median

from bench.rig import line, private_redis, processes, require, system, timed
from config.settings import build
from embedded.api_client import ApiClient, ApiError
from embedded.ports import any_free
from worker.core.errors import ReplicationError
from worker.core.replication import pull_body
from worker.couch.cluster import Cluster
from worker.couch.database import Database


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=30)
    times = parser.parse_args().times
    urls = [url for url in os.environ.get("COUCHDB_TEST_URLS", "").split(",") if url]
    if len(urls) < 2:
        print("bench: name at least two nodes in COUCHDB_TEST_URLS", file=sys.stderr)
        return 2
    for count in range(2, len(urls) + 1):
        compare(urls[:count], times)
    return 0


def compare(urls: list[str], times: int) -> None:
    settings = build({"couchdb_url": urls[0], "replication_nodes": ",".join(urls[1:])})
    cluster = Cluster.from_settings(settings)
    print(f"\n{len(urls)} nodes: {', '.join(told(cluster, name) for name in cluster.names)}")
    ours, plain = (f"bench-{uuid.uuid4().hex[:12]}" for _ in range(2))
    port = any_free()
    environ = {"COUCHDB_URL": urls[0], "REPLICATION_NODES": ",".join(urls[1:]), "API_PORT": str(port)}
    # the pass would sync behind our back on nodes without a scheduler
    environ |= {"CONTINUOUS_REPLICATION": "false"}
    try:
        for name in cluster.names:
            Database(cluster[name], ours).create()
            Database(cluster[name], plain).create()
        with (
            private_redis() as redis,
            processes(system(["worker", "control", "beat", "api"]), environ | {"REDIS_URL": redis.url}),
        ):
            measure(cluster, ApiClient(f"http://127.0.0.1:{port}"), ours, plain, times)
    finally:
        for name in cluster.names:
            for database in (ours, plain):
                cluster[name].client.delete(database)


def told(cluster: Cluster, name: str) -> str:
    capabilities = cluster[name].capabilities()
    try:
        jitter = cluster[name].client.get("_node", "_local", "_config", "replicator", "startup_jitter")
    except ReplicationError:
        jitter = "stock"
    return f"{name} {capabilities.kind.value} {capabilities.version} (startup_jitter {jitter})"


def measure(cluster: Cluster, api: ApiClient, ours: str, plain: str, times: int) -> None:
    first, others = cluster.names[0], cluster.names[1:]

    def through_us() -> None:
        status, job = api.call("POST", "/api/replication/sync", {"database": ours, "wait": True})
        assert status == 200, job
        assert job["result"]["caught_up"], job

    def by_hand() -> None:
        for other in others:
            body = pull_body(plain, cluster[first].node, cluster[other].node, tuned=False)
            cluster[other].client.post("_replicate", json=body, read_timeout=60)

    def ready() -> bool:
        try:
            return (
                api.call("GET", "/api/health")[0] == 200
                and api.call("GET", "/api/replication/health")[1].get("status") == "healthy"
            )
        except ApiError:
            return False

    require(ready, "a healthy system")
    through_us()
    by_hand()
    for change in (False, True):
        seconds: dict[str, list[float]] = {"ours": [], "plain": []}
        for number in range(times):
            if change:
                for database in (ours, plain):
                    Database(cluster[first], database).put({"_id": f"{number:06}", "text": "x" * 200})
            seconds["ours"].append(timed(through_us))
            seconds["plain"].append(timed(by_hand))
        what = "one document" if change else "no-op"
        print(line(f"{what}: POST sync, wait to answer", seconds["ours"]))
        print(line(f"{what}: {len(others)} plain _replicate", seconds["plain"]))
        print(f"{what}: ours / plain = {median(seconds['ours']) / median(seconds['plain']):.2f}")


if __name__ == "__main__":
    sys.exit(main())
