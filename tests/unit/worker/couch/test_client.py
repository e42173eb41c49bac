"""The door to one node: what is repeated, what is sent, and that nothing leaks or leaves its place."""

from __future__ import annotations

import base64
import gzip
import json
import traceback
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import builders
from worker.core import errors
from worker.core.model import Credentials
from worker.couch import client as module
from worker.couch.client import CouchClient
from worker.couch.related import Part, Related
from worker.couch.transport import Answer, Body, Oversize, Refusal, Timeouts

PASSWORD = "hunter2-ünter3"
BASIC = base64.b64encode(f"admin:{PASSWORD}".encode()).decode()
OK = Answer(200, {}, b'{"ok":true}')


class Script:
    """A transport that answers (or raises) what it is told, the last one for ever."""

    def __init__(self, *steps: Answer | Exception) -> None:
        self._steps = list(steps)
        self.sent: list[tuple[str, str, Mapping[str, str], Any, Timeouts]] = []
        self.most: list[int | None] = []

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
        self.sent.append((method, url, headers, body, timeouts))
        self.most.append(most)
        step = self._steps.pop(0) if len(self._steps) > 1 else self._steps[0]
        if isinstance(step, Exception):
            raise step
        return step

    def lines(self, url: str, *, headers: Mapping[str, str], timeouts: Timeouts) -> Iterator[bytes]:
        return self.pieces(url, headers=headers, timeouts=timeouts)

    def pieces(self, url: str, *, headers: Mapping[str, str], timeouts: Timeouts) -> Iterator[bytes]:
        answer = self.send("GET", url, headers=headers, body=None, timeouts=timeouts)
        if answer.status >= 300:
            raise Refusal(answer)
        yield from answer.body.splitlines()


def client(script: Script, pauses: list[float] | None = None, chance: float = 1.0) -> CouchClient:
    node = builders.node("a", credentials=Credentials("admin", PASSWORD))
    told = pauses if pauses is not None else []
    return CouchClient(node, script, Timeouts(2, 20), sleep=told.append, chance=lambda: chance)


def unreachable() -> errors.Unreachable:
    return errors.Unreachable("connection refused")


FAULT = Answer(503, {}, b'{"error":"service_unavailable","reason":"later"}')


@pytest.mark.parametrize("broken", [unreachable(), FAULT])
def test_a_read_is_tried_three_times(broken: Answer | errors.ReplicationError) -> None:
    script = Script(broken)

    with pytest.raises(errors.Transient) as error:
        client(script).get("pdfs")

    assert len(script.sent) == 3
    assert error.value.node == "a"


@pytest.mark.parametrize("broken", [unreachable(), FAULT])
def test_a_read_that_comes_through_at_last_is_good(broken: Answer | errors.ReplicationError) -> None:
    script = Script(broken, broken, OK)

    assert client(script).get("pdfs") == {"ok": True}
    assert len(script.sent) == 3


@pytest.mark.parametrize("method", ["put", "post", "delete"])
def test_a_write_is_never_repeated_by_itself(method: str) -> None:
    script = Script(unreachable(), OK)

    with pytest.raises(errors.Unreachable):
        getattr(client(script), method)("pdfs")
    assert len(script.sent) == 1


@pytest.mark.parametrize("method", ["put", "post", "delete"])
def test_a_write_that_is_safe_to_repeat_is(method: str) -> None:
    script = Script(unreachable(), OK)

    assert getattr(client(script), method)("pdfs", repeatable=True) == {"ok": True}
    assert len(script.sent) == 2


@pytest.mark.parametrize(
    "step",
    [
        errors.TimedOut("no answer"),
        errors.TlsRefused("self-signed"),
        Answer(401, {}, b"{}"),
        Answer(403, {}, b'{"error":"forbidden","reason":"Account is temporarily locked"}'),
        Answer(404, {}, b"{}"),
        Answer(409, {}, b"{}"),
        Answer(413, {}, b"{}"),
        Answer(400, {}, b"{}"),
        Answer(200, {}, b"<html>"),
        Answer(302, {"Location": "http://elsewhere"}, b""),
    ],
)
def test_nothing_else_is_repeated(step: Answer | errors.ReplicationError) -> None:
    script = Script(step)

    with pytest.raises(errors.ReplicationError):
        client(script).get("pdfs", repeatable=True)
    assert len(script.sent) == 1


def test_tries_are_bounded_by_who_asks() -> None:
    script = Script(unreachable())

    with pytest.raises(errors.Unreachable):
        client(script).get("pdfs", tries=1)
    assert len(script.sent) == 1


def test_pauses_grow_to_a_bound_and_are_spread_by_chance() -> None:
    pauses: list[float] = []
    with pytest.raises(errors.Unreachable):
        client(Script(unreachable()), pauses).get("pdfs", tries=9)
    assert pauses[0] == module.FIRST_PAUSE
    assert pauses == sorted(pauses)
    assert pauses[-1] == module.LONGEST_PAUSE
    assert len(pauses) == 8

    spread: list[float] = []
    with pytest.raises(errors.Unreachable):
        client(Script(unreachable()), spread, chance=0.25).get("pdfs")
    assert spread == [pause * 0.25 for pause in pauses[:2]]


def test_time_outs_are_the_clients_unless_told_otherwise() -> None:
    script = Script(OK)
    client(script).get("pdfs")
    client(script).get("pdfs", read_timeout=1.5)

    assert [timeouts for *_, timeouts in script.sent] == [Timeouts(2, 20), Timeouts(2, 1.5)]


# --- what is sent


def test_credentials_are_utf_8_in_a_header_and_nowhere_else() -> None:
    script = Script(OK)
    client(script).put("pdfs", "one", json={"n": 1})

    method, url, headers, body, _ = script.sent[0]
    assert headers["Authorization"] == f"Basic {BASIC}"
    assert method == "PUT"
    assert PASSWORD not in unquote(url)
    assert json.loads(body or b"") == {"n": 1}
    assert headers["Content-Type"] == "application/json"


def test_without_credentials_there_is_no_header() -> None:
    script = Script(OK)
    CouchClient(builders.node(credentials=None), script).get("pdfs")

    assert "Authorization" not in script.sent[0][2]


def test_a_post_without_a_body_has_its_content_type() -> None:
    script = Script(OK)
    client(script).post("pdfs", "_compact")

    assert script.sent[0][2]["Content-Type"] == "application/json"


@pytest.mark.parametrize(("size", "compressed"), [(module.COMPRESS_FROM - 1, False), (module.COMPRESS_FROM, True)])
def test_bodies_are_compressed_from_16_kib_on(size: int, compressed: bool) -> None:
    assert module.COMPRESS_FROM == 16 * 1024
    script = Script(OK)
    text = "x" * (size - len('{"t":""}'))

    client(script).post("pdfs", "_bulk_docs", json={"t": text})

    _, _, headers, body, _ = script.sent[0]
    assert body is not None
    assert (headers.get("Content-Encoding") == "gzip") is compressed
    assert json.loads(gzip.decompress(body) if compressed else body) == {"t": text}
    assert (len(body) == size) is not compressed


def test_parameters_are_encoded() -> None:
    script = Script(OK)
    client(script).get("pdfs", "_changes", params={"since": "1-a+b/c=", "limit": 0})

    parts = urlsplit(script.sent[0][1])
    assert parse_qs(parts.query) == {"since": ["1-a+b/c="], "limit": ["0"]}


def test_the_root_has_a_path() -> None:
    script = Script(OK)
    client(script).get()

    assert script.sent[0][1] == "http://a.test:5984/"


segments_of_text = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)


@given(st.lists(segments_of_text.filter(lambda text: text not in {".", ".."}), min_size=1, max_size=4))
def test_a_segment_stays_one_segment(segments: list[str]) -> None:
    script = Script(OK)
    client(script).get(*segments)

    parts = urlsplit(script.sent[0][1])
    assert (parts.netloc, parts.query, parts.fragment) == ("a.test:5984", "", "")
    assert [unquote(part) for part in parts.path.split("/")[1:]] == segments


@pytest.mark.parametrize("segment", ["a/b", "a%2Fb", "../x", "a?b#c", "a b", "a+b", "//x", "ü"])
def test_signs_that_could_leave_their_place(segment: str) -> None:
    script = Script(OK)
    client(script).get("pdfs", segment)

    path = urlsplit(script.sent[0][1]).path
    assert path.count("/") == 2
    assert unquote(path.rpartition("/")[2]) == segment


# --- bytes instead of JSON


def test_a_raw_answer_is_its_bytes() -> None:
    body = b'{"n": 1.10}\n'

    assert client(Script(Answer(200, {}, body))).get("pdfs", raw=True) == body
    assert client(Script(Answer(200, {}, b"no JSON"))).post("pdfs", raw=True) == b"no JSON"


def test_a_raw_answer_that_is_bad_raises_as_ever() -> None:
    with pytest.raises(errors.NotFound, match="missing") as error:
        client(Script(Answer(404, {}, b'{"error":"not_found","reason":"missing"}'))).get("pdfs", raw=True)

    assert error.value.node == "a"


def test_a_body_goes_through_as_it_is_and_comes_again_when_it_is_sent_again() -> None:
    """It is not compressed, however large: nobody has all of it in memory."""
    script, body = Script(unreachable(), OK), Related(b"{}", [Part("a", "text/plain", 3, lambda: iter([b"abc"]))])
    large = b'{"t":"' + b"x" * module.COMPRESS_FROM + b'"}'

    client(script).put("pdfs", "one", body=body, content_type=body.content_type, repeatable=True)
    client(script).post("pdfs", "_bulk_docs", body=large)

    assert [sent for *_, sent, _ in script.sent] == [body, body, large]
    types = [headers["Content-Type"] for _, _, headers, *_ in script.sent]
    assert types == [body.content_type, body.content_type, "application/json"]
    assert not any("Content-Encoding" in headers for _, _, headers, *_ in script.sent)


def test_a_bound_is_handed_on_and_what_is_beyond_it_is_for_the_caller() -> None:
    """Asking again would get the same answer."""
    script = Script(Oversize())

    with pytest.raises(Oversize):
        client(script).post("pdfs", "_bulk_get", most=1_000, repeatable=True)
    assert script.most == [1_000]


def test_without_a_bound_there_is_none() -> None:
    script = Script(OK)
    client(script).get("pdfs")

    assert script.most == [None]


# --- answers in pieces


def pieces(script: Script) -> list[bytes]:
    headers = {"Accept": "*/*", "Accept-Encoding": "gzip"}
    return list(client(script).pieces("pdfs", "a/b", "c d.txt", params={"rev": "1-a"}, headers=headers))


def test_pieces_are_asked_for_with_our_headers_and_the_callers() -> None:
    script = Script(Answer(200, {}, b"one\ntwo"))

    assert pieces(script) == [b"one", b"two"]

    _, url, headers, _, timeouts = script.sent[0]
    assert url == "http://a.test:5984/pdfs/a%2Fb/c%20d.txt?rev=1-a"
    assert (headers["Accept"], headers["Accept-Encoding"]) == ("*/*", "gzip")
    assert headers["Authorization"] == f"Basic {BASIC}"
    assert timeouts == Timeouts(2, 20)


@pytest.mark.parametrize(
    ("step", "kind"),
    [
        (Answer(404, {}, b'{"error":"not_found","reason":"Document is missing attachment"}'), errors.NotFound),
        (Answer(401, {}, b"{}"), errors.Unauthorized),
        (FAULT, errors.ServerFault),
        (Answer(302, {}, b""), errors.BadAnswer),
        (unreachable(), errors.Unreachable),
        (errors.TimedOut("no answer"), errors.TimedOut),
    ],
)
def test_pieces_that_do_not_come_are_an_error_of_ours_and_not_asked_for_again(
    step: Answer | errors.ReplicationError, kind: type[errors.ReplicationError]
) -> None:
    for stream in (pieces, lambda script: list(client(script).lines("pdfs", "_changes", params={}, read_timeout=1))):
        script = Script(step)

        with pytest.raises(kind) as error:
            stream(script)

        assert error.value.node == "a"
        assert len(script.sent) == 1


# --- what must not be told


@pytest.mark.parametrize(
    "step",
    [
        unreachable(),
        errors.TimedOut("no answer"),
        Answer(401, {}, b'{"error":"unauthorized","reason":"Name or password is incorrect."}'),
        Answer(500, {}, f'{{"error":"x","reason":"could not open http://admin:{PASSWORD}@b/"}}'.encode()),
        Answer(500, {}, f'{{"error":"x","reason":"Authorization: Basic {BASIC}"}}'.encode()),
        Answer(200, {}, b"<html>"),
    ],
)
def test_no_error_tells_the_password(step: Answer | errors.ReplicationError) -> None:
    with pytest.raises(errors.ReplicationError) as caught:
        client(Script(step)).get("pdfs")

    told = "".join(traceback.format_exception(caught.value)) + repr(caught.value) + str(caught.value.__dict__)
    assert PASSWORD not in told
    assert BASIC not in told


def test_no_repr_tells_the_password() -> None:
    one = client(Script(OK))
    server = builders.server(Script(OK), one.node)

    told = f"{one!r} {one} {server!r} {server} {one.node!r}"

    assert PASSWORD not in told
    assert BASIC not in told
    assert "a.test" in told
