"""`GET /api/nodes/NAME/ready` as a proxy asks it, beside the least answer that Flask gives (bench/bare.py's health).

    python -m bench.ready [--seconds 5] [--rounds 3] [--nodes 100]

Both run under the same gunicorn settings, in turn. A proxy asks once a second for each node, so what counts is how long
one answer takes: one client on one connection, which asks for one node after the other as fast as it is answered.
"""

from __future__ import annotations

import argparse
import http.client
import sys
import time
from statistics import median

from bench.api import SIDES, answers
from bench.rig import percentile, private_redis, processes, require
from embedded.ports import any_free
from tasks.observations import Observations
from tasks.redis import connect

TARGET = 0.005  # seconds, p99
PATHS = {"ours": "/api/nodes/{name}/ready?max_lag=100", "bare": "/api/health"}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--nodes", type=int, default=100)
    arguments = parser.parse_args()
    names = [f"node{number}" for number in range(arguments.nodes)]
    found: dict[str, list[list[float]]] = {side: [] for side in SIDES}
    for _ in range(arguments.rounds):
        for side in SIDES:
            found[side].append(run(side, names, arguments.seconds))
    slowest = {side: [percentile(latencies, 0.99) for latencies in rounds] for side, rounds in found.items()}
    for side, rounds in found.items():
        middle = median(median(latencies) for latencies in rounds)
        print(f"{side}: median {middle * 1000:.2f} ms, p99 {median(slowest[side]) * 1000:.2f} ms")
    ratio = median(median(ours) / median(bare) for ours, bare in zip(found["ours"], found["bare"], strict=True))
    print(f"ours / bare = {ratio:.2f} (median)")
    met = median(slowest["ours"]) < TARGET
    print(f"target p99 < {TARGET * 1000:g} ms: {'met' if met else 'missed'}")
    return 0


def run(side: str, names: list[str], seconds: float) -> list[float]:
    """Seconds of each answer."""
    port = any_free()
    nodes = ",".join(f"{name}=http://{name}.test:5984" for name in names[1:])
    with private_redis() as redis:
        now = time.time()
        said = {"state": "healthy", "reason": None, "lag": 0, "way": "ready", "way_reason": None}
        seen = Observations(connect(redis.url))
        seen.save_standings({name: {**said, "observed_at": now, "lag_observed_at": now} for name in names})
        environ = {
            "REDIS_URL": redis.url,
            "API_PORT": str(port),
            "API_RATE_PER_MINUTE": "0",
            "LOG_LEVEL": "error",
            "COUCHDB_URL": f"{names[0]}=http://{names[0]}.test:5984",
            "REPLICATION_NODES": nodes,
            "HEALTH_INTERVAL": "3600",
        }
        with processes({"server": SIDES[side]}, environ):
            require(lambda: answers(port), "an answer of the server")
            return load(port, [PATHS[side].format(name=name) for name in names], seconds)


def load(port: int, paths: list[str], seconds: float) -> list[float]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    until = time.perf_counter() + seconds
    latencies: list[float] = []
    while time.perf_counter() < until:
        began = time.perf_counter()
        connection.request("GET", paths[len(latencies) % len(paths)])
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 200, answer.status
        latencies.append(time.perf_counter() - began)
    connection.close()
    return latencies


if __name__ == "__main__":
    sys.exit(main())
