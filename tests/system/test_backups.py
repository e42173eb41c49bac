"""Backups as a user has them: over HTTP, by real workers, into a real folder, and back."""

from __future__ import annotations

import base64
import hashlib
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.system.conftest import Fresh
from tests.system.couch import Couch
from tests.system.harness import System, kill_dash_nine, wait_until

pytestmark = pytest.mark.system

PDF = base64.b64encode(b"%PDF-1.4\n" + bytes(range(256)) * 40).decode()
SLOW = {"BACKUP_MAX_MB_PER_SECOND": "4"}


@pytest.fixture(scope="module")
def prefix(fresh: Fresh) -> str:
    """What the names of these tests' databases begin with: nodes may be somebody's own."""
    return fresh("bk-")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("backups")


@pytest.fixture(scope="module")
def backing(
    nodes: list[Couch], prefix: str, folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[System]:
    settings = {
        "BACKUP_URL": f"file://{folder}",
        "BACKUP_SCHEDULE": "off",
        "BACKUP_INCLUDE": f"{prefix}*",
        "REPLICATION_INCLUDE": f"{prefix}*",
    }
    with System(nodes, tmp_path_factory.mktemp("backup-system"), settings) as made:
        made.start("worker", "control", "beat", "api")
        yield made


class Backups:
    """The API of backups, as its users call it."""

    def __init__(self, system: System) -> None:
        self.api = system.api

    def post(self, path: str, **body: Any) -> dict[str, Any]:
        """The job, once it has ended."""
        answer = self.api.call("POST", f"/api/backups{path}", json=body)
        assert answer.status_code == 202, answer.text
        return self.api.wait_state(answer.json()["id"], "succeeded", "failed", deadline=90)

    def done(self, path: str, **body: Any) -> dict[str, Any]:
        """The result of a job that succeeds."""
        job = self.post(path, **body)
        assert job["state"] == "succeeded", job
        return dict(job["result"])

    def failed(self, path: str, **body: Any) -> dict[str, Any]:
        job = self.post(path, **body)
        assert job["state"] == "failed", job
        return dict(job["error"])

    def all(self, **query: str) -> dict[str, Any]:
        answer = self.api.get("/api/backups", params=query)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def one(self, backup: str) -> dict[str, Any]:
        answer = self.api.get(f"/api/backups/{backup}")
        assert answer.status_code == 200, answer.text
        return dict(answer.json())


@pytest.fixture
def backups(backing: System) -> Backups:
    return Backups(backing)


@pytest.fixture
def pdfs(nodes: list[Couch], fresh: Fresh, prefix: str, backing: System) -> str:
    """A database with a conflict, a deletion and attachments, the same on all nodes."""
    name = fresh(f"{prefix}-pdfs-", on=nodes[:1])
    primary = nodes[0]
    primary.fill(name, 50)
    for i in range(3):
        scan = {"_id": f"scan-{i}", "_attachments": {"scan.pdf": {"content_type": "application/pdf", "data": PDF}}}
        primary.put(name, scan)
    one, two = (f"1-{hashlib.md5(word).hexdigest()}" for word in (b"one", b"two"))  # noqa: S324
    primary.force(name, {"_id": "conflict", "_rev": one, "v": 1}, {"_id": "conflict", "_rev": two, "v": 2})
    primary.delete(name, "gone", primary.put(name, {"_id": "gone"}))
    assert backing.api.sync(name, wait=True).json()["state"] == "succeeded"
    return name


def same(one: Couch, database: str, other: Couch, copy: str) -> bool:
    return (one.leaves(database), one.attachment_digests(database)) == (
        other.leaves(copy),
        other.attachment_digests(copy),
    )


def test_a_database_is_backed_up_listed_and_restored_beside_itself(
    backups: Backups, nodes: list[Couch], pdfs: str, fresh: Fresh, prefix: str
) -> None:
    made = backups.done("", databases=[pdfs])
    assert made["databases"] == 1
    assert made["full"] is True
    listed = backups.all(database=pdfs)["backups"][0]
    assert listed["id"] == made["backup_id"]
    assert listed["good"] is True
    assert (listed["documents"], listed["attachments"], listed["verified"]) == (54, 3, None)
    shown = backups.one("latest")
    assert [entry["database"] for entry in shown["entries"]] == [pdfs]
    copy = fresh(f"{prefix}-copy-")
    result = backups.done(f"/{made['backup_id']}/restore", database=pdfs, **{"as": copy, "node": "replica1"})
    assert result["refused"]["count"] == 0
    assert same(nodes[0], pdfs, nodes[1], copy)


def test_the_next_one_is_incremental_and_its_chain_comes_back(
    backups: Backups, nodes: list[Couch], pdfs: str, fresh: Fresh, prefix: str
) -> None:
    first = backups.done("", databases=[pdfs])
    nodes[0].put(pdfs, {"_id": "later", "n": 1})
    second = backups.done("", databases=[pdfs])
    assert (second["full"], second["changed"], second["parents"]) == (False, 1, [first["backup_id"]])
    copy = fresh(f"{prefix}-copy-")
    backups.done(f"/{second['backup_id']}/restore", database=pdfs, **{"as": copy})
    assert same(nodes[0], pdfs, nodes[0], copy)
    full = backups.done("", databases=[pdfs], full=True)
    assert (full["full"], full["parents"]) == (True, [])


def test_a_rollback_holds_on_every_node(backups: Backups, backing: System, nodes: list[Couch], pdfs: str) -> None:
    made = backups.done("", databases=[pdfs])
    before = nodes[0].call("GET", f"{pdfs}/_all_docs", include_docs="true")["rows"]
    old = {row["id"]: row["doc"].get("number") for row in before}
    for node in nodes:
        document = node.call("GET", f"{pdfs}/doc-00000{nodes.index(node)}")
        node.put(pdfs, {**document, "number": "garbage"})
    nodes[0].put(pdfs, {"_id": "made-since"})
    assert backing.api.sync(pdfs, wait=True).json()["state"] == "succeeded"
    wanted = {"database": pdfs, "mode": "rollback", "made_since": "delete"}
    told = backups.done(f"/{made['backup_id']}/restore", **wanted, dry_run=True)
    assert {one["id"] for one in told["documents"]} == {"doc-000000", "doc-000001", "doc-000002", "made-since"}
    assert nodes[0].has(pdfs, "made-since")
    result = backups.done(f"/{made['backup_id']}/restore", **wanted)
    assert result["counts"] == {**told["counts"]}
    assert result["not_reached"] == []
    assert backing.api.sync(pdfs, wait=True).json()["state"] == "succeeded"
    for node in nodes:
        rows = node.call("GET", f"{pdfs}/_all_docs", include_docs="true")["rows"]
        assert {row["id"]: row["doc"].get("number") for row in rows} == old


def test_a_backup_that_a_drill_has_restored_is_called_verified(
    backups: Backups, backing: System, nodes: list[Couch], pdfs: str
) -> None:
    made = backups.done("", databases=[pdfs])
    result = backups.done(f"/{made['backup_id']}/verify", drill=True)
    assert list(result["databases"]) == [pdfs]
    listed = backups.one(made["backup_id"])
    assert listed["verified"] is True
    assert listed["drill"]["node"] == result["node"]
    assert not any("scratch" in name for node in nodes for name in node.databases())
    events = backing.api.get("/api/events?type=backup.verified").json()["events"]
    assert events[0]["data"]["backup"] == made["backup_id"]


def test_a_flipped_byte_and_a_missing_object_are_named(
    backups: Backups, folder: Path, pdfs: str, fresh: Fresh, prefix: str
) -> None:
    made = backups.done("", databases=[pdfs], full=True)
    assert backups.done(f"/{made['backup_id']}/verify")["damaged"]["count"] == 0
    chunk = next((folder / "backups" / made["backup_id"]).rglob("*-documents-*"))
    data = bytearray(chunk.read_bytes())
    data[len(data) // 2] ^= 1
    chunk.write_bytes(data)
    error = backups.failed(f"/{made['backup_id']}/verify")
    assert error["type"] == "backup-damaged"
    assert chunk.name in error["detail"]
    copy = fresh(f"{prefix}-copy-")
    error = backups.failed(f"/{made['backup_id']}/restore", database=pdfs, **{"as": copy})
    assert chunk.name in error["detail"]
    chunk.unlink()
    error = backups.failed(f"/{made['backup_id']}/restore", database=pdfs, **{"as": copy})
    assert error["type"] == "backup-object-missing"
    assert chunk.name in error["detail"]


def test_a_held_backup_is_kept_and_pruning_says_why(backups: Backups, pdfs: str) -> None:
    made = backups.done("", databases=[pdfs])
    assert backups.done(f"/{made['backup_id']}/hold", on=True, reason="case 17")["on"] is True
    assert backups.one(made["backup_id"])["legal_hold"]["reason"] == "case 17"
    told = backups.done("/prune", dry_run=True)
    assert "legal hold" in told["kept"][made["backup_id"]]
    backups.done(f"/{made['backup_id']}/hold", on=False)
    assert backups.one(made["backup_id"])["legal_hold"] is None


@pytest.mark.parametrize(
    ("path", "body", "status", "problem", "words"),
    [
        ("", {"databases": ["UPPER"]}, 422, "invalid-request", "UPPER"),
        ("", {"database": "pdfs"}, 422, "invalid-request", "databases"),
        ("/20200101T000000Z-abcdef/restore", {"database": "pdfs"}, 404, "unknown-backup", "20200101T000000Z-abcdef"),
        ("/latest/restore", {}, 422, "invalid-request", "database is missing"),
        ("/latest/restore", {"mode": "cluster", "database": "pdfs"}, 422, "invalid-request", "takes the whole backup"),
        ("/latest/restore", {"database": "pdfs", "dry_run": True}, 422, "invalid-request", "mode rollback"),
        ("/latest/restore", {"database": "pdfs", "selector": {"$no": 1}}, 422, "invalid-request", "$no"),
        ("/latest/restore", {"database": "pdfs", "as": "notebook-replication"}, 422, "invalid-request", "own"),
        ("/latest/restore", {"database": "not-in-it"}, 404, "unknown-database", "not-in-it"),
        ("/latest/hold", {}, 422, "invalid-request", "on"),
    ],
)
def test_bad_requests_say_what_would_be_right(
    backups: Backups, pdfs: str, path: str, body: dict[str, Any], status: int, problem: str, words: str
) -> None:
    if not backups.all()["backups"]:
        backups.done("", databases=[pdfs])
    answer = backups.api.call("POST", f"/api/backups{path}", json=body)
    assert answer.status_code == status, answer.text
    assert answer.json()["type"].endswith(problem)
    assert words in answer.json()["detail"]


def test_an_existing_database_is_not_touched(backups: Backups, nodes: list[Couch], pdfs: str) -> None:
    made = backups.done("", databases=[pdfs])
    before = nodes[1].leaves(pdfs)
    error = backups.failed(f"/{made['backup_id']}/restore", database=pdfs)
    assert error["type"] == "database-exists"
    assert "rollback" in error["detail"]
    assert nodes[1].leaves(pdfs) == before


def test_metrics_tell_of_the_backups(backups: Backups, pdfs: str) -> None:
    backups.done("", databases=[pdfs])
    text = backups.api.get("/metrics").text
    assert "nbr_backup_stale 0.0" in text
    assert "nbr_backups " in text


# --- what dies in the middle


@pytest.fixture
def large(nodes: list[Couch], fresh: Fresh, prefix: str) -> str:
    """Some 24 MB: several groups of chunks."""
    name = fresh(f"{prefix}-large-", on=nodes[:1])
    chance = random.Random(3)  # noqa: S311 - the same each time
    for start in range(0, 1_200, 100):
        documents = [{"_id": f"doc-{i:05}", "text": chance.randbytes(10_000).hex()} for i in range(start, start + 100)]
        nodes[0].call("POST", f"{name}/_bulk_docs", {"docs": documents})
    return name


def _start(system: System, path: str, **body: Any) -> str:
    answer = system.api.call("POST", f"/api/backups{path}", json=body)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


@pytest.fixture
def apart(nodes: list[Couch], prefix: str, tmp_path: Path, backing: System) -> Iterator[Callable[..., System]]:
    """A system of its own, whose workers may be killed. Only one reconciles at a time: these do not."""
    made: list[System] = []

    def start(**settings: str) -> System:
        wanted = {"BACKUP_URL": f"file://{tmp_path / 'store'}", "BACKUP_SCHEDULE": "off", **settings}
        system = System(nodes, tmp_path / f"system-{len(made)}", wanted)
        system.__enter__()
        made.append(system)
        system.start("worker", "control", "beat", "api")
        return system

    yield start
    for system in made:
        system.close()


def test_kill_9_in_mid_backup_and_another_worker_goes_on(
    apart: Callable[..., System], nodes: list[Couch], large: str, tmp_path: Path, fresh: Fresh, prefix: str
) -> None:
    system = apart(**SLOW)
    job = _start(system, "", databases=[large])
    store = tmp_path / "store" / "backups"
    wait_until(lambda: list(store.rglob("journal/*/*")), "a first group of chunks is in the store")
    kill_dash_nine(system.worker_of(job))
    before = {path.name for path in store.rglob("*-documents-*")}
    assert not list(store.rglob("manifest.json*"))
    assert system.api.get("/api/backups").json()["backups"] == []
    system.wait_ready(system.launch("worker", BACKUP_MAX_MB_PER_SECOND="0"))
    ended = system.api.wait_succeeded(job, deadline=60)
    assert ended["attempts"] == 2
    after = {path.name for path in store.rglob("*-documents-*")}
    assert before & after, "nothing was kept of the first attempt"
    copy = fresh(f"{prefix}-copy-")
    restore = _start(system, f"/{ended['result']['backup_id']}/restore", database=large, **{"as": copy})
    system.api.wait_succeeded(restore, deadline=60)
    assert nodes[0].leaves(large) == nodes[0].leaves(copy)


def test_kill_9_in_mid_restore_and_another_worker_goes_on(
    apart: Callable[..., System], nodes: list[Couch], large: str, fresh: Fresh, prefix: str
) -> None:
    system = apart()
    made = system.api.wait_succeeded(_start(system, "", databases=[large]), deadline=60)["result"]["backup_id"]
    copy = fresh(f"{prefix}-copy-")
    job = _start(system, f"/{made}/restore", database=large, **{"as": copy})
    wait_until(lambda: copy in nodes[0].databases(), "the database was made")
    with system.doors["primary"].paused():  # nothing more arrives
        kill_dash_nine(system.worker_of(job))
    assert nodes[0].leaves(large) != nodes[0].leaves(copy)
    system.start("worker")
    ended = system.api.wait_succeeded(job, deadline=60)
    assert ended["attempts"] == 2
    assert nodes[0].leaves(large) == nodes[0].leaves(copy)
