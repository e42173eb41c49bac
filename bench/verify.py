"""A verify's digests beside curl draining the same feeds, and the memory a verify takes.

    COUCHDB_TEST_URLS=http://user:password@127.0.0.1:5984,... python -m bench.verify [--documents 100000] [--rounds 5]
    python -m bench.verify --memory [--documents 1000000] [--all-different]

Drain: one curl a node, all at once, throws `_changes?style=all_docs` away. Ours reads the same rows of the same two
nodes, hashes them and compares. In turn, several rounds. `--memory` needs no node: a made-up one (bench/feed.py)
tells as many documents as asked for, of which one differs (or all do), and more than 300 MB is a failure.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import time
import uuid
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from statistics import median
from urllib.parse import urlsplit

from bench.feed import MadeUp, cluster_of
from bench.rig import line, timed
from config.settings import build
from worker.couch.cluster import Cluster
from worker.couch.database import Database
from worker.ops.control import Unattended
from worker.ops.verify import verify

MOST_MEMORY = 300  # MB
A_PART = 5_000  # documents written at a time


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--all-different", action="store_true")
    arguments = parser.parse_args()
    if arguments.memory:
        return memory(arguments.documents or 1_000_000, all_different=arguments.all_different)
    urls = [url for url in os.environ.get("COUCHDB_TEST_URLS", "").split(",") if url][:2]
    if len(urls) < 2:
        print("bench: name two nodes in COUCHDB_TEST_URLS", file=sys.stderr)
        return 2
    return compare(urls, arguments.documents or 100_000, arguments.rounds)


def compare(urls: Sequence[str], documents: int, rounds: int) -> int:
    cluster = Cluster.from_settings(build({"couchdb_url": urls[0], "replication_nodes": urls[1]}))
    name = f"bench-{uuid.uuid4().hex[:12]}"
    databases = [Database(cluster[node], name) for node in cluster.names]
    try:
        for database in databases:
            database.create()
        with ThreadPoolExecutor(len(databases)) as pool:
            list(pool.map(lambda database: fill(database, documents), databases))
        measure(cluster, urls, name, documents, rounds)
    finally:
        for node in cluster.names:
            cluster[node].client.delete(name)
    return 0


def fill(database: Database, documents: int) -> None:
    for start in range(0, documents, A_PART):
        numbers = range(start, min(documents, start + A_PART))
        rows = [
            {"_id": f"{number * 2654435761 % 2**32:08x}-{number}", "_rev": f"1-{number:032x}"} for number in numbers
        ]
        assert database.bulk(rows, new_edits=False) == []


def measure(cluster: Cluster, urls: Sequence[str], name: str, documents: int, rounds: int) -> None:
    seconds: dict[str, list[float]] = {"curl": [], "curl, one sequence in 10,000": [], "verify": [], "its digests": []}
    for _ in range(rounds):
        seconds["curl"].append(timed(lambda: drain(urls, name, "style=all_docs")))
        seconds["curl, one sequence in 10,000"].append(
            timed(lambda: drain(urls, name, "style=all_docs&seq_interval=10000"))
        )
        result = verify(cluster, name, Unattended())
        assert result.equal, result
        seconds["verify"].append(result.seconds)
        seconds["its digests"].append(result.digest_seconds)
    rows = documents * len(urls)
    for what, found in seconds.items():
        print(f"{line(what, found)}   {rows / median(found):9,.0f} rows/s")
    for what in ("curl", "curl, one sequence in 10,000"):
        print(f"its digests / {what} = {median(seconds[what]) / median(seconds['its digests']):.2f} of the rate")
    print(f"peak memory: {peak()} MB")


def drain(urls: Sequence[str], name: str, query: str) -> None:
    """All at once. Credentials go in by a pipe, where no list of processes shows them."""
    curls = []
    for url in urls:
        curl = subprocess.Popen(["curl", "--config", "-"], stdin=subprocess.PIPE, text=True)
        assert curl.stdin is not None
        parts = urlsplit(url)
        plain = f"{parts.scheme}://{parts.hostname}:{parts.port}/{name}/_changes?{query}"
        user = f'user = "{parts.username}:{parts.password}"\n'
        curl.stdin.write(f'{user}url = "{plain}"\noutput = "{os.devnull}"\nsilent\nfail\n')
        curl.stdin.close()
        curls.append(curl)
    assert [curl.wait() for curl in curls] == [0] * len(curls)


def memory(documents: int, *, all_different: bool) -> int:
    before = peak()
    began = time.perf_counter()
    result = verify(cluster_of(MadeUp(documents, all_different=all_different)), MadeUp.database, Unattended())
    assert result.differing == (documents if all_different else 1), result
    print(
        f"{documents:,} documents on each of two nodes, {result.differing:,} different: "
        f"{time.perf_counter() - began:.1f} s, peak memory {peak()} MB ({before} MB of it before the verify)"
    )
    return int(peak() > MOST_MEMORY)


def peak() -> int:
    """The most that this process has had in memory, in MB."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(most / (1024 * 1024 if sys.platform == "darwin" else 1024))


if __name__ == "__main__":
    sys.exit(main())
