"""What is wrong with a node, by the class of the error it gave."""

from __future__ import annotations

import pytest

from worker.core import errors
from worker.core.errors import How, ReplicationError, Unreachable
from worker.core.failures import failure_of, reason_of
from worker.core.health import Failure


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (Unreachable("x", how=How.REFUSED), Failure.REFUSED),
        (Unreachable("x", how=How.NO_NAME), Failure.DNS),
        (Unreachable("x", how=How.SILENT), Failure.TIMED_OUT),
        (Unreachable("connection refused"), Failure.UNREACHABLE),  # words mean nothing
        (errors.TimedOut("x"), Failure.TIMED_OUT),
        (errors.TlsRefused("x"), Failure.TLS),
        (errors.Unauthorized("x"), Failure.UNAUTHORIZED),
        (errors.Forbidden("x"), Failure.FORBIDDEN),
        (errors.LockedOut("x"), Failure.LOCKED_OUT),
        (errors.ServerFault("x"), Failure.SERVER_FAULT),
        (errors.DiskFull("x"), Failure.DISK),
        (errors.BadAnswer("x"), Failure.NOT_COUCHDB),
        (errors.NotFound("x"), Failure.NOT_COUCHDB),
        (errors.BadRequest("x"), Failure.NOT_COUCHDB),
        (errors.TooLarge("x"), Failure.OTHER),
    ],
)
def test_the_class_decides(error: ReplicationError, failure: Failure) -> None:
    assert failure_of(error) is failure
    assert reason_of(error).startswith(f"{error.slug}: {error.detail}")


def test_a_reason_says_what_would_help() -> None:
    assert reason_of(errors.Unauthorized("HTTP 401: no")) == (
        "unauthorized: HTTP 401: no; check COUCHDB_USER and COUCHDB_PASSWORD"
    )
    assert reason_of(errors.TlsRefused("TLS: no; check COUCHDB_CA_BUNDLE")) == (
        "tls-refused: TLS: no; check COUCHDB_CA_BUNDLE"
    )
