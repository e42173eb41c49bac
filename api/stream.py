"""GET /api/stream: what changes, as it changes, for who looks at the whole (the dashboard, `nbr events -f`).

It ends after a minute, and an EventSource connects again by itself with the id of the last event it has: so a sign-in
that was ended is noticed, and a server that stops has nobody to wait for.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import Any

from flask import Blueprint, Response, request

from api import reading
from api.context import Context, context
from api.openapi import Answer, Operation, operation
from api.schemas import EventBody, JobBody, NoQuery, is_event_id
from api.streaming import KEEP_ALIVE, MEDIA, message, streamed
from tasks.events import EventFilter
from tasks.jobs import Kind
from tasks.redis import StoreUnavailable

LASTS = 60.0  # seconds
LOOK = 1.0  # seconds between two looks at what nobody tells us of
RECONNECT = "retry: 1000\n\n"  # milliseconds
_WHAT = (
    "`job`: a job as it is now (without `result` and `params`); `event`: one that was recorded; `seen`: when nodes, "
    "links, databases and backups were last looked at, now and whenever that moves. Ends after a minute: connect again "
    "with `Last-Event-ID`."
)

blueprint = Blueprint("stream", __name__, url_prefix="/api/stream")


@blueprint.get("")
@operation(
    Operation("Follow everything (server-sent events).", {200: Answer(_WHAT, media=MEDIA)}, (503,), query=NoQuery)
)
def stream() -> Response:
    reading.query(NoQuery)
    parts = context()
    given = request.headers.get("Last-Event-ID", "")
    after = given if is_event_id(given) else None
    return streamed(lambda: _lines(parts, after), "asking again and again")


def _lines(parts: Context, after: str | None) -> Iterator[str]:
    """Ends early where Redis goes away: an EventSource then connects again."""
    try:
        yield RECONNECT
        after = after or _newest(parts)
        begun = told_at = parts.clock()
        looked_at = 0.0
        seen: dict[str, Any] = {}
        for changed in itertools.chain([set[str]()], parts.jobs.changes(LOOK)):
            now = parts.clock()
            told = [*_jobs(parts, changed)]
            # jobs may change a hundred times a second: what nobody tells us of is not asked for as often
            if now - looked_at >= LOOK or not changed:
                looked_at = now
                for event in parts.events.list(EventFilter(), after=after).events:
                    told.append(message("event", EventBody.of(event).model_dump_json(), event.id))
                    after = event.id
                if (found := _seen(parts)) != seen:
                    told.append(message("seen", json.dumps(found)))
                    seen = found
            if not told and now - told_at >= parts.keep_alive_seconds:
                told = [KEEP_ALIVE]
            if told:
                told_at = now
            yield from told
            if now - begun >= LASTS:
                return
    except StoreUnavailable:
        yield ": Redis does not answer\n\n"


def _newest(parts: Context) -> str:
    found = parts.events.list(EventFilter(), limit=1).events
    return found[0].id if found else "0-0"


def _jobs(parts: Context, changed: set[str]) -> Iterator[str]:
    for job_id in sorted(changed):
        job = parts.jobs.get(job_id)
        if job is not None and job.kind is not Kind.WEBHOOK:  # one comes with each event
            yield message("job", JobBody.of(job).model_dump_json(exclude={"result", "params"}))


def _seen(parts: Context) -> dict[str, float | None]:
    """What was looked at -> seconds since the epoch; None: not yet."""
    looked = parts.seen.looked()
    return {what: looked.get(what) for what in ("nodes", "links", "databases")} | {
        "backups": parts.backups.observed_at()
    }
