"""Who changed what: a record of every request that may have changed something, and /api/audit to look it up.

Strangers leave none when they are refused, and nobody does with what he asks too often or where nothing is: else it
would be easy to push everything out. Their wrong tokens are counted (api.limits), and an event tells of who shows too
many.
"""

from __future__ import annotations

from collections.abc import Callable

from flask import Blueprint, Flask, Response, g, request

from api import auth, reading
from api.answers import answer
from api.audit_schemas import AuditBody, AuditQuery, ChangeBody
from api.context import context
from api.openapi import Answer, Operation, operation
from config.tokens import Role
from tasks.audit_log import LONGEST_PATH, AuditLog, Change

blueprint = Blueprint("audit", __name__, url_prefix="/api/audit")
_NOISE = frozenset({"too-many-requests", "not-found", "method-not-allowed"})
_LOOKS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})


def install(app: Flask, log: AuditLog, clock: Callable[[], float]) -> None:
    def record(response: Response) -> Response:
        caller = auth.caller()
        if request.method not in _LOOKS and caller is not None and not _is_noise(caller, g.get("problem")):
            log.record(_change(caller, response, clock()))
        return response

    app.after_request(record)


@blueprint.get("")
@operation(
    Operation(
        "Who changed what: the last 10,000 requests that may have changed something, or the last 1,000 that were "
        "refused, newest first.",
        {200: Answer("One page.", AuditBody)},
        (503,),
        query=AuditQuery,
        role=Role.ADMIN,
    )
)
def page() -> Response:
    asked = reading.query(AuditQuery)
    found = context().audit.page(refused=asked.refused, caller=asked.caller, before=asked.before, limit=asked.limit)
    changes = [ChangeBody(id=made, **vars(change)) for made, change in found.changes]
    return answer(AuditBody(changes=changes, next=found.next))


def _is_noise(caller: auth.Caller, problem: str | None) -> bool:
    return problem is not None and (problem in _NOISE or caller.name == auth.ANONYMOUS)


def _change(caller: auth.Caller, response: Response, now: float) -> Change:
    return Change(
        at=now,
        caller=caller.name,
        role=caller.role.word,
        address=auth.address(),
        method=request.method,
        path=request.path[:LONGEST_PATH],
        status=response.status_code,
        about=g.get("about"),
        job=g.get("job"),
        problem=g.get("problem"),
    )
