"""What an object store answers, as an error of ours that a person can read."""

from __future__ import annotations

import re
import socket
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from embedded.ports import any_free
from tests.unit.worker.couch import http_server
from tests.unit.worker.couch.http_server import head, serving
from worker.blobs import failures
from worker.blobs.connect import Patience
from worker.blobs.store import Store
from worker.core.errors import ObjectMissing, ReplicationError, StoreFull, StoreRefused, StoreUnavailable

HUSH = "hush-0123456789-hush"
ERROR = """<?xml version="1.0" encoding="UTF-8"?>
<Error><Code>{code}</Code><Message>{message}</Message><AWSAccessKeyId>{hush}</AWSAccessKeyId><StringToSign>AWS4-HMAC
{hush}</StringToSign><SignatureProvided>{hush}</SignatureProvided></Error>"""
PATIENCE = Patience(connect=2, answer=2, retries=1)


def saying(line: str, body: str = "", *headers: str) -> Callable[[socket.socket], None]:
    """One answer, whatever is asked; the body of the request is read, or the client would find the line broken."""
    answer = "\r\n".join([f"HTTP/1.1 {line}", *headers, f"Content-Length: {len(body)}", "Connection: close", "", body])

    def behave(connection: socket.socket) -> None:
        asked = head(connection)
        length = re.search(rb"(?i)content-length: (\d+)", asked)
        left = (int(length[1]) if length else 0) - len(asked.partition(b"\r\n\r\n")[2])
        while left > 0 and (more := connection.recv(65_536)):
            left -= len(more)
        connection.sendall(answer.encode())

    return behave


def error(code: str, message: str = "in words") -> str:
    return ERROR.format(code=code, message=message, hush=HUSH)


def store(url: str, **more: str) -> Store:
    options = {"aws_access_key_id": HUSH, "aws_secret_access_key": HUSH, "aws_region": "r", "aws_endpoint": url}
    return Store.open("s3://bucket/backups", {**options, "allow_http": "true", **more}, PATIENCE)


def failure(do: Callable[[], object]) -> ReplicationError:
    with pytest.raises(ReplicationError) as failed:
        do()
    assert HUSH not in "".join(traceback.format_exception(failed.value))
    assert "\n" not in str(failed.value)
    assert len(str(failed.value)) < 500
    return failed.value


@pytest.mark.parametrize(
    ("line", "body", "kind", "said"),
    [
        ("403 Forbidden", error("AccessDenied"), StoreRefused, "access is refused: AccessDenied: in words"),
        ("403 Forbidden", error("RequestTimeTooSkewed"), StoreRefused, "RequestTimeTooSkewed: in words"),
        ("403 Forbidden", f"<html>{HUSH}</html>", StoreRefused, "it answers 403 Forbidden"),
        ("401 Unauthorized", "", StoreRefused, "it answers 401 Unauthorized"),
        ("400 Bad Request", error("ExpiredToken"), StoreRefused, "ExpiredToken: in words"),
        ("400 Bad Request", error("AuthorizationHeaderMalformed"), StoreRefused, "AuthorizationHeaderMalformed"),
        ("400 Bad Request", error("InvalidBucketName"), StoreRefused, "InvalidBucketName"),
        ("301 Moved Permanently", error("PermanentRedirect"), StoreRefused, "incorrectly configured region"),
        ("404 Not Found", error("NoSuchBucket"), StoreRefused, "NoSuchBucket: in words"),
        ("404 Not Found", error("ContainerNotFound"), StoreRefused, "ContainerNotFound"),
        ("507 Insufficient Storage", error("XMinioStorageFull"), StoreFull, "no space left to write a/b"),
        ("507 Insufficient Storage", "", StoreFull, "no space left"),
        ("403 Forbidden", error("QuotaExceeded"), StoreFull, "no space left"),
        ("400 Bad Request", error("RequestTimeout"), StoreUnavailable, "a/b: RequestTimeout: in words"),
        ("503 Slow Down", error("SlowDown"), StoreUnavailable, "a/b: SlowDown: in words"),
        ("500 Oops", HUSH, StoreUnavailable, "a/b: it answers 500"),
        ("409 Conflict", error("OperationAborted"), StoreUnavailable, "OperationAborted"),
    ],
)
def test_an_answer_that_is_an_error(line: str, body: str, kind: type[ReplicationError], said: str) -> None:
    with serving(saying(line, body)) as server:
        for do in (lambda: store(server.url()).get("a/b"), lambda: store(server.url()).put("a/b", b"12")):
            found = failure(do)
            assert type(found) is kind
            assert said in str(found)
            assert str(found).startswith("s3://bucket/backups: ")


def test_what_is_not_found_while_writing_is_no_object_of_ours() -> None:
    with serving(saying("404 Not Found", error("NoSuchUpload"))) as server:
        assert isinstance(failure(lambda: store(server.url()).get("a/b")), ObjectMissing)
        assert type(failure(lambda: store(server.url()).put("a/b", b"1"))) is StoreUnavailable


def test_an_object_that_may_not_be_deleted() -> None:
    """S3 tells it in an answer that is none of an error otherwise."""
    body = "<DeleteResult><Error><Key>backups/b</Key><Code>AccessDenied</Code><Message>in words</Message></Error>"
    body += "<Deleted><Key>backups/a</Key></Deleted></DeleteResult>"
    with serving(saying("200 OK", body)) as server:
        found = failure(lambda: store(server.url()).delete(["a", "b"]))
    assert isinstance(found, StoreRefused)


def test_what_is_not_s3_at_all() -> None:
    with serving(saying("200 OK", "<html>Log in, please</html>")) as server:
        assert type(failure(lambda: store(server.url()).put("a/b", b"1"))) is StoreUnavailable
    with serving(lambda connection: connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")) as server:
        assert "broke off" in str(failure(lambda: store(server.url()).get("a/b")))


@pytest.mark.parametrize("silent", [False, True])
def test_an_answer_that_is_cut_off_or_ends_in_silence(silent: bool) -> None:
    def behave(connection: socket.socket) -> None:
        head(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\nETag: x\r\n")
        connection.sendall(b"Last-Modified: Wed, 21 Oct 2026 07:28:00 GMT\r\n\r\nabc")
        if silent:
            server.over.wait(10)

    with serving(behave) as server:
        assert type(failure(lambda: store(server.url()).get("a/b"))) is StoreUnavailable


def test_a_server_whose_certificate_does_not_verify(tmp_path: Path) -> None:
    context = http_server.tls_context(*http_server.make_certificate(tmp_path, "localhost"))
    with serving(saying("200 OK"), context) as server:
        url = server.url("https", "localhost")
        found = failure(lambda: store(url).get("a/b"))
    assert isinstance(found, StoreRefused)
    assert f"the certificate of {url} does not verify" in str(found)


def test_http_has_to_be_allowed() -> None:
    found = failure(lambda: store("http://127.0.0.1:1", allow_http="false").get("a/b"))
    assert isinstance(found, StoreRefused)
    assert "http://127.0.0.1:1 is not https, which the option allow_http=true would allow" in str(found)


def test_a_signature_in_the_url_is_not_shown() -> None:
    """Azure's is; obstore leaves the whole URL out then."""
    options = {"azure_storage_account_name": "a", "azure_storage_sas_token": f"sv=1&sig={HUSH}", "allow_http": "true"}
    with serving(saying("403 Forbidden", error("AuthenticationFailed"))) as server:
        azure = Store.open("az://container", {**options, "azure_endpoint": server.url()}, PATIENCE)
        for do in (lambda: azure.get("a"), lambda: list(azure.listed("a")), lambda: azure.put("a", b"")):
            assert "AuthenticationFailed: in words" in str(failure(do))
    azure = Store.open("az://container", {**options, "azure_endpoint": f"http://127.0.0.1:{any_free()}"}, PATIENCE)
    assert "no connection to the store: Connection refused" in str(failure(lambda: azure.get("a")))


@pytest.mark.parametrize("option", ["aws_access_key_id", "aws_session_token", "aws_region"])
def test_a_library_that_panics_is_an_error_like_others(option: str) -> None:
    """A line break at the end is what a secret read from a file has."""
    found = failure(lambda: store("http://127.0.0.1:1", **{option: f"{HUSH}\n"}).get("a/b"))
    assert isinstance(found, StoreRefused)
    assert "its URL or its options make no sense" in str(found)


@pytest.mark.parametrize("end", [KeyboardInterrupt, SystemExit, GeneratorExit, AssertionError])
def test_what_is_no_failure_of_the_store_goes_through(end: type[BaseException]) -> None:
    with pytest.raises(end), failures.translated("s3://bucket"):
        raise end


def test_our_own_errors_go_through() -> None:
    ours = ObjectMissing("as it is")
    with pytest.raises(ObjectMissing) as failed, failures.translated("s3://bucket"):
        raise ours
    assert failed.value is ours
