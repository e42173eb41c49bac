"""Enqueue requests a second through our API, beside a bare Flask + Celery `delay` endpoint (bench/bare.py).

    python -m bench.api [--seconds 5] [--rounds 3]

Both run under the same gunicorn settings on the same private Redis, in turn, and no worker runs. Every request
names another database, so that none is answered from the queue. Ours validates, looks the database up,
writes a job record, enqueues, confirms and answers with the job; the peer only enqueues.
"""

from __future__ import annotations

import argparse
import http.client
import json
import sys
import threading
import time
from collections.abc import Iterator
from itertools import count
from statistics import median

from bench.rig import percentile, private_redis, processes, require
from embedded.api_client import ApiClient, ApiError
from embedded.ports import any_free
from tasks.observations import Observations
from tasks.redis import connect

DATABASES = 50_000
SIDES = {"ours": ("-m", "api"), "bare": ("-m", "bench.bare")}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    for clients in (1, 32):
        rates: dict[str, list[float]] = {name: [] for name in SIDES}
        slowest: dict[str, list[float]] = {name: [] for name in SIDES}
        for _ in range(arguments.rounds):
            for name, command in SIDES.items():
                latencies, spent = run(command, clients, arguments.seconds)
                rates[name].append(len(latencies) / spent)
                slowest[name].append(percentile(latencies, 0.99))
        for name in SIDES:
            print(
                f"{clients:>2} clients, {name}: median {median(rates[name]):6.0f} requests/s, "
                f"p99 {median(slowest[name]) * 1000:6.1f} ms  ({arguments.rounds} rounds)"
            )
        ratios = [ours / bare for ours, bare in zip(rates["ours"], rates["bare"], strict=True)]
        print(f"{clients:>2} clients: ours / bare = {median(ratios):.2f}")
    return 0


def run(command: tuple[str, ...], clients: int, seconds: float) -> tuple[list[float], float]:
    """Latencies of all requests, and the seconds they took together."""
    port = any_free()
    with private_redis() as redis:
        known = {f"db-{number}": ["primary"] for number in range(DATABASES)}
        Observations(connect(redis.url)).save_sweep({"observed_at": time.time()}, known)
        environ = {"REDIS_URL": redis.url, "API_PORT": str(port), "API_RATE_PER_MINUTE": "0", "LOG_LEVEL": "error"}
        with processes({"server": command}, environ):
            require(lambda: answers(port), "an answer of the server")
            return load(port, clients, seconds)


def answers(port: int) -> bool:
    try:
        return bool(ApiClient(f"http://127.0.0.1:{port}").call("GET", "/api/health")[1])
    except ApiError:
        return False


def load(port: int, clients: int, seconds: float) -> tuple[list[float], float]:
    names = count()
    latencies: list[float] = []
    failures: list[str] = []
    began = time.perf_counter()
    until = began + seconds

    def client() -> None:
        try:
            latencies.extend(requests(port, names, until))
        except (OSError, AssertionError, http.client.HTTPException) as error:
            failures.append(repr(error))

    threads = [threading.Thread(target=client) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        sys.exit(f"bench: {len(failures)} clients failed: {failures[0]}")
    return latencies, time.perf_counter() - began


def requests(port: int, names: Iterator[int], until: float) -> Iterator[float]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    while time.perf_counter() < until:
        body = json.dumps({"database": f"db-{next(names) % DATABASES}"})
        began = time.perf_counter()
        connection.request("POST", "/api/replication/sync", body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 202, answer.status
        yield time.perf_counter() - began
    connection.close()


if __name__ == "__main__":
    sys.exit(main())
