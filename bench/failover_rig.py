"""What bench/failover.py measures: three nodes of its own, all our processes, both proxies, and who looks at them."""

from __future__ import annotations

import base64
import secrets
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.failover_clients import Client
from bench.failover_figures import History, Side, sent_of
from bench.rig import private_redis, processes, require, system
from bench.stock_haproxy import StockHaproxy
from config.settings import build
from embedded.api_client import ApiClient, ApiError
from embedded.haproxy import EmbeddedHaproxy
from embedded.nodes import EmbeddedNode, make
from embedded.ports import LOOPBACK, any_free
from worker.core.model import Credentials
from worker.couch.cluster import Cluster
from worker.couch.database import Database

NAMES = ("primary", "replica1", "replica2")
OURS = ("worker", "control", "beat", "watcher", "agent", "api")
EVERY = 0.1  # seconds between two looks
DEADLINE = 300.0
WORKING = {"running", "in-step"}  # of a link, and of a database that travels on change


@dataclass
class Rig:
    nodes: dict[str, EmbeddedNode]
    api: ApiClient
    ours: EmbeddedHaproxy
    stock: StockHaproxy
    databases: list[str]
    cluster: Cluster
    verdicts: History = field(default_factory=History)  # node -> state
    lags: History = field(default_factory=History)  # node -> what the API says of its lag
    states: dict[str, History] = field(default_factory=lambda: {"ours": History(), "stock": History()})

    def steady(self) -> bool:
        """Whether all nodes are healthy, and both proxies have every node."""
        try:
            well = {str(row["state"]) for row in self._rows()} == {"healthy"}
            both = [*self.ours.states().values(), *self.stock.states().values()]
        except (ApiError, OSError):
            return False
        return well and set(both) == {"UP"} and self.ours.states("agent") == {"agent": "UP"}

    def replicates(self) -> bool:
        """Whether every database has all its links, and they run."""
        try:
            status, said = self.api.call("GET", "/api/replication/status?limit=1000")
        except ApiError:
            return False
        states = [link["state"] for link in said.get("links", []) if link["database"] in self.databases]
        return status == 200 and len(states) >= len(self.databases) * len(NAMES) and set(states) <= WORKING

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Inside, verdicts, lags and the proxies' statistics are asked for all the time."""
        over = threading.Event()
        looks = [
            self._look_at_nodes,
            self._look_at("ours", self.ours.states),
            self._look_at("stock", self.stock.states),
        ]
        threads = [threading.Thread(target=_again_and_again, args=(look, over), daemon=True) for look in looks]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            over.set()
            for thread in threads:
                thread.join(10)

    def _rows(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self.api.call("GET", "/api/nodes")[1].get("nodes", [])
        return rows

    def _look_at_nodes(self) -> None:
        rows, now = self._rows(), time.time()
        self.verdicts.add(now, {row["name"]: row["state"] for row in rows})
        self.lags.add(now, {row["name"]: row["lag"] for row in rows})

    def _look_at(self, side: str, states: Callable[[], Mapping[str, str]]) -> Callable[[], None]:
        def look() -> None:
            found = states()
            self.states[side].add(time.time(), found)

        return look

    def side(self, name: str, clients: Sequence[Client]) -> Side:
        log = self.ours.folder / "haproxy.log" if name == "ours" else self.stock.log
        with log.open(encoding="utf-8", errors="replace") as lines:
            sent = sent_of(lines)
        return Side(name, [one for client in clients for one in client.asked], sent, self.states[name])

    def clients(self, side: str, count: int, rate: float) -> list[Client]:
        port = self.ours.port if side == "ours" else self.stock.port
        admin = self.nodes[NAMES[0]].admin
        token = base64.b64encode(f"{admin.user}:{admin.password}".encode()).decode()
        return [Client(f"{side}-{at}", port, self.databases, f"Basic {token}", rate) for at in range(count)]


def _again_and_again(look: Callable[[], None], over: threading.Event) -> None:
    while not over.wait(EVERY):
        try:
            look()
        except (ApiError, OSError, KeyError):
            continue


@contextmanager
def rig(databases: int) -> Iterator[Rig]:
    admin = Credentials("admin", secrets.token_hex(12))
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="nbr-bench-")))
        nodes = _nodes(folder, admin, stack)
        names = [f"bench-{number:02}" for number in range(databases)]
        environ = _environ(nodes, admin)
        cluster = Cluster.from_settings(build({key.lower(): value for key, value in environ.items()}))
        for name in names:
            Database(cluster[NAMES[0]], name).create()
        redis = stack.enter_context(private_redis())
        api_port = any_free()
        agent_port = any_free([api_port])
        environ |= {"REDIS_URL": redis.url, "API_PORT": str(api_port), "AGENT_PORT": str(agent_port)}
        stack.enter_context(processes(system(OURS), environ))
        ports = {name: node.port for name, node in nodes.items()}
        ours = EmbeddedHaproxy(folder / "ours", ports, agent_port)
        stock = StockHaproxy(folder / "stock", ports)
        for proxy in (ours, stock):
            stack.callback(proxy.stop)
            proxy.start()
        made = Rig(nodes, ApiClient(f"http://{LOOPBACK}:{api_port}"), ours, stock, names, cluster)
        require(made.replicates, "every database on every node, with running replications", DEADLINE)
        require(made.steady, "a healthy system and proxies that have every node", DEADLINE)
        yield made


def _nodes(folder: Path, admin: Credentials, stack: ExitStack) -> dict[str, EmbeddedNode]:
    nodes: dict[str, EmbeddedNode] = {}
    for name in NAMES:
        port = any_free([node.port for node in nodes.values()])
        nodes[name] = make(name, port, folder / name, admin)
    for node in nodes.values():
        stack.callback(node.process.kill)
        node.start()
    for node in nodes.values():
        node.wait_ready()
    return nodes


def _environ(nodes: Mapping[str, EmbeddedNode], admin: Credentials) -> dict[str, str]:
    urls = [f"{name}=http://{admin.user}:{admin.password}@{LOOPBACK}:{node.port}" for name, node in nodes.items()]
    return {"COUCHDB_URL": urls[0], "REPLICATION_NODES": ",".join(urls[1:])}


def listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.2)
        return probe.connect_ex((LOOPBACK, port)) == 0


def lost(made: Rig, promised: Mapping[str, Mapping[str, Sequence[str]]], seconds: float) -> int:
    """How many acknowledged revisions a node has neither as a leaf nor in a leaf's history, when all have had time."""
    until = time.monotonic() + seconds
    pairs = [(node, database) for node in made.nodes for database in promised]

    def missing(pair: tuple[str, str]) -> int:
        node, database = pair
        found = Database(made.cluster[node], database).missing(promised[database])
        return sum(len(revisions) for revisions in found.values())

    while True:
        with ThreadPoolExecutor(4) as pool:
            found = sum(pool.map(missing, pairs))
        if not found or time.monotonic() > until:
            return found
        time.sleep(1)
