"""The door to one node: JSON in, JSON out, every failure one of ours.

Only what is safe to repeat is repeated (GET, HEAD, and calls that say so), with full jitter (AWS
Architecture Blog, "Exponential Backoff And Jitter"), so that many workers do not knock in step on a node
that is just coming back. A time-out is not repeated here: the caller has its own idea of how long to wait.
"""

from __future__ import annotations

import base64
import gzip
import json as jsonlib
import random
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import quote, urlencode

from worker.core.errors import BadRequest, PasswordUnknown, ReplicationError, ServerFault, Unreachable
from worker.core.model import UNKNOWN, Credentials, Node
from worker.couch.answers import failure, good, parsed
from worker.couch.transport import Body, Refusal, Timeouts, Transport

TRIES = 3
FIRST_PAUSE = 0.1  # seconds
LONGEST_PAUSE = 2.0
COMPRESS_FROM = 16_384  # bytes; below that gzip costs more than it saves
_SAFE = frozenset({"GET", "HEAD"})


class CouchClient:
    """Calls to one node. Safe to share between threads."""

    def __init__(
        self,
        node: Node,
        transport: Transport,
        timeouts: Timeouts = Timeouts(),
        *,
        sleep: Callable[[float], None] = time.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.node = node
        self._transport = transport
        self._timeouts = timeouts
        self._sleep = sleep
        self._chance = chance
        self._headers = _headers(node)

    def use(self, node: Node) -> None:
        """From now on call it with these credentials: its password was changed."""
        self.node, self._headers = node, _headers(node)

    def __repr__(self) -> str:
        return f"CouchClient({self.node.name}, {self.node.url})"

    def acting_as(self, credentials: Credentials | None) -> CouchClient:
        """A client of the same node that says to be somebody else, or (None) nobody."""
        node = replace(self.node, credentials=credentials)
        return CouchClient(node, self._transport, self._timeouts, sleep=self._sleep, chance=self._chance)

    def get(self, *path: str, **options: Any) -> Any:
        return self.call("GET", *path, **options)

    def put(self, *path: str, **options: Any) -> Any:
        return self.call("PUT", *path, **options)

    def post(self, *path: str, **options: Any) -> Any:
        return self.call("POST", *path, **options)

    def delete(self, *path: str, **options: Any) -> Any:
        return self.call("DELETE", *path, **options)

    def call(
        self,
        method: str,
        *path: str,
        params: Mapping[str, Any] | None = None,
        json: Any = None,
        body: bytes | Body | None = None,
        content_type: str = "application/json",
        repeatable: bool = False,
        tries: int = TRIES,
        read_timeout: float | None = None,
        within: float | None = None,
        most: int | None = None,
        raw: bool = False,
    ) -> Any:
        """The answer's JSON; with `raw` its bytes.

        `path` is given in segments, each encoded here, so that no name can leave its place.

        `params` values are sent as JSON where CouchDB wants JSON: pass strings for plain ones. `within`: seconds for
        each try as a whole, however the answer trickles in. `most`: bytes that the answer may have.
        Raises any of worker.core.errors, with the node's name in it, and Oversize.
        """
        url = self._url(path, params)
        headers = dict(self._headers)
        if json is not None:
            body = jsonlib.dumps(json, separators=(",", ":")).encode()
            if len(body) >= COMPRESS_FROM:
                body = gzip.compress(body, compresslevel=1)
                headers["Content-Encoding"] = "gzip"
        if body is not None or method == "POST":
            headers["Content-Type"] = content_type
        read = self._timeouts.read if read_timeout is None else read_timeout
        timeouts = Timeouts(self._timeouts.connect, read, within)
        left = tries if repeatable or method in _SAFE else 1
        pause = FIRST_PAUSE
        while True:
            left -= 1
            try:
                answer = self._transport.send(method, url, headers=headers, body=body, timeouts=timeouts, most=most)
                return good(answer).body if raw else parsed(answer)
            except ReplicationError as error:
                error.node = self.node.name
                if left <= 0 or not isinstance(error, Unreachable | ServerFault):
                    raise
            self._sleep(pause * self._chance())
            pause = min(LONGEST_PAUSE, pause * 2)

    def lines(self, *path: str, params: Mapping[str, Any], read_timeout: float) -> Iterator[bytes]:
        """The lines of an endless answer, heartbeats (empty lines) too. `read_timeout`: seconds of silence until
        TimedOut. Never repeated here: the reader knows where it was."""
        return self._streamed(self._transport.lines, path, params, self._headers, read_timeout)

    def pieces(self, *path: str, params: Mapping[str, Any], headers: Mapping[str, str]) -> Iterator[bytes]:
        """The bytes of an answer as they lie on the wire. Never repeated here either."""
        return self._streamed(self._transport.pieces, path, params, {**self._headers, **headers}, self._timeouts.read)

    def _streamed(
        self,
        stream: Callable[..., Iterator[bytes]],
        path: tuple[str, ...],
        params: Mapping[str, Any],
        headers: Mapping[str, str],
        read_timeout: float,
    ) -> Iterator[bytes]:
        url = self._url(path, params)
        timeouts = Timeouts(self._timeouts.connect, read_timeout)
        try:
            yield from stream(url, headers=headers, timeouts=timeouts)
        except Refusal as refusal:
            error = failure(refusal.answer)
            error.node = self.node.name
            raise error from None
        except ReplicationError as error:
            error.node = self.node.name
            raise

    def _url(self, path: tuple[str, ...], params: Mapping[str, Any] | None) -> str:
        if {".", ".."} & set(path):
            # HTTP libraries resolve dot segments, encoded ones too (RFC 3986, 6.2.2): they would name another path
            raise BadRequest("a name of only dots cannot be a part of a URL", node=self.node.name)
        if self.node.credentials == UNKNOWN:
            raise PasswordUnknown(
                "its password is being changed, and nobody knows yet whether it has the new one; asked again soon",
                node=self.node.name,
            )
        url = "/".join([self.node.url, *(quote(segment, safe="") for segment in path)])
        return f"{url}?{urlencode(params)}" if params else (url if path else f"{url}/")


def _headers(node: Node) -> dict[str, str]:
    headers = {"Accept": "application/json", "User-Agent": "notebook-replication"}
    if node.credentials:
        # RFC 7617 with UTF-8, which CouchDB expects; requests' own would encode Latin-1
        pair = f"{node.credentials.user}:{node.credentials.password}".encode()
        headers["Authorization"] = f"Basic {base64.b64encode(pair).decode()}"
    return headers
