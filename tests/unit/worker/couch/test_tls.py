"""What is said of each way in which TLS can fail. A real HAProxy before real nodes: tests/contract/test_tls.py."""

from __future__ import annotations

import ast
import inspect
import socket
import ssl
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.certificates import Authority, Pair, self_signed
from tests.unit.worker.couch.http_server import OK, answering, head, once, serving, tls_context
from worker.core.errors import ReplicationError, TimedOut, TlsRefused, Unreachable
from worker.core.failures import failure_of
from worker.core.health import Failure
from worker.couch import tls as tls_module
from worker.couch import transport as transport_module
from worker.couch.tls import Tls, refused
from worker.couch.transport import Answer, RequestsTransport, Timeouts

AUTHORIZATION = "Basic YWRtaW46aHVudGVyMi1zZWNyZXQ="
OURS = Tls(Path("/ca.pem"), Path("/client.pem"))


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"), "ca")


@pytest.fixture(scope="module")
def good(ca: Authority) -> Pair:
    return ca.issue("good")


def send(url: str, tls: Tls = Tls(), *, total: float | None = None) -> Answer:
    headers = {"Authorization": AUTHORIZATION}
    return RequestsTransport(tls).send("GET", url, headers=headers, body=None, timeouts=Timeouts(2, 5, total))


def lines(url: str, tls: Tls = Tls()) -> None:
    list(RequestsTransport(tls).lines(url, headers={"Authorization": AUTHORIZATION}, timeouts=Timeouts(2, 5)))


def total(url: str, tls: Tls = Tls()) -> None:
    send(url, tls, total=5)


@contextmanager
def told(kind: type[ReplicationError], *words: str) -> Iterator[None]:
    with pytest.raises(kind) as error:
        yield
    assert type(error.value) is kind
    for word in words:
        assert word in error.value.detail
    assert AUTHORIZATION not in "".join(traceback.format_exception(error.value))
    assert error.value.__context__ is None


# --- over a real connection, with Python's own TLS on the other side


@pytest.mark.parametrize("call", [send, total, lines])
def test_a_certificate_nobody_vouches_for_is_refused_and_the_remedy_named(
    tmp_path: Path, call: Callable[..., Any]
) -> None:
    alone = self_signed(tmp_path, "alone")
    context = tls_context(alone.certificate, alone.key)
    with serving(answering(OK), context) as server, told(TlsRefused, "self-signed", "COUCHDB_CA_BUNDLE"):
        call(server.url("https"))


def test_a_ca_bundle_makes_it_good(ca: Authority, good: Pair, tmp_path: Path) -> None:
    with serving(answering(OK), tls_context(good.certificate, good.key)) as server:
        for host in ("127.0.0.1", "localhost"):
            assert send(server.url("https", host), Tls(ca.bundle)).status == 200
    alone = self_signed(tmp_path, "alone")
    with serving(answering(OK), tls_context(alone.certificate, alone.key)) as server:
        assert send(server.url("https"), Tls(alone.certificate)).status == 200


def test_a_client_certificate_is_shown_where_it_is_asked_for(ca: Authority, good: Pair) -> None:
    context = tls_context(good.certificate, good.key)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(ca.bundle)
    ours = ca.issue("ours")
    with serving(answering(OK), context) as server:
        url = server.url("https")
        assert send(url, Tls(ca.bundle, ours.certificate, ours.key)).status == 200
        assert send(url, Tls(ca.bundle, ours.both)).status == 200
        # an alert, or just the end of the connection: that is for the other side's TLS library to choose
        with pytest.raises((TlsRefused, Unreachable), match="COUCHDB_CLIENT_CERT"):
            send(url, Tls(ca.bundle))


def test_plain_http_behind_an_https_url_is_refused(ca: Authority) -> None:
    def behave(connection: socket.socket) -> None:
        connection.recv(65_536)
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")

    with serving(behave) as server, told(TlsRefused, "does not speak TLS", "http://"):
        send(server.url("https"), Tls(ca.bundle))


def test_tls_behind_an_http_url_is_told_where_the_server_answers_in_tls(ca: Authority) -> None:
    """CouchDB's own TLS does."""

    def behave(connection: socket.socket) -> None:
        head(connection)
        connection.sendall(b"\x15\x03\x03\x00\x02\x02\x0a")

    with serving(behave) as server, told(TlsRefused, "write https://"):
        send(server.url())


def test_a_connection_that_is_cut_off_may_be_tried_again(good: Pair) -> None:
    """A node that is just going down does that: nothing is wrong with its certificate. Where it stays so, something
    may be."""

    def behave(connection: socket.socket) -> None:
        connection.recv(65_536)

    with serving(behave) as server:
        with told(Unreachable, "where that stays so", "COUCHDB_CLIENT_CERT"):
            send(server.url("https"))
        with told(Unreachable, "where that stays so", "not take", "COUCHDB_CLIENT_CERT"):
            send(server.url("https"), Tls(client_cert=good.both))
        with told(Unreachable, "where that stays so", "https://"):
            send(server.url("http"))


@pytest.mark.parametrize("total", [None, 0.3])
def test_a_hand_shake_that_is_not_answered_is_told_from_a_call_that_is_not(total: float | None) -> None:
    over = threading.Event()

    def behave(connection: socket.socket) -> None:
        connection.recv(65_536)
        over.wait(10)

    with serving(behave) as server:
        with told(TimedOut, "TLS hand-shake", "http://"):
            RequestsTransport().send(
                "GET", server.url("https"), headers={}, body=None, timeouts=Timeouts(0.3, 5, total)
            )
        over.set()


@pytest.mark.parametrize("file", ["ca_bundle", "client_cert", "client_key"])
@pytest.mark.parametrize("how", ["gone", "other"])
@pytest.mark.parametrize("call", [send, lines])
def test_a_file_of_ours_that_is_lost_while_we_run_is_told_as_such(
    ca: Authority, good: Pair, file: str, how: str, tmp_path: Path, call: Callable[..., Any]
) -> None:
    files = {"ca_bundle": ca.bundle, "client_cert": good.certificate, "client_key": good.key}
    lost = tmp_path / "lost.pem"
    if how == "other":
        lost.write_text("not PEM any more")
    files[file] = lost
    words = "COUCHDB_CA_BUNDLE, COUCHDB_CLIENT_CERT and COUCHDB_CLIENT_KEY cannot be used any more"
    with serving(answering(OK), tls_context(good.certificate, good.key)) as server, told(TlsRefused, words):
        call(server.url("https"), Tls(**files))


def test_files_are_read_again_for_each_new_connection(ca: Authority, good: Pair, tmp_path: Path) -> None:
    """So a renewed one needs no restart."""
    bundle = tmp_path / "bundle.pem"
    bundle.write_bytes(Authority(tmp_path, "another").bundle.read_bytes())
    transport = RequestsTransport(Tls(bundle))
    with serving(once(OK), tls_context(good.certificate, good.key)) as server:

        def ask() -> int:
            return transport.send("GET", server.url("https"), headers={}, body=None, timeouts=Timeouts(2, 5)).status

        with pytest.raises(TlsRefused):
            ask()
        bundle.write_bytes(ca.bundle.read_bytes())
        assert ask() == 200


def test_a_key_that_is_encrypted_while_we_run_is_refused_and_nobody_is_asked(ca: Authority, good: Pair) -> None:
    sealed = ca.issue("sealed", password="hunter2")
    context = tls_context(good.certificate, good.key)
    with serving(answering(OK), context) as server, told(TlsRefused, "cannot be used any more"):
        send(server.url("https"), Tls(ca.bundle, sealed.both))


# --- OpenSSL's codes


def failed(reason: str, library: str = "SSL") -> ssl.SSLError:
    error = ssl.SSLError(1, f"[{library}: {reason}] some text (_ssl.c:1)")
    error.reason, error.library = reason, library
    return error


def unverified(code: int, message: str = "some text") -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, message)
    error.reason, error.library, error.verify_code, error.verify_message = (
        "CERTIFICATE_VERIFY_FAILED",
        "SSL",
        code,
        message,
    )
    return error


def said(error: ssl.SSLError | None, tls: Tls = Tls()) -> str:
    failure = refused(error, "db.test", tls)
    assert isinstance(failure, TlsRefused)
    assert failure_of(failure) is Failure.TLS
    assert failure.detail.startswith("TLS: ")
    assert "; " in failure.detail, "what is wrong; what mends it"
    assert not {"{", "}"} & set(failure.detail)
    return failure.detail


def test_each_code_has_its_own_remedy() -> None:
    assert "renew it" in said(unverified(10))
    assert "clock" in said(unverified(9))
    assert "db.test" in said(unverified(62))
    assert said(unverified(62)) == said(unverified(64)), "a name, an address"
    assert "serverAuth" in said(unverified(26))
    assert "revoked" in said(unverified(23))
    assert "weak" in said(unverified(66))
    for code in (2, 19, 20, 21):
        assert "no public CA" in said(unverified(code))
        assert "no CA in COUCHDB_CA_BUNDLE" in said(unverified(code), OURS)
    assert not [code for code in (9, 10, 23, 26, 62, 64) if "COUCHDB_" in said(unverified(code))], "no CA mends those"


def test_a_code_that_nobody_knows_is_told_in_openssls_words() -> None:
    assert "the odd thing" in said(unverified(9_999, "the odd thing"))
    assert refused(unverified(9_999, "a {brace}"), "db.test", Tls()).detail.count("{brace}") == 1
    assert "a new thing" in said(failed("A_NEW_THING"))


@pytest.mark.parametrize(
    "alert", ["TLSV1_ALERT_UNKNOWN_CA", "SSLV3_ALERT_CERTIFICATE_EXPIRED", "TLSV1_ALERT_ACCESS_DENIED"]
)
def test_what_the_node_says_of_our_certificate_depends_on_whether_there_is_one(alert: str) -> None:
    assert "does not take the certificate in COUCHDB_CLIENT_CERT" in said(failed(alert), OURS)
    assert "asks for a client certificate; set COUCHDB_CLIENT_CERT" in said(failed(alert))


def test_of_two_versions_of_tls_each_has_its_own_word_for_a_missing_certificate() -> None:
    assert "asks for a client certificate" in said(failed("TLSV13_ALERT_CERTIFICATE_REQUIRED"))
    assert "asks for a client certificate" in said(failed("SSLV3_ALERT_HANDSHAKE_FAILURE"))
    assert "cipher" in said(failed("SSLV3_ALERT_HANDSHAKE_FAILURE"), OURS)


@pytest.mark.parametrize("reason", ["TLSV1_ALERT_PROTOCOL_VERSION", "UNSUPPORTED_PROTOCOL"])
def test_an_old_server_is_told_what_to_speak(reason: str) -> None:
    assert "TLS 1.2 or 1.3" in said(failed(reason))


@pytest.mark.parametrize(
    "error", [failed("KEY_VALUES_MISMATCH", "X509"), failed("NO_START_LINE", "PEM"), failed(""), None]
)
def test_our_own_files_are_told_from_the_nodes(error: ssl.SSLError | None) -> None:
    assert "cannot be used any more" in said(error)


# --- nothing turns it off

ENVIRONMENT = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR")


def test_the_environment_does_not_decide_whom_we_trust(
    ca: Authority, good: Pair, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Neither makes it a good certificate nor another bundle bad, and no variable turns verification off."""
    monkeypatch.setenv("PYTHONHTTPSVERIFY", "0")
    with serving(answering(OK), tls_context(good.certificate, good.key)) as server:
        for name in ENVIRONMENT:
            monkeypatch.setenv(name, str(ca.bundle.parent if name.endswith("DIR") else ca.bundle))
        with told(TlsRefused, "COUCHDB_CA_BUNDLE"):
            send(server.url("https"))
        other = Authority(tmp_path, "other").bundle
        for name in ENVIRONMENT:
            monkeypatch.setenv(name, str(other.parent if name.endswith("DIR") else other))
        assert send(server.url("https"), Tls(ca.bundle)).status == 200
        for value in ("", "0", "false"):
            for name in ENVIRONMENT:
                monkeypatch.setenv(name, value)
            with told(TlsRefused, "COUCHDB_CA_BUNDLE"):
                send(server.url("https"))


def test_no_session_goes_without_verification(ca: Authority, good: Pair) -> None:
    for tls in (Tls(), Tls(ca.bundle), Tls(ca.bundle, good.certificate, good.key)):
        session = RequestsTransport(tls)._new_session()
        assert session.trust_env is False
        assert session.verify is True or session.verify == str(ca.bundle)
        prepared = requests.Request("GET", "https://db.test/").prepare()
        adapter = session.get_adapter("https://db.test/")
        _, options = adapter.build_connection_pool_key_attributes(prepared, session.verify)
        assert options["cert_reqs"] == "CERT_REQUIRED"


def test_no_line_of_ours_turns_verification_off() -> None:
    """Of all that calls anybody over HTTPS, and of the library's warnings, which would tell of it."""
    from worker import webhook  # noqa: PLC0415

    off = {"CERT_NONE", "_create_unverified_context", "disable_warnings", "assert_hostname", "check_hostname"}
    for module in (tls_module, transport_module, webhook):
        for node in ast.walk(ast.parse(inspect.getsource(module))):
            named = getattr(node, "attr", getattr(node, "id", getattr(node, "arg", None)))
            assert named not in off, module.__name__
            given = node.value if isinstance(node, ast.keyword | ast.Assign) else None
            if isinstance(node, ast.Assign):
                named = getattr(node.targets[0], "attr", None)
            assert not (named == "verify" and isinstance(given, ast.Constant) and not given.value), module.__name__
