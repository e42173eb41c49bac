"""The peer of bench/api.py: the least Flask and Celery app that takes a request and enqueues it.

Served by the same gunicorn settings as our API. It validates nothing, keeps no record and answers at once:
what it does per request is the floor.
"""

from __future__ import annotations

import sys

from celery import Celery
from flask import Flask, request

from api.__main__ import Server
from config.celery import options
from config.settings import Settings, current


def make(settings: Settings) -> Flask:
    queue = Celery("bare", set_as_current=False)
    queue.config_from_object(options(settings))
    app = Flask("bare")

    @queue.task(name="sync", shared=False, ignore_result=True)  # type: ignore[untyped-decorator]
    def sync(database: str) -> None:
        """Never run: no worker is started."""

    @app.post("/api/replication/sync")
    def enqueue() -> tuple[dict[str, str], int]:
        task = sync.delay(request.get_json()["database"])
        return {"id": task.id}, 202

    @app.get("/api/health")
    def health() -> dict[str, str]:
        return {"status": "ok"}

    return app


class BareServer(Server):
    def load(self) -> Flask:
        return make(self._settings)


if __name__ == "__main__":
    BareServer(current()).run()
    sys.exit(0)
