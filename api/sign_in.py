"""The way in for browsers: a form that takes a token once, and GET /api/session, which tells a page who is signed in.

The only address that takes a form. It needs no proof that a page of ours sent it but the Origin check: whoever signs a
victim in with a token of their own needs to be on this very origin.
"""

from __future__ import annotations

from urllib.parse import quote

from flask import Blueprint, Response, g, redirect, render_template, request

from api import auth, reading
from api.answers import answer
from api.context import context
from api.errors import Problem
from api.openapi import Answer, Operation, operation
from api.schemas import NoQuery
from api.session_schemas import SessionBody
from api.sessions import Session
from config.logs import get

log = get(__name__)
blueprint = Blueprint("sign_in", __name__)
POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'"
)
AFTERWARDS = "/"


@blueprint.get("/sign-in")
def page() -> Response:
    return _page(200)


@blueprint.post("/sign-in")
def enter() -> Response:
    """Sign in with the form's `token`, and go on to `next`."""
    if request.mimetype not in {"application/x-www-form-urlencoded", "multipart/form-data"}:
        raise Problem("not-a-form", "send the field token as a form does: application/x-www-form-urlencoded")
    parts = context()
    try:
        found = parts.gate.token(request.form.get("token", ""))
    except Problem as problem:
        return _page(problem.status, problem.detail, problem.headers)
    if found is None:
        log.warning("sign-in refused", address=auth.address())
        return _page(401, "This is none of the tokens that open here.")
    response = _to(request.form.get("next", ""))
    before = _session()
    if before is not None:
        parts.sessions.close(before)
    parts.sessions.begin(found, response, secure=request.is_secure)
    g.caller, g.about = auth.Caller(found.name, found.role), "signed in"  # for the audit log: who it is from now on
    return response


@blueprint.post("/sign-out")
def leave() -> Response:
    session = _session()
    response = redirect("/sign-in", 303)
    if session is not None:
        context().sessions.end(session, response, secure=request.is_secure)  # type: ignore[arg-type]
    return response  # type: ignore[return-value]


@blueprint.get("/api/session")
@operation(
    Operation(
        "Who is asking, and what a page has to send along to change anything.",
        {200: Answer("The caller.", SessionBody)},
        query=NoQuery,
        open=True,
    )
)
def session() -> Response:
    reading.query(NoQuery)
    caller, signed_in = auth.caller(), _session()
    return answer(
        SessionBody(
            caller=caller.name if caller else None,
            role=caller.role.word if caller else None,
            signed_in=signed_in is not None,
            csrf_token=context().sessions.csrf_token(signed_in) if signed_in else None,
        )
    )


def _session() -> Session | None:
    caller = auth.caller()
    return caller.session if caller else None


def _page(status: int, problem: str | None = None, headers: dict[str, str] | None = None) -> Response:
    signed_in = _session()
    text = render_template(
        "sign_in.html",
        caller=auth.caller(),
        csrf_token=context().sessions.csrf_token(signed_in) if signed_in else None,
        next=_own_path(request.values.get("next", "")),
        problem=problem,
    )
    policy = {"Content-Security-Policy": POLICY}
    return Response(text, status, {**policy, **(headers or {})}, content_type="text/html; charset=utf-8")


def _to(path: str) -> Response:
    return redirect(_own_path(path) or AFTERWARDS, 303)  # type: ignore[return-value]


def _own_path(path: str) -> str:
    """`path` where it is one of this server; browsers take // and a backslash for the start of another's name."""
    if not path.startswith("/") or path[1:2] in {"/", "\\"} or not path.isprintable():
        return ""
    return quote(path, safe="/?&=%:;,+~#!$'()*@")
