"""A job until it has ended: by its server-sent events, again after they broke off, else by asking for it every second.

The stream is the quick way and not the only one: the API is restarted under it, it is refused where too many follow
jobs already, and a proxy may keep it to itself. Each begins with the job as it is: nothing is missed between two.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from cli.api import Api, Body, StreamBroken, part
from cli.errors import ApiError, Exit, Unavailable
from cli.words import typed

ENDED = {"succeeded", "failed", "cancelled"}
EVERY = 1.0  # seconds between two tries
PATIENCE = 60  # tries in a row that the API may be away
NOT_FOUND = 404  # what a proxy says while the API is away; first of all it means that the address is wrong


def follow(api: Api, job_id: str, pause: Callable[[float], None]) -> Iterator[Body]:
    """The job now and at each change, ended last. Raises Unavailable where the API is away for long, and ApiError where
    there is no such job."""
    last: Any = None
    away = 0
    streams = True
    while True:
        heard = False
        try:
            for job in _seen(api, job_id, streams):
                heard, away = True, 0
                if job != last:
                    last = job
                    yield job
                if job["state"] in ENDED:
                    return
        except StreamBroken:
            streams = heard  # a stream that brings nothing never will: something on the way holds it back
        except ApiError as error:
            if error.code != Exit.UNAVAILABLE or (error.status == NOT_FOUND and last is None):
                raise
            streams = streams and error.name != "too-many-streams"
            away += 1
        except Unavailable:
            away += 1
        if away > PATIENCE:
            raise Unavailable(
                f"{api.url} does not answer any more; job {job_id} may go on: nbr jobs watch {typed(job_id)}"
            )
        pause(EVERY)


def _seen(api: Api, job_id: str, streams: bool) -> Iterator[Body]:
    path = f"/api/jobs/{part(job_id)}"
    if not streams:
        yield api.get(path)
        return
    with api.stream(f"{path}/events") as jobs:
        yield from jobs
