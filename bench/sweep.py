"""How long does one sweep take over many nodes of which some hang, and what does it cost?

    python -m bench.sweep [--nodes 100] [--hanging 10] [--timeout 3] [--times 5] [--databases 1000]

The nodes are one other process that answers as CouchDB does, in words that real nodes have said; those that hang accept
and never answer. Beside it, in the same run and with the same time-out, what a script would do with curl, one `GET /` a
node: one after the other, ten at a time, and all at once. A sweep asks seven things of each node that answers.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import subprocess
import sys
from collections.abc import Sequence
from statistics import median

from bench.nodes import many_nodes
from bench.rig import timed
from config.settings import build
from worker.core.disk import Round
from worker.couch.cluster import Cluster
from worker.ops.node_look import NodeSeen
from worker.ops.sweep import sweep

ROOM = 1.0  # seconds that a sweep may take beyond the time-out


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, default=100)
    parser.add_argument("--hanging", type=int, default=10)
    parser.add_argument("--databases", type=int, default=1_000, help="on each node")
    parser.add_argument("--timeout", type=float, default=3.0)
    parser.add_argument("--times", type=int, default=5)
    asked = parser.parse_args()
    with many_nodes(asked.nodes, asked.hanging, asked.databases) as urls:
        longest, middle = ours(urls, asked.hanging, asked.timeout, asked.times)
        if shutil.which("curl"):
            beside(urls, asked.timeout, middle)
    bound = asked.timeout + ROOM
    print(f"longest sweep {longest:.2f} s, {'within' if longest <= bound else 'ABOVE'} {bound:g} s")
    return 0 if longest <= bound else 1


def ours(urls: Sequence[str], hanging: int, timeout: float, times: int) -> tuple[float, float]:
    """The longest sweep and the one in the middle."""
    nodes = {"couchdb_url": urls[0], "replication_nodes": ",".join(urls[1:]), "health_timeout": timeout}
    cluster = Cluster.from_settings(build(nodes))
    carried: dict[str, Round] = {}
    seen: dict[str, NodeSeen] = {}

    def once() -> None:
        seen.update(sweep(cluster, timeout, carried=carried))
        carried.update({name: node.disk_round for name, node in seen.items() if node.disk_round is not None})

    seconds, spent = [], []
    for _ in range(times):
        before = cpu()
        seconds.append(timed(once))
        spent.append(cpu() - before)
    well = [node for node in seen.values() if node.look.ok]
    latencies = [node.look.latency_ms or 0.0 for node in well]
    whole = sum(not node.errors and node.databases is not None for node in well)
    print(
        f"{len(urls)} nodes, {hanging} of them hang, time-out {timeout:g} s: a sweep takes {median(seconds):.2f} s "
        f"(first {seconds[0]:.2f}, longest {max(seconds):.2f}) and {median(spent):.2f} s of CPU\n"
        f"seen well: {len(well)}, with every detail {whole}; GET / took {median(latencies):.0f} ms in the middle, "
        f"{max(latencies):.0f} ms at most"
    )
    return max(seconds), median(seconds)


def cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def beside(urls: Sequence[str], timeout: float, ours_took: float) -> None:
    for words, options in (
        ("all at once", ("--parallel", "--parallel-immediate", "--parallel-max", "300")),
        ("ten at a time", ("--parallel", "--parallel-immediate", "--parallel-max", "10")),
        ("one after the other", ()),
    ):
        each = [["-o", "/dev/null", f"{url}/"] for url in urls]
        whole = [[part for one in each for part in one]] if options else each  # --parallel takes all URLs at once
        commands = [("curl", "-s", "--max-time", str(timeout), *options, *some) for some in whole]
        took = timed(lambda: curl(commands))  # noqa: B023 - called at once
        print(f"curl, GET / alone, {words}: {took:.2f} s; ours / curl = {ours_took / took:.2f}", flush=True)


def curl(commands: Sequence[Sequence[str]]) -> None:
    for command in commands:
        subprocess.run(command, check=False, stderr=subprocess.DEVNULL)


if __name__ == "__main__":
    sys.exit(main())
