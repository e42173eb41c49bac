"""Receivers that came through the API: only where they may be, and to the very address that was checked."""

from __future__ import annotations

import socket
import ssl
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import ip_network
from pathlib import Path

import pytest

from embedded.ports import any_free
from tests.unit.worker.couch import http_server
from tests.unit.worker.couch.http_server import OK, Server, answering, head, serving
from worker import pinned, webhook
from worker.core.addresses import NOBODY, Allowed
from worker.core.errors import DeliveryFailed, ReplicationError, WebhookForbidden

TOKEN = "sesame-token"
LOOPBACK = Allowed((ip_network("127.0.0.0/8"),))


@dataclass
class Names:
    """A resolver whose answers the test gives, one after the other; the last one stays."""

    answers: list[Sequence[str]]
    asked: list[tuple[str, int]] = field(default_factory=list)

    def resolve(self, name: str, port: int) -> list[str]:
        self.asked.append((name, port))
        return list(self.answers.pop(0) if len(self.answers) > 1 else self.answers[0])


def post(port: int, names: Names, allowed: Allowed = LOOPBACK, *, host: str = "hook.test", total: float = 10) -> int:
    url = f"http://{host}:{port}/{TOKEN}"
    shown = f"http://{host}:{port}"
    return webhook.post(url, shown, {}, b"{}", allowed, connect=1, read=5, total=total, resolve=names.resolve)


def refusal(port: int, names: Names, allowed: Allowed = LOOPBACK, **more: str) -> ReplicationError:
    with pytest.raises(ReplicationError) as failed:
        post(port, names, allowed, **more)
    assert TOKEN not in "".join(traceback.format_exception(failed.value))
    return failed.value


def test_the_name_is_looked_up_once_and_told_in_the_host_header() -> None:
    seen: list[bytes] = []
    names = Names([["127.0.0.1"], ["127.0.0.2"]])
    with serving(answering(OK, seen)) as server:
        assert post(server.port, names) == 200

    assert names.asked == [("hook.test", server.port)]
    hosts = [line for line in seen[0].decode().split("\r\n") if line.lower().startswith("host:")]
    assert hosts == [f"Host: hook.test:{server.port}"]


@pytest.mark.parametrize(
    "answer",
    [
        ["127.0.0.1"],
        ["10.0.0.5"],
        ["169.254.169.254"],
        ["::1"],
        ["::ffff:127.0.0.1"],
        ["64:ff9b::7f00:1"],
        ["fe80::1%eth0"],
        ["0.0.0.0"],  # noqa: S104
        ["93.184.215.14", "127.0.0.1"],
        ["127.0.0.1", "93.184.215.14"],
        ["nonsense"],
    ],
    ids=" ".join,
)
def test_a_name_that_stands_for_something_inside_is_not_called(answer: list[str]) -> None:
    with serving(answering(OK)) as server:
        refused = refusal(server.port, Names([answer]), NOBODY)

    assert isinstance(refused, WebhookForbidden)
    assert "WEBHOOK_ALLOW_PRIVATE" in str(refused)
    assert list(refused.addresses) == answer
    assert not [address for address in answer if address in str(refused)], "whoever asks is not told what it stands for"
    assert server.connections == 0


def test_a_name_that_stands_for_something_else_the_second_time_is_not_called_there() -> None:
    """DNS rebinding: the check sees a public address, and a second look-up would see ours."""
    names = Names([["127.0.0.2"], ["127.0.0.1"]])
    allowed = Allowed((ip_network("127.0.0.2/32"),), ("localhost",))
    with serving(answering(OK)) as server:
        # a name that the system looks up as well, to where the server is
        refused = refusal(server.port, names, allowed, host="localhost")

    assert isinstance(refused, DeliveryFailed)
    assert len(names.asked) == 1
    assert server.connections == 0


def test_each_delivery_asks_again() -> None:
    names = Names([["127.0.0.1"], ["10.0.0.1"]])
    with serving(answering(OK)) as server:
        assert post(server.port, names) == 200
        assert isinstance(refusal(server.port, names), WebhookForbidden)
    assert server.connections == 1


@pytest.mark.parametrize("address", ["127.0.0.1", "169.254.169.254", "0.0.0.0", "fe80::1", "::ffff:127.0.0.1"])  # noqa: S104
def test_a_name_that_is_allowed_may_not_stand_for_this_machine_or_a_metadata_service(address: str) -> None:
    with serving(answering(OK)) as server:
        refused = refusal(server.port, Names([[address]]), Allowed((), ("hook.test",)))
    assert isinstance(refused, WebhookForbidden)
    assert server.connections == 0


@pytest.mark.parametrize("host", ["localhost", "127.1", "2130706433", "127.0.0.1", "[::1]", "[::ffff:127.0.0.1]"])
def test_what_needs_no_look_up_is_refused_without_one(host: str) -> None:
    """Also what was allowed when it was registered, and is not any more."""
    names = Names([["93.184.215.14"]])
    with serving(answering(OK)) as server:
        assert isinstance(refusal(server.port, names, NOBODY, host=host), WebhookForbidden)
    assert (names.asked, server.connections) == ([], 0)


def test_the_next_address_is_tried_where_nobody_listens_at_the_first() -> None:
    with serving(answering(OK)) as server:
        assert post(server.port, Names([["127.0.0.2", "127.0.0.1"]])) == 200
        assert "no connection" in str(refusal(server.port, Names([["127.0.0.2", "127.0.0.3"]])))
    assert server.connections == 1


def test_one_that_took_it_and_broke_off_is_not_followed_by_another() -> None:
    with serving(lambda connection: None) as server:
        refusal(server.port, Names([["127.0.0.1", "127.0.0.1", "127.0.0.1"]]))
        assert server.connections == 1


@pytest.mark.parametrize("error", [socket.gaierror(-2, "no such name"), UnicodeError("label empty")], ids=repr)
def test_a_name_that_nobody_knows_may_be_known_later(error: Exception) -> None:
    def unknown(name: str, port: int) -> list[str]:
        raise error

    with pytest.raises(DeliveryFailed, match="could not be looked up"):
        webhook.post("http://hook.test/", "http://hook.test", {}, b"", LOOPBACK, resolve=unknown)


def test_a_look_up_without_end_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pinned, "LOOK_UP_TIMEOUT", 0.1)
    with serving(answering(OK)) as server:

        def hang(name: str, port: int) -> list[str]:
            server.over.wait(10)
            return ["127.0.0.1"]

        with pytest.raises(DeliveryFailed, match="not looked up in time"):
            webhook.post(server.url(), server.url(), {}, b"", LOOPBACK, resolve=hang)


def test_an_answer_that_drips_has_an_end() -> None:
    def behave(connection: socket.socket) -> None:
        head(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nX: ")
        for _ in range(200):  # four seconds, where nobody ends it
            if server.over.wait(0.02):
                break
            connection.sendall(b"x")

    began = time.monotonic()
    with serving(behave) as server, pytest.raises(DeliveryFailed, match=r"no answer within 0\.3 s"):
        post(server.port, Names([["127.0.0.1"]]), total=0.3)
    assert time.monotonic() - began < 3


def test_so_has_a_hand_shake() -> None:
    """By the time-out to connect, which is for all of it."""

    def behave(connection: socket.socket) -> None:
        server.over.wait(10)

    with serving(behave) as server, pytest.raises(DeliveryFailed, match="no answer within the time-out"):
        secure(server, "hook.test", connect=0.3)


# --- TLS: by the name, although the connection knows only the address


@pytest.fixture
def trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[ssl.SSLContext, list[str | None]]:
    """The context of a server whose certificate, for hook.test, is taken; and the names that it is asked for."""
    certificate, key = http_server.make_certificate(tmp_path, "hook.test")
    monkeypatch.setattr(pinned.ToAddress, "cert_verify", _trusting(str(certificate)))
    context, asked = http_server.tls_context(certificate, key), list[str | None]()
    context.sni_callback = lambda connection, name, context: asked.append(name)
    return context, asked


def _trusting(certificate: str):  # type: ignore[no-untyped-def]
    def verify(self, connection, url, verify, cert):  # type: ignore[no-untyped-def]
        connection.cert_reqs, connection.ca_certs = "CERT_REQUIRED", certificate

    return verify


def secure(server: Server, name: str, *, connect: float = 5) -> int:
    url = server.url("https", name)
    return webhook.post(url, url, {}, b"", LOOPBACK, connect=connect, resolve=Names([["127.0.0.1"]]).resolve)


def test_certificate_and_sni_are_those_of_the_name(trusted: tuple[ssl.SSLContext, list[str | None]]) -> None:
    context, asked = trusted
    with serving(answering(OK), context) as server:
        assert secure(server, "hook.test") == 200
    assert asked == ["hook.test"]


def test_a_certificate_for_another_name_is_refused(trusted: tuple[ssl.SSLContext, list[str | None]]) -> None:
    context, asked = trusted
    with serving(answering(OK), context) as server, pytest.raises(DeliveryFailed, match="TLS"):
        secure(server, "other.test")
    assert asked == ["other.test"]


def test_a_receiver_of_the_settings_may_be_anywhere() -> None:
    with serving(answering(OK)) as server:
        assert webhook.post(server.url(), server.url(), {}, b"{}") == 200
    assert "no connection" in str(refusal(any_free(), Names([["127.0.0.1"]])))
