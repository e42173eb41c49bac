"""Dumps of other tools into databases, on every kind of node."""

from __future__ import annotations

import base64
import gzip
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from embedded.folders import PROJECT
from tests import builders
from tests.builders import Listener
from tests.contract import backups
from tests.contract.conftest import Site
from worker.core.dump_text import BadDump
from worker.core.dumps import Format
from worker.core.errors import Cancelled, DatabaseExists
from worker.couch.database import Database
from worker.couch.revisions import Revisions
from worker.ops.control import Unattended
from worker.ops.importing.database import import_dump
from worker.ops.importing.result import Imported
from worker.ops.own import put_over
from worker.ops.restore.database import MARK

pytestmark = pytest.mark.contract

FILES = PROJECT / "tests/unit/worker/core/data"
COUCHBACKUP = FILES / "couchbackup-2.11.12.txt"
HEADER = b'{"name":"@cloudant/couchbackup","version":"2.11.12","mode":"full","attachments":true}'
SECRET = "secret-that-nobody-shows-1"
DEADLINE = 60


@pytest.fixture
def filled(site: Site) -> Database:
    database = Database(site.cluster["a"], site.name())
    database.create()
    backups.fill(site, database)
    return database


@pytest.fixture
def target(site: Site) -> Database:
    return Database(site.cluster["b"], site.name("imported"))


def all_docs(database: Database, **params: str) -> bytes:
    """As the guide's `curl` saves it."""
    params = {"include_docs": "true", **params}
    return bytes(database.client.get(database.name, "_all_docs", params=params, raw=True))


def couchbackup(database: Database) -> bytes:
    """As couchbackup 2.11 with --attachments writes it."""
    revisions = Revisions(database)
    rows = [row for page in revisions.feed(None, 100) for row in page.rows]
    lines = [HEADER]
    for found in revisions.leaves(rows)[0]:
        documents = [json.loads(bytes(text)) for text in found.revisions]
        for document in documents:
            _inline(revisions, document)
        lines.append(json.dumps(documents, ensure_ascii=False).encode())
    return b"\n".join(lines) + b"\n"


def _inline(revisions: Revisions, document: dict[str, Any]) -> None:
    for name, stub in document.get("_attachments", {}).items():
        data = b"".join(revisions.attachment(document["_id"], document["_rev"], name))
        data = gzip.decompress(data) if stub.get("encoding") == "gzip" else data
        document["_attachments"][name] = {
            "contentType": stub["content_type"],
            "data": base64.b64encode(data).decode(),
            "digest": stub["digest"],
            "revpos": stub["revpos"],
        }


def imported(target: Database, data: bytes, **options: Any) -> Imported:
    return import_dump(target, pieces(data), Unattended(), **options)


def pieces(data: bytes, size: int = 1_000) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))


def rows(*documents: Mapping[str, Any]) -> bytes:
    return json.dumps({"rows": [{"id": one.get("_id"), "doc": one} for one in documents]}).encode()


def winners(database: Database) -> dict[str, Any]:
    """The documents, without their attachments."""
    found = json.loads(all_docs(database))["rows"]
    return {one["id"]: {key: value for key, value in one["doc"].items() if key != "_attachments"} for one in found}


# --- what comes back


def test_the_answer_of_all_docs_comes_back(filled: Database, target: Database) -> None:
    done = imported(target, all_docs(filled))
    assert done.refused.count == 0, done.refused.listed
    assert winners(target) == winners(filled)
    assert done.format is Format.ALL_DOCS
    assert done.documents == done.revisions == done.without_history == len(winners(filled))
    assert done.total_rows is not None
    assert not done.complete  # it has no attachments
    listed = {one["id"]: one["reason"] for one in done.attachments_missing.listed}
    assert listed.keys() == {"attached", "twin", "attached-conflict", "_design/app"}
    assert listed["attached"] == "empty, notes.txt, same.pdf, scan.pdf, ünïcode name.bin"


def test_a_file_of_couchbackup_comes_back_leaf_by_leaf(filled: Database, target: Database) -> None:
    done = imported(target, gzip.compress(couchbackup(filled)))
    assert done.refused.count == 0, done.refused.listed
    before, after = backups.content(filled), backups.content(target)
    assert backups.lost(before, after) == []
    assert done.complete
    assert done.format is Format.COUCHBACKUP
    assert done.revisions == sum(len(leaves) for leaves in before.values())
    assert (done.documents, done.without_history) == (len(before), 0)
    assert done.as_json()["attachments_missing"] == {"count": 0, "documents": [], "truncated": False}


@pytest.mark.parametrize("name", ["couchbackup-2.11.12.txt", "couchbackup-2.0.1.txt"])
def test_files_that_couchbackup_wrote_come_back(target: Database, name: str) -> None:
    done = imported(target, (FILES / name).read_bytes())
    assert done.refused.count == 0, done.refused.listed
    found = backups.content(target)
    assert set(found) == {"note-1", "note-2", "note-3", "gone", "paper", "_design/notes"}
    assert set(found["note-3"]) == {"2-bbb", "2-ccc", "3-ddd"}
    assert found["note-3"]["3-ddd"][0]["ids"] == ["ddd", "eee", "aaa"]
    assert next(iter(found["note-1"].values()))[1]["title"] == "Größe \u2028 😀"
    if name == COUCHBACKUP.name:
        (_, _, attachments), *_ = found["paper"].values()
        assert {key: (told[0], told[2]) for key, told in attachments.items()} == {
            "a.txt": ("text/plain", 23),
            "b.pdf": ("application/pdf", 4),
        }
    else:
        assert [one["reason"] for one in done.attachments_missing.listed] == ["a.txt, b.pdf"]


def test_a_document_keeps_the_attachments_that_are_in_the_dump(target: Database) -> None:
    attachments = {
        "here": builders.attachment(b"here", "text/plain"),
        "not": {"content_type": "a/b", "stub": True, "length": 4, "digest": "md5-x", "revpos": 1},
    }
    done = imported(target, rows({"_id": "a", "_rev": "3-a", "_attachments": attachments}))
    assert (done.attachments, done.attachments_missing.listed) == (1, [{"id": "a", "rev": "3-a", "reason": "not"}])
    (_, _, found), *_ = backups.content(target)["a"].values()
    assert found.keys() == {"here"}


def test_documents_without_a_revision_are_given_the_same_one_each_time(site: Site, target: Database) -> None:
    data = b'[{"_id":"a","n":1},{"_id":"b","n":2}]'
    other = Database(site.cluster["a"], site.name("imported"))
    assert (imported(target, data).without_revision, imported(other, data).without_revision) == (2, 2)
    assert winners(target) == winners(other)
    assert winners(target)["a"]["n"] == 1


def test_design_documents_come_last_whatever_their_place(target: Database) -> None:
    rules = {"_id": "_design/rules", "_rev": "1-r", "validate_doc_update": backups.REFUSES}
    done = imported(target, rows(rules, {"_id": "a", "_rev": "1-a"}))
    assert (done.refused.count, done.design_documents) == (0, 1)
    assert winners(target).keys() == {"a", "_design/rules"}


def test_one_bad_document_does_not_keep_the_others_out(site: Site, target: Database) -> None:
    if site.kind != "couchdb":
        pytest.skip("the fake takes everything, and a stand-in answers as if it had failed")
    good = [{"_id": f"good-{i}", "_rev": "1-a"} for i in range(20)]
    done = imported(target, rows(*good[:7], {"_id": "bad", "_rev": "1-a", "_unheard": 1}, *good[7:]))
    assert [one["id"] for one in done.refused.listed] == ["bad"]
    assert done.refused.listed[0]["reason"]
    assert winners(target).keys() == {one["_id"] for one in good}
    assert not done.complete


def test_what_has_no_id_is_refused_by_us(target: Database) -> None:
    done = imported(target, b'[{"_id":"a","_rev":"1-a"},{"text":"whose?"},{"_id":7}]')
    assert winners(target).keys() == {"a"}
    assert done.refused.count == 2
    assert "whose?" in done.refused.listed[0]["id"]


def test_an_empty_dump_makes_an_empty_database(target: Database) -> None:
    assert imported(target, b'{"total_rows":0,"offset":0,"rows":[\r\n\r\n]}').complete
    info = target.info()
    assert info is not None
    assert info.doc_count == 0


# --- never into what was there before


def test_never_into_a_database_that_is_there(filled: Database) -> None:
    before = winners(filled)
    with pytest.raises(DatabaseExists, match="there is a database"):
        imported(filled, rows({"_id": "new", "_rev": "1-a"}))
    assert winners(filled) == before


@pytest.mark.parametrize("data", [b"", b"<html>", b'{"rows":[{"id":"a","value":{"rev":"1-a"}}]}'])
def test_what_is_no_dump_makes_no_database(target: Database, data: bytes) -> None:
    with pytest.raises(BadDump):
        imported(target, data)
    assert target.info() is None


def test_an_import_that_broke_off_goes_on_with_the_same_dump_only(target: Database) -> None:
    data = rows(*({"_id": f"doc-{i:04}", "_rev": "1-a", "text": "x" * 100} for i in range(3_000)))
    control = Listener(lambda listener: Cancelled() if listener.told else None)
    with pytest.raises(Cancelled):
        import_dump(target, pieces(data), control)
    assert target.get(MARK) is not None
    with pytest.raises(DatabaseExists, match="unfinished"):
        imported(target, rows({"_id": "other", "_rev": "1-a"}))
    done = imported(target, data)
    assert done.resumed
    assert len(winners(target)) == done.documents == 3_000
    assert target.get(MARK) is None
    with pytest.raises(DatabaseExists):
        imported(target, data)


def test_a_restore_that_broke_off_is_not_gone_on_with(target: Database) -> None:
    target.create()
    put_over(target, {"_id": MARK, "backup": "x", "database": "y", "only": None, "reached": 3})
    with pytest.raises(DatabaseExists, match="unfinished"):
        imported(target, rows({"_id": "a", "_rev": "1-a"}))


# --- dumps that are damaged


def test_a_dump_that_is_cut_off_leaves_an_unfinished_database(target: Database) -> None:
    data = b"".join(COUCHBACKUP.read_bytes().splitlines(keepends=True)) * 50
    with pytest.raises(BadDump, match=r"line 150 is cut off.*documents that were whole.*unfinished"):
        imported(target, data[:-100])
    assert target.get(MARK) is not None
    assert imported(target, data).resumed


def test_partial_takes_what_comes_before_the_damage(target: Database) -> None:
    documents = [{"_id": f"doc-{i}", "_rev": "1-a"} for i in range(50)]
    data = rows(*documents)
    done = imported(target, data[: len(data) - 5], partial=True)
    assert (done.documents, done.complete) == (49, False)
    assert "cut off" in (done.damaged or "")
    assert len(winners(target)) == 49
    assert target.get(MARK) is None


def test_progress_is_told_out_of_what_the_dump_says(filled: Database, target: Database) -> None:
    control = Listener()
    done = import_dump(target, pieces(all_docs(filled)), control)
    assert control.told[-1] == ("import", done.documents, done.total_rows, "documents")


# --- the command


def command(
    site: Site, *arguments: str, data: bytes = b"", password: str | None = None, url: str | None = None
) -> subprocess.CompletedProcess[str]:
    node = site.cluster["b"].node
    assert node.credentials is not None
    asked = ["--node", url or node.url, "--user", node.credentials.user]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COUCHDB_")}
    environment["COUCHDB_PASSWORD"] = node.credentials.password if password is None else password
    done = subprocess.run(
        [sys.executable, "-m", "worker.ops.importing", *arguments, *asked],
        input=data,
        capture_output=True,
        env=environment,
        cwd=PROJECT,
        timeout=DEADLINE,
        check=False,
        start_new_session=True,  # no terminal, so that nothing is asked for
    )
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())


def test_the_command_imports_a_file(served: Site, target: Database) -> None:
    done = command(served, str(COUCHBACKUP), "--database", target.name)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"{target.name}: 6 documents of a backup file of couchbackup, in 8 revisions (2 deletions" in done.stdout
    assert set(backups.content(target)) >= {"note-1", "note-3", "gone", "paper"}
    again = command(served, str(COUCHBACKUP), "--database", target.name)
    assert (again.returncode, again.stdout) == (1, "")
    assert f"error: node: there is a database {target.name} already" in again.stderr


def test_the_command_tells_programs_what_lacks(served: Site, target: Database, tmp_path: Path) -> None:
    file = tmp_path / "pdfs.json.gz"
    file.write_bytes(gzip.compress((FILES / "all_docs-3.5.0.json").read_bytes()))
    done = command(served, str(file), "--database", target.name, "--json")
    assert (done.returncode, done.stderr) == (3, "")
    told = json.loads(done.stdout)
    assert (told["into"], told["format"], told["documents"]) == (target.name, "_all_docs", 5)
    assert told["attachments_missing"]["count"] == 1


def test_the_command_reads_standard_input(served: Site, target: Database) -> None:
    done = command(served, "-", "--database", target.name, data=rows({"_id": "a", "_rev": "1-a"}))
    assert (done.returncode, done.stderr) == (0, "")
    assert winners(target).keys() == {"a"}


def test_the_command_says_what_is_wrong_with_the_dump(served: Site, target: Database) -> None:
    done = command(served, "-", "--database", target.name, data=b'{"rows":[{"id":"a"}]}')
    assert done.returncode == 1
    assert done.stderr.startswith("error: -: this was saved without include_docs=true")


def test_a_wrong_password_is_told_and_not_shown(served: Site, target: Database) -> None:
    if served.kind == "couchdb":
        pytest.skip("failed logins lock a user out, and these nodes are somebody's own")
    done = command(served, str(COUCHBACKUP), "--database", target.name, password=SECRET)
    assert done.returncode == 1
    assert done.stderr.startswith("error: node: ")
    assert SECRET not in done.stderr + done.stdout


def test_a_node_that_is_not_there_is_told(served: Site) -> None:
    done = command(served, str(COUCHBACKUP), "--database", "pdfs", url="http://127.0.0.1:9")
    assert done.returncode == 1
    assert "connection refused" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--database", "pdfs", "no-such-file"], "no-such-file: No such file or directory"),
        (["--database", "Pdfs", "-"], "a database name starts with a lowercase letter"),
        (["--database", "_replicator", "-"], "CouchDB's own system databases"),
        (["--database", "notebook-replication", "-"], "of this system's own"),
        (["-"], "--database"),
    ],
)
def test_wrong_usage_says_what_is_right(served: Site, arguments: list[str], words: str) -> None:
    done = command(served, *arguments)
    assert done.returncode == 2
    assert words in done.stderr


def test_a_password_in_the_url_is_refused_and_not_shown(served: Site) -> None:
    done = command(served, "-", "--database", "pdfs", url=f"http://admin:{SECRET}@127.0.0.1:5984")
    assert done.returncode == 2
    assert "COUCHDB_PASSWORD" in done.stderr
    assert SECRET not in done.stderr


def test_without_a_password_and_a_terminal_the_command_says_where_to_put_it(served: Site) -> None:
    done = command(served, str(COUCHBACKUP), "--database", "pdfs", password="")
    assert done.returncode == 2
    assert "set the environment variable COUCHDB_PASSWORD" in done.stderr
