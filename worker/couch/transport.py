"""The only place that knows the HTTP engine (requests), and the seam where tests put a fake.

A session belongs to one server, and to one thread at a time: it is borrowed for a call and given back, so that
short-lived threads reuse warm connections as well. `trust_env` is off: a .netrc or a proxy variable on the worker's
machine must not decide what credentials a node sees, or who sees them. Redirects are never followed: they
would carry the password to wherever a misconfigured proxy points.
"""

from __future__ import annotations

import math
import queue
import socket
import ssl
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import BadStatusLine
from typing import Protocol
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import DecodeError, HTTPError, ReadTimeoutError
from urllib3.util import Timeout

from worker.core.errors import BadAnswer, How, ReplicationError, TimedOut, TlsRefused, Unreachable
from worker.couch.tls import NO_HAND_SHAKE, NOT_HTTP, Tls, refused, where_it_stays

MOST_IDLE = 32  # connections kept open to one server
CHUNK = 65_536  # bytes
TLS_ALERT = "\x15\x03"  # how a server that speaks TLS answers to plain HTTP, where it answers at all


@dataclass(frozen=True)
class Timeouts:
    """Seconds to connect, and seconds between two bytes of an answer. `total`: seconds for all of it, where set."""

    connect: float = 3.0
    read: float = 30.0
    total: float | None = None


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes


class Transport(Protocol):
    def send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        body: bytes | Body | None,
        timeouts: Timeouts,
        most: int | None = None,
    ) -> Answer:
        """One request, one answer, whatever its status. Raises Unreachable, TimedOut, TlsRefused, BadAnswer; Oversize
        where the answer has more than `most` bytes."""
        ...

    def lines(self, url: str, *, headers: Mapping[str, str], timeouts: Timeouts) -> Iterator[bytes]:
        """The lines of an answer that goes on and on, as they arrive (empty ones too: they are heartbeats).

        Raises Refusal where the answer is not 2xx, else as `send`, also in the middle. Close the iterator to hang up.
        """
        ...

    def pieces(self, url: str, *, headers: Mapping[str, str], timeouts: Timeouts) -> Iterator[bytes]:
        """The bytes of an answer as they lie on the wire: what its Content-Encoding says is not undone. Raises as
        `lines`, and Unreachable where it ends too early."""
        ...


class Body(Protocol):
    """What is sent without ever being whole in memory. It may be asked for its pieces again, from the beginning.

    An error that it raises on the way passes through, but for an OSError: that counts as the connection's."""

    def __len__(self) -> int:
        """Bytes in all."""
        ...

    def __iter__(self) -> Iterator[bytes]: ...


class Oversize(Exception):
    """An answer was larger than asked for, and was not read to its end. Never leaves worker.couch."""


class _Sliced:
    """A body in small pieces, as requests takes it. While a request is sent its time-out to connect goes on, and it is
    for all of each piece: of a large one a slow node would never have enough."""

    def __init__(self, body: bytes | Body) -> None:
        self._body = body

    def __len__(self) -> int:
        return len(self._body)

    def __iter__(self) -> Iterator[bytes]:
        for piece in (self._body,) if isinstance(self._body, bytes) else self._body:
            for at in range(0, len(piece), CHUNK):
                yield piece[at : at + CHUNK]


class Refusal(Exception):
    """A stream was asked for and refused; `answer` says how. Never leaves worker.couch."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


class RequestsTransport:
    def __init__(self, tls: Tls = Tls()) -> None:
        self._tls = tls
        self._idle: dict[str, queue.LifoQueue[requests.Session]] = defaultdict(lambda: queue.LifoQueue(MOST_IDLE))

    def send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        body: bytes | Body | None,
        timeouts: Timeouts,
        most: int | None = None,
    ) -> Answer:
        began = time.monotonic()
        whole = timeouts.total is None and most is None
        with self._session(urlsplit(url).netloc) as session:
            try:
                got = session.request(
                    method,
                    url,
                    headers=dict(headers),
                    data=body if body is None or len(body) <= CHUNK else _Sliced(body),
                    timeout=_bounds(timeouts),  # type: ignore[arg-type] # handed on to urllib3, which knows a total
                    allow_redirects=False,
                    stream=not whole,
                )
                until = math.inf if timeouts.total is None else began + timeouts.total
                content = got.content if whole else _read(got, until, most)
                return Answer(got.status_code, got.headers, content)
            except (OSError, HTTPError) as error:  # requests' errors are OSErrors
                failure = _translated(error, url, self._tls)
        # raised out here, where it has no context: the library's exception holds the request, password included
        raise failure

    def lines(self, url: str, *, headers: Mapping[str, str], timeouts: Timeouts) -> Iterator[bytes]:
        # one byte at a time would be slow; None hands on whatever has arrived
        return _split(self._streamed(url, headers, timeouts, lambda got: got.iter_content(chunk_size=None)))

    def pieces(self, url: str, *, headers: Mapping[str, str], timeouts: Timeouts) -> Iterator[bytes]:
        return self._streamed(url, headers, timeouts, lambda got: got.raw.stream(CHUNK, decode_content=False))

    def _streamed(
        self,
        url: str,
        headers: Mapping[str, str],
        timeouts: Timeouts,
        read: Callable[[requests.Response], Iterator[bytes]],
    ) -> Iterator[bytes]:
        # a session of its own: the connection stays taken for as long as the answer is read
        with self._new_session() as session:
            try:
                got = session.get(
                    url,
                    headers=dict(headers),
                    timeout=(timeouts.connect, timeouts.read),
                    allow_redirects=False,
                    stream=True,
                )
                if not 200 <= got.status_code < 300:
                    raise Refusal(Answer(got.status_code, got.headers, got.content))
                yield from read(got)
                return
            except (OSError, HTTPError) as error:  # requests' errors are OSErrors
                failure = _translated(error, url, self._tls)
        raise failure

    @contextmanager
    def _session(self, server: str) -> Iterator[requests.Session]:
        idle = self._idle[server]
        try:
            session = idle.get_nowait()
        except queue.Empty:
            session = self._new_session()
        try:
            yield session
        finally:
            try:
                idle.put_nowait(session)
            except queue.Full:
                session.close()

    def _new_session(self) -> requests.Session:
        session = requests.Session()
        session.trust_env = False
        session.verify = self._tls.trusted
        session.cert = self._tls.shown
        # one connection a session suffices: it is never shared. Retries are the client's business.
        adapter = HTTPAdapter(pool_connections=1, pool_maxsize=1, max_retries=0)
        session.mount("http://", adapter)
        session.mount("https://", adapter)
        return session


def _split(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Lines out of chunks. A last line without its end is dropped: it was cut off."""
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        yield from whole


def _bounds(timeouts: Timeouts) -> Timeout | tuple[float, float]:
    if timeouts.total is None:
        return timeouts.connect, timeouts.read
    return Timeout(total=timeouts.total, connect=timeouts.connect, read=timeouts.read)


def _read(got: requests.Response, until: float, most: int | None) -> bytes:
    """The body as it arrives: a time-out between two bytes never ends an answer that trickles in for ever, and without
    a look at its length one that is too large would be in memory before anybody knows."""
    with got:
        found, length = [], 0
        while chunk := got.raw.read1(CHUNK, decode_content=True):
            found.append(chunk)
            length += len(chunk)
            if time.monotonic() > until:
                raise TimedOut("connected, but the answer was not whole within the time-out")
            if most is not None and length > most:
                raise Oversize
    return b"".join(found)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and all that is wrapped in it: requests wraps what urllib3 has wrapped already."""
    waiting, seen = [error], set[int]()
    while waiting:
        one = waiting.pop(0)
        if id(one) not in seen:
            seen.add(id(one))
            yield one
            inner = (*one.args, getattr(one, "reason", None), one.__cause__, one.__context__)
            waiting += [found for found in inner if isinstance(found, BaseException)]


def _translated(error: Exception, url: str, tls: Tls) -> ReplicationError:
    causes = list(_causes(error))
    return _of_tls(error, causes, url, tls) or _of_network(error, causes, url, tls)


def _of_tls(error: Exception, causes: list[BaseException], url: str, tls: Tls) -> ReplicationError | None:
    if any(isinstance(cause, BadStatusLine) and str(cause).startswith(TLS_ALERT) for cause in causes):
        return TlsRefused(f"TLS: {NOT_HTTP}")
    broken = next((cause for cause in causes if isinstance(cause, ssl.SSLError)), None)
    # a bare OSError is all that requests says of a file of ours that is gone
    if broken or type(error) is OSError or isinstance(error, requests.exceptions.SSLError):
        return refused(broken, urlsplit(url).hostname or "", tls)
    return None


def _of_network(error: Exception, causes: list[BaseException], url: str, tls: Tls) -> ReplicationError:
    if isinstance(error, requests.exceptions.ConnectTimeout):
        return Unreachable("no connection within the time-out", how=How.SILENT)
    if any(isinstance(cause, requests.exceptions.ReadTimeout | ReadTimeoutError) for cause in causes):
        # the one thing that only a text tells: in which call it was
        shaking = any(isinstance(cause, TimeoutError) and "handshake" in str(cause) for cause in causes)
        return TimedOut(NO_HAND_SHAKE if shaking else "connected, but no answer within the time-out")
    if isinstance(error, requests.exceptions.ContentDecodingError | DecodeError):
        return BadAnswer("the answer is not what its Content-Encoding says")
    if isinstance(error, requests.ConnectionError | requests.exceptions.ChunkedEncodingError | HTTPError):
        cut = any(isinstance(cause, ConnectionResetError) for cause in causes)
        hint = where_it_stays(secure=url.startswith("https:"), tls=tls) if cut else ""
        return Unreachable(_cause(str(error)) + hint, how=_how(causes))
    return BadAnswer(f"the request could not be made ({type(error).__name__})")


def _how(causes: list[BaseException]) -> How:
    for cause in causes:
        if isinstance(cause, ConnectionRefusedError):
            return How.REFUSED
        if isinstance(cause, socket.gaierror):
            return How.NO_NAME
    return How.OTHER


def _cause(text: str) -> str:
    """The reason inside urllib3's nested message, in plain words."""
    for marker, words in (
        ("Connection refused", "connection refused"),
        ("Name or service not known", "its host name is not known"),
        ("nodename nor servname", "its host name is not known"),
        ("Temporary failure in name resolution", "its host name cannot be looked up"),
        ("Connection reset", "connection reset"),
        ("Remote end closed", "the node closed the connection"),
        ("Network is unreachable", "network unreachable"),
        ("No route to host", "no route to host"),
    ):
        if marker in text:
            return words
    return "the connection failed"
