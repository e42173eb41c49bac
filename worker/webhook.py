"""The only door to webhook receivers.

A door of its own, because everything that worker.couch does for nodes would be wrong here: no session is kept, no
credential of ours goes along, and what comes back is not read. All that counts of an answer is its status.

Receivers are addresses that the operator has written into the settings, so private ones are allowed. No redirect is
followed (Standard Webhooks calls it a failure), no proxy or .netrc of this machine is looked at, and certificates are
checked. No error holds the URL, or anything that the library says, which may hold it.
"""

from __future__ import annotations

from collections.abc import Mapping

import requests

from worker.core.errors import DeliveryFailed, ReplicationError, WebhookGone

CONNECT_TIMEOUT = 5.0  # seconds
READ_TIMEOUT = 15.0  # seconds between two bytes of an answer's head; Standard Webhooks: 15 to 30
GONE = 410


def post(
    url: str,
    host: str,
    headers: Mapping[str, str],
    body: bytes,
    *,
    connect: float = CONNECT_TIMEOUT,
    read: float = READ_TIMEOUT,
) -> int:
    """The status with which the receiver took it (2xx). `host` is what may be said of the URL.

    Raises DeliveryFailed and WebhookGone.
    """
    sent = {**headers, "Content-Type": "application/json", "User-Agent": "notebook-replication"}
    with requests.Session() as session:
        session.trust_env = False
        try:
            # stream: the answer's body is left unread, however long it is
            with session.post(
                url, data=body, headers=sent, timeout=(connect, read), allow_redirects=False, stream=True
            ) as answer:
                failure = _refused(answer.status_code, answer.headers.get("Retry-After", ""), host)
                if failure is None:
                    return int(answer.status_code)
        except (requests.RequestException, ValueError) as error:
            failure = DeliveryFailed(f"{host}: {_words(error)}")
    # raised out here, where it has no context: the library's exception holds the URL
    raise failure


def _refused(status: int, retry_after: str, host: str) -> ReplicationError | None:
    if 200 <= status < 300:
        return None
    if status == GONE:
        return WebhookGone(f"{host} answered 410: it wants no more events; take it out of WEBHOOK_URLS")
    failure = DeliveryFailed(
        f"{host} answered {status}" + (": redirects are not followed" if 300 <= status < 400 else "")
    )
    if retry_after.isascii() and retry_after.isdigit() and len(retry_after) <= 9:  # a date is not worth a parser
        failure.retry_after = float(retry_after)
    return failure


def _words(error: Exception) -> str:
    if isinstance(error, requests.exceptions.SSLError):
        return "TLS: its certificate does not verify, or the hand-shake failed"
    if isinstance(error, requests.exceptions.ConnectTimeout):
        return "no connection within the time-out"
    if isinstance(error, requests.exceptions.ReadTimeout):
        return "connected, but no answer within the time-out"
    if isinstance(error, requests.ConnectionError):
        return "no connection, or it broke off"
    return f"the request could not be made ({type(error).__name__})"
