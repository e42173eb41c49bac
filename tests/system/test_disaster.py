"""docs/disaster-recovery.md, command by command: each section's situation is made, its commands are run, and what they
promise is looked at on the nodes themselves."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from embedded.folders import PROJECT
from tests.system import situations
from tests.system.conftest import running_nodes
from tests.system.couch import Couch
from tests.system.harness import System, wait_until

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(shutil.which("curl") is None, reason="the guide's commands need curl"),
]

GUIDE = PROJECT / "docs" / "disaster-recovery.md"
_BLOCK = re.compile(r"^```sh (\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SECTIONS = ("before", "database", "node", "everything", "bare", "rollback", "dumps")


def commands() -> dict[str, str]:
    """Section -> its commands, in their order."""
    found: dict[str, str] = {}
    for section, text in _BLOCK.findall(GUIDE.read_text(encoding="utf-8")):
        found[section] = found.get(section, "") + text
    return found


def test_every_block_of_the_guide_belongs_to_a_section_that_is_run() -> None:
    assert set(commands()) == {"setup", *SECTIONS}
    fences = GUIDE.read_text(encoding="utf-8").count("\n```sh")
    assert fences == len(_BLOCK.findall(GUIDE.read_text(encoding="utf-8")))


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Couch]]:
    """Nodes that are emptied and killed here, so always our own."""
    with running_nodes(tmp_path_factory.mktemp("disaster-nodes")) as made:
        yield made


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("store")


def system(mesh: list[Couch], folder: Path, store: Path) -> System:
    settings = {
        "BACKUP_URL": f"file://{store}",
        "CONTINUOUS_REPLICATION": "true",
        "REPLICATION_RETRY_SECONDS": "2",
        "HEALTH_FAILURES": "2",
    }
    return System(mesh, folder, settings)


@pytest.fixture(scope="module")
def running(mesh: list[Couch], store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with system(mesh, tmp_path_factory.mktemp("disaster-system"), store) as made:
        made.start("worker", "control", "beat", "api")
        fill(mesh, made)
        backed_up(made)
        yield made


def fill(mesh: list[Couch], made: System) -> None:
    primary = mesh[0]
    primary.create("pdfs")
    primary.fill("pdfs", 20)
    primary.put(
        "pdfs", {"_id": "scan-1", "_attachments": {"a.pdf": {"content_type": "application/pdf", "data": "JVBERg=="}}}
    )
    assert made.api.setup(database="pdfs", wait=True).json()["state"] == "succeeded"
    everywhere(mesh, made)


def backed_up(made: System) -> None:
    """The first backup comes by itself, as soon as somebody looks; and one that surely has everything."""
    wait_until(lambda: made.api.get("/api/backups").json()["backups"], "the schedule has made its first backup")
    assert made.api.get("/api/backups").json()["backups"][0]["scheduled"] is True
    answer = made.api.call("POST", "/api/backups", json={"wait": True})
    assert answer.json()["state"] == "succeeded", answer.text


def everywhere(mesh: list[Couch], made: System) -> None:
    """All nodes have the primary's documents."""

    def same() -> bool:
        made.api.sync("pdfs", wait=True)
        return all(node.leaves("pdfs") == mesh[0].leaves("pdfs") for node in mesh[1:])

    wait_until(same, "the nodes are in step")


def run(section: str, made: System, node: Couch, store: Path) -> str:
    """The section's commands in one shell, with the test's own addresses."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("COUCHDB", "BACKUP"))}
    environ |= {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(PROJECT),
        "API": made.api.url,
        "NODE": node.url,
        "BACKUP_URL": f"file://{store}",
        "COUCHDB_USER": node.user,
        "COUCHDB_PASSWORD": node.password,
    }
    script = f"set -euo pipefail\n{commands()[section]}"
    done = subprocess.run(
        ["bash", "-c", script], env=environ, cwd=made.folder, capture_output=True, text=True, timeout=200, check=False
    )
    assert done.returncode == 0, f"{section}: {done.stdout}\n{done.stderr}"
    assert '"state":"failed"' not in done.stdout.replace(" ", ""), done.stdout
    return done.stdout


def test_before_anything_happens(running: System, mesh: list[Couch], store: Path) -> None:
    run("before", running, mesh[0], store)
    assert running.api.get("/api/backups/latest").json()["verified"] is True


def test_one_database_is_gone(running: System, mesh: list[Couch], store: Path) -> None:
    before, digests = mesh[0].leaves("pdfs"), mesh[0].attachment_digests("pdfs")
    for node in mesh:
        node.drop_links(["pdfs"])
    for node in mesh:
        node.drop("pdfs")
    run("database", running, mesh[0], store)
    everywhere(mesh, running)
    for node in mesh:
        assert (node.leaves("pdfs"), node.attachment_digests("pdfs")) == (before, digests), node.name
    primary = mesh[0]
    assert (primary.leaves("pdfs-restored"), set(primary.leaves("pdfs-some"))) == (before, {"scan-1", "doc-000007"})
    assert set(primary.leaves("pdfs-chosen")) == {f"doc-00000{n}" for n in range(5)}


def test_one_node_is_lost(running: System, mesh: list[Couch], store: Path) -> None:
    before = mesh[0].leaves("pdfs")
    lost = mesh[1]
    empty(lost)
    wait_until(lambda: running.api.get("/api/nodes/replica1").json()["state"] != "down", "it answers again")
    run("node", running, mesh[0], store)
    assert lost.leaves("pdfs") == before


def test_bad_data_is_everywhere(running: System, mesh: list[Couch], store: Path) -> None:
    everywhere(mesh, running)
    answer = running.api.call("POST", "/api/backups", json={"databases": ["pdfs"], "wait": True})
    assert answer.json()["state"] == "succeeded", answer.text
    good = mesh[0].call("GET", "pdfs/doc-000003")
    mesh[2].put("pdfs", {**good, "number": "garbage"})
    mesh[1].put("pdfs", {"_id": "made-since"})
    everywhere(mesh, running)
    run("rollback", running, mesh[0], store)
    everywhere(mesh, running)
    for node in mesh:
        assert node.call("GET", "pdfs/doc-000003")["number"] == 3, node.name
        assert not node.has("pdfs", "made-since"), node.name


def test_a_dump_of_old_comes_back(running: System, mesh: list[Couch], store: Path) -> None:
    told = run("dumps", running, mesh[0], store)
    primary = mesh[0]
    live = {row["id"] for row in primary.call("GET", "pdfs/_all_docs")["rows"]}
    assert set(primary.leaves("pdfs-imported")) == live
    assert primary.call("GET", "pdfs-imported/doc-000004")["number"] == 4
    assert "attachment" in told


def test_everything_is_lost(
    running: System, mesh: list[Couch], store: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    assert running.api.call("POST", "/api/backups", json={"wait": True}).json()["state"] == "succeeded"
    before, digests = mesh[0].leaves("pdfs"), mesh[0].attachment_digests("pdfs")
    running.close()  # and its Redis with it
    for node in mesh:
        empty(node)
    with system(mesh, tmp_path_factory.mktemp("disaster-again"), store) as anew:
        anew.settings["BACKUP_SCHEDULE"] = "off"
        anew.start("worker", "control", "beat", "api")
        wait_until(lambda: anew.api.get("/api/backups").json()["backups"], "the backups are found again")
        told = run("everything", anew, mesh[0], store)
        assert '"differing":[]' in told.replace(" ", "")
    for node in mesh:
        assert (node.leaves("pdfs"), node.attachment_digests("pdfs")) == (before, digests), node.name


def test_without_this_system(running: System, mesh: list[Couch], store: Path) -> None:
    """After the test before: nothing of ours runs, and one node is empty."""
    before, digests = mesh[1].leaves("pdfs"), mesh[1].attachment_digests("pdfs")
    empty(mesh[0])
    told = run("bare", running, mesh[0], store)
    assert "usage" in told
    assert (mesh[0].leaves("pdfs"), mesh[0].attachment_digests("pdfs")) == (before, digests)
    assert mesh[0].password not in told


def empty(node: Couch) -> None:
    """Another disk: the same address, and nothing on it."""
    node.kill()
    situations.empty(node)
    node.revive()
