"""Which events are to be sent to which receivers: a job each, so that a receiver that is away costs the others nothing
and a worker that dies loses nothing.

A job's record can be read by everybody who may use the API. So it names its receiver by scheme and host, and by a mark:
the id of one that was registered, or of one of the settings what only the secret turns back into its URL.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from config.settings import Settings
from config.webhooks import Receiver
from tasks.jobs import Kind, Request
from tasks.receivers import Receivers
from tasks.redis import StoreUnavailable
from tasks.submit import Jobs
from worker.core.addresses import Allowed
from worker.core.errors import WebhookUnknown
from worker.core.events import SENT_ONLY, Event, EventType, Severity, as_json
from worker.core.registrations import PREFIX
from worker.core.signature import mark


@dataclass(frozen=True)
class Destination:
    """Where a delivery goes. `keys`: to sign with. `allowed`: what it may be besides public; None: anything."""

    host: str
    url: str = field(repr=False)
    keys: tuple[bytes, ...] = field(repr=False)
    allowed: Allowed | None


class Webhooks:
    def __init__(self, settings: Settings, jobs: Jobs, receivers: Receivers) -> None:
        self._settings = settings
        self._jobs = jobs
        self._receivers = receivers

    def submit(self, event: Event) -> None:
        """A job for each receiver that wants it. Raises StoreUnavailable where one could not be submitted; the others
        are tried all the same."""
        trouble: StoreUnavailable | None = None
        for host, marked in self._wanting(event.type):
            try:
                self._jobs.submit(request(event, host, marked))
            except StoreUnavailable as error:
                trouble = error
        if trouble is not None:
            raise trouble

    def _wanting(self, kind: EventType) -> list[tuple[str, str]]:
        """(host, mark) of each."""
        found = [(one.host, one.id) for one in self._receivers.living() if one.wants(kind)]
        if kind not in SENT_ONLY:
            found += [(one.host, mark_of(self._settings, one)) for one in self._settings.receivers]
        return found


def mark_of(settings: Settings, receiver: Receiver) -> str:
    """Of one of WEBHOOK_URLS."""
    return mark(settings.webhook_keys[0], receiver.url)


def request(event: Event, host: str, marked: str) -> Request:
    return Request(Kind.WEBHOOK, None, {"event": as_json(event), "receiver": host, "mark": marked})


def request_for_test(host: str, marked: str) -> Request:
    """Its event has neither id nor time, which the job gives it: two requests for a test are equal, so that an
    Idempotency-Key knows the second."""
    about = f"a test of the webhook receiver at {host}"
    return request(Event("", EventType.WEBHOOK_TEST, 0.0, Severity.INFO, about), host, marked)


def receiver_of(settings: Settings, marked: str) -> Receiver | None:
    """The one of WEBHOOK_URLS with this mark."""
    # by any key, because a job may have waited while the secret was changed from one to another
    known = ((one, key) for one in settings.receivers for key in settings.webhook_keys)
    return next((one for one, key in known if mark(key, one.url) == marked), None)


def destination(settings: Settings, receivers: Receivers, params: dict[str, Any]) -> Destination:
    """Where a job's event goes. Raises WebhookUnknown where its receiver is not there any more, WrongSecretKey."""
    host, marked = params["receiver"], params["mark"]
    if marked.startswith(PREFIX):
        registered = receivers.get(marked)
        if registered is None:
            raise WebhookUnknown(f"{host}: the receiver that this event is for was deleted")
        opened = receivers.opened(registered)
        private = settings.private_webhooks
        return Destination(registered.host, opened.url, opened.keys, Allowed(private.networks, private.names))
    receiver = receiver_of(settings, marked)
    if receiver is None:
        raise WebhookUnknown(
            f"{host}: the receiver that this event is for is not in WEBHOOK_URLS any more, or was noted "
            "under a secret that is not in WEBHOOK_SECRET any more"
        )
    return Destination(receiver.host, receiver.url, settings.webhook_keys, None)
