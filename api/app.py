"""Puts the API together. Flask, thin: validate, authorise, submit, answer.

Everything the routes need is handed in, so that a test makes an app of its own with a store of its own.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable

from flask import Flask, Response, request
from jinja2 import StrictUndefined
from werkzeug.middleware.proxy_fix import ProxyFix

from api import (
    audit,
    backups,
    context,
    databases,
    docs,
    errors,
    events,
    health,
    jobs,
    metrics,
    nodes,
    observed,
    openapi,
    replication,
    rotation,
    security,
    sign_in,
    stream,
    topology,
    webhooks,
)
from api.auth import Gate
from api.dashboard import pages, rendering
from api.latency import Latency
from api.limits import LOCKED_MINUTES
from api.sessions import Sessions
from api.tokens import Tokens
from config.logs import get
from config.settings import Settings
from tasks.audit_log import AuditLog
from tasks.backup_plan import plan_of
from tasks.backups_seen import BackupsSeen
from tasks.events import Events
from tasks.lookup import Lookup
from tasks.observations import Observations
from tasks.receivers import Receivers
from tasks.redis import StoreUnavailable
from tasks.replication_seen import ReplicationSeen
from tasks.sign_ins import SignIns
from tasks.submit import Jobs
from tasks.workload import Workload

VERSION = "0.1.0"
KEEP_ALIVE = 15.0  # seconds between two comments on a quiet event stream
_BLUEPRINTS = (
    replication.blueprint,
    jobs.blueprint,
    backups.blueprint,
    events.blueprint,
    webhooks.blueprint,
    metrics.blueprint,
    health.blueprint,
    nodes.blueprint,
    databases.blueprint,
    audit.blueprint,
    rotation.blueprint,
    sign_in.blueprint,
    docs.blueprint,
    pages.blueprint,
    security.blueprint,
    stream.blueprint,
    topology.blueprint,
)
_SECURITY = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    # not no-referrer: with that a browser sends `Origin: null` along with our own forms, too (Fetch, "append a request
    # `Origin` header"), which is the origin of a stranger
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_ONE_YEAR = 31_536_000  # seconds
log = get(__name__)


def create_app(
    settings: Settings,
    jobs: Jobs,
    seen: Observations,
    lookup: Lookup,
    replication_seen: ReplicationSeen,
    soon: Callable[[str], None],
    recorded: Events,
    backups_seen: BackupsSeen,
    audit_log: AuditLog,
    sign_ins: SignIns,
    receivers: Receivers,
    workload: Workload,
    *,
    clock: Callable[[], float] = time.time,
    keep_alive_seconds: float = KEEP_ALIVE,
) -> Flask:
    """`soon(task)` has the control process run one of its scheduled tasks now."""
    app = Flask("api")
    app.jinja_options = {"autoescape": True, "undefined": StrictUndefined, "trim_blocks": True, "lstrip_blocks": True}
    app.config["MAX_CONTENT_LENGTH"] = settings.api_max_body_bytes
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False  # no cross-origin callers, so nothing to tell them
    app.url_map.merge_slashes = False  # //api//jobs is a wrong address, not a redirect
    app.url_map.converters["backup"] = backups.BackupId
    if settings.api_proxies:
        # the last that many entries are our proxies' word, and what stands before them anybody's
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=settings.api_proxies, x_proto=1, x_host=0)  # type: ignore[method-assign]
    latency = Latency()
    latency.install(app)
    errors.install(app, rendering.of_problem)
    rendering.install(app)
    tell = functools.partial(_record, recorded, clock)
    tokens = Tokens(settings, functools.partial(_tell_of_tokens, tell))
    sessions = Sessions(settings, tokens, sign_ins)
    gate = Gate(settings, tokens, sessions, openapi.roles(app), functools.partial(_tell_of_lock, tell))
    gate.install(app)
    app.after_request(_secured)
    audit.install(app, audit_log, clock)
    for blueprint in _BLUEPRINTS:
        app.register_blueprint(blueprint)
    context.install(
        app.extensions,
        context.Context(
            settings=settings,
            jobs=jobs,
            seen=seen,
            lookup=lookup,
            replication=replication_seen,
            soon=soon,
            events=recorded,
            backups=backups_seen,
            receivers=receivers,
            workload=workload,
            latency=latency,
            backup_plan=plan_of(settings),
            audit=audit_log,
            gate=gate,
            sessions=sessions,
            slots=context.Slots(settings.api_threads),
            clock=clock,
            shown_settings=observed.shown_settings(settings),
            openapi=openapi.document(app, VERSION),
            keep_alive_seconds=keep_alive_seconds,
        ),
    )
    return app


def _secured(response: Response) -> Response:
    headers = response.headers
    # at once: werkzeug looks through all of them for each that is set alone
    present = {name for name, _ in headers}
    headers.extend([pair for pair in _SECURITY.items() if pair[0] not in present])
    if request.is_secure:
        headers.setdefault("Strict-Transport-Security", f"max-age={_ONE_YEAR}")
    return response


def _tell_of_tokens(tell: Callable[..., None], why: str) -> None:
    detail = f"API_TOKENS was changed and cannot be used, so what it said before counts on: {why}"
    tell("access.tokens-refused", "error", detail)


def _tell_of_lock(tell: Callable[..., None], address: str) -> None:
    detail = f"too many wrong tokens came from {address}: no token from there is looked at for {LOCKED_MINUTES} minutes"
    tell("access.locked-out", "warning", detail, address=address)


def _record(recorded: Events, clock: Callable[[], float], type: str, severity: str, detail: str, **data: str) -> None:
    """Without Redis the log alone has it: nobody who asks is held up by that."""
    try:
        recorded.record(type, at=clock(), detail=detail, severity=severity, **data)
    except StoreUnavailable:
        log.warning("event not kept: Redis is away", type=type, **data)
