"""The entry for a WSGI server: `gunicorn "api.wsgi:make()"`. A function, so that importing it does nothing."""

from __future__ import annotations

from flask import Flask

from api.app import create_app
from config.settings import Settings, current
from tasks.audit_log import AuditLog
from tasks.redis import API_PATIENCE
from tasks.sign_ins import SignIns
from tasks.wiring import build
from tasks.workload import Workload


def make(settings: Settings | None = None) -> Flask:
    """The app, wired to Redis and Celery as the settings (of the environment, by default) say."""
    settings = settings or current()
    parts = build(settings, patience=API_PATIENCE)
    return create_app(
        settings,
        parts.jobs,
        parts.seen,
        parts.lookup,
        parts.replication,
        parts.publisher.soon,
        parts.events,
        parts.backups,
        AuditLog(parts.redis),
        SignIns(parts.redis),
        parts.receivers,
        Workload(parts.tallies, parts.dirty, parts.publisher.depths),
    )
