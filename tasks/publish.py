"""The one place that puts messages on Celery's queues.

A message is a job's id and nothing else. `argsrepr` is what Flower shows instead of it: the database, in words.
"""

from __future__ import annotations

from typing import Any

from celery import Celery
from kombu.exceptions import ChannelError, OperationalError

from tasks.jobs import Request
from tasks.redis import StoreUnavailable, translated


class Publisher:
    def __init__(self, app: Celery) -> None:
        self._app = app

    def job(self, job_id: str, request: Request) -> None:
        """Raises StoreUnavailable where the broker does not answer."""
        self._send(
            request.kind.value, (job_id,), queue=request.kind.value, shown=f"{request.database or 'all'} {job_id}"
        )

    def depth(self, queue: str) -> int:
        """Messages on a queue that no worker has taken yet. Raises StoreUnavailable."""
        try:
            with translated(), self._app.connection_for_write() as connection:
                return int(connection.default_channel.queue_declare(queue, passive=True).message_count)
        except ChannelError:
            return 0  # a queue without messages does not exist in Redis
        except (OperationalError, OSError) as error:
            raise StoreUnavailable(f"the queue does not answer ({type(error).__name__})") from error

    def look(self, database: str, box: str) -> None:
        self._send("look", (database, box), queue="control", shown=database, expires=10)

    def _send(self, task: str, args: tuple[Any, ...], *, queue: str, shown: str, expires: float | None = None) -> None:
        try:
            self._app.send_task(
                task, args, queue=queue, argsrepr=f"({shown})", expires=expires, ignore_result=True, retry=False
            )
        except (OperationalError, OSError) as error:
            raise StoreUnavailable(f"the queue does not take messages ({type(error).__name__})") from error
