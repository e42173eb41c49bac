"""The whole system over nodes that are behind TLS, and what an operator sees when a node's certificate has expired."""

from __future__ import annotations

import shutil
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from embedded.haproxy import MISSING, find_haproxy
from embedded.ports import LOOPBACK
from tests.certificates import EXPIRED, Authority
from tests.system.conftest import Fresh
from tests.system.couch import Couch
from tests.system.harness import System, wait_until
from tests.tls_doors import Door, TlsDoors

pytestmark = [pytest.mark.system, pytest.mark.skipif(find_haproxy() is None, reason=MISSING)]


def written(node: Couch, door: TlsDoors) -> str:
    """We by TLS, its peers without: whether CouchDB verifies is tests/contract/test_tls_between_nodes.py."""
    login = f"{quote(node.user, safe='')}:{quote(node.password, safe='')}"
    return f"{node.name}=https://{login}@{LOOPBACK}:{door.port(node.name)}|http://{LOOPBACK}:{node.port}"


def test_nodes_behind_tls_are_synced_and_one_whose_certificate_expires_is_told_with_the_remedy(
    nodes: list[Couch], fresh: Fresh, tmp_path: Path
) -> None:
    ca = Authority(tmp_path, "ca")
    doors: dict[str, TlsDoors] = {}
    for node in nodes:
        certificate = ca.issue(node.name).both
        doors[node.name] = TlsDoors(tmp_path / f"door-{node.name}", {node.name: Door(node.port, certificate)})
    urls = [written(node, doors[node.name]) for node in nodes]
    settings = {
        "COUCHDB_URL": urls[0],
        "REPLICATION_NODES": ",".join(urls[1:]),
        "COUCHDB_CA_BUNDLE": str(ca.bundle),
    }
    with ExitStack() as stack:
        for door in doors.values():
            stack.enter_context(door)
        system = stack.enter_context(System(nodes, tmp_path / "system", settings))
        system.start("worker", "control", "beat", "api")
        database = fresh(on=nodes[:1])
        nodes[0].fill(database, 20)
        done = system.api.wait_succeeded(system.api.start_sync(database))
        assert done["result"]["caught_up"] is True
        assert all(node.leaves(database) == nodes[0].leaves(database) for node in nodes)

        def seen(name: str) -> dict[str, Any]:
            return dict(system.api.get(f"/api/nodes/{name}").json())

        wait_until(lambda: all(seen(node.name)["state"] == "healthy" for node in nodes), "all are healthy")
        swapped = nodes[1].name
        doors[swapped].stop()
        shutil.copy(ca.issue("old", days=EXPIRED).both, tmp_path / f"{swapped}.both.pem")
        doors[swapped].start()
        wait_until(lambda: seen(swapped)["failure"] == "tls", "its certificate is refused", tell=lambda: seen(swapped))
        (told,) = (node for node in system.api.get("/api/nodes").json()["nodes"] if node["name"] == swapped)
        assert told["state"] in {"suspect", "down"}
        assert "has expired" in told["reason"]
        assert "renew it on the node" in told["reason"]
        assert seen(nodes[0].name)["state"] == "healthy"
        assert nodes[1].password not in system.api.answers[-1]
