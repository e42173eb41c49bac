"""Large answers and large requests over a real connection: what has a bound, and what goes through in pieces."""

from __future__ import annotations

import gzip
import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from embedded.ports import any_free
from tests.unit.worker.couch import http_server
from tests.unit.worker.couch.http_server import OK, answering, chunked, good, head, once, serving
from worker.core.errors import How, StoreFull, TimedOut, Unreachable
from worker.couch.transport import Answer, Body, Oversize, Refusal, RequestsTransport, Timeouts

AUTHORIZATION = "Basic YWRtaW46aHVudGVyMi1zZWNyZXQ="


def get(url: str, most: int | None, transport: RequestsTransport | None = None) -> Answer:
    transport = transport or RequestsTransport()
    return transport.send("GET", url, headers={}, body=None, timeouts=Timeouts(2, 5), most=most)


# --- answers that may not be too large


@pytest.mark.parametrize("most", [200_000, 200_001])
def test_an_answer_within_its_bound_is_read(most: int) -> None:
    body = b"x" * 200_000
    for whole in (good(body), good(gzip.compress(body), "Content-Encoding: gzip"), chunked(body)):
        transport = RequestsTransport()
        with serving(answering(whole)) as server:
            for _ in range(2):
                assert get(server.url(), most, transport).body == body
            assert server.connections == 1, "the connection is good for the next call"


@pytest.mark.parametrize("most", [0, 1_000, 199_999])
def test_an_answer_beyond_its_bound_is_oversize(most: int) -> None:
    """What counts is what it takes in memory, not on the wire."""
    body = b"x" * 200_000
    for whole in (good(body), good(gzip.compress(body), "Content-Encoding: gzip"), chunked(body)):
        transport = RequestsTransport()
        with serving(answering(whole)) as server:
            for _ in range(2):
                with pytest.raises(Oversize):
                    get(server.url(), most, transport)
            assert get(server.url(), None, transport).body == body, "the transport is good for the next call"


def test_an_answer_that_is_too_large_is_not_read_to_its_end() -> None:
    left = threading.Event()

    def behave(connection: socket.socket) -> None:
        head(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        try:
            while True:
                connection.sendall(b"10000\r\n" + b"x" * 65_536 + b"\r\n")
        except OSError:
            left.set()

    with serving(behave) as server:
        with pytest.raises(Oversize):
            get(server.url(), 100_000)
        assert left.wait(5)


def test_an_answer_with_a_bound_that_stops_in_the_middle() -> None:
    with serving(once(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")) as server, pytest.raises(Unreachable):
        get(server.url(), 1_000)


# --- answers in pieces


def pieces(url: str, *, read: float = 5) -> Iterator[bytes]:
    headers = {"Authorization": AUTHORIZATION, "Accept-Encoding": "gzip"}
    return RequestsTransport().pieces(url, headers=headers, timeouts=Timeouts(2, read))


def test_pieces_are_what_lies_on_the_wire() -> None:
    """Compressed bytes stay compressed: their digest is what a stub tells."""
    packed = gzip.compress(bytes(range(256)) * 3_000, compresslevel=0)
    seen: list[bytes] = []
    for whole in (good(packed, "Content-Encoding: gzip"), good(packed), chunked(packed)):
        with serving(answering(whole, seen)) as server:
            found = list(pieces(server.url() + "/pdfs/one/a.txt"))
        assert b"".join(found) == packed
        assert len(found) > 1
    assert all(AUTHORIZATION.encode() in request for request in seen)
    assert all(b"Accept-Encoding: gzip\r\n" in request for request in seen)


def test_nothing_has_no_pieces() -> None:
    with serving(answering(good(b""))) as server:
        assert list(pieces(server.url())) == []


@pytest.mark.parametrize("status", ["404 Not Found", "401 Unauthorized", "302 Found", "500 Oops"])
def test_pieces_that_are_refused_tell_how(status: str) -> None:
    words = b'{"error":"not_found"}'
    refusing = f"HTTP/1.1 {status}\r\nContent-Length: {len(words)}\r\nX-Other: a\r\n\r\n".encode() + words

    with serving(answering(refusing)) as server, pytest.raises(Refusal) as error:
        list(pieces(server.url()))

    answer = error.value.answer
    assert (answer.status, answer.body, answer.headers["X-Other"]) == (int(status[:3]), words, "a")


@pytest.mark.parametrize("headers", ["Content-Length: 200000", "Transfer-Encoding: chunked", "Content-Length: 65536"])
def test_pieces_that_break_off_in_the_middle(headers: str) -> None:
    """Half an attachment is none, also where it ends between two pieces."""
    start = b"HTTP/1.1 200 OK\r\n" + headers.encode() + b"\r\n\r\n"
    part = b"x" * 65_535
    half = start + (b"%x\r\n%s\r\n" % (len(part), part) if "chunked" in headers else part)

    with serving(once(half)) as server, pytest.raises(Unreachable) as error:
        list(pieces(server.url()))

    assert error.value.__context__ is None  # the library's exception holds the request, with its headers


def test_pieces_that_get_stuck_in_the_middle() -> None:
    over = threading.Event()

    def behave(connection: socket.socket) -> None:
        head(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n" + b"x" * 100_000)
        over.wait(10)

    with serving(behave) as server:
        with pytest.raises(TimedOut):
            list(pieces(server.url(), read=0.1))
        over.set()


def test_pieces_from_nobody() -> None:
    with pytest.raises(Unreachable) as error:
        list(pieces(f"http://127.0.0.1:{any_free()}"))

    assert error.value.how is How.REFUSED


def test_who_wants_no_more_pieces_hangs_up() -> None:
    left = threading.Event()

    def behave(connection: socket.socket) -> None:
        head(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
        try:
            while True:
                connection.sendall(b"x" * 65_536)
        except OSError:
            left.set()

    with serving(behave) as server:
        found = pieces(server.url())
        assert next(found)
        found.close()  # type: ignore[attr-defined] # it is a generator
        assert left.wait(5)


# --- bodies in pieces


class Pieces:
    """A Body. `asked` counts how often it was begun."""

    def __init__(self, *parts: bytes, between: Callable[[], object] = lambda: None) -> None:
        self._parts, self._between = parts, between
        self.asked = 0

    def __len__(self) -> int:
        return sum(map(len, self._parts))

    def __iter__(self) -> Iterator[bytes]:
        self.asked += 1
        for part in self._parts:
            yield part
            self._between()


def put(url: str, body: Body, transport: RequestsTransport | None = None) -> Answer:
    transport = transport or RequestsTransport()
    return transport.send("PUT", url, headers={}, body=body, timeouts=Timeouts(2, 5))


def test_a_body_says_how_long_it_is_and_is_sent_whole() -> None:
    seen: list[tuple[bytes, bytes]] = []

    def behave(connection: socket.socket) -> None:
        for _ in range(2):
            seen.append(http_server.request(connection))
            connection.sendall(OK)

    transport, body = RequestsTransport(), Pieces(b"one" * 50_000, b"", b"two" * 50_000)
    with serving(behave) as server:
        for _ in range(2):
            assert put(server.url(), body, transport).status == 200
        assert server.connections == 1

    for above, sent in seen:
        assert sent == b"one" * 50_000 + b"two" * 50_000
        assert b"Content-Length: 300000" in above
        assert b"Transfer-Encoding" not in above
    assert body.asked == 2


def test_a_body_is_asked_for_its_next_piece_only_when_the_one_before_is_on_its_way() -> None:
    arrived = threading.Event()

    def behave(connection: socket.socket) -> None:
        while b"first" not in connection.recv(65_536):
            pass
        arrived.set()
        while b"last" not in connection.recv(65_536):
            pass
        connection.sendall(OK)

    def between() -> None:
        assert arrived.wait(5)

    with serving(behave) as server:
        assert put(server.url(), Pieces(b"first", b"last", between=between)).status == 200


def test_a_body_that_breaks_off_is_its_own_error_and_ends_the_connection() -> None:
    def behave(connection: socket.socket) -> None:
        while head(connection):
            connection.sendall(OK)

    def between() -> None:
        raise StoreFull("no space left")

    transport = RequestsTransport()
    with serving(behave) as server:
        with pytest.raises(StoreFull, match="no space left"):
            put(server.url(), Pieces(b"first", b"last", between=between), transport)
        assert get(server.url(), None, transport).body == b'{"ok":true}'
        assert server.connections == 2


def test_a_body_is_refused_before_it_is_whole() -> None:
    """A server may answer and hang up without reading all of it."""
    words = b'{"error":"too_large"}'
    refusal = b"HTTP/1.1 413 Large\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (len(words), words)
    told = threading.Event()

    def behave(connection: socket.socket) -> None:
        head(connection)
        connection.sendall(refusal)
        connection.shutdown(socket.SHUT_WR)
        told.set()
        while connection.recv(65_536):
            pass

    with serving(behave) as server:
        answer = put(server.url(), Pieces(*[b"x" * 65_536] * 20, between=told.wait))

    assert (answer.status, answer.body) == (413, words)
