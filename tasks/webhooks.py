"""Which events are to be sent to which receivers: a job each, so that a receiver that is away costs the others nothing
and a worker that dies loses nothing.

A job's record can be read by everybody who may use the API. So it names its receiver by scheme and host, and by a mark
that only the secret turns back into one of the configured URLs.
"""

from __future__ import annotations

from typing import Any

from config.settings import Settings
from config.webhooks import Receiver
from tasks.jobs import Kind, Request
from tasks.redis import StoreUnavailable
from tasks.submit import Jobs
from worker.core.errors import WebhookUnknown
from worker.core.events import Event, as_json
from worker.core.signature import mark


class Webhooks:
    def __init__(self, settings: Settings, jobs: Jobs) -> None:
        self._settings = settings
        self._jobs = jobs

    def submit(self, event: Event) -> None:
        """A job for each receiver. Raises StoreUnavailable where one could not be submitted; the others are tried all
        the same."""
        trouble: StoreUnavailable | None = None
        for receiver in self._settings.receivers:
            try:
                self._jobs.submit(request(event, receiver, self._settings.webhook_keys[0]))
            except StoreUnavailable as error:
                trouble = error
        if trouble is not None:
            raise trouble


def request(event: Event, receiver: Receiver, key: bytes) -> Request:
    params = {"event": as_json(event), "receiver": receiver.host, "mark": mark(key, receiver.url)}
    return Request(Kind.WEBHOOK, None, params)


def receiver_of(settings: Settings, params: dict[str, Any]) -> Receiver:
    """The receiver that a job is for. Raises WebhookUnknown where the settings have changed since."""
    for receiver in settings.receivers:
        # by any key, because the job may have waited while the secret was changed from one to another
        if params["mark"] in {mark(key, receiver.url) for key in settings.webhook_keys}:
            return receiver
    raise WebhookUnknown(
        f"{params['receiver']}: the receiver that this event is for is not in WEBHOOK_URLS any more, or was noted "
        "under a secret that is not in WEBHOOK_SECRET any more"
    )
