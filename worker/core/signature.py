"""Signatures of what is sent to webhook receivers, as Standard Webhooks 1.0 has them. Pure.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Sequence


def headers(keys: Sequence[bytes], message_id: str, sent_at: float, payload: bytes) -> dict[str, str]:
    """The three headers. One signature a key: a receiver that knows any of them can check it.

    `sent_at` is the time of this attempt, because receivers refuse what is older than some minutes; `message_id` is
    the same for every attempt, so that they know a repetition. Neither may come from outside.
    """
    timestamp = str(int(sent_at))
    signed = f"{message_id}.{timestamp}.".encode() + payload
    signatures = [f"v1,{base64.b64encode(_digest(key, signed)).decode()}" for key in keys]
    return {"webhook-id": message_id, "webhook-timestamp": timestamp, "webhook-signature": " ".join(signatures)}


def mark(key: bytes, url: str) -> str:
    """A name for a receiver that can be written down: who has the key can tell which URL it stands for, and who has not
    cannot even try one."""
    return _digest(key, f"receiver {url}".encode()).hex()[:16]


def _digest(key: bytes, content: bytes) -> bytes:
    return hmac.digest(key, content, hashlib.sha256)
