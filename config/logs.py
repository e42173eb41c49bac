"""Structured logs: one event a line, with the job's id where there is one, and never a credential.

structlog renders our own events and everything that libraries log through the standard module alike, so
that one filter masks secrets in all of them.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterable, MutableMapping
from typing import Any

import structlog

from config.settings import Settings

Event = MutableMapping[str, Any]
# Celery tells of each message at info, we of each job
NOISY = ("urllib3", "kombu", "amqp", "celery.worker.strategy", "celery.app.trace", "celery.beat")


def configure(settings: Settings, scrub: Callable[[str, Iterable[str]], str]) -> None:
    """Send this process's logs to standard error.

    `scrub(text, secrets)` masks credentials; it is handed in because config imports nothing above it.
    """
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    # exceptions become text before masking, and masking is the last step before rendering
    last: list[Any] = [structlog.processors.format_exc_info, _masking(settings.secrets, scrub), _renderer(settings)]
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[structlog.stdlib.ExtraAdder(), *shared],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level.upper())
    for noisy in NOISY:
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


def _masking(secrets: Iterable[str], scrub: Callable[[str, Iterable[str]], str]) -> Any:
    known = tuple(secrets)

    def masked(value: Any) -> Any:
        """Libraries hand on whole dictionaries (`extra`): a secret may stand at any depth."""
        if isinstance(value, str):
            return scrub(value, known)
        if isinstance(value, dict):
            return {key: masked(item) for key, item in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [masked(item) for item in value]
        return value if isinstance(value, int | float | bool | None) else scrub(str(value), known)

    def mask(_logger: Any, _method: str, event: Event) -> Event:
        for key, value in event.items():
            event[key] = masked(value)
        return event

    return mask


def _renderer(settings: Settings) -> Any:
    if settings.log_format == "json":
        return structlog.processors.JSONRenderer()
    return structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback)


def get(name: str) -> structlog.stdlib.BoundLogger:
    return structlog.stdlib.get_logger(name)
