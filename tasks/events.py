"""What happened, kept in Redis: the last thousand events, each also logged and sent to the webhook receivers.

A Redis stream: its ids are the cursors, and it forgets the oldest by itself. Not what the system decides by, and not
for ever: whoever needs every event has it sent (docs/api.md), or collects the logs.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import redis

from config.logs import get
from tasks.redis import StoreUnavailable, translated
from tasks.streams import rows
from worker.core.events import Event, EventType, Severity, as_json, complete, of_json
from worker.core.redact import scrub_all

log = get(__name__)
KEY = "nbr:events"
KEPT = 1_000


@dataclass(frozen=True)
class EventPage:
    events: list[Event]
    next: str | None


@dataclass(frozen=True)
class EventFilter:
    type: EventType | None = None
    node: str | None = None

    def accepts(self, event: Event) -> bool:
        return self.type in {None, event.type} and self.node in {None, event.node}


class Events:
    """All methods raise tasks.redis.StoreUnavailable where Redis does not answer.

    `send(event)` has it sent to whoever wants to know. `secrets` never get into an event, whoever wrote its words.
    """

    def __init__(
        self, client: redis.Redis, send: Callable[[Event], None] = lambda event: None, secrets: tuple[str, ...] = ()
    ) -> None:
        self._redis: Any = client  # see JobStore
        self._send = send
        self._secrets = secrets

    def record(
        self,
        type: str,
        *,
        at: float,
        detail: str,
        severity: str,
        node: str | None = None,
        database: str | None = None,
        **data: Any,
    ) -> Event:
        """Keep it, log it, have it sent. `data`: the fields that worker.core.events.ABOUT gives this type.

        Raises ValueError for an unknown type, severity or field: a defect of ours. StoreUnavailable may come after it
        was kept; who records it again then tells it twice rather than never.
        """
        kind = EventType(type)
        detail, data = scrub_all((detail, complete(kind, data)), self._secrets)
        event = Event("", kind, at, Severity(severity), detail, node, database, data)
        try:
            event = self._keep(event)
        finally:  # also where Redis is away: then the log is all there is
            told = {name: value for name, value in as_json(event).items() if name != "at" and value not in (None, "")}
            _tell(event.severity)("event", **told)
        try:
            self._send(event)
        except StoreUnavailable as error:  # a broker that is away must not keep a verdict from being kept
            log.warning("event not sent", id=event.id, error=str(error))
        return event

    def announce(self, event: Event) -> None:
        """Have it sent to those who ask for events of its type, and keep it nowhere (worker.core.events.SENT_ONLY).
        Raises StoreUnavailable."""
        detail, data = scrub_all((event.detail, dict(event.data)), self._secrets)
        self._send(replace(event, detail=detail, data=data))

    def _keep(self, event: Event) -> Event:
        written = {name: value for name, value in as_json(event).items() if name != "id"}
        with translated():
            made = self._redis.xadd(KEY, {"event": json.dumps(written)}, maxlen=KEPT, approximate=False)
        return of_json({**written, "id": made})

    def list(
        self,
        wanted: EventFilter,
        *,
        before: str | None = None,
        after: str | None = None,
        limit: int = 50,
    ) -> EventPage:
        """Newest first; or, where `after` is given, for who follows, oldest first. Both ids bound what is listed, and
        are not in it themselves.

        `next` is the id to go on with in the same direction; None where there is no more.
        """
        found: list[Event] = []
        for event in (_event(*row) for row in rows(self._redis, KEY, before=before, after=after)):
            if wanted.accepts(event):
                found.append(event)
            if len(found) > limit:
                return EventPage(found[:limit], found[limit - 1].id)
        return EventPage(found, None)


def _event(made: str, fields: dict[str, str]) -> Event:
    return of_json({**json.loads(fields["event"]), "id": made})


def _tell(severity: Severity) -> Callable[..., Any]:
    return {Severity.INFO: log.info, Severity.WARNING: log.warning, Severity.ERROR: log.error}[severity]
