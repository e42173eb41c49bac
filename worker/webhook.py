"""The only door to webhook receivers.

A door of its own, because everything that worker.couch does for nodes would be wrong here: no session is kept, no
credential of ours goes along, and what comes back is not read. All that counts of an answer is its status.

Receivers that the operator has written into the settings may be anywhere. Those that came through the API are called
only at public addresses, and at those that WEBHOOK_ALLOW_PRIVATE names (worker.core.addresses, worker.pinned). No
redirect is followed (Standard Webhooks calls it a failure), no proxy or .netrc of this machine is looked at, and
certificates are checked. No error holds the URL, or anything that the library says, which may hold it.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

import requests

from worker import pinned
from worker.core.addresses import CAN_BE_ALLOWED, Allowed, host_refusal, may_be_called
from worker.core.errors import DeliveryFailed, ReplicationError, WebhookForbidden, WebhookGone

CONNECT_TIMEOUT = 5.0  # seconds
READ_TIMEOUT = 15.0  # seconds between two bytes of an answer's head; Standard Webhooks: 15 to 30
TOTAL_TIMEOUT = 30.0  # seconds for all of a request to a receiver that came through the API
GONE = 410
_PORTS = {"http": 80, "https": 443}


def post(
    url: str,
    host: str,
    headers: Mapping[str, str],
    body: bytes,
    allowed: Allowed | None = None,
    *,
    connect: float = CONNECT_TIMEOUT,
    read: float = READ_TIMEOUT,
    total: float = TOTAL_TIMEOUT,
    resolve: pinned.Resolve = pinned.addresses,
) -> int:
    """The status with which the receiver took it (2xx). `host` is what may be said of the URL. `allowed`: what it may
    be besides public; None: anything.

    Raises DeliveryFailed, WebhookForbidden and WebhookGone.
    """
    sent = {**headers, "Content-Type": "application/json", "User-Agent": "notebook-replication"}
    if allowed is None:
        with requests.Session() as session:
            outcome, _ = _once(session, url, host, sent, body, (connect, read))
    else:
        outcome = _pinned(url, host, {**sent, **pinned.headers_for(host)}, body, (connect, read), total,
                          _checked(url, host, allowed, resolve))  # fmt: skip
    if isinstance(outcome, int):
        return outcome
    # raised out here, where it has no context: the library's exception holds the URL
    raise outcome


def _checked(url: str, host: str, allowed: Allowed, resolve: pinned.Resolve) -> list[str]:
    """The addresses of the URL, if every one of them may be called. That is asked again at each attempt: what a name
    stands for changes, and so may what is allowed."""
    parts = urlsplit(url)
    name = parts.hostname or ""
    why = host_refusal(name, allowed)
    if why is not None:
        raise WebhookForbidden(f"{host}: its host {why}")
    found = pinned.look_up(name, parts.port or _PORTS[parts.scheme], host, resolve)
    if not all(may_be_called(address, allowed, named=allowed.name(name)) for address in found):
        refused = WebhookForbidden(f"{host}: its name stands for an address that is not public; {CAN_BE_ALLOWED}")
        refused.addresses = found
        raise refused
    return found


def _pinned(
    url: str,
    host: str,
    headers: Mapping[str, str],
    body: bytes,
    timeout: tuple[float, float],
    total: float,
    addresses: list[str],
) -> int | ReplicationError:
    """To the first of these addresses that there is a connection to."""
    outcome: int | ReplicationError = DeliveryFailed(f"{host}: it has no address")
    for address in addresses[: pinned.MOST_ADDRESSES]:
        adapter = pinned.ToAddress(address)
        with requests.Session() as session, pinned.within(total, adapter) as late:
            session.mount("http://", adapter)
            session.mount("https://", adapter)
            outcome, connected = _once(session, url, host, headers, body, timeout)
        if late.is_set():  # whatever was said by then: a head that was cut off reads like a whole one
            return DeliveryFailed(f"{host}: no answer within {total:g} s")
        if connected:
            break
    return outcome


def _once(
    session: requests.Session,
    url: str,
    host: str,
    headers: Mapping[str, str],
    body: bytes,
    timeout: tuple[float, float],
) -> tuple[int | ReplicationError, bool]:
    """The status with which it was taken, or why it was not; and whether there was a connection."""
    session.trust_env = False
    try:
        # stream: the answer's body is left unread, however long it is
        with session.post(
            url, data=body, headers=dict(headers), timeout=timeout, allow_redirects=False, stream=True
        ) as answer:
            status = int(answer.status_code)
            return _refused(status, answer.headers.get("Retry-After", ""), host) or status, True
    except (requests.RequestException, ValueError) as error:
        return DeliveryFailed(f"{host}: {_words(error)}"), not pinned.not_there(error)


def _refused(status: int, retry_after: str, host: str) -> ReplicationError | None:
    if 200 <= status < 300:
        return None
    if status == GONE:
        return WebhookGone(f"{host} answered 410: it wants no more events; delete it, or take it out of WEBHOOK_URLS")
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
