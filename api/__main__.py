"""`python -m api`: the API under gunicorn, in this process and one worker of its own.

One worker process with threads: requests wait for Redis, not for the processor, and the bound on waiting
requests (api.context.Slots) counts those of one process. More machines or more speed: start it more often.
"""

from __future__ import annotations

import sys
from typing import Any

from flask import Flask
from gunicorn.app.base import BaseApplication  # type: ignore[import-untyped]
from gunicorn.glogging import Logger  # type: ignore[import-untyped]

from api.patience import Worker
from api.wsgi import make
from config import logs
from config.settings import Settings, SettingsError, load
from worker.core.redact import scrub

GRACE = 5  # seconds that running requests have when the API is told to stop
KEEP_ALIVE = 5


class _Logs(Logger):  # type: ignore[misc]
    """gunicorn's messages through our own handler and format (config.logs)."""

    def setup(self, cfg: Any) -> None:
        self.error_log.handlers.clear()
        self.error_log.propagate = True


class Server(BaseApplication):  # type: ignore[misc]
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        super().__init__()

    def load_config(self) -> None:
        for name, value in options(self._settings).items():
            self.cfg.set(name, value)

    def load(self) -> Flask:
        """In the worker process, after the fork: connections are never shared between processes."""
        return make(self._settings)


def options(settings: Settings) -> dict[str, Any]:
    host = f"[{settings.api_host}]" if ":" in settings.api_host else settings.api_host
    return {
        "bind": f"{host}:{settings.api_port}",
        "workers": 1,
        "worker_class": Worker,
        "threads": settings.api_threads,
        "keepalive": KEEP_ALIVE,
        "graceful_timeout": GRACE,
        "control_socket_disable": True,
        "logger_class": _Logs,
        "proc_name": "notebook-replication-api",
    }


def main() -> int:
    try:
        settings = load()
        if not settings.redis_url.get_secret_value():
            raise SettingsError(
                "REDIS_URL: must be set to the Redis that the workers use, like redis://127.0.0.1:6379/0"
            )
    except SettingsError as error:
        print(f"api: {error}", file=sys.stderr)
        return 2
    logs.configure(settings, scrub)
    Server(settings).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
