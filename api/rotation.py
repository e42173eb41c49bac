"""POST /api/security/rotate: change the passwords on all nodes.

The request holds no password and neither does its job: both stand in the settings of every process meanwhile
(docs/security.md, Change a password).
"""

from __future__ import annotations

from flask import Blueprint, Response
from pydantic import Field

from api import reading
from api.context import context
from api.errors import Problem
from api.openapi import Operation, operation
from api.schemas import In
from api.submitting import JOB_ANSWERS, JOB_HEADERS, submit
from config.tokens import Role
from tasks.jobs import Kind, Request
from worker.core.logins import Which

blueprint = Blueprint("rotation", __name__, url_prefix="/api/security")


class RotateRequest(In):
    back: bool = Field(False, description="Give all nodes the previous password again.")
    wait: bool = Field(False, description="Hold the answer until the job has ended, for at most 30 seconds.")


@blueprint.post("/rotate")
@operation(
    Operation(
        "Change the passwords on all nodes to those in the settings, or back to the previous ones.",
        JOB_ANSWERS,
        (409, 503),
        body=RotateRequest,
        bare=True,
        headers=JOB_HEADERS,
        role=Role.ADMIN,
    )
)
def rotate() -> Response:
    asked = reading.optional_body(RotateRequest)
    require_change()
    to = Which.PREVIOUS if asked.back else Which.CURRENT
    return submit(Request(Kind.ROTATE, None, {"to": to.value}), asked.wait)


def require_change() -> None:
    if not context().settings.changes_passwords:
        raise Problem(
            "nothing-to-change",
            "set COUCHDB_PASSWORD_PREVIOUS (or REPLICATION_PASSWORD_PREVIOUS) to the password that the nodes have and "
            "COUCHDB_PASSWORD (REPLICATION_PASSWORD) to the new one, for all processes, and restart them in any order",
        )
