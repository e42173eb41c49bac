"""The one place that puts messages on Celery's queues.

A message is a job's id and nothing else. `argsrepr` is what Flower shows instead of it: what it is about, in words.

Written with kombu in Celery's documented protocol, version 2
(https://docs.celeryq.dev/en/stable/internals/protocol.html), and not with `send_task`: that works routes,
options and signals out anew for every message, which took half of the processor time of a POST.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from celery import Celery
from kombu.exceptions import ChannelError, OperationalError

from config.celery import CONTROL_QUEUE, JOB_QUEUES, ON_CHANGE_QUEUE
from tasks.jobs import Request
from tasks.redis import StoreUnavailable, translated

_EMBEDDED = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
_PERSISTENT = 2
# seconds; whoever asks how long the queues are (a scrape, the reaper) asks again soon, and others wait for the answer
_PATIENCE = {"socket_timeout": 2}


class Publisher:
    def __init__(self, app: Celery) -> None:
        self._app = app

    def job(self, job_id: str, request: Request) -> None:
        """Raises StoreUnavailable where the broker does not answer."""
        kind = request.kind.value
        self._send(kind, [job_id], queue=kind, shown=f"{request.about} {job_id}")

    def on_change(self, database: str, token: str) -> None:
        """Have a worker sync a database that changed. Raises StoreUnavailable."""
        self._send("on-change", [database, token], queue=ON_CHANGE_QUEUE, shown=database)

    def soon(self, task: str) -> None:
        """Have the control process run one of its scheduled tasks now. Nobody waits for it."""
        expires = (datetime.now(UTC) + timedelta(seconds=10)).isoformat()
        self._send(f"{task}-now", [], queue=CONTROL_QUEUE, shown="", expires=expires)

    def look(self, database: str, box: str) -> None:
        """Have a worker look for a database. Nobody waits for the answer for longer than ten seconds."""
        expires = (datetime.now(UTC) + timedelta(seconds=10)).isoformat()
        self._send("look", [database, box], queue=CONTROL_QUEUE, shown=database, expires=expires)

    def depth(self, queue: str) -> int:
        """Messages on a queue that no worker has taken yet. Raises StoreUnavailable."""
        return self._depths([queue])[queue]

    def depths(self) -> dict[str, int]:
        """The same of every queue."""
        return self._depths([*JOB_QUEUES, ON_CHANGE_QUEUE, CONTROL_QUEUE])

    def _depths(self, queues: Sequence[str]) -> dict[str, int]:
        try:
            with translated(), self._app.connection_for_write(transport_options=_PATIENCE) as connection:
                return {queue: _messages(connection.default_channel, queue) for queue in queues}
        except (OperationalError, OSError) as error:
            raise StoreUnavailable(f"the queue does not answer ({type(error).__name__})") from error

    def _send(self, task: str, args: list[Any], *, queue: str, shown: str, expires: str | None = None) -> None:
        message_id = str(uuid.uuid4())
        headers = {
            "lang": "py",
            "task": task,
            "id": message_id,
            "root_id": message_id,
            "parent_id": None,
            "group": None,
            "argsrepr": f"({shown})",
            "kwargsrepr": "{}",
            "retries": 0,
            "timelimit": [None, None],
            "eta": None,
            "expires": expires,
            "origin": "notebook-replication",
            "ignore_result": True,
        }
        try:
            with translated(), self._app.producer_pool.acquire(block=True) as producer:
                producer.publish(
                    [args, {}, _EMBEDDED],
                    headers=headers,
                    correlation_id=message_id,
                    exchange="",
                    routing_key=queue,
                    serializer="json",
                    delivery_mode=_PERSISTENT,
                    retry=False,
                )
        except (OperationalError, OSError) as error:
            raise StoreUnavailable(f"the queue does not take messages ({type(error).__name__})") from error


def _messages(channel: Any, queue: str) -> int:
    try:
        return int(channel.queue_declare(queue, passive=True).message_count)
    except ChannelError:
        return 0  # a queue without messages does not exist in Redis
