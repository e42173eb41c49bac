"""What can happen to nodes, and what is to be said of them then. Shared by the tests of failure and return."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import requests

from tests.system.couch import Couch
from tests.system.harness import System, wait_until

QUICKLY = {
    "CONTINUOUS_REPLICATION": "true",
    "REPLICATION_RETRY_SECONDS": "3",
    "HEALTH_INTERVAL": "1",
    "HEALTH_TIMEOUT": "2",
    "CANARY_SECONDS": "0",
    "COUCHDB_TIMEOUT": "5",
}
PROCESSES = ("worker", "control", "beat", "watcher", "api")
PATIENCE = 60.0
# CouchDB notices after 30 s that a link's connection hangs, and our first start of it anew may come just before that
ARRIVAL_PATIENCE = 120.0


def states(system: System) -> dict[str, str]:
    return {node["name"]: node["state"] for node in system.api.get("/api/nodes").json()["nodes"]}


def node(system: System, name: str) -> dict[str, Any]:
    return dict(system.api.get(f"/api/nodes/{name}").json())


def wait_states(system: System, deadline: float = PATIENCE, **wanted: str) -> None:
    """Until these nodes are in these states."""

    def there() -> bool:
        now = states(system)
        return all(now.get(name) == state for name, state in wanted.items())

    wait_until(there, f"nodes are {wanted}", deadline, lambda: story(system))


def wait_healthy(system: System, deadline: float = PATIENCE) -> None:
    healthy = {"healthy"}
    wait_until(
        lambda: set(states(system).values()) == healthy, "all nodes are healthy", deadline, lambda: story(system)
    )


def story(system: System) -> str:
    """What there is to know about a node that is not what it should be."""
    nodes = system.api.get("/api/nodes").json()["nodes"]
    lines = [f"{node['name']} is {node['state']}: {node['reason']}" for node in nodes]
    lines += [f"{event['at']} {event['type']} {event['detail']}" for event in events(system)[-30:]]
    for node in nodes:
        for job in rejoins(system, node["name"])[:3]:
            lines.append(
                f"{job['id']} of {node['name']}: {job['state']} {job['progress']} {job['result'] or job['error']}"
            )
    return "\n".join(lines)


def primary(system: System) -> str | None:
    found: str | None = system.api.get("/api/nodes").json()["primary"]
    return found


def ready(system: System, name: str, query: str = "") -> tuple[int, dict[str, Any]]:
    answer = system.api.get(f"/api/nodes/{name}/ready{query}")
    return answer.status_code, answer.json()


def events(system: System, kind: str | None = None, name: str | None = None) -> list[dict[str, Any]]:
    """Oldest first."""
    wanted = "/api/events?after=0-0&limit=200" + (f"&type={kind}" if kind else "") + (f"&node={name}" if name else "")
    return list(system.api.get(wanted).json()["events"])


def verdicts(system: System, name: str) -> list[str]:
    """The states that the node went through, by its events."""
    return [event["data"]["to"] for event in events(system, "node.state", name)]


def rejoins(system: System, name: str) -> list[dict[str, Any]]:
    """Newest first."""
    jobs = system.api.get("/api/jobs?kind=rejoin&limit=200").json()["jobs"]
    return [job for job in jobs if job["params"]["node"] == name]


def skipped(system: System, database: str) -> dict[str, str]:
    """What a sync says now of nodes that took no part."""
    job = system.api.sync(database, headers={"Prefer": "wait=60"}).json()
    assert job["state"] == "succeeded", job
    return {entry["node"]: entry["reason"] for entry in job["result"]["skipped"]}


def empty(couch: Couch) -> None:
    """All its data is gone, as with a new disk; it is the same server still."""
    assert couch.embedded is not None
    for entry in couch.embedded.folder.iterdir():
        if entry.is_dir():
            shutil.rmtree(entry)


class Writer:
    """Clients that write to every node all the time, each its own documents; what a node has taken is remembered."""

    def __init__(self, nodes: Sequence[Couch], database: str) -> None:
        self._nodes, self.database = nodes, database
        self._over = threading.Event()
        self.acknowledged: set[str] = set()
        self._threads = [threading.Thread(target=self._write, args=(node,), daemon=True) for node in nodes]

    @contextmanager
    def writing(self) -> Iterator[None]:
        for thread in self._threads:
            thread.start()
        try:
            yield
        finally:
            self._over.set()
            for thread in self._threads:
                thread.join()

    def _write(self, couch: Couch) -> None:
        number = 0
        while not self._over.wait(0.25):
            number += 1
            identity = f"{couch.name}-{number:05}"
            try:
                answer = requests.put(
                    f"{couch.url}/{self.database}/{identity}",
                    json={"number": number},
                    auth=(couch.user, couch.password),
                    timeout=2,
                )
            except requests.RequestException:
                continue  # the node is away: nobody was promised anything
            if answer.status_code in {201, 202}:
                self.acknowledged.add(identity)


def assert_nothing_lost(writer: Writer, nodes: Sequence[Couch], deadline: float = ARRIVAL_PATIENCE) -> None:
    """Every write that any node has acknowledged is on all nodes."""
    assert writer.acknowledged

    def lacking() -> dict[str, int]:
        return {node.name: len(writer.acknowledged - node.leaves(writer.database).keys()) for node in nodes}

    def complete() -> bool:
        return not any(lacking().values())

    def tell() -> str:
        links = [f"{node.name}: {node.links_told(writer.database)}" for node in nodes]
        return "\n".join([f"missing: {lacking()}", *links])

    wait_until(complete, "every acknowledged write is everywhere", deadline, tell)
