"""How long does reconciling take? The pure planner alone, and all of it on real nodes.

    python -m bench.reconcile --planner [--databases 100000] [--nodes 5]
    COUCHDB_TEST_URLS=http://user:password@127.0.0.1:5984,... python -m bench.reconcile [--databases 1000]

Planner: many databases on many nodes, some missing, some links wrong; with the links of mode continuous, and with the
few of auto. Nodes: databases that exist on the first node alone; the first set-up makes them on the others with their
links, the second finds nothing to do. Beside it, in the same run, what a script would do at least: a PUT for each
database on each other node and one for each link's document, one after the other.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import uuid
from collections.abc import Sequence
from functools import partial

from bench.rig import timed
from config.settings import build
from worker.core.model import Link
from worker.core.names import replication_document_id
from worker.core.observed import FoundLink, NodeFound
from worker.core.plan import Desired, Plan, plan
from worker.core.replication import link_document
from worker.core.rules import Mode, Rule, Rules
from worker.couch.cluster import Cluster
from worker.couch.database import Database
from worker.couch.replicator import DATABASE as REPLICATOR
from worker.couch.server import Server
from worker.ops.control import Unattended
from worker.ops.parallel import pooled
from worker.ops.setup import Wanted, setup

SCRIPTED = 50  # databases of the script's share; its time a database does not depend on how many there are


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--planner", action="store_true")
    parser.add_argument("--databases", type=int)
    parser.add_argument("--nodes", type=int, default=5)
    arguments = parser.parse_args()
    if arguments.planner:
        return planner(arguments.databases or 100_000, [f"node{number}" for number in range(arguments.nodes)])
    urls = [url for url in os.environ.get("COUCHDB_TEST_URLS", "").split(",") if url]
    if len(urls) < 2:
        print("bench: name at least two nodes in COUCHDB_TEST_URLS, or use --planner", file=sys.stderr)
        return 2
    for mode in (Mode.ON_CHANGE, Mode.CONTINUOUS):
        on_nodes(urls, arguments.databases or 1_000, mode)
    return 0


# --- the planner alone


def planner(databases: int, nodes: list[str]) -> int:
    names = [f"database-{number:06}" for number in range(databases)]
    for mode in (Mode.AUTO, Mode.CONTINUOUS):
        observed = world(names, nodes, linked=mode is Mode.CONTINUOUS)
        desired = Desired(tuple(nodes), Rules(default=Rule(mode=mode)), lambda source, target, rule: "as-wanted")
        made: list[Plan] = []
        seconds = timed(lambda: made.append(plan(desired, observed)))  # noqa: B023 - called at once
        links = sum(len(found.links) for found in observed.values())
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(
            f"planner, {mode.value}: {databases} databases x {len(nodes)} nodes, {links} links there: {seconds:.2f} s, "
            f"{made[0].steps} steps; peak memory with the world in it {peak:.0f} MB"
        )
    return 0


def world(names: Sequence[str], nodes: Sequence[str], *, linked: bool) -> dict[str, NodeFound]:
    """As it should be, but that one database in a hundred is missing on a node, and one link in a hundred is wrong."""
    good, wrong = FoundLink("1-a", "as-wanted"), FoundLink("1-a", "other")
    observed = {}
    for at, node in enumerate(nodes):
        links = {
            replication_document_id(name, source, node): wrong if number % 100 == 0 else good
            for source in (nodes if linked else ())
            if source != node
            for number, name in enumerate(names)
        }
        there = frozenset(name for number, name in enumerate(names) if number % 100 != at + 1)
        observed[node] = NodeFound(there, links)
    return observed


# --- all of it


def on_nodes(urls: Sequence[str], databases: int, mode: Mode) -> None:
    settings = build({"couchdb_url": urls[0], "replication_nodes": ",".join(urls[1:])})
    cluster = Cluster.from_settings(settings)
    prefix = f"bench-{uuid.uuid4().hex[:8]}-"
    names = [f"{prefix}{number:05}" for number in range(databases)]
    rules = Rules(include=(f"{prefix}*",), default=Rule(mode=mode))
    wanted = Wanted(None, rules=rules, asked=False)
    first, others = cluster.names[0], cluster.names[1:]
    try:
        list(pooled(names, partial(make, cluster[first]), 8))
        run = partial(setup, cluster, wanted, Unattended())
        earlier, again = timed(run), timed(run)
        print(
            f"{mode.value}: {databases} databases x {len(cluster.names)} nodes: first run {earlier:.1f} s, "
            f"second run {again:.2f} s",
            flush=True,
        )
        scripted = names[:SCRIPTED]
        by_hand = timed(lambda: script(cluster, [f"{name}-s" for name in scripted], others, mode)) / len(scripted)
        print(
            f"{mode.value}: a script, one call after the other: {by_hand * databases:.1f} s for as many "
            f"({len(scripted)} done); ours / script = {earlier / (by_hand * databases):.2f}",
            flush=True,
        )
    finally:
        clean(cluster, [*names, *(f"{name}-s" for name in names[:SCRIPTED])])


def make(server: Server, name: str) -> bool:
    return Database(server, name).create()


def script(cluster: Cluster, names: Sequence[str], others: Sequence[str], mode: Mode) -> None:
    first = cluster.names[0]
    for name in names:
        make(cluster[first], name)
        for other in others:
            make(cluster[other], name)
        if mode is Mode.CONTINUOUS:
            for target in cluster.names:
                for source in cluster.names:
                    if source != target:
                        link = Link(name, source, target)
                        document = link_document(link, cluster[source].node, cluster[target].node)
                        Database(cluster[target], REPLICATOR).put(document)


def clean(cluster: Cluster, names: Sequence[str]) -> None:
    gone = set(names)
    for server in cluster.servers.values():
        replicator = Database(server, REPLICATOR)
        links = [
            {"_id": found["_id"], "_rev": found["_rev"], "_deleted": True}
            for found in replicator.documents("nbr:")
            if str(found["_id"]).rpartition(":")[2] in gone
        ]
        for at in range(0, len(links), 500):
            replicator.bulk(links[at : at + 500])
        list(pooled(sorted(gone & set(server.databases())), server.client.delete, 8))


if __name__ == "__main__":
    sys.exit(main())
