"""From exception class to `application/problem+json` (RFC 9457): the only place that knows how errors look.

Routes raise; nobody builds an error answer by hand. PROBLEMS is every kind of problem there is, FROM_CLASS
what the layers below may raise. Whatever is in neither is a defect of ours: logged whole, answered as 500
without a word of what was inside.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from flask import Flask, Response, g, request
from werkzeug.exceptions import HTTPException

from config import logs
from tasks.redis import StoreUnavailable, Uncertain
from tasks.submit import BeingMade, IdempotencyMismatch, JobEnded, UnknownDatabase
from worker.core.names import nearest

URN = "urn:notebook-replication:problem:"
MEDIA_TYPE = "application/problem+json"
RETRY_SECONDS = 2  # what we ask callers to wait while Redis is away

# name -> (status, title). Names are part of the contract (docs/api.md lists them): they never change.
PROBLEMS: Mapping[str, tuple[int, str]] = {
    "bad-request": (400, "The request cannot be read"),
    "malformed-json": (400, "The body is not valid JSON"),
    "bad-idempotency-key": (400, "The Idempotency-Key cannot be used"),
    "unauthorized": (401, "A valid bearer token is needed"),
    "foreign-origin": (403, "Pages of other sites may not change anything here"),
    "bad-csrf-token": (403, "Only pages of this server may change anything for who signed in"),
    "forbidden": (403, "The caller's role does not reach so far"),
    "not-found": (404, "There is nothing at this address"),
    "unknown-job": (404, "There is no such job"),
    "unknown-database": (404, "There is no such database"),
    "unknown-node": (404, "There is no such node"),
    "unknown-backup": (404, "There is no such backup"),
    "unknown-webhook": (404, "There is no such webhook receiver"),
    "backup-not-sealed": (409, "The newest backup is not sealed"),
    "method-not-allowed": (405, "This address does not take this method"),
    "being-made": (409, "An equal request is just being taken"),
    "job-ended": (409, "The job is over"),
    "job-not-ended": (409, "The job is not over"),
    "backups-off": (409, "No backups are kept"),
    "nothing-to-change": (409, "The settings name no password that is to be changed"),
    "no-secret-key": (409, "SECRET_KEY is not set"),
    "too-many-webhooks": (409, "There are too many webhook receivers"),
    "webhook-of-settings": (409, "The webhook receiver is one of the settings"),
    "body-too-large": (413, "The body is too large"),
    "not-json": (415, "Only JSON is accepted"),
    "not-a-form": (415, "Only a form is accepted"),
    "misdirected": (421, "This server does not answer to that host name"),
    "invalid-request": (422, "The request is not valid"),
    "idempotency-key-reused": (422, "The Idempotency-Key belongs to another request"),
    "too-many-requests": (429, "The caller asks too often"),
    "locked-out": (429, "Too many wrong tokens came from this address"),
    "internal-error": (500, "Something went wrong here"),
    "store-unavailable": (503, "Redis does not answer"),
    "too-many-streams": (503, "Too many callers are waiting"),
}
_BY_STATUS = {
    400: "bad-request",
    404: "not-found",
    405: "method-not-allowed",
    413: "body-too-large",
    500: "internal-error",
}


class Problem(Exception):
    """An answer that is an error. `name` is a key of PROBLEMS; `members` go into the body as they are."""

    def __init__(self, name: str, detail: str, headers: Mapping[str, str] | None = None, **members: Any) -> None:
        super().__init__(detail)
        self.name = name
        self.status, self.title = PROBLEMS[name]
        self.detail = detail
        self.headers = dict(headers or {})
        self.members = members


def invalid(errors: list[dict[str, str]]) -> Problem:
    """422 with `errors: [{field, message}]`; the detail repeats them for people."""
    words = "; ".join(
        f"{error['field']}: {error['message']}" if error["field"] else error["message"] for error in errors
    )
    return Problem("invalid-request", words, errors=errors)


def unknown_job(job_id: str) -> Problem:
    return Problem("unknown-job", f"there is no job {job_id!r}: it never was, or its result has been forgotten")


def unknown_database(name: str, close: Sequence[str], who: str = "the last sweep saw no") -> Problem:
    """`close`: names that look alike. `who`: looked for it."""
    hint = f"; did you mean {' or '.join(close)}?" if close else "."
    return Problem("unknown-database", f"{who} database {name!r}{hint}", nearest=list(close))


def unknown_node(name: str, known: Sequence[str]) -> Problem:
    close = nearest(name, known)
    hint = f"; did you mean {' or '.join(close)}?" if close else f"; known: {', '.join(known)}" if known else ""
    return Problem("unknown-node", f"there is no node {name!r}{hint}", nearest=close)


def _store_unavailable(error: StoreUnavailable) -> Problem:
    return Problem(
        "store-unavailable", f"{error}. Nothing was done; asking again is safe", {"Retry-After": str(RETRY_SECONDS)}
    )


def _uncertain(error: Uncertain) -> Problem:
    return Problem("store-unavailable", f"{error}. Asking again is safe", {"Retry-After": str(RETRY_SECONDS)})


def _mismatch(error: IdempotencyMismatch) -> Problem:
    return Problem("idempotency-key-reused", str(error))


def _being_made(error: BeingMade) -> Problem:
    return Problem("being-made", f"{error}; its job can be had in a moment", {"Retry-After": str(RETRY_SECONDS)})


def _job_ended(error: JobEnded) -> Problem:
    return Problem("job-ended", str(error), state=error.job.state.value)


def _unknown_database(error: UnknownDatabase) -> Problem:
    return Problem("unknown-database", f"no node was seen with the database {str(error)!r}")


# the narrower class before the wider: the first that fits is taken
FROM_CLASS: Mapping[type[Exception], Callable[[Any], Problem]] = {
    Uncertain: _uncertain,
    StoreUnavailable: _store_unavailable,
    IdempotencyMismatch: _mismatch,
    BeingMade: _being_made,
    JobEnded: _job_ended,
    UnknownDatabase: _unknown_database,
}


def answer(problem: Problem) -> Response:
    g.problem = problem.name  # for the audit log
    body = {
        "type": f"{URN}{problem.name}",
        "title": problem.title,
        "status": problem.status,
        "detail": problem.detail,
        **problem.members,
    }
    return _response(body, problem.headers)


def _response(body: Mapping[str, Any], headers: Mapping[str, str]) -> Response:
    # ASCII only: a detail may quote what a caller sent, lone surrogates included
    return Response(json.dumps(body), body["status"], headers, content_type=MEDIA_TYPE)


def _http(error: HTTPException) -> Problem | Response:
    """Flask's and werkzeug's own errors, in our shape, with their headers (Allow)."""
    if error.response is not None or error.code is None or error.code < 400:
        return error.get_response()  # type: ignore[return-value]
    headers = {key: value for key, value in error.get_headers() if key.lower() != "content-type"}
    detail = error.description or error.name
    name = _BY_STATUS.get(error.code)
    if name is not None:
        return Problem(name, detail, headers)
    return _response({"type": "about:blank", "title": error.name, "status": error.code, "detail": detail}, headers)


def _any(error: Exception) -> Problem:
    if isinstance(error, Problem):
        return error
    for known, build in FROM_CLASS.items():
        if isinstance(error, known):
            return build(error)
    logs.get(__name__).error("request failed", method=request.method, path=request.path, exc_info=error)
    return Problem("internal-error", "the log of the API says what happened; the request can be repeated")


def install(app: Flask, page: Callable[[Problem], Response | None] = lambda problem: None) -> None:
    """`page(problem)`: how it is said to a person who looks at pages; None: a program asked."""

    def told(error: Exception) -> Response:
        found = _http(error) if isinstance(error, HTTPException) else _any(error)
        return (page(found) or answer(found)) if isinstance(found, Problem) else found

    app.register_error_handler(Exception, told)
