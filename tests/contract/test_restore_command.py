"""Restores without the API: the command, as somebody runs it on a bare machine, on nodes that listen."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from embedded.folders import PROJECT
from tests.builders import Listener
from tests.contract import backups
from tests.contract.conftest import Site
from worker.blobs.seal import Keys, new_identity, seals
from worker.blobs.store import Store
from worker.blobs.vault import Vault
from worker.core.errors import HandedBack
from worker.core.manifest import Manifest
from worker.couch.database import Database
from worker.ops.restore.__main__ import main
from worker.ops.restore.database import restore_new
from worker.ops.restore.mark import MARK

pytestmark = pytest.mark.contract

DEADLINE = 60
SECRET = "secret-that-nobody-shows-1"


@dataclass(frozen=True)
class Ended:
    returncode: int
    stdout: str
    stderr: str


Command = Callable[..., Ended]


@pytest.fixture
def filled(served: Site) -> Database:
    database = Database(served.cluster["a"], served.name())
    database.create()
    backups.fill(served, database)
    return database


@pytest.fixture
def identity() -> str:
    return new_identity()


@pytest.fixture
def vault(tmp_path: Path, identity: str) -> Vault:
    return Vault(Store.open(f"file://{tmp_path}/store"), seals(Keys.parse(identity)))


@pytest.fixture
def made(served: Site, vault: Vault, filled: Database) -> Manifest:
    """Of two backups the newest, which goes on from the other."""
    backups.back_up(served, vault, filled.name)
    filled.put({"_id": "later", "kind": "new"})
    return backups.back_up(served, vault, filled.name, at=1)


@pytest.fixture
def command(
    served: Site,
    vault: Vault,
    identity: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> Command:
    """Runs it; `node`: with the node and its user named. What is empty is not in the environment. `apart`: as a process
    of its own, without a terminal."""
    of_node = served.cluster["b"].node
    assert of_node.credentials is not None
    user, password = of_node.credentials.user, of_node.credentials.password
    for name in [name for name in os.environ if name.startswith(("COUCHDB_", "BACKUP_"))]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)  # where there is no .env

    def run(*arguments: str, node: bool = False, apart: bool = False, **environment: str) -> Ended:
        asked = [*arguments, "--node", of_node.url, "--user", user] if node else list(arguments)
        settings = {"BACKUP_URL": vault.blobs.name, "BACKUP_KEY": identity, "COUCHDB_PASSWORD": password, **environment}
        with monkeypatch.context() as patched:
            for name, value in settings.items():
                patched.setenv(name, value) if value else patched.delenv(name, raising=False)
            return _process(asked) if apart else _here(asked, capsys)

    return run


def _here(asked: list[str], capsys: pytest.CaptureFixture[str]) -> Ended:
    capsys.readouterr()
    try:
        code = main(asked)
    except SystemExit as left:  # argparse's way to say that it was called wrongly
        code = int(left.code or 0)
    return Ended(code, *capsys.readouterr())


def _process(asked: list[str]) -> Ended:
    done = subprocess.run(
        [sys.executable, "-m", "worker.ops.restore", *asked],
        capture_output=True,
        text=True,
        cwd=PROJECT,
        timeout=DEADLINE,
        check=False,
        start_new_session=True,  # no terminal, so that nothing is asked for
    )
    return Ended(done.returncode, done.stdout, done.stderr)


def answer(done: Ended) -> Any:
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


# --- what there is


def test_what_there_is_is_listed(command: Command, made: Manifest, filled: Database) -> None:
    newest, oldest = answer(command("--json", "list"))
    assert (newest["id"], newest["full"], newest["good"], newest["databases"]) == (made.id, False, True, 1)
    assert (oldest["id"], oldest["full"]) == (made.parents[0], True)
    assert made.id in command("list").stdout
    shown = answer(command("--json", "show", "latest"))
    assert (shown["id"], shown["failed"]) == (made.id, {})
    (row,) = shown["databases"]
    assert (row["database"], row["node"], row["needs"]) == (filled.name, "a", [made.parents[0]])
    assert f"{filled.name}: {row['documents']} documents, read on a" in command("show", "latest").stdout


def test_a_store_without_backups_is_told(command: Command, vault: Vault) -> None:
    assert "has no backups" in command("list").stdout
    done = command("show", "latest")
    assert (done.returncode, done.stdout) == (1, "")
    assert "has no such backup" in done.stderr


def test_every_object_is_compared_with_its_checksum(command: Command, made: Manifest, vault: Vault) -> None:
    assert answer(command("--json", "check", "latest"))["objects"] > 3
    chunk = backups.named(backups.objects(vault), "documents")[0]
    vault.blobs.delete([chunk])
    done = command("check", "latest")
    assert done.returncode == 1
    assert chunk in done.stderr


# --- restore


def test_a_database_comes_back_whole(
    served: Site, command: Command, made: Manifest, filled: Database, tmp_path: Path, identity: str
) -> None:
    target = Database(served.cluster["b"], served.name("restored"))
    key_file = tmp_path / "identity.txt"
    key_file.write_text(f"# created: 2026-11-25T03:00:00Z\n# public key: age1...\n{identity}\n")
    arguments = ("--json", "--key-file", str(key_file), "database", "latest", filled.name, "--as", target.name)
    told = answer(command(*arguments, node=True, apart=True, BACKUP_KEY=""))
    assert (told["database"], told["into"], told["backup"]) == (filled.name, target.name, made.id)
    assert (told["resumed"], told["refused"]["count"]) == (False, 0)
    assert backups.lost(backups.content(filled), backups.content(target)) == []
    again = command("database", "latest", filled.name, "--as", target.name, node=True)
    assert again.returncode == 1
    assert f"there is a database {target.name} already" in again.stderr


def test_single_documents_come_back_alone(served: Site, command: Command, made: Manifest, filled: Database) -> None:
    target = Database(served.cluster["b"], served.name("restored"))
    ids = ("--id", "later", "--id", "conflict")
    answer(command("--json", "database", made.id, filled.name, "--as", target.name, *ids, node=True))
    before = backups.content(filled)
    assert backups.content(target) == {key: before[key] for key in ("later", "conflict")}


def test_what_a_node_refuses_ends_with_a_code_of_its_own(
    served: Site, command: Command, made: Manifest, filled: Database, vault: Vault
) -> None:
    """Begun before, by an attempt that broke off: the design document came in between."""
    target = Database(served.cluster["b"], served.name("restored"))
    chain = backups.chain_of(vault, made, filled.name)
    with pytest.raises(HandedBack):
        restore_new(vault, chain, target, Listener(lambda _: HandedBack()))
    assert target.get(MARK) is not None
    served.refuse(target.name, "b", "doc-0003")
    done = command("--json", "database", "latest", filled.name, "--as", target.name, node=True)
    assert done.returncode == 3
    assert "1 documents were refused" in done.stderr
    told = json.loads(done.stdout)
    assert told["resumed"]
    assert [one["id"] for one in told["refused"]["documents"]] == ["doc-0003"]


# --- wrong usage, and what cannot be done


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--store", "ftp://here", "list"], "--store must be file:///folder, s3://bucket/prefix"),
        (["--store", "file:///no/such/folder", "list"], "file:///no/such/folder: there is no such folder"),
        (["--key-file", "/no/such/file", "list"], "--key-file /no/such/file: No such file or directory"),
        (["--key-file", sys.executable, "list"], "this is no text"),
        (["restore-it"], "invalid choice: 'restore-it'"),
        (["database", "latest", "x", "--node", "127.0.0.1:5984"], "--node: this is not the URL of a node"),
        (["database", "latest", "x", "--node", "http://a", "--ca-bundle", "/no"], "--ca-bundle /no: there is no such"),
        (["database", "latest", "x", "--as", "notebook-replication", "--node", "http://a"], "of this system's own"),
    ],
)
def test_wrong_usage_says_what_is_right(
    command: Command, vault: Vault, filled: Database, made: Manifest, arguments: list[str], words: str
) -> None:
    done = command(*(filled.name if one == "x" else one for one in arguments))
    assert done.returncode in {1, 2}
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_without_a_store_the_command_says_how_to_name_one(command: Command) -> None:
    done = command("list", BACKUP_URL="")
    assert done.returncode == 2
    assert "--store file:///var/backups, or BACKUP_URL" in done.stderr


def test_a_backup_or_database_that_is_not_there_is_told_with_those_that_are(
    command: Command, made: Manifest, filled: Database
) -> None:
    done = command("show", "20200101T000000Z-abcdef")
    assert done.returncode == 1
    assert made.id in done.stderr
    done = command("database", made.id, "pdfs-not-there", node=True)
    assert done.returncode == 1
    assert f"has no database 'pdfs-not-there'; it has {filled.name}" in done.stderr


def test_without_the_right_identity_nothing_is_made(
    served: Site, command: Command, made: Manifest, filled: Database
) -> None:
    target = Database(served.cluster["b"], served.name("restored"))
    for key in ("", new_identity(), str(Keys.parse(new_identity()).recipients[0])):
        done = command("database", made.id, filled.name, "--as", target.name, node=True, BACKUP_KEY=key)
        assert done.returncode == 1
        assert "BACKUP_KEY" in done.stderr
        assert "AGE-SECRET-KEY-1Q" not in done.stderr
    assert target.info() is None


def test_no_password_is_asked_for_without_a_terminal_and_none_is_taken_from_a_url(
    command: Command, made: Manifest, filled: Database
) -> None:
    done = command("database", "latest", filled.name, node=True, apart=True, COUCHDB_PASSWORD="")
    assert done.returncode == 2
    assert "set the environment variable COUCHDB_PASSWORD" in done.stderr
    done = command("database", "latest", filled.name, "--node", f"http://admin:{SECRET}@127.0.0.1:5984")
    assert done.returncode == 2
    assert SECRET not in done.stderr
