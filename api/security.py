"""/api/security: the last security report, and having one made now."""

from __future__ import annotations

from flask import Blueprint, Response

from api import reading
from api.answers import answer
from api.context import context
from api.openapi import Answer, Operation, operation
from api.schemas import NoQuery
from api.security_schemas import ReportBody, ReportRequest
from api.submitting import JOB_ANSWERS, JOB_HEADERS, submit
from config.tokens import Role
from tasks.jobs import Kind, Request

blueprint = Blueprint("security", __name__, url_prefix="/api/security")


@blueprint.get("/report")
@operation(
    Operation("The last security report: what is wrong, how bad it is, what to do, and what was not looked at.",
              {200: Answer("The report; all of it null before the first.", ReportBody)}, (503,), query=NoQuery,
              role=Role.OPERATE)
)  # fmt: skip
def report() -> Response:
    reading.query(NoQuery)
    found = context().seen.audits.report()
    return answer(ReportBody.model_validate(found) if found else ReportBody())


@blueprint.post("/report")
@operation(
    Operation("Look at all nodes and at our own settings now; the job's `result` is the report.",
              JOB_ANSWERS, (409, 503), body=ReportRequest, bare=True, headers=JOB_HEADERS)
)  # fmt: skip
def make() -> Response:
    asked = reading.optional_body(ReportRequest)
    # the same as tasks.audit asks for: who comes while one is queued gets that one
    return submit(Request(Kind.AUDIT, None, {}), asked.wait)
