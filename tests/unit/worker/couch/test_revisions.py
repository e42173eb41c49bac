"""Answers that no CouchDB at hand gives, and those that break off."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

import pytest

from tests import builders
from tests.fakes.couchdb import FakeCouch
from worker.core.errors import BadAnswer, NotFound, ServerFault, Unreachable
from worker.couch.database import Database
from worker.couch.revisions import Page, Revisions
from worker.couch.transport import Timeouts


class Lines(FakeCouch):
    """A node whose feed has these lines."""

    def __init__(self, *said: bytes) -> None:
        super().__init__("a")
        self._lines = said

    def lines(self, url: str, *, headers: Mapping[str, str], timeouts: Timeouts) -> Iterator[bytes]:
        return iter(self._lines)


def feed(*said: bytes, size: int = 2) -> list[Page]:
    return list(Revisions(builders.databases(fake(Lines(*said)), "pdfs")["a"]).feed(None, size))


def fake(couch: FakeCouch) -> builders.Cluster:
    return builders.cluster(couch, [builders.node("a")])


def row(identity: str, seq: object = None) -> bytes:
    return json.dumps({"seq": seq, "id": identity, "changes": [{"rev": "1-a"}]}, separators=(",", ":")).encode()


START, END = b'{"results":[', b"],"


@pytest.mark.parametrize(
    ("seq", "told"), [('"7-abc"', "7-abc"), ("7", "7"), ('[7,"abc"]', '[7, "abc"]'), ('"7-a\\u00fc"', "7-aü")]
)
def test_sequences_of_all_kinds_are_texts(seq: str, told: str) -> None:
    """Stand-ins and CouchDB 1 have numbers, Cloudant had arrays."""
    last = b'"last_seq":' + seq.encode() + b"}"

    pages = feed(START, row("a", json.loads(seq)) + b",", row("b", json.loads(seq)), END, last)

    assert pages == [Page([("a", ("1-a",)), ("b", ("1-a",))], told), Page([], told)]


def test_signs_of_life_may_stand_anywhere() -> None:
    """CouchDB sends a line break after 5 seconds without a row, also between a row and its comma."""
    last = b'"last_seq":"3-c","pending":0}'

    pages = feed(b"", START, b"", row("a", "1-a"), b"", b",\r", row("b"), b",\r", b"", row("c"), b"", END, last, b"")

    assert pages == [Page([(key, ("1-a",)) for key in "abc"], "3-c")]


@pytest.mark.parametrize(
    "said",
    [
        (),
        (START, row("a", "1-a") + b","),
        (START, row("a", "1-a"), END),
        (START, row("a", "1-a"), END, b'{"error":"timeout","reason":"The request could not be processed"}'),
        (START, b'{"seq":"1-a","id":"a"}', END, b'"last_seq":"1-a"}'),
        (START, b'{"seq":"1-a","id":"a","cha', b'"last_seq":"1-a"}'),
        (START, END, b'"last_seq":'),
        (b"<html><body>Welcome to nginx!</body></html>",),
    ],
)
def test_a_feed_that_is_cut_off_or_none_is_not_taken_for_a_whole_one(said: tuple[bytes, ...]) -> None:
    with pytest.raises(BadAnswer) as error:
        feed(*said)

    assert error.value.node == "a"


def test_a_feed_that_breaks_off_has_given_pages_to_go_on_from() -> None:
    couch = FakeCouch("a")
    revisions = Revisions(builders.databases(fake(couch), "pdfs")["a"])
    revisions.database.bulk([{"_id": f"doc-{number}"} for number in range(10)])

    pages = revisions.feed(None, 3)
    first = next(pages)
    couch["a"].fail("refused", path="_changes", times=1)
    with pytest.raises(Unreachable):
        next(pages)

    rest = [row for page in revisions.feed(first.seq, 3) for row in page.rows]
    assert sorted(key for key, _ in first.rows + rest) == [f"doc-{number}" for number in range(10)]


def test_an_attachment_that_breaks_off_raises() -> None:
    couch = FakeCouch("a")
    database = builders.databases(fake(couch), "pdfs")["a"]
    revision = database.put({"_id": "one", "_attachments": {"a.pdf": builders.attachment(b"x" * 200_000)}})

    pieces = Revisions(database).attachment("one", revision, "a.pdf")
    assert next(pieces)
    couch["a"].fail("refused", path="a.pdf")
    with pytest.raises(Unreachable):
        next(pieces)


@pytest.mark.parametrize("how", ["html", "strange", "number"])
@pytest.mark.parametrize("standin", [False, True])
def test_what_is_not_couchdbs_answer_is_an_error_of_ours(how: str, standin: bool) -> None:
    couch, cluster = builders.fake_cluster("a", standin=standin)
    revisions = Revisions(builders.databases(cluster, "pdfs")["a"])
    revisions.database.server.capabilities()
    couch["a"].fail(how)

    with pytest.raises(BadAnswer):
        list(revisions.feed(None, 10))
    with pytest.raises(BadAnswer):
        revisions.leaves([("one", ("1-a",))])


def test_local_documents_are_none_where_there_is_no_such_call_and_only_there() -> None:
    couch = FakeCouch("a")
    revisions = Revisions(builders.databases(fake(couch), "pdfs")["a"])

    couch["a"].fail("404", path="_local_docs")
    assert revisions.local_documents() == []

    couch["a"].heal()
    couch["a"].fail("500", path="_local_docs")
    with pytest.raises(ServerFault):
        revisions.local_documents()


def test_a_database_that_is_gone_is_not_found() -> None:
    revisions = Revisions(Database(fake(FakeCouch("a"))["a"], "pdfs"))

    for ask in (lambda: list(revisions.feed(None, 10)), lambda: revisions.leaves([("one", ("1-a",))])):
        with pytest.raises(NotFound):
            ask()
