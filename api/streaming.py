"""Server-sent events: an answer that holds a thread.

https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator

from flask import Response, request

from api import auth
from api.context import context
from api.errors import Problem

MEDIA = "text/event-stream"
KEEP_ALIVE = ": keep-alive\n\n"
_HEADERS = {"X-Accel-Buffering": "no"}  # nginx would hold it back until there is more


def streamed(lines: Callable[[], Iterator[str]], instead: str) -> Response:
    """Raises Problem 503 where no thread is to be spared; `instead` says what works then."""
    if request.method == "HEAD":  # werkzeug never closes the body of such an answer: no thread to hold
        return Response("", headers=_HEADERS, content_type=MEDIA)
    slots, who = context().slots, auth.key()
    if not slots.take(who):
        raise Problem(
            "too-many-streams",
            f"{slots.most} requests wait or follow at once, {slots.each} of one caller; {instead} works",
            {"Retry-After": "5"},
        )
    response = Response(lines(), headers=_HEADERS, content_type=MEDIA)
    # not in the generator's own `finally`: one that was never started has none
    response.call_on_close(functools.partial(slots.give_back, who))
    return response


def message(event: str, data: str, id: str | None = None) -> str:
    """`data`: JSON, so on one line. `id`: what a client that connects again tells it has seen last."""
    return f"event: {event}\n{f'id: {id}' + chr(10) if id else ''}data: {data}\n\n"
