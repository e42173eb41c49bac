"""From what a server answered to our error tree: the one place where that is decided.

CouchDB: `{"error": slug, "reason": words}`. Anything that is not JSON did not come from CouchDB.
"""

from __future__ import annotations

import json
import re
from typing import Any

from worker.core import errors
from worker.core.redact import scrub
from worker.couch.transport import Answer

_BY_STATUS: dict[int, type[errors.ReplicationError]] = {
    401: errors.Unauthorized,
    403: errors.Forbidden,
    404: errors.NotFound,
    409: errors.Conflict,
    412: errors.Conflict,
    413: errors.TooLarge,
    429: errors.ServerFault,
    507: errors.DiskFull,
}

# Erlang's words for a disk that takes no writes, wherever CouchDB prints them (as measured on 3.5.0, a write to a full
# disk is answered with _CRASHED instead), and the word of its disk monitor, in its own spelling and the right one
_DISK = re.compile(r"\b(enospc|erofs|edquot|eacces|insufficient_storage|insufficent_storage)\b")
_CRASHED = ("error", "internal_server_error")

# What the replicator answers, always with status 500, and what it means. The second part is looked for in
# the reason, which is a printed Erlang term (couch_replicator_auth_session.erl, couch_replicator_api_wrap.erl).
_REPLICATOR: tuple[tuple[str, str, type[errors.ReplicationError]], ...] = (
    ("db_not_found", "", errors.NotFound),
    ("replication_auth_error", "session_request_unauthorized", errors.Unauthorized),
    ("replication_auth_error", "session_requests_unauthorized", errors.Unauthorized),
    ("replication_auth_error", "conn_failed", errors.Unreachable),
    ("unauthorized", "", errors.Unauthorized),
    ("forbidden", "", errors.Forbidden),
)


def parsed(answer: Answer) -> Any:
    """The JSON of a good answer; raises the error of a bad one."""
    return _json(good(answer))


def good(answer: Answer) -> Answer:
    """The same, where it is good; raises the error of a bad one."""
    if 200 <= answer.status < 300:
        return answer
    raise failure(answer)


def failure(answer: Answer) -> errors.ReplicationError:
    slug, reason = _words(answer)
    detail = scrub(f"HTTP {answer.status}: {reason}" if reason else f"HTTP {answer.status}")
    if answer.status == 403 and "temporarily locked" in reason:
        return errors.LockedOut(
            f"{detail}. Somebody used a wrong password too often; CouchDB opens again by itself within 5 minutes"
        )
    known = _BY_STATUS.get(answer.status)
    if known is None and answer.status >= 500:
        known = next((kind for name, part, kind in _REPLICATOR if name == slug and part in reason), None)
        known = known or (errors.DiskFull if _DISK.search(f"{slug} {reason}") else errors.ServerFault)
    if known is None:
        known = errors.BadRequest if 400 <= answer.status < 500 else errors.BadAnswer
    error = known(detail)
    if isinstance(error, errors.ServerFault):
        error.crashed = (slug, reason) == _CRASHED
    return error


def _words(answer: Answer) -> tuple[str, str]:
    try:
        said = json.loads(answer.body)
        # /_up in maintenance mode has no reason, but {"status": "maintenance_mode"}
        return str(said.get("error", "")), " ".join(str(said.get("reason") or said.get("status") or "").split())
    except (ValueError, AttributeError):
        return "", "the answer is not CouchDB's (a proxy in between?)"


def _json(answer: Answer) -> Any:
    try:
        return json.loads(answer.body) if answer.body else None
    except ValueError:
        raise errors.BadAnswer(
            f"HTTP {answer.status}, but the body is not JSON: something other than CouchDB answers at this URL"
        ) from None
