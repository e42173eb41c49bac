"""A node dies (kill -9) and comes back: what is said of it and when, and what clients notice, beside CouchDB's HAProxy.

    [COUCHDB_BIN=/opt/couchdb/bin/couchdb] python -m bench.failover [--times 3] [--down 30] [--seconds 15] [--clients 8]

Three nodes of its own (CouchDB where COUCHDB_BIN or this machine has one, else stand-ins), all our processes with their
default settings, and two HAProxys in front of the same nodes at the same time: ours as it ships, and one with what
CouchDB's own rel/haproxy.cfg does (bench/stock_haproxy.py). Both have the same steady mixed load on the same databases.
Each time another node is killed, kept away, and started again. Where each request went is read from the proxies' logs,
so "last sent there" and "in flight there" are facts and not guesses. A write whose answer did not come is not counted
as acknowledged; whether a node has an acknowledged one is asked of the node (`_revs_diff`).
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from bench.failover_clients import Client
from bench.failover_figures import Round, acknowledged
from bench.failover_rig import DEADLINE, NAMES, Rig, listens, lost, rig
from bench.failover_table import Report, tell
from embedded.waiting import wait_until

SETTLE = 10.0  # seconds that a node has been back before what follows counts as steady again
KEPT_UP = 120.0  # seconds until the last acknowledged write has to be on all nodes


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=3, help="each time another node, the primary first")
    parser.add_argument("--down", type=float, default=30.0, help="seconds that a node is kept away")
    parser.add_argument("--seconds", type=float, default=15.0, help="of steady load before each kill")
    parser.add_argument("--clients", type=int, default=8, help="of each proxy")
    parser.add_argument("--rate", type=float, default=8.0, help="requests a second of each client, at most")
    parser.add_argument("--databases", type=int, default=20)
    asked = parser.parse_args()
    with rig(asked.databases) as made:
        kind = made.nodes[NAMES[0]].kind
        print(
            f"3 nodes ({kind}), {asked.databases} databases, {asked.clients} clients a proxy with {asked.rate:g} "
            f"requests/s each, default settings; load of this machine: {load()}",
            flush=True,
        )
        clients = {side: made.clients(side, asked.clients, asked.rate) for side in ("ours", "stock")}
        everybody = [*clients["ours"], *clients["stock"]]
        with made.watched(), working(everybody):
            nodes = [NAMES[number % len(NAMES)] for number in range(asked.times)]
            rounds = [one_round(made, name, asked.seconds, asked.down) for name in nodes]
        sides = {side: made.side(side, clients[side]) for side in clients}
        promised = acknowledged(one for side in sides.values() for one in side.asked)
        gone = lost(made, promised, KEPT_UP)
        tell(Report(rounds, sides["ours"], sides["stock"], made.verdicts, made.lags, asked.down), gone)
        print(f"load of this machine at the end: {load()}")
    return 0


@contextmanager
def working(clients: Sequence[Client]) -> Iterator[None]:
    """Inside, the clients ask."""
    for client in clients:
        client.start()
    try:
        yield
    finally:
        for client in clients:
            client.stop()
        for client in clients:
            client.join()


def one_round(made: Rig, name: str, seconds: float, down: float) -> Round:
    """Kill the node, keep it away, start it again, and wait until everything is as before."""
    if not wait_until(made.steady, DEADLINE, every=0.5):
        print(f"bench: not steady again within {DEADLINE:g} s before {name} is killed", flush=True)
    node, begun = made.nodes[name], time.time()
    time.sleep(seconds)
    killed = time.time()
    node.process.kill()
    wait_until(lambda: not listens(node.port), 10.0, every=0.005)
    dead = time.time()
    time.sleep(max(0.0, killed + down - dead))
    revived = time.time()
    node.start()
    node.wait_ready()
    answers = time.time()
    wait_until(made.steady, DEADLINE, every=0.25)
    time.sleep(SETTLE)
    told = Round(name, begun, killed, dead, revived, answers, time.time())
    print(
        f"{name}: killed, away for {answers - killed:.0f} s, all as before after {told.ended - answers:.0f} s",
        flush=True,
    )
    return told


def load() -> str:
    return ", ".join(f"{value:.1f}" for value in os.getloadavg()) + f" on {os.cpu_count()} cores"


if __name__ == "__main__":
    sys.exit(main())
