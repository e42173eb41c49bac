"""Structured logs: one event a line, with the job's id where there is one, and never a credential.

structlog renders our own events and everything that libraries log through the standard module alike, so
that one filter masks secrets in all of them.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

from config.settings import Settings

Event = MutableMapping[str, Any]


def configure(settings: Settings, scrub: Any) -> None:
    """Send this process's logs to standard error.

    `scrub(text, secrets)` masks credentials; it is handed in because config imports nothing above it.
    """
    secrets = settings.secrets

    def mask(_logger: Any, _method: str, event: Event) -> Event:
        for key, value in event.items():
            if isinstance(value, str):
                event[key] = scrub(value, secrets)
        return event

    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer: Any = (
        structlog.processors.JSONRenderer()
        if settings.log_format == "json"
        else structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    )
    # exceptions become text before masking, and masking is the last step before rendering
    last: list[Any] = [structlog.processors.format_exc_info, mask, renderer]
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[structlog.stdlib.ExtraAdder(), *shared],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level.upper())
    # Celery tells of each message at info, we of each job
    for noisy in ("urllib3", "kombu", "amqp", "celery.worker.strategy", "celery.app.trace", "celery.beat"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )


def get(name: str) -> structlog.stdlib.BoundLogger:
    return structlog.stdlib.get_logger(name)
