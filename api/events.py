"""/api/events: what happened lately."""

from __future__ import annotations

from flask import Blueprint, Response

from api import reading
from api.answers import answer
from api.context import Context, context
from api.openapi import Answer, Operation, operation
from api.schemas import EventBody, EventsBody, EventsQuery
from tasks.events import EventFilter

blueprint = Blueprint("events", __name__, url_prefix="/api/events")


@blueprint.get("")
@operation(
    Operation(
        "What happened lately: the last 1,000 events, newest first, or from one of them on.",
        {200: Answer("One page.", EventsBody)},
        (503,),
        query=EventsQuery,
    )
)
def page() -> Response:
    return answer(listed(context(), reading.query(EventsQuery)))


def listed(parts: Context, asked: EventsQuery) -> EventsBody:
    """Raises StoreUnavailable."""
    wanted = EventFilter(asked.type, asked.node)
    found = parts.events.list(wanted, before=asked.before, after=asked.after, limit=asked.limit)
    return EventsBody(events=[EventBody.of(event) for event in found.events], next=found.next)
