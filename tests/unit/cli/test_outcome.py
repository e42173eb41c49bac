"""What a job that succeeded has done, and what is wanting all the same."""

from __future__ import annotations

from typing import Any

import pytest

from cli import outcome
from cli.errors import Exit
from tests.unit.cli.bodies import BACKUP, job

VERIFIED = {
    "equal": True,
    "complete": True,
    "nodes": ["a", "b"],
    "skipped": [],
    "documents": {"a": 5_210, "b": 5_210},
    "differing": {"count": 0, "ids": [], "truncated": False},
    "unconfirmed": 0,
    "repaired": None,
}
SET_UP = {"mode": "continuous", "complete": True, "changed": True, "skipped": [], "dry_run": False, "failures": []}
WOULD_SET_UP = {**SET_UP, "dry_run": True, "changed": False, "steps": []}
BACKED_UP = {"backup_id": BACKUP, "databases": 2, "documents": 9, "stored_bytes": 1_500, "full": True, "lost": 0}
RESTORED = {
    "database": "pdfs",
    "into": "pdfs-2",
    "node": "a",
    "documents": 9,
    "revisions": 12,
    "attachments": 1,
    "refused": {"count": 0, "documents": []},
    "not_asked": [],
}
DIFFERS = {"count": 1, "ids": [{"id": "doc-1", "reason": "refused"}], "truncated": False}


def ended(kind: str, result: dict[str, Any] | None) -> dict[str, Any]:
    return job(kind=kind, result=result)


@pytest.mark.parametrize(
    ("kind", "result", "code", "line"),
    [
        ("verify", VERIFIED, Exit.WELL, "The same on a, b"),
        ("verify", {**VERIFIED, "equal": False, "differing": DIFFERS}, Exit.NOT_WELL, "1 document differs"),
        ("verify", {**VERIFIED, "equal": None, "unconfirmed": 2}, Exit.NOT_WELL, "2 documents could not be told yet"),
        ("verify", {**VERIFIED, "repaired": {"count": 3}}, Exit.WELL, "Repaired: 3 documents"),
        ("setup", SET_UP, Exit.WELL, "Mode: continuous"),
        ("setup", {**SET_UP, "changed": False}, Exit.WELL, "Everything was as it should be"),
        ("setup", {**SET_UP, "complete": False, "failures": ["no link on b"]}, Exit.NOT_WELL, "no link on b"),
        ("setup", {**WOULD_SET_UP, "steps": ["create x on a"]}, Exit.WELL, "  create x on a"),
        ("setup", {**WOULD_SET_UP, "steps": ["create x on a"]}, Exit.WELL, "This would be done"),
        ("setup", WOULD_SET_UP, Exit.WELL, "Nothing would be changed"),
        ("backup", BACKED_UP, Exit.WELL, "2 databases, 9 documents, 1.5 KB stored (full)"),
        ("backup", {**BACKED_UP, "lost": 1}, Exit.NOT_WELL, "1 attachment or revision could not be had"),
        ("backup", {**BACKED_UP, "copied": {"error": "x", "detail": "no space"}}, Exit.NOT_WELL, "no space"),
        ("restore", RESTORED, Exit.WELL, "pdfs is restored into pdfs-2 on a"),
        ("restore", {**RESTORED, "refused": {"count": 2, "documents": []}}, Exit.NOT_WELL, "2 documents refused"),
        ("restore", {**RESTORED, "not_found": 1}, Exit.NOT_WELL, "1 document asked for not in the backup"),
        ("restore", {**RESTORED, "not_asked": ["c"]}, Exit.NOT_WELL, "such a database: c"),
        ("restore", {"restored": [{}], "node": "a", "verified": {"equal": 1, "differing": []}}, Exit.WELL, "on a"),
        ("restore", {"restored": [{}], "verified": {"equal": 0, "differing": ["x"]}}, Exit.NOT_WELL, "x is not known"),
        ("restore", {"dry_run": True, "documents": [{"id": "d", "action": "delete"}]}, Exit.WELL, "  delete d"),
        ("rejoin", {"node": "b", "refused": {"x": 2}}, Exit.NOT_WELL, "x: 2 documents refused"),
        ("rejoin", {"node": "b", "documents_written": 1_200, "skipped": []}, Exit.WELL, "documents written: 1,200"),
        ("rejoin", {"node": "b", "links_caught_up": True}, Exit.WELL, "links caught up: yes"),
        ("rejoin", {"node": "b", "links_caught_up": False}, Exit.NOT_WELL, "had not caught up"),
        (
            "check-backup",
            {"backup": BACKUP, "objects": 7, "bytes": 1_500, "damaged": {}},
            Exit.WELL,
            "7 objects, 1.5 KB",
        ),
        ("check-backup", {"backup": BACKUP, "node": "a", "databases": {"x": {}}}, Exit.WELL, "was restored on a"),
        ("something-new", None, Exit.WELL, None),
    ],
)
def test_kinds(kind: str, result: dict[str, Any] | None, code: Exit, line: str | None) -> None:
    done = ended(kind, result)
    assert outcome.exit_of(done) == code
    lines = outcome.summary(done) + list(outcome.wanting(done))
    assert line is None or any(line in one for one in lines), lines


def test_names_of_others_are_written_out() -> None:
    differing = {"count": 1, "ids": [{"id": "doc\x1b[2J", "reason": "\x9b"}]}
    done = ended("verify", {**VERIFIED, "equal": False, "differing": differing})
    assert all(line.isprintable() for line in (*outcome.wanting(done), *outcome.summary(done)))
    assert outcome.title(job(database="a\x1b")) == "sync a\\x1b"


@pytest.mark.parametrize(
    ("more", "title"),
    [
        ({"database": "pdfs"}, "sync pdfs"),
        ({"database": None, "params": {"node": "a"}, "kind": "rejoin"}, "rejoin a"),
        ({"database": None, "params": {"backup": BACKUP}, "kind": "check-backup"}, f"check-backup {BACKUP}"),
        ({"database": None, "params": {}, "kind": "setup"}, "setup"),
    ],
    ids=["database", "node", "backup", "all"],
)
def test_what_a_job_is_called(more: dict[str, Any], title: str) -> None:
    assert outcome.title(job(**more)) == title
