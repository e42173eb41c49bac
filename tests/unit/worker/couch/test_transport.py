"""What only a real connection can show: how requests' errors become ours, and what is never done."""

from __future__ import annotations

import gzip
import hashlib
import socket
import struct
import threading
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from embedded.ports import any_free
from tests import builders
from tests.unit.worker.couch.http_server import OK, answering, chunked, good, head, serving
from worker.core.errors import BadAnswer, BadRequest, How, TimedOut, Unreachable
from worker.couch.client import CouchClient
from worker.couch.tls import Tls
from worker.couch.transport import Answer, RequestsTransport, Timeouts

AUTHORIZATION = "Basic YWRtaW46aHVudGVyMi1zZWNyZXQ="
NOBODY = "http://user:hunter2-secret@127.0.0.1"


def send(
    url: str,
    *,
    tls: Tls = Tls(),
    read: float = 5,
    total: float | None = None,
    transport: RequestsTransport | None = None,
) -> Answer:
    headers = {"Authorization": AUTHORIZATION, "Accept": "application/json"}
    transport = transport or RequestsTransport(tls)
    return transport.send("GET", url, headers=headers, body=None, timeouts=Timeouts(2, read, total))


def test_a_good_answer_comes_as_it_is() -> None:
    seen: list[bytes] = []
    with serving(answering(OK, seen)) as server:
        answer = send(server.url() + "/pdfs")

    assert (answer.status, answer.body) == (200, b'{"ok":true}')
    assert AUTHORIZATION.encode() in seen[0]


def test_a_status_is_not_an_exception() -> None:
    with serving(answering(b"HTTP/1.1 500 Oops\r\nContent-Length: 2\r\n\r\n{}")) as server:
        assert send(server.url()).status == 500


def test_a_compressed_answer_is_read() -> None:
    body = gzip.compress(b'{"ok":true}')
    with serving(answering(good(body, "Content-Encoding: gzip"))) as server:
        assert send(server.url()).body == b'{"ok":true}'


def test_connections_are_used_again() -> None:
    transport = RequestsTransport()
    with serving(answering(OK)) as server:
        for _ in range(5):
            send(server.url(), transport=transport)

        assert server.connections == 1


def test_no_redirect_is_followed() -> None:
    seen: list[bytes] = []
    with serving(answering(OK, seen)) as elsewhere:
        moved = f"HTTP/1.1 301 Moved\r\nLocation: {elsewhere.url()}/\r\nContent-Length: 0\r\n\r\n".encode()
        with serving(answering(moved)) as server:
            assert send(server.url()).status == 301
            with pytest.raises(BadAnswer):
                CouchClient(builders.node("a", server.url()), RequestsTransport()).get("pdfs")

    assert seen == []


def test_the_environment_decides_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login other password other\n")
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{any_free()}")
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{any_free()}")
    seen: list[bytes] = []

    with serving(answering(OK, seen)) as server:
        RequestsTransport().send("GET", server.url(), headers={}, body=None, timeouts=Timeouts(2, 5))

    assert b"Authorization" not in seen[0]


# --- what can go wrong


@pytest.mark.parametrize("total", [None, 5.0])
def test_a_refused_connection(total: float | None) -> None:
    with pytest.raises(Unreachable, match="connection refused") as error:
        send(f"http://127.0.0.1:{any_free()}", total=total)

    assert error.value.how is How.REFUSED


@pytest.mark.parametrize("total", [None, 5.0])
def test_a_host_nobody_knows(total: float | None) -> None:
    with pytest.raises(Unreachable) as error:
        send("http://no-such-host.invalid:5984", total=total)

    assert error.value.how is How.NO_NAME


def test_a_connection_that_is_closed_without_an_answer() -> None:
    def behave(connection: socket.socket) -> None:
        head(connection)

    with serving(behave) as server, pytest.raises(Unreachable, match=r"closed the connection|reset"):
        send(server.url())


def test_a_connection_that_is_reset() -> None:
    def behave(connection: socket.socket) -> None:
        head(connection)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    with serving(behave) as server, pytest.raises(Unreachable, match="reset"):
        send(server.url())


@pytest.mark.parametrize("total", [None, 5.0])
def test_an_answer_that_stops_in_the_middle(total: float | None) -> None:
    def behave(connection: socket.socket) -> None:
        head(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")

    with serving(behave) as server, pytest.raises(Unreachable) as error:
        send(server.url(), total=total)

    assert error.value.how is How.OTHER


@pytest.mark.parametrize(("read", "total"), [(0.1, None), (5, 0.1)])
def test_no_answer_in_time(read: float, total: float | None) -> None:
    over = threading.Event()

    def behave(connection: socket.socket) -> None:
        head(connection)
        over.wait(10)

    with serving(behave) as server:
        with pytest.raises(TimedOut):
            send(server.url(), read=read, total=total)
        over.set()


@pytest.mark.parametrize("headers", ["Content-Length: 1000", "Transfer-Encoding: chunked"])
def test_an_answer_that_trickles_in_for_ever_is_given_up(headers: str) -> None:
    """No time-out between two bytes ever ends it."""
    over = threading.Event()

    def behave(connection: socket.socket) -> None:
        head(connection)
        connection.sendall(f"HTTP/1.1 200 OK\r\n{headers}\r\n\r\n".encode())
        byte = b"1\r\nx\r\n" if "chunked" in headers else b"x"
        while not over.wait(0.02):
            connection.sendall(byte)

    with serving(behave) as server:
        with pytest.raises(TimedOut):
            send(server.url(), read=5, total=0.2)
        over.set()


@pytest.mark.parametrize("total", [None, 5.0])
def test_whole_answers_are_read_alike_with_and_without_a_total(total: float | None) -> None:
    body = b'{"ok":"' + b"x" * 300_000 + b'"}'
    plain, packed = good(body), good(gzip.compress(body), "Content-Encoding: gzip")
    for whole in (plain, packed, chunked(body)):
        transport = RequestsTransport()
        with serving(answering(whole)) as server:
            for _ in range(2):
                assert send(server.url(), total=total, transport=transport).body == body
            assert server.connections == 1, "the connection is good for the next call"


class InOnePiece:
    def __init__(self, data: bytes) -> None:
        self._data = data

    def __len__(self) -> int:
        return len(self._data)

    def __iter__(self) -> Iterator[bytes]:
        yield self._data


@pytest.mark.parametrize("kind", [bytes, InOnePiece])
def test_a_body_may_take_longer_than_a_connection(kind: Callable[[bytes], Any]) -> None:
    """It is the server's pace that decides, as long as it goes on."""
    data, never, came = bytes(12_000_000), threading.Event(), hashlib.sha256()

    def behave(connection: socket.socket) -> None:
        piece = head(connection).partition(b"\r\n\r\n")[2]
        left = len(data) - len(piece)
        came.update(piece)
        while left and not never.wait(0.01):
            piece = connection.recv(131_072)
            left -= len(piece)
            came.update(piece)
        connection.sendall(OK)

    with serving(behave) as server:
        answer = RequestsTransport().send(
            "PUT", server.url(), headers={}, body=kind(data), timeouts=Timeouts(connect=0.5, read=5)
        )
    assert answer.status == 200
    assert came.digest() == hashlib.sha256(data).digest()


def test_an_answer_that_gets_stuck_in_the_middle() -> None:
    over = threading.Event()

    def behave(connection: socket.socket) -> None:
        head(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")
        over.wait(10)

    with serving(behave) as server:
        with pytest.raises(TimedOut):
            send(server.url(), read=0.1)
        over.set()


@pytest.mark.parametrize("total", [None, 5.0])
def test_an_answer_that_is_not_compressed_as_it_says(total: float | None) -> None:
    with serving(answering(good(b"not gzip", "Content-Encoding: gzip"))) as server, pytest.raises(BadAnswer):
        send(server.url(), total=total)


def test_a_session_is_good_again_after_a_failure() -> None:
    transport = RequestsTransport()
    failing = threading.Event()
    failing.set()

    def behave(connection: socket.socket) -> None:
        if head(connection) and not failing.is_set():
            connection.sendall(OK)

    with serving(behave) as server:
        with pytest.raises(Unreachable):
            send(server.url(), transport=transport)
        failing.clear()
        assert send(server.url(), transport=transport).status == 200


@pytest.mark.parametrize("url", ["http://127.0.0.1:99999/", "http:///nothing"])
def test_a_url_that_is_none(url: str) -> None:
    with pytest.raises((BadAnswer, Unreachable)):
        send(url)


def test_no_error_tells_the_credentials() -> None:
    with pytest.raises(Unreachable) as caught:
        send(f"{NOBODY}:{any_free()}/pdfs")

    told = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
    assert "hunter2" not in told
    assert AUTHORIZATION not in told
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None  # the library's exception holds the request, with its headers


# --- paths


@pytest.mark.parametrize("identity", ["a/b", "a%2Fb", "a+b", "a b", "ü", "a?b", "%2e%2e", "...", ".a"])
def test_a_segment_arrives_as_it_was_sent(identity: str) -> None:
    seen: list[bytes] = []
    with serving(answering(OK, seen)) as server:
        CouchClient(builders.node("a", server.url()), RequestsTransport()).get("pdfs", identity)

    assert _path(seen[0]) == ["pdfs", identity]


@pytest.mark.parametrize("identity", ["..", "."])
def test_dots_do_not_leave_their_place(identity: str) -> None:
    """HTTP libraries resolve them, whatever the encoding: DELETE /pdfs/. would be for the database itself."""
    seen: list[bytes] = []
    with serving(answering(OK, seen)) as server:
        client = CouchClient(builders.node("a", server.url()), RequestsTransport())
        with pytest.raises(BadRequest):
            client.delete("pdfs", identity)

    assert seen == []


def _path(request: bytes) -> list[str]:
    return [unquote(part) for part in request.split(b" ")[1].decode().split("?")[0].split("/")[1:]]
