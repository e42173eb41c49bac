"""The only door to the API: nothing else here imports requests.

Every call has a time-out, no redirect is followed (the token would go along), and neither proxies nor passwords of
`.netrc` are taken from the surroundings: they would replace the token. What goes wrong is one of cli.errors.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Self, cast
from urllib.parse import quote, urlsplit

import requests
from requests.adapters import BaseAdapter
from urllib3.exceptions import HTTPError, NewConnectionError

from cli.access import Access
from cli.errors import SET_URL, ApiError, Unavailable, Unsure

Body = dict[str, Any]

TIMEOUTS = (5.0, 30.0)  # to connect, to be answered: the API itself waits for nothing longer than two seconds
# the API sends something every 15 s
STREAM_TIMEOUTS = (5.0, 40.0)
_PROBLEM = "urn:notebook-replication:problem:"


class StreamBroken(Exception):
    """A stream ended in the middle, or is none."""


class Api:
    """Use as a context manager. `adapter` stands in for the network in tests."""

    def __init__(
        self, access: Access, *, timeouts: tuple[float, float] = TIMEOUTS, adapter: BaseAdapter | None = None
    ) -> None:
        self.url = access.url
        self._timeouts = timeouts
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.verify = access.verify
        self._session.headers["User-Agent"] = "nbr"
        if access.token:
            self._session.headers["Authorization"] = f"Bearer {access.token}"
        if adapter is not None:
            self._session.mount("http://", adapter)
            self._session.mount("https://", adapter)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._session.close()

    def get(self, path: str, *, also: Collection[int] = (), **query: Any) -> Body:
        """`also`: statuses of errors whose body is an answer like any other."""
        return self._body(self._send("GET", path, params=_given(query)), also)

    def post(self, path: str, body: Body, key: str | None = None) -> Body:
        """What is None is not sent, so that the API's own default holds. `key`: with the same one this may be sent
        again, and is done once. Raises Unsure where it may have been done and no answer says so."""
        headers = {"Idempotency-Key": key} if key else {}
        return self._body(self._send("POST", path, json=_given(body), headers=headers))

    def delete(self, path: str) -> Body:
        return self._body(self._send("DELETE", path))

    @contextmanager
    def stream(self, path: str) -> Iterator[Iterator[Body]]:
        """The `data` of each server-sent event, until the server ends the stream. Raises StreamBroken, the
        iterator too."""
        headers = {"Accept": "text/event-stream", "Accept-Encoding": "identity"}
        answer = self._send("GET", path, stream=True, headers=headers, timeout=STREAM_TIMEOUTS)
        with answer:
            if answer.status_code != 200 or not answer.headers.get("Content-Type", "").startswith("text/event-stream"):
                self._body(answer)
                raise StreamBroken
            yield _events(answer)

    def _send(self, method: str, path: str, **options: Any) -> requests.Response:
        options.setdefault("timeout", self._timeouts)
        try:
            return self._session.request(method, self.url + path, allow_redirects=False, **options)
        except requests.exceptions.SSLError as error:
            raise Unavailable(f"{self.url}: {_without_tls(error)}") from None
        except (requests.RequestException, OSError) as error:
            late = isinstance(error, requests.Timeout)
            if method != "GET" and not _unsent(error):
                how = "does not answer in time" if late else f"broke off before its answer ({_reason(error)})"
                raise Unsure(f"{self.url} {how}: what was asked for may be done all the same") from None
            if late:
                raise Unavailable(f"{self.url} does not answer in time") from None
            raise Unavailable(
                f"{self.url} cannot be reached ({_reason(error)}). Does the API run there? NBR_URL or --url says where"
            ) from None

    def _body(self, answer: requests.Response, also: Collection[int] = ()) -> Body:
        status = answer.status_code
        try:
            found = answer.json()
        except (ValueError, requests.RequestException):
            found = None
        if 300 <= status < 400:
            raise Unavailable(f"{self.url} sends elsewhere ({_elsewhere(answer)}), and is not followed: {SET_URL}")
        if status < 400 or status in also:
            if not isinstance(found, dict):
                raise Unavailable(f"{self.url} answered {status} without a JSON object: is this the API? {SET_URL}")
            return found
        raise _problem(status, answer.reason or "", found if isinstance(found, dict) else {})


def part(name: str) -> str:
    """A name as one segment of a path."""
    return quote(name, safe="", errors="surrogateescape")


def _given(values: Mapping[str, Any]) -> Body:
    return {name: value for name, value in values.items() if value is not None}


def _problem(status: int, reason: str, body: Body) -> ApiError:
    kind = str(body.get("type") or "")
    title = str(body.get("title") or f"the API answered {status} {reason}".rstrip())
    return ApiError(status, kind.removeprefix(_PROBLEM) if kind.startswith(_PROBLEM) else "", title, body)


def _reason(error: BaseException) -> str:
    """The cause's own words, without the stack of wrappings around it."""
    inner = error.args[0] if error.args else error
    words = str(getattr(inner, "reason", inner)).rpartition(": ")[2].strip("()'")
    return re.sub(r"^\[?SSL[^\]]*\] ?|^[A-Z_]+\] | \(_ssl\.c:\d+$", "", words) or type(error).__name__


def _without_tls(error: BaseException) -> str:
    """OpenSSL says that what came was no TLS of a version that it knows: it was an error page, in plain."""
    text = str(error)
    if "WRONG_VERSION_NUMBER" in text or "record layer failure" in text:
        return "plain HTTP is spoken there, and no HTTPS. NBR_URL or --url must begin with http:// or name another port"
    if "certificate" in text.lower() or "hostname" in text.lower():
        return f"its certificate is not trusted ({_reason(error)}). NBR_CA_BUNDLE names the CA's file"
    return f"no HTTPS could be agreed on ({_reason(error)})"


def _unsent(error: BaseException) -> bool:
    """Whether nothing of the request can have arrived."""
    inner = error.args[0] if error.args else None
    refused = isinstance(getattr(inner, "reason", inner), NewConnectionError)
    return refused or isinstance(error, requests.ConnectTimeout | ValueError)  # ValueError: no address, no header


def _elsewhere(answer: requests.Response) -> str:
    parts = urlsplit(answer.headers.get("Location", ""))
    return f"{parts.scheme}://{parts.hostname}" if parts.hostname else f"status {answer.status_code}"


def _events(answer: requests.Response) -> Iterator[Body]:
    """Comments and names of events are passed over: each stream that is read here has one kind."""
    data: list[str] = []
    for line in _lines(answer):
        if line.startswith("data:"):
            data.append(line.removeprefix("data:").removeprefix(" "))
        elif not line and data:
            try:
                found = json.loads("\n".join(data))
            except ValueError:
                raise StreamBroken from None
            data = []
            yield cast(Body, found)


def _lines(answer: requests.Response) -> Iterator[str]:
    """As they arrive. Response.iter_lines would wait for more, or go byte by byte: seconds, for a large job."""
    kept = b""
    try:
        while piece := answer.raw.read1():
            *whole, kept = (kept + piece).split(b"\n")
            for line in whole:
                yield line.decode("utf-8", "replace").rstrip("\r")
    except (requests.RequestException, HTTPError, OSError):
        raise StreamBroken from None
