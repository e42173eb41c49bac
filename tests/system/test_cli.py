"""`./nbr` against the running system, by scripts and on a real terminal."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from embedded.folders import PROJECT
from embedded.ports import any_free
from tests.system.conftest import Fresh
from tests.system.couch import Couch
from tests.system.harness import System, wait_until
from tests.system.terminal import CTRL_C, Terminal

pytestmark = pytest.mark.system

NBR = PROJECT / "nbr"
ADMIN, VIEWER = "nbr_the-token-of-an-admin", "nbr_the-token-of-a-viewer"
BAR = "[━╸╺]{3}"


@pytest.fixture(scope="module")
def prefix(fresh: Fresh) -> str:
    return fresh("cli-")


@pytest.fixture(scope="module")
def running(nodes: list[Couch], prefix: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    folder = tmp_path_factory.mktemp("cli-system")
    settings = {
        "API_TOKENS": f"{ADMIN},viewer=view:{VIEWER}",
        "BACKUP_URL": f"file://{folder}/backups",
        "BACKUP_SCHEDULE": "off",
        "BACKUP_INCLUDE": f"{prefix}*",
        "REPLICATION_INCLUDE": f"{prefix}*",
    }
    with System(nodes, folder, settings) as made:
        made.start("worker", "control", "beat", "api")
        wait_until(lambda: made.api.get("/api/health").json()["status"] == "ok", "all is well")
        yield made


class Nbr:
    """`./nbr` from a folder that is not the project's."""

    def __init__(self, system: System, folder: Path) -> None:
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("NBR_", "COUCHDB_"))}
        named = {"NBR_URL": system.api.url, "NBR_TOKEN": ADMIN, "NBR_ENV_FILE": os.devnull}
        self.environ = {**clean, **named, "TZ": "UTC", "LC_ALL": "C.UTF-8"}
        self.folder = folder

    def run(self, *arguments: str, environ: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [NBR, *arguments],
            env={**self.environ, **(environ or {})},
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert "Traceback" not in done.stderr, done.stderr
        assert ADMIN not in done.stdout + done.stderr
        return done

    def lines(self, *arguments: str) -> list[dict[str, Any]]:
        """Each line that it writes with --json."""
        done = self.run(*arguments, "--json")
        return [json.loads(line) for line in done.stdout.splitlines()]

    def on_terminal(self, *arguments: str) -> Terminal:
        return Terminal([str(NBR), *arguments], self.environ, self.folder)


@pytest.fixture
def nbr(running: System, tmp_path: Path) -> Nbr:
    return Nbr(running, tmp_path)


@pytest.fixture
def database(nodes: list[Couch], fresh: Fresh, prefix: str) -> str:
    """With documents on one node alone."""
    name = fresh(f"{prefix}-", on=nodes)
    nodes[0].fill(name, 40)
    return name


# --- for scripts


def test_a_sync_is_lines_of_json_and_done(nbr: Nbr, nodes: list[Couch], database: str) -> None:
    done = nbr.run("sync", database, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert len({line["id"] for line in lines}) == 1
    assert lines[-1]["state"] == "succeeded"
    assert all("percent" in line["progress"] for line in lines if line["progress"])
    assert nodes[0].leaves(database) == nodes[1].leaves(database) == nodes[2].leaves(database)


def test_verify_exits_with_what_it_found(nbr: Nbr, nodes: list[Couch], database: str) -> None:
    differs = nbr.run("verify", database)
    assert differs.returncode == 3, differs.stdout + differs.stderr
    assert "40 documents differ" in differs.stdout
    assert nbr.run("verify", database, "--repair").returncode == 0
    assert nbr.lines("verify", database)[-1]["result"]["equal"] is True


def test_how_things_stand(nbr: Nbr, running: System) -> None:
    # a machine that is busy may be slow to answer a sweep: then a node is suspect for a moment, and they say so
    for command in ("health", "status"):
        wait_until(lambda command=command: nbr.run(command).returncode == 0, f"{command} says all is well")
    (nodes,) = nbr.lines("nodes")
    assert {node["name"] for node in nodes["nodes"]} == set(running.nodes)
    assert [node["name"] for node in nbr.lines("nodes", "replica1")] == ["replica1"]


def test_databases_are_found_by_a_part_of_their_names(nbr: Nbr, database: str) -> None:
    def row() -> dict[str, Any]:
        (found,) = nbr.lines("databases", database, "--sort", "documents")
        return next(iter(found["databases"]), {})

    wait_until(lambda: row().get("documents") == 40, "its documents are counted")
    assert row()["name"] == database
    listed = nbr.run("databases", database)
    assert listed.returncode == 0, listed.stderr
    assert database in listed.stdout
    assert "1 of " in listed.stderr
    (first,) = nbr.lines("databases", "--limit", "1")
    assert len(first["databases"]) == 1


def test_a_job_is_asked_for_again(nbr: Nbr, nodes: list[Couch], database: str) -> None:
    first = nbr.lines("sync", database)[-1]
    nodes[1].put(database, {"_id": "later"})
    again = nbr.lines("jobs", "retry", first["id"])[-1]
    assert again["id"] != first["id"]
    assert (again["state"], again["params"]) == ("succeeded", first["params"])
    assert nodes[0].has(database, "later")


def test_a_setup_and_what_it_would_do(nbr: Nbr, database: str) -> None:
    nothing = nbr.run("setup", database, "--dry-run")
    assert nothing.returncode == 0, nothing.stderr
    dry = nbr.run("setup", database, "--dry-run", "--one-way")
    assert "This would be done:" in dry.stdout
    assert f"from now on {database} goes one way, from the primary" in dry.stdout
    turned = [
        nbr.lines("setup", database, *way)[-1]["result"]["databases"][database]["turned"]
        for way in (["--one-way"], ["--one-way"], [])
    ]
    assert turned == ["one way, from the primary", None, "as the rules say"]


@pytest.mark.parametrize(
    ("arguments", "environ", "code"),
    [
        (["jobs", "show", "019ab1c2-6f3e-7c44-9d5a-0b8f2d1e7a90"], {}, 6),
        (["sync", "Not A Name"], {}, 2),
        (["nodes", "replica9"], {}, 6),
        (["sync", "x"], {"NBR_TOKEN": VIEWER}, 4),
        (["nodes"], {"NBR_TOKEN": ""}, 4),
        (["nodes"], {"NBR_URL": "http://10.0.0.7:5000"}, 2),
        (["restore", "latest", "x", "--mode", "rollback"], {}, 2),
    ],
    ids=["unknown-job", "bad-name", "unknown-node", "role", "no-token", "plain-http", "not-confirmed"],
)
def test_exit_codes(nbr: Nbr, arguments: list[str], environ: dict[str, str], code: int) -> None:
    done = nbr.run(*arguments, environ=environ)
    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    assert done.stderr


def test_without_an_api_it_is_said_and_can_be_told_from_failures(nbr: Nbr) -> None:
    done = nbr.run("status", "--url", f"http://127.0.0.1:{any_free()}")
    assert done.returncode == 5
    assert "cannot be reached" in done.stderr


def test_a_link_to_it_will_do(nbr: Nbr, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "nbr").symlink_to(NBR)
    done = subprocess.run(
        [tmp_path / "bin" / "nbr", "jobs"], env=nbr.environ, cwd="/", capture_output=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr


# --- on a terminal


def test_a_bar_while_it_runs_and_ctrl_c_leaves_it_running(nbr: Nbr, running: System, database: str) -> None:
    with running.held("replica1"):
        with nbr.on_terminal("sync", database) as terminal:
            terminal.wait_for(f"sync {database} gather {BAR}")
            terminal.type(CTRL_C)
            assert terminal.wait_end() == 130
            job = terminal.wait_for(r"nbr jobs cancel (\S+)")[1]
        assert running.api.job(job)["state"] == "running"
        with nbr.on_terminal("jobs", "watch", job) as terminal:
            terminal.wait_for(BAR)
            running.peer_roads["replica1"].resume()
            assert terminal.wait_end(60) == 0
            assert f"sync {database}: succeeded" in terminal.text
            assert terminal.widest <= 80


def test_a_job_that_somebody_cancels(nbr: Nbr, running: System, database: str) -> None:
    with running.held("replica1") as road:
        job = running.start_held_sync(database, road)
        with nbr.on_terminal("jobs", "watch", job) as terminal:
            terminal.wait_for(BAR)
            done = nbr.run("jobs", "cancel", job)
            assert done.returncode == 0, done.stderr
            assert terminal.wait_end() == 7
    again = nbr.run("jobs", "cancel", job)
    assert again.returncode == 1
    assert "cancelled" in again.stderr


def test_a_rollback_has_to_be_confirmed_by_its_name(nbr: Nbr, nodes: list[Couch], database: str) -> None:
    made = nbr.run("backup", "now", database, "--json")
    assert made.returncode == 0, made.stderr
    backup = json.loads(made.stdout.splitlines()[-1])["result"]["backup_id"]
    wait_until(lambda: backup in nbr.run("backup", "list").stdout, "the backup is listed")
    nodes[0].put(database, {"_id": "later"})

    for typed, code in (("no", 2), (database, 0)):
        with nbr.on_terminal("restore", "latest", database, "--mode", "rollback", "--made-since", "delete") as terminal:
            terminal.wait_for(rf"in backup {backup}, on all nodes\. It was made [\d.]+ \w+ ago\.")
            terminal.wait_for(f"Type {database} to go on")
            assert nodes[0].has(database, "later")
            terminal.type(f"{typed}\n")
            assert terminal.wait_end(60) == code, terminal.text
    assert not nodes[0].has(database, "later")

    nodes[0].put(database, {"_id": "later"})
    (jobs,) = nbr.lines("jobs", "--kind", "restore", "--database", database)
    (job,) = [job["id"] for job in jobs["jobs"]]
    assert nbr.run("jobs", "retry", job).returncode == 2
    assert nodes[0].has(database, "later")
    with nbr.on_terminal("jobs", "retry", job) as terminal:
        terminal.wait_for(f"Type {database} to go on")
        terminal.type(f"{database}\n")
        assert terminal.wait_end(60) == 0, terminal.text
    assert not nodes[0].has(database, "later")
    assert nbr.run("backup", "verify", backup).returncode == 0


def test_events_are_seen_as_they_happen(nbr: Nbr) -> None:
    with nbr.on_terminal("events", "-f", "--type", "node.maintenance") as terminal:
        assert nbr.run("nodes", "maintenance", "replica2", "--on", "--reason", "a new disk").returncode == 0
        try:
            terminal.wait_for("replica2 was taken out by .*: a new disk")
        finally:
            assert nbr.run("nodes", "maintenance", "replica2", "--off").returncode == 0
        terminal.wait_for("replica2 was let in again")
        terminal.type(CTRL_C)
        assert terminal.wait_end() == 130


@pytest.mark.skipif(not shutil.which("bash"), reason="there is no bash")
def test_tab_in_bash(nbr: Nbr) -> None:
    with Terminal(["bash", "--norc", "--noprofile", "-i"], {**nbr.environ, "PS1": "> "}, nbr.folder) as terminal:
        terminal.type(f'eval "$({NBR} completion bash)"; echo rea""dy\n')
        terminal.wait_for(r"\nready")
        terminal.type(f"{NBR} hea\t")
        terminal.wait_for("nbr health ")
        terminal.type(f"\x15{NBR} nodes show repl\t1\n")
        terminal.wait_for(r"Node +replica1")
