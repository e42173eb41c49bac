"""Puts the API together. Flask, thin: validate, authorise, submit, answer.

Everything the routes need is handed in, so that a test makes an app of its own with a store of its own.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from flask import Flask, Response

from api import (
    auth,
    backups,
    context,
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
    webhooks,
)
from config.settings import Settings
from tasks.backup_plan import plan_of
from tasks.backups_seen import BackupsSeen
from tasks.events import Events
from tasks.lookup import Lookup
from tasks.observations import Observations
from tasks.receivers import Receivers
from tasks.replication_seen import ReplicationSeen
from tasks.submit import Jobs

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
    docs.blueprint,
)
_SECURITY = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


def create_app(
    settings: Settings,
    jobs: Jobs,
    seen: Observations,
    lookup: Lookup,
    replication_seen: ReplicationSeen,
    soon: Callable[[str], None],
    recorded: Events,
    backups_seen: BackupsSeen,
    receivers: Receivers,
    *,
    clock: Callable[[], float] = time.time,
    keep_alive_seconds: float = KEEP_ALIVE,
) -> Flask:
    """`soon(task)` has the control process run one of its scheduled tasks now."""
    app = Flask("api", static_folder=None, template_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = settings.api_max_body_bytes
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False  # no cross-origin callers, so nothing to tell them
    app.url_map.merge_slashes = False  # //api//jobs is a wrong address, not a redirect
    app.url_map.converters["backup"] = backups.BackupId
    errors.install(app)
    auth.install(app, settings)
    app.after_request(_secured)
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
            backup_plan=plan_of(settings),
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
    for name, value in _SECURITY.items():
        headers.setdefault(name, value)
    return response
