"""The body of a webhook job: one event to one receiver, once. When it is tried again is policy's business.

Nothing here records an event: a receiver that fails would cause what it fails at.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from typing import Any

from config.settings import Settings
from tasks.jobs import Job
from tasks.webhooks import receiver_of
from tasks.wiring import Parts
from worker import webhook
from worker.core.events import of_json, payload
from worker.core.signature import headers
from worker.couch.cluster import Cluster
from worker.ops.control import Control

# (url, what may be said of it, headers, body) -> the status of who took it; worker.webhook.post
Post = Callable[[str, str, Mapping[str, str], bytes], int]


def run_webhook(parts: Parts, cluster: Cluster, job: Job, control: Control) -> dict[str, Any]:
    control.check()
    return deliver(parts.settings, job.params, time.time(), webhook.post)


def deliver(settings: Settings, params: dict[str, Any], now: float, post: Post) -> dict[str, Any]:
    """The job's result. Raises DeliveryFailed, WebhookGone and WebhookUnknown."""
    receiver = receiver_of(settings, params)
    event = of_json(params["event"])
    message_id = f"{event.id}-{params['mark']}"  # the same at every attempt, so that a repetition is known as one
    body = json.dumps(payload(event), separators=(",", ":")).encode()
    status = post(receiver.url, receiver.host, headers(settings.webhook_keys, message_id, now, body), body)
    return {"receiver": receiver.host, "webhook_id": message_id, "status": status}
