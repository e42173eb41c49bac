"""The body of a webhook job: one event to one receiver, once. When it is tried again is policy's business.

Nothing here records an event: a receiver that fails would cause what it fails at.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from config.logs import get
from config.settings import Settings
from tasks.jobs import Job
from tasks.receivers import Receivers
from tasks.webhooks import destination
from tasks.wiring import Parts
from worker import webhook
from worker.core.addresses import Allowed
from worker.core.errors import WebhookForbidden
from worker.core.events import Event, of_json, payload
from worker.core.signature import headers
from worker.couch.cluster import Cluster
from worker.ops.control import Control

log = get(__name__)

# (url, what may be said of it, headers, body, what it may be besides public) -> the status of who took it;
# worker.webhook.post
Post = Callable[[str, str, Mapping[str, str], bytes, Allowed | None], int]


def run_webhook(parts: Parts, cluster: Cluster, job: Job, control: Control) -> dict[str, Any]:
    control.check()
    return deliver(parts.settings, parts.receivers, job, time.time(), webhook.post)


def deliver(settings: Settings, receivers: Receivers, job: Job, now: float, post: Post) -> dict[str, Any]:
    """The job's result. Raises DeliveryFailed, WebhookForbidden, WebhookGone, WebhookUnknown and WrongSecretKey."""
    to = destination(settings, receivers, job.params)
    event = _event(job)
    message_id = f"{event.id}-{job.params['mark']}"  # the same at every attempt, so that a repetition is known as one
    body = json.dumps(payload(event), separators=(",", ":")).encode()
    try:
        status = post(to.url, to.host, headers(to.keys, message_id, now, body), body, to.allowed)
    except WebhookForbidden as error:
        log.warning("webhook receiver refused", receiver=to.host, addresses=list(error.addresses))
        raise
    return {"receiver": to.host, "webhook_id": message_id, "status": status}


def _event(job: Job) -> Event:
    """A test's is that of its job (tasks.webhooks.request_for_test)."""
    event = of_json(job.params["event"])
    return event if event.id else replace(event, id=f"test-{job.id}", at=job.created_at)
