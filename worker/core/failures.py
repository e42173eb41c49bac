"""From an error of a node to what is wrong with it, as one word for programs and a short reason for people. Pure.

By the error's class, never by its message. What only a write can show (a full disk) is in the error as well, because
whoever wrote knows that it was a write: worker.ops.canary.
"""

from __future__ import annotations

from worker.core.errors import (
    BadAnswer,
    BadRequest,
    DiskFull,
    Forbidden,
    How,
    LockedOut,
    NotFound,
    PasswordUnknown,
    ReplicationError,
    ServerFault,
    TimedOut,
    TlsRefused,
    Unauthorized,
    Unreachable,
)
from worker.core.health import Failure

_BY_HOW = {
    How.REFUSED: Failure.REFUSED,
    How.NO_NAME: Failure.DNS,
    How.SILENT: Failure.TIMED_OUT,
    How.OTHER: Failure.UNREACHABLE,
}
# the narrower class before the wider: the first that fits is taken
_BY_CLASS: tuple[tuple[type[ReplicationError], Failure], ...] = (
    (TimedOut, Failure.TIMED_OUT),
    (TlsRefused, Failure.TLS),
    (Unauthorized, Failure.UNAUTHORIZED),
    (PasswordUnknown, Failure.UNAUTHORIZED),
    (LockedOut, Failure.LOCKED_OUT),
    (Forbidden, Failure.FORBIDDEN),
    (DiskFull, Failure.DISK),
    (ServerFault, Failure.SERVER_FAULT),
    # a look asks only for what every CouchDB has
    (BadAnswer, Failure.NOT_COUCHDB),
    (NotFound, Failure.NOT_COUCHDB),
    (BadRequest, Failure.NOT_COUCHDB),
)
# those whose errors do not say by themselves what would help
_REMEDIES = {
    Failure.REFUSED: "nobody listens there: start its server, or mend its URL",
    Failure.DNS: "mend the host name in its URL, or the name service",
    Failure.TIMED_OUT: "it hangs, or something on the way swallows what we send",
    Failure.UNAUTHORIZED: "check COUCHDB_USER and COUCHDB_PASSWORD",
    Failure.FORBIDDEN: "our user has to be a server admin",
    Failure.DISK: "free space on its disk, or let it write there",
    Failure.SERVER_FAULT: "its log says more",
    Failure.NOT_COUCHDB: "mend its URL",
}


def failure_of(error: ReplicationError) -> Failure:
    if isinstance(error, Unreachable):
        return _BY_HOW[error.how]
    return next((failure for kind, failure in _BY_CLASS if isinstance(error, kind)), Failure.OTHER)


def reason_of(error: ReplicationError) -> str:
    """What failed, and what would help."""
    remedy = _REMEDIES.get(failure_of(error))
    words = f"{error.slug}: {error.detail}"
    return f"{words.rstrip('.')}; {remedy}" if remedy else words
