"""Documents of a dump made ready, and what a node does not take of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from tests import builders
from tests.fakes.couchdb import FakeCouch
from worker.core.dumps import Format
from worker.couch.database import Database
from worker.couch.transport import Answer, Body, Timeouts
from worker.ops.control import Unattended
from worker.ops.importing.database import import_dump
from worker.ops.importing.document import Document, prepared
from worker.ops.importing.result import MOST_SHOWN, Imported

DATA = {"content_type": "text/plain", "data": "aGVsbG8=", "revpos": 2, "digest": "md5-x"}
STUB = {"content_type": "text/plain", "stub": True, "length": 5, "revpos": 2, "digest": "md5-x"}


def ready(document: Mapping[str, Any]) -> tuple[Document, dict[str, Any]]:
    made = prepared(json.dumps(document).encode())
    return made, json.loads(made.text)


class Strict(FakeCouch):
    """Refuses a whole request for one document in it, as CouchDB does."""

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
        if isinstance(body, bytes) and b'"_unheard"' in body:
            return Answer(400, {}, b'{"error":"doc_validation","reason":"Bad special document member: _unheard"}')
        if isinstance(body, bytes) and len(body) > 2_000 and url.endswith("/_bulk_docs"):
            return Answer(413, {}, b'{"error":"too_large","reason":"the request entity is too large"}')
        return super().send(method, url, headers=headers, body=body, timeouts=timeouts, most=most)


# --- a document made ready


@pytest.mark.parametrize(
    "document",
    [
        {"_id": "a", "_rev": "1-a", "n": 1.0, "text": "ü"},
        {"_id": "a", "_rev": "2-b", "_revisions": {"start": 2, "ids": ["b", "a"]}, "_attachments": {"x": DATA}},
        {"_id": "a", "_rev": "3-c", "_deleted": True},
    ],
)
def test_what_a_node_takes_is_left_as_it_is(document: dict[str, Any]) -> None:
    text = json.dumps(document, indent=3).encode()
    made = prepared(text)
    assert made.text == text
    assert (made.id, made.rev, made.missing, made.new) == ("a", document["_rev"], [], False)
    assert made.deleted == ("_deleted" in document)
    assert made.has_history == ("_revisions" in document)


def test_attachments_without_their_bytes_are_taken_out_and_named() -> None:
    listed = {"b": STUB, "here": DATA, "a": {"follows": True}, "null": {"data": None}}
    made, fields = ready({"_id": "a", "_rev": "1-a", "_attachments": listed, "n": 1})
    assert (made.attachments, made.missing) == (1, ["a", "b", "null"])
    assert fields == {"_id": "a", "_rev": "1-a", "_attachments": {"here": DATA}, "n": 1}
    _, fields = ready({"_id": "a", "_rev": "1-a", "_attachments": {"b": STUB}})
    assert fields == {"_id": "a", "_rev": "1-a"}


def test_couchbackups_name_for_the_type_becomes_couchdbs() -> None:
    theirs = {"contentType": "text/plain", "data": "aGVsbG8=", "revpos": 2, "digest": "md5-x"}
    made, fields = ready({"_id": "a", "_rev": "1-a", "contentType": "mine", "_attachments": {"x": theirs}})
    assert made.missing == []
    assert fields == {"_id": "a", "_rev": "1-a", "contentType": "mine", "_attachments": {"x": DATA}}


def test_numbers_stay_where_the_document_is_put_together_again() -> None:
    numbers = b"[1.0,-0,1E400,12345678901234567890.10]"
    made = prepared(b'{"_id":"a","n":%b,"_attachments":{"x":{"stub":true}}}' % numbers)
    assert b'"n":' + numbers in made.text


def test_a_document_without_a_revision_is_given_one_by_what_it_says() -> None:
    (one, fields), (same, _), (other, _) = (ready({"_id": "a", "n": n}) for n in (1, 1, 2))
    assert one.new
    assert fields == {"_id": "a", "n": 1, "_rev": one.rev}
    assert one.rev.startswith("1-")
    assert one.rev == same.rev != other.rev


@pytest.mark.parametrize("text", [b"{}", b'{"_id":1}', b'{"_id":"a","n":NaN}', b'{"_id":"a","_attachments":[]}', b"7"])
def test_what_is_no_document_raises(text: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        prepared(text)


# --- what the node does not take


def imported(couch: FakeCouch, documents: list[dict[str, Any]]) -> tuple[Imported, set[str]]:
    target = Database(builders.cluster(couch, [builders.node("a")])["a"], "pdfs")
    done = import_dump(target, [json.dumps(documents).encode()], Unattended())
    return done, {key for key, _ in target.leaves()}


def test_documents_that_the_node_refuses_are_listed_and_the_others_are_there() -> None:
    couch = FakeCouch("a")
    couch["a"].refuses = lambda document: document["_id"] == "no"
    done, there = imported(couch, [{"_id": name, "_rev": "1-a"} for name in ("yes", "no", "too")])
    assert there == {"yes", "too"}
    assert [(one["id"], one["rev"]) for one in done.refused.listed] == [("no", "1-a")]


def test_a_request_that_is_refused_as_a_whole_is_halved_down_to_the_document() -> None:
    bad = {"_id": "bad", "_rev": "1-a", "_unheard": 1}
    large = {"_id": "large", "_rev": "1-a", "text": "x" * 3_000}
    good = [{"_id": f"good-{i}", "_rev": "1-a", "text": "x" * 100} for i in range(50)]
    done, there = imported(Strict("a"), [*good[:20], bad, *good[20:30], large, *good[30:]])
    assert there == {one["_id"] for one in good}
    refused = {one["id"]: one["reason"] for one in done.refused.listed}
    assert refused.keys() == {"bad", "large"}
    assert "_unheard" in refused["bad"]


# --- what people read


def test_people_are_told_what_lacks() -> None:
    done = Imported("pdfs", "a", Format.COUCHBACKUP, documents=3, revisions=4, total_rows=5, resumed=True, seconds=1.25)
    assert done.complete
    for number in range(MOST_SHOWN + 5):
        done.attachments_missing.add(f"doc-{number}", "1-a", "scan.pdf")
    done.refused.add("bad", None, "too large")
    done.broken_lines, done.damaged = [7, 1_200], "line 9 is cut off"
    told = "\n".join(done.lines())
    assert told.startswith("pdfs: 3 documents of a backup file of couchbackup, in 4 revisions")
    for words in ("gone on with", "had 5 documents, not 3", "  doc-0 1-a: scan.pdf", "and 5 more", "  bad : too large"):
        assert words in told
    assert "lines of the dump are broken off, the rest of each is lost: 7, 1,200" in told
    assert "line 9 is cut off" in told
    assert "doc-24" not in told
    assert not done.complete
    assert json.loads(json.dumps(done.as_json()))["attachments_missing"]["count"] == MOST_SHOWN + 5
