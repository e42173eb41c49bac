"""How pages are answered: what every template knows, and headers that let a page load nothing but what is ours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

from flask import Flask, Response, redirect, render_template, request
from pydantic import BaseModel

from api import auth
from api.context import context
from api.dashboard import words
from api.errors import Problem
from api.jobs import ADMINS
from api.schemas import JobBody
from config.tokens import Role
from tasks.jobs import Kind
from worker.core.times import rfc3339

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_SIGN_IN = "/sign-in"


def install(app: Flask) -> None:
    for name, filter in words.FILTERS.items():
        app.jinja_env.filters[name] = filter


def page(template: str, status: int = 200, **data: Any) -> Response:
    """`observed_at` in `data`: when what the page shows was seen; it is told at its foot. Where nobody looks at the
    nodes any more, every page says so at its top."""
    parts = context()
    caller = auth.caller()
    role = caller.role if caller else Role.VIEW
    session = caller.session if caller else None
    now = parts.clock()
    # a problem is told without asking Redis, which may be the problem
    sweep = parts.seen.sweep() if template != "problem" else None
    is_old = sweep is not None and now - sweep["observed_at"] > parts.settings.stale_after
    text = render_template(
        f"dashboard/{template}.html",
        **{"observed_at": None, **data},
        page=template,
        now=now,
        unseen_since=rfc3339(sweep["observed_at"]) if sweep and is_old else None,
        ago=lambda at: words.ago(at, now),
        caller=caller,
        anonymous=caller is None or caller.name == auth.ANONYMOUS,
        may_operate=role >= Role.OPERATE,
        may_admin=role >= Role.ADMIN,
        csrf_token=parts.sessions.csrf_token(session) if session else None,
        flower=parts.settings.flower_link,
        admin_kinds=ADMINS,
        seconds_between=lambda begun, ended: words.moment(ended) - words.moment(begun),
        query=_query,
        name_to_type=_name_to_type,
        milliseconds=words.milliseconds,
        number=words.number,
    )
    return Response(text, status, {"Content-Security-Policy": POLICY}, content_type="text/html; charset=utf-8")


def _query(asked: BaseModel, change: Mapping[str, str]) -> str:
    """Of a link to another page of the same list."""
    given = asked.model_dump(mode="json", exclude_none=True, exclude_defaults=True)
    return urlencode({**given, **change})


def _name_to_type(job: JobBody) -> str | None:
    """Before it is asked for again: what could not be undone the first time cannot be undone now."""
    if job.kind is Kind.RESTORE and not job.params.get("dry_run"):
        return job.params.get("as") or job.database or str(job.params["backup"])
    if job.kind is Kind.HOLD and not job.params.get("on"):
        return str(job.params["backup"])
    return None


def of_problem(problem: Problem) -> Response | None:
    """A page that says it, where a person looks at pages; None: a program asked."""
    if not _is_for_people():
        return None
    if problem.name == "unauthorized" and request.method == "GET":
        wanted = request.full_path.rstrip("?")
        return redirect(f"{_SIGN_IN}?next={quote(wanted, safe='')}", 303)  # type: ignore[return-value]
    response = page("problem", problem.status, problem=problem)
    response.headers.extend(problem.headers)
    return response


def _is_for_people() -> bool:
    if request.endpoint is not None:
        return request.endpoint.startswith("dashboard.")
    # an address that is none: a browser would rather have text/html. Not `best`, which is what is named most exactly:
    # Chromium's is application/signed-exchange;v=b3
    wanted = request.accept_mimetypes.best_match(["application/json", "text/html"])
    return not request.path.startswith("/api/") and wanted == "text/html"
