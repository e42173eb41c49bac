"""The door to webhook receivers: what counts as taken, and what is never done."""

from __future__ import annotations

import os
import socket
import traceback
from pathlib import Path

import pytest

from embedded.ports import any_free
from tests.unit.worker.couch import http_server
from tests.unit.worker.couch.http_server import OK, answering, head, serving
from worker import webhook
from worker.core.errors import DeliveryFailed, ReplicationError, WebhookGone

TOKEN = "sesame-token"
HOST = "http://hook.test"


def post(server: str, *, read: float = 5) -> int:
    return webhook.post(f"{server}/{TOKEN}?key={TOKEN}", HOST, {"webhook-id": "1-0"}, b"{}", connect=2, read=read)


def refusal(server: str, *, read: float = 5) -> ReplicationError:
    with pytest.raises(ReplicationError) as failed:
        post(server, read=read)
    assert TOKEN not in "".join(traceback.format_exception(failed.value))
    assert "127.0.0.1" not in str(failed.value)
    return failed.value


def status(line: str, *headers: str) -> bytes:
    return "\r\n".join([f"HTTP/1.1 {line}", *headers, "Content-Length: 0", "", ""]).encode()


def test_what_is_sent() -> None:
    seen: list[bytes] = []
    with serving(answering(OK, seen)) as server:
        assert post(server.url()) == 200

    line, *lines = seen[0].decode().split("\r\n")
    assert line == f"POST /{TOKEN}?key={TOKEN} HTTP/1.1"
    sent = {name.lower(): value for name, value in (each.split(": ", 1) for each in lines if ": " in each)}
    assert (sent["webhook-id"], sent["content-type"], sent["content-length"]) == ("1-0", "application/json", "2")
    assert "authorization" not in sent


@pytest.mark.parametrize("line", ["200 OK", "202 Accepted", "204 No Content", "299 Odd"])
def test_any_2xx_is_taken(line: str) -> None:
    with serving(answering(status(line))) as server:
        assert post(server.url()) == int(line[:3])


@pytest.mark.parametrize("line", ["400 Bad", "401 No", "404 Not Found", "429 Many", "500 Oops", "502 Bad", "504 Late"])
def test_anything_else_may_be_tried_again(line: str) -> None:
    with serving(answering(status(line))) as server:
        failure = refusal(server.url())

    assert isinstance(failure, DeliveryFailed)
    assert str(failure) == f"{HOST} answered {line[:3]}"
    assert failure.retry_after == 0


def test_gone_is_not() -> None:
    with serving(answering(status("410 Gone"))) as server:
        assert isinstance(refusal(server.url()), WebhookGone)


@pytest.mark.parametrize(
    ("header", "seconds"), [("120", 120), ("Wed, 21 Oct 2026 07:28:00 GMT", 0), ("-1", 0), ("1e3", 0), ("9" * 400, 0)]
)
def test_how_long_it_wants_to_be_left_alone(header: str, seconds: float) -> None:
    with serving(answering(status("503 Busy", f"Retry-After: {header}"))) as server:
        failure = refusal(server.url())

    assert isinstance(failure, DeliveryFailed)
    assert failure.retry_after == seconds


def test_no_redirect_is_followed() -> None:
    seen: list[bytes] = []
    with serving(answering(OK, seen)) as elsewhere:
        moved = answering(status("307 Moved", f"Location: {elsewhere.url()}/"))
        with serving(moved) as server:
            assert "redirects are not followed" in str(refusal(server.url()))
    assert seen == []


def test_an_answer_without_end_is_not_read() -> None:
    def behave(connection: socket.socket) -> None:
        head(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            connection.sendall(b"400\r\n" + b"x" * 0x400 + b"\r\n")

    with serving(behave) as server:
        assert post(server.url()) == 200


def test_a_receiver_that_says_nothing_is_given_up() -> None:
    def behave(connection: socket.socket) -> None:
        head(connection)
        server.over.wait(10)

    with serving(behave) as server:
        assert "no answer within the time-out" in str(refusal(server.url(), read=0.2))


def test_a_receiver_that_is_not_there_or_breaks_off() -> None:
    assert "no connection" in str(refusal(f"http://127.0.0.1:{any_free()}"))
    with serving(lambda connection: None) as server:
        assert "no connection, or it broke off" in str(refusal(server.url()))
    with serving(answering(b"NONSENSE\r\n\r\n")) as server:
        assert isinstance(refusal(server.url()), DeliveryFailed)


def test_a_certificate_that_does_not_verify_is_refused(tmp_path: Path) -> None:
    context = http_server.tls_context(*http_server.make_certificate(tmp_path, "localhost"))
    with serving(answering(OK), context) as server:
        assert "TLS" in str(refusal(server.url("https", "localhost")))


def test_the_machines_own_proxy_and_passwords_are_not_looked_at(tmp_path: Path) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password netrc-secret\n")
    here = {"NETRC": str(tmp_path / "netrc"), "HTTP_PROXY": "http://127.0.0.1:1", "http_proxy": "http://127.0.0.1:1"}
    before = {name: os.environ.get(name) for name in here}
    seen: list[bytes] = []
    os.environ.update(here)
    try:
        with serving(answering(OK, seen)) as server:
            assert post(server.url()) == 200
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
    assert b"Authorization" not in seen[0]


def test_a_user_in_the_url_is_told_to_the_receiver_alone() -> None:
    seen: list[bytes] = []
    with serving(answering(OK, seen)) as server:
        assert webhook.post(server.url().replace("//", "//me:sesame@"), HOST, {}, b"{}") == 200
    assert b"Authorization: Basic " in seen[0]
