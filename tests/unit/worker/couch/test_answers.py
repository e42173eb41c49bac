"""Every kind of bad answer has one class of ours."""

from __future__ import annotations

import json

import pytest

from worker.core import errors
from worker.couch.answers import failure, parsed
from worker.couch.transport import Answer

UNAUTHORIZED = '{session_request_unauthorized,"http://admin:hunter2@a.test:5984/_session","admin"}'
CONN_FAILED = '{session_request_failed,"http://a.test:5984/_session","admin",{conn_failed,{error,econnrefused}}}'
CLOSED = '{session_request_failed,"http://a.test:5984/_session","admin",sel_conn_closed}'
LOCKED = "Account is temporarily locked due to multiple authentication failures"


def answer(status: int, error: str = "", reason: str = "") -> Answer:
    return Answer(status, {}, json.dumps({"error": error, "reason": reason}).encode())


@pytest.mark.parametrize(
    ("status", "error", "reason", "kind"),
    [
        (400, "illegal_database_name", "Name: 'A'.", errors.BadRequest),
        (401, "unauthorized", "Name or password is incorrect.", errors.Unauthorized),
        (403, "forbidden", "You are not allowed to access this db.", errors.Forbidden),
        (403, "forbidden", LOCKED, errors.LockedOut),
        (404, "not_found", "missing", errors.NotFound),
        (405, "method_not_allowed", "Only GET,HEAD allowed", errors.BadRequest),
        (409, "conflict", "Document update conflict.", errors.Conflict),
        (412, "file_exists", "The database could not be created, the file already exists.", errors.Conflict),
        (413, "too_large", "the request entity is too large", errors.TooLarge),
        (415, "bad_content_type", "Content-Type must be application/json", errors.BadRequest),
        (429, "too_many_requests", "slow down", errors.ServerFault),
        (500, "internal_server_error", "No DB shards could be opened.", errors.ServerFault),
        (501, "not_implemented", "cancel", errors.ServerFault),
        (503, "service_unavailable", "", errors.ServerFault),
        # what the disk monitor of CouchDB 3.5 says, in its own spelling, and what Erlang calls a full disk
        (507, "insufficent_storage", "database_dir is too full", errors.DiskFull),
        (500, "unknown_error", "{badmatch,{error,enospc}}", errors.DiskFull),
        (500, "error", "eacces", errors.DiskFull),
        (500, "internal_server_error", "an enospcial case", errors.ServerFault),
        (301, "", "", errors.BadAnswer),
        (304, "", "", errors.BadAnswer),
        # what the replicator answers for its source and target
        (500, "db_not_found", "could not open http://a.test:5984/pdfs/", errors.NotFound),
        (500, "replication_auth_error", UNAUTHORIZED, errors.Unauthorized),
        (500, "replication_auth_error", CONN_FAILED, errors.Unreachable),
        (500, "replication_auth_error", CLOSED, errors.ServerFault),
        (
            500,
            "unauthorized",
            "unauthorized to access or create database http://a.test:5984/pdfs/",
            errors.Unauthorized,
        ),
        (500, "forbidden", "forbidden", errors.Forbidden),
        (500, "checkpoint_commit_failure", "Failure on target commit", errors.ServerFault),
        # words mean nothing where the status already says it
        (404, "db_not_found", "x", errors.NotFound),
        (400, "unauthorized", "x", errors.BadRequest),
    ],
)
def test_an_answers_class(status: int, error: str, reason: str, kind: type[errors.ReplicationError]) -> None:
    found = failure(answer(status, error, reason))

    assert type(found) is kind
    assert str(status) in found.detail


def test_the_reason_is_told_without_what_must_not_be_told() -> None:
    found = failure(answer(500, "replication_auth_error", UNAUTHORIZED))

    assert "session_request_unauthorized" in found.detail
    assert "hunter2" not in found.detail


def test_a_lock_out_says_that_it_ends_by_itself() -> None:
    assert "5 minutes" in failure(answer(403, "forbidden", LOCKED)).detail


def test_a_crash_of_which_the_server_tells_no_more_is_marked() -> None:
    """All that CouchDB 3.5.0 says of a write to a full disk; not proof enough by itself."""
    crash = failure(answer(500, "error", "internal_server_error"))
    other = failure(answer(500, "internal_server_error", "No DB shards could be opened."))

    assert isinstance(crash, errors.ServerFault)
    assert crash.crashed
    assert isinstance(other, errors.ServerFault)
    assert not other.crashed


def test_maintenance_mode_is_told() -> None:
    assert "maintenance" in failure(Answer(404, {}, b'{"status":"maintenance_mode"}')).detail


@pytest.mark.parametrize("body", [b"<html>Bad Gateway</html>", b"", b"[1, 2]", b"\xff\xfe", b'"text"', b"null"])
@pytest.mark.parametrize(
    ("status", "kind"), [(502, errors.ServerFault), (404, errors.NotFound), (302, errors.BadAnswer)]
)
def test_a_bad_answer_that_is_not_couchdbs(body: bytes, status: int, kind: type[errors.ReplicationError]) -> None:
    found = failure(Answer(status, {}, body))

    assert type(found) is kind
    assert "not CouchDB's" in found.detail


def test_a_good_answer_is_its_json() -> None:
    assert parsed(Answer(201, {}, b'{"ok":true}')) == {"ok": True}
    assert parsed(Answer(200, {}, b"")) is None


@pytest.mark.parametrize("body", [b"<html>Welcome to nginx!</html>", b'{"cut": "off', b"\xff"])
def test_a_good_status_with_a_body_that_is_no_json_is_a_bad_answer(body: bytes) -> None:
    with pytest.raises(errors.BadAnswer):
        parsed(Answer(200, {}, body))
