"""Revisions of one database as bytes: what a backup reads and a restore writes."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import random
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from embedded.waiting import wait_until
from tests import builders
from tests.contract.conftest import DEADLINE, Site
from worker.core.errors import Conflict, Forbidden, NotFound
from worker.core.model import Row
from worker.couch.database import Database
from worker.couch.related import Part
from worker.couch.revisions import HEAD, Page, Revisions, Stub

pytestmark = pytest.mark.contract

IDS = ["plain", "with space", "a/b", "grüße/€", "a+b%2F&c=?#d", 'quote"back\\slash', "emoji-😀", "_design/views"]
NAMES = ["grüße/€.pdf", 'quote".pdf', "a%2Fb+c d.pdf", "semi;colon\\slash.pdf", "two\r\nlines.pdf"]
TEXT = "Grüße. " * 500
PIECE = 65_536


def revisions_on(site: Site, node: str = "a") -> Revisions:
    return Revisions(builders.databases(site.cluster, site.name(), [node])[node])


@pytest.fixture
def here(site: Site) -> Revisions:
    return revisions_on(site)


@pytest.fixture
def there(site: Site) -> Revisions:
    return revisions_on(site, "b")


@pytest.fixture
def real(scheduled: Site) -> Revisions:
    """Where attachments are kept compressed, purges and compaction are known, and the feed is one snapshot."""
    return revisions_on(scheduled)


@pytest.fixture
def other(scheduled: Site) -> Revisions:
    return revisions_on(scheduled, "b")


# --- what tests begin with, and what they look at


def conflict(database: Database, identity: str, *words: str, **fields: Any) -> tuple[str, ...]:
    """A document with as many leaves as words; returns them sorted."""
    leaves = [builders.revision(1, word) for word in words]
    documents = [
        {"_id": identity, "_rev": leaf, "word": word, **fields} for leaf, word in zip(leaves, words, strict=True)
    ]
    assert database.bulk(documents, new_edits=False) == []
    return tuple(sorted(leaves))


def tombstone(database: Database, identity: str) -> None:
    database.delete(identity, database.put({"_id": identity}))


def everything(database: Database) -> None:
    """Ids of all kinds, conflicts, tombstones, a deleted branch, a history."""
    for number, identity in enumerate(IDS):
        database.put({"_id": identity, "number": number, "nested": {"ä": [1, 2.5, None, True, ""]}})
    conflict(database, "both", "one", "two", "three")
    tombstone(database, "gone")
    database.delete("branch", conflict(database, "branch", "one", "two")[0])
    revision = database.put({"_id": "edited", "n": 0})
    for number in range(1, 5):
        revision = database.put({"_id": "edited", "_rev": revision, "n": number})


def rows_of(pages: Sequence[Page]) -> list[Row]:
    return [row for page in pages for row in page.rows]


def told(revisions: Revisions, since: str | None = None, size: int = 100) -> dict[str, tuple[str, ...]]:
    """Id -> leaves, sorted, by the feed, in which each document is once."""
    rows = rows_of(list(revisions.feed(since, size)))
    assert len(rows) == len(dict(rows))
    return {identity: tuple(sorted(leaves)) for identity, leaves in rows}


def content(revisions: Revisions) -> dict[tuple[str, str], bytes]:
    """(id, revision) -> the bytes of every leaf."""
    found, _ = revisions.leaves(list(told(revisions).items()))
    assert not any(one.missing for one in found)
    return {(one.id, HEAD.decode(raw).rev): bytes(raw) for one in found for raw in one.revisions}


def digest(data: bytes) -> str:
    return f"md5-{base64.b64encode(hashlib.md5(data).digest()).decode()}"  # noqa: S324 - CouchDB's own


def stubs(revisions: Revisions, identity: str, revision: str) -> dict[str, Stub]:
    ((found,), _) = revisions.leaves([(identity, (revision,))])
    return HEAD.decode(found.revisions[0]).attachments


def read(revisions: Revisions, identity: str, revision: str, name: str) -> bytes:
    return b"".join(revisions.attachment(identity, revision, name))


# --- the feed


def test_the_feed_has_every_document_with_all_its_leaves(here: Revisions) -> None:
    everything(here.database)

    found = told(here)

    assert found == dict(here.database.leaves())
    assert found.keys() >= {*IDS, "both", "gone", "branch", "edited"}
    assert [len(found[identity]) for identity in ("both", "branch", "gone")] == [3, 2, 1]


@pytest.mark.parametrize("size", [1, 7, 30, 1_000])
def test_after_each_page_the_feed_goes_on_with_the_next(here: Revisions, size: int) -> None:
    here.database.bulk([{"_id": f"doc-{number:02}"} for number in range(30)])

    pages = list(here.feed(None, size))

    assert {identity for identity, _ in rows_of(pages)} == {f"doc-{number:02}" for number in range(30)}
    assert all(len(page.rows) <= size + 1 for page in pages)  # CouchDB tells the sequence of a page's first row as well
    for place, page in enumerate(pages, start=1):
        assert told(here, page.seq) == dict(rows_of(pages[place:]))


def test_the_feed_of_an_empty_database_has_a_sequence_to_go_on_from(here: Revisions) -> None:
    (page,) = here.feed(None, 100)
    assert page.rows == []

    revision = here.database.put({"_id": "one"})

    assert told(here, page.seq) == {"one": (revision,)}


def test_what_is_written_while_the_feed_is_read_is_not_in_it(real: Revisions) -> None:
    database = real.database
    database.bulk([{"_id": f"doc-{number:04}"} for number in range(3_000)])
    before = dict(database.leaves())

    feed = real.feed(None, 100)
    pages = [next(feed)]
    revision = database.put({"_id": "doc-2999", "_rev": before["doc-2999"][0], "n": 1})
    added = database.put({"_id": "later"})
    pages += feed

    assert dict(rows_of(pages)) == before
    assert len(rows_of(pages)) == 3_000
    assert told(real, pages[-1].seq) == {"doc-2999": (revision,), "later": (added,)}


def test_there_is_no_feed_of_a_missing_database(site: Site) -> None:
    with pytest.raises(NotFound) as error:
        list(Revisions(Database(site.cluster["a"], site.name())).feed(None, 100))

    assert error.value.node == "a"


# --- leaves


def test_leaves_come_with_their_histories_in_the_order_asked_for(here: Revisions) -> None:
    everything(here.database)
    rows = sorted(told(here).items(), reverse=True)

    found, size = here.leaves(rows)

    assert [one.id for one in found] == [identity for identity, _ in rows]
    assert size > sum(len(raw) for one in found for raw in one.revisions)
    for (identity, leaves), one in zip(rows, found, strict=True):
        documents = [json.loads(bytes(raw)) for raw in one.revisions]
        assert one.missing == []
        assert sorted(document["_rev"] for document in documents) == sorted(leaves)
        for document in documents:
            history = document["_revisions"]
            assert document["_id"] == identity
            assert f"{history['start']}-{history['ids'][0]}" == document["_rev"]
    edited, gone, branch = (
        [json.loads(bytes(raw)) for raw in _of(found, key).revisions] for key in ("edited", "gone", "branch")
    )
    assert len(edited[0]["_revisions"]["ids"]) == 5
    assert edited[0]["n"] == 4
    assert gone[0]["_deleted"] is True
    assert sorted(document.get("_deleted", False) for document in branch) == [False, True]


def _of(found: Sequence[Any], identity: str) -> Any:
    return next(one for one in found if one.id == identity)


@pytest.mark.parametrize("most", [1, 12_000, 45_000])
def test_an_answer_that_is_too_large_is_asked_for_in_halves(here: Revisions, most: int) -> None:
    """Also where it is one document that is too large, with all its leaves."""
    here.database.bulk([{"_id": f"doc-{number}", "text": "x" * 10_000} for number in range(5)])
    conflict(here.database, "leaves", *"abcdefg", text="y" * 10_000)
    rows = list(told(here).items())

    whole, size = here.leaves(rows)
    halved, size_of_halves = here.leaves(rows, most=most)

    assert size < size_of_halves < 1.1 * size  # each answer has its own envelope
    assert [one.id for one in halved] == [one.id for one in whole]
    for one, other in zip(whole, halved, strict=True):
        assert sorted(map(bytes, other.revisions)) == sorted(map(bytes, one.revisions))
        assert other.missing == []


@pytest.mark.parametrize("most", [1, 1_000_000])
def test_revisions_that_are_not_there_are_named(here: Revisions, most: int) -> None:
    first, second = conflict(here.database, "both", "one", "two")
    unknown = builders.revision(3, "unknown")

    found, _ = here.leaves([("both", (first, unknown, second)), ("nothing", (unknown,))], most=most)

    assert [(one.id, one.missing) for one in found] == [("both", [unknown]), ("nothing", [unknown])]
    assert sorted(HEAD.decode(raw).rev for raw in found[0].revisions) == [first, second]
    assert found[1].revisions == []


def test_what_was_compacted_away_is_named(real: Revisions) -> None:
    database = real.database
    first = database.put({"_id": "one", "n": 1})
    second = database.put({"_id": "one", "_rev": first, "n": 2})
    rows: list[Row] = [("one", (first,)), ("one", (second,))]
    assert [one.missing for one in (real.leaves(rows[:1])[0][0], real.leaves(rows[1:])[0][0])] == [[], []]

    database.client.post(database.name, "_compact")

    assert wait_until(lambda: real.leaves(rows[:1])[0][0].missing == [first], DEADLINE)
    assert real.leaves(rows[1:])[0][0].missing == []


def test_what_was_purged_is_named_and_has_no_row(scheduled: Site, real: Revisions) -> None:
    leaves = conflict(real.database, "purged", "one", "two")
    real.database.put({"_id": "kept"})
    before = real.database.info()
    (*_, page) = real.feed(None, 100)

    scheduled.purge(real.database.name, "a", "purged")

    ((found,), _) = real.leaves([("purged", leaves)])
    after = real.database.info()
    assert (found.revisions, sorted(found.missing)) == ([], list(leaves))
    assert told(real, page.seq) == {}
    assert told(real).keys() == {"kept"}
    assert before is not None
    assert after is not None
    assert before.instance_start_time == after.instance_start_time
    assert [int(str(info.purge_seq).partition("-")[0]) for info in (before, after)] == [0, 1]


def test_what_surely_has_no_attachments_is_simple(here: Revisions) -> None:
    here.database.put({"_id": "one"})
    assert [one.simple for one in here.leaves(list(told(here).items()))[0]] == [True]

    here.database.put({"_id": "two", "_attachments": {"a.pdf": builders.attachment(b"a")}})

    assert not any(one.simple for one in here.leaves(list(told(here).items()))[0])


# --- attachments


def test_attachments_come_as_they_are_kept(site: Site, here: Revisions) -> None:
    """Their stub's digest is of the very bytes: compressed ones where the node compresses."""
    data = random.Random(1).randbytes(200_000)  # noqa: S311 - the same each time
    contents = {"a.txt": (TEXT.encode(), "text/plain"), "b.json": (b"{}" * 999, "application/json")}
    contents |= {"c.pdf": (data, "application/pdf"), "d.txt": (b"", "text/plain"), "e.pdf": (b"", "application/pdf")}
    attached = {name: builders.attachment(*content) for name, content in contents.items()}
    revision = here.database.put({"_id": "one", "_attachments": attached})

    found = stubs(here, "one", revision)

    assert found.keys() == contents.keys()
    for name, stub in found.items():
        kept = read(here, "one", revision, name)
        assert (digest(kept), len(kept)) == (stub.digest, stub.stored_length)
        plain = gzip.decompress(kept) if stub.encoding else kept
        assert (plain, stub.content_type) == contents[name]
        assert stub.length == len(plain)
        compresses = site.kind != "stand-in" and not name.endswith("pdf")
        assert stub.encoding == ("gzip" if compresses else None)


def test_each_leaf_has_its_own_attachments(here: Revisions) -> None:
    leaves = {builders.revision(1, word): word.encode() for word in ("one", "two")}
    documents = [
        {"_id": "both", "_rev": leaf, "_attachments": {"a.pdf": builders.attachment(content)}}
        for leaf, content in leaves.items()
    ]
    here.database.bulk(documents, new_edits=False)

    assert {leaf: read(here, "both", leaf, "a.pdf") for leaf in leaves} == leaves


@pytest.mark.parametrize("identity", IDS)
def test_attachments_of_documents_of_any_name(here: Revisions, identity: str) -> None:
    revision = here.database.put({"_id": identity, "_attachments": {"a.pdf": builders.attachment(b"content")}})

    assert read(here, identity, revision, "a.pdf") == b"content"


@pytest.mark.parametrize("name", NAMES)
def test_attachments_of_any_name(here: Revisions, name: str) -> None:
    revision = here.database.put({"_id": "one", "_attachments": {name: builders.attachment(b"content")}})

    assert list(stubs(here, "one", revision)) == [name]
    assert read(here, "one", revision, name) == b"content"


def test_what_is_not_there_cannot_be_read(here: Revisions) -> None:
    revision = here.database.put({"_id": "one", "_attachments": {"a.pdf": builders.attachment(b"content")}})

    for what in [("one", revision, "b.pdf"), ("one", builders.revision(1, "other"), "a.pdf"), ("two", revision, "a")]:
        with pytest.raises(NotFound) as error:
            read(here, *what)
        assert error.value.node == "a"


# --- writing


def test_what_is_written_is_what_was_read(here: Revisions, there: Revisions) -> None:
    everything(here.database)
    source = content(here)

    assert there.write(list(source.values())) == []

    assert content(there) == source
    assert told(there) == told(here)


@pytest.mark.parametrize("number", ["1.10", "1e5", "1E22", "-0.0", "0.1", "100.0", "12345678901234567890123"])
def test_numbers_come_through_as_the_node_tells_them(
    site: Site, here: Revisions, there: Revisions, number: str
) -> None:
    """What a node makes of them when they come in is its own affair (1.10 is 1.1 from then on)."""
    revision = builders.revision(1, number)
    document = f'{{"_id":"one","_rev":"{revision}","n":{number},"text":"\\u00fc\\ud83d\\ude00\\/\\\\"}}'
    assert here.write([document.encode()]) == []

    ((found,), _) = here.leaves([("one", (revision,))])
    assert there.write([bytes(found.revisions[0])]) == []

    assert content(there) == content(here)
    if site.kind == "couchdb" and number.isdigit():
        assert number.encode() in bytes(found.revisions[0])


def test_what_is_written_again_changes_nothing(here: Revisions, there: Revisions) -> None:
    everything(here.database)
    source = content(here)
    there.write(list(source.values()))
    (*_, page) = there.feed(None, 100)

    assert there.write(list(source.values())) == []

    assert content(there) == source
    assert told(there, page.seq) == {}


def test_what_the_node_refuses_is_listed_and_the_rest_is_written(scheduled: Site, real: Revisions) -> None:
    scheduled.refuse(real.database.name, "a", "bad")
    revision = builders.revision(1, "one")
    documents = [{"_id": identity, "_rev": revision} for identity in ("good", "bad", "better")]

    refused = real.write([json.dumps(document).encode() for document in documents])

    assert [(row["id"], row["rev"], row["error"], row["reason"]) for row in refused] == [
        ("bad", revision, "forbidden", "not here")
    ]
    assert told(real).keys() >= {"good", "better"}
    assert "bad" not in told(real)


def test_an_attachment_that_nobody_sent_is_refused(here: Revisions) -> None:
    stub = {"content_type": "application/pdf", "stub": True, "length": 3, "digest": digest(b"abc"), "revpos": 1}
    document = {"_id": "one", "_rev": builders.revision(1, "one"), "_attachments": {"a.pdf": stub}}

    with pytest.raises(Conflict):
        here.write([json.dumps(document).encode()])
    assert told(here) == {}


def test_new_edits_are_answered_one_by_one(here: Revisions) -> None:
    here.database.put({"_id": "one"})

    done, conflicting = here.write([b'{"_id":"two"}', b'{"_id":"one"}'], new_edits=True)

    assert (done["id"], told(here)["two"]) == ("two", (done["rev"],))
    assert (conflicting["id"], conflicting["error"] in ("conflict", True)) == ("one", True)


# --- writing with attachments; a stand-in takes them only within a document


def part(name: str, data: bytes) -> Part:
    return Part(name, "unused", len(data), lambda: (data[at : at + PIECE] for at in range(0, len(data), PIECE)))


def follows(data: bytes, content_type: str = "application/pdf", **fields: Any) -> dict[str, Any]:
    return {"content_type": content_type, "length": len(data), "digest": digest(data), "follows": True, **fields}


def write_attached(
    revisions: Revisions, identity: str, contents: Mapping[str, bytes], revision: str | None = None, **fields: Any
) -> str:
    name = revision or builders.revision(1, identity)
    attached = {key: follows(data) for key, data in contents.items()}
    document = {"_id": identity, "_rev": name, **fields, "_attachments": attached}
    parts = [part(key, data) for key, data in contents.items()]
    revisions.write_with_attachments(identity, json.dumps(document).encode(), parts)
    return name


def test_attachments_of_all_sizes_arrive(real: Revisions) -> None:
    chance = random.Random(2)  # noqa: S311 - the same each time
    contents = {"z.pdf": chance.randbytes(3_000_000), "empty.pdf": b"", "a.pdf": b"--boundary\r\n\r\n--\r\n" * 9}

    revision = write_attached(real, "one", contents, text="beside them")

    found = stubs(real, "one", revision)
    assert {name: read(real, "one", revision, name) for name in found} == contents
    assert {name: (stub.digest, stub.length) for name, stub in found.items()} == {
        name: (digest(data), len(data)) for name, data in contents.items()
    }
    document = real.database.get("one")
    assert document is not None
    assert (document["_rev"], document["text"]) == (revision, "beside them")


@pytest.mark.parametrize("identity", IDS)
def test_documents_of_any_name_take_attachments(real: Revisions, identity: str) -> None:
    revision = write_attached(real, identity, {"a.pdf": b"content"})

    assert told(real) == {identity: (revision,)}
    assert read(real, identity, revision, "a.pdf") == b"content"


def test_attachments_of_any_name_are_taken(real: Revisions) -> None:
    contents = {name: name.encode() for name in NAMES}

    revision = write_attached(real, "one", contents)

    assert {name: read(real, "one", revision, name) for name in stubs(real, "one", revision)} == contents


def test_compressed_ones_stay_as_they_are(real: Revisions, other: Revisions) -> None:
    """The digest of one that CouchDB compressed, and of one that somebody else did, is the same after the journey."""
    theirs = gzip.compress(TEXT.encode(), compresslevel=1, mtime=7)
    revision = real.database.put(
        {"_id": "own", "_attachments": {"a.txt": builders.attachment(TEXT.encode(), "text/plain")}}
    )
    stub = stubs(real, "own", revision)["a.txt"]
    ours = read(real, "own", revision, "a.txt")

    for identity, data in (("own", ours), ("foreign", theirs)):
        packed = {"encoding": "gzip", "encoded_length": len(data), "length": len(TEXT.encode()), "revpos": 1}
        document = {"_id": identity, "_rev": revision, "_attachments": {"a.txt": follows(data, "text/plain", **packed)}}
        other.write_with_attachments(identity, json.dumps(document).encode(), [part("a.txt", data)])
        found = stubs(other, identity, revision)["a.txt"]
        assert (found.encoding, found.digest, found.stored_length) == ("gzip", digest(data), len(data))
        assert read(other, identity, revision, "a.txt") == data
    assert stubs(other, "own", revision)["a.txt"] == stub


def test_leaves_with_attachments_keep_their_names_and_may_come_again(real: Revisions) -> None:
    leaves = [builders.revision(2, "one"), builders.revision(2, "two")]
    for _ in range(2):
        for leaf in leaves:
            write_attached(real, "both", {"a.pdf": leaf.encode()}, leaf)

    assert told(real) == {"both": tuple(sorted(leaves))}
    assert [read(real, "both", leaf, "a.pdf") for leaf in leaves] == [leaf.encode() for leaf in leaves]


def test_a_tombstone_may_have_attachments(real: Revisions) -> None:
    revision = write_attached(real, "gone", {"a.pdf": b"content"}, _deleted=True)

    assert real.database.get("gone") is None
    assert read(real, "gone", revision, "a.pdf") == b"content"


@pytest.mark.parametrize("size", [10, 3_000_000])
def test_a_document_that_is_refused_raises_whatever_it_brings(scheduled: Site, real: Revisions, size: int) -> None:
    scheduled.refuse(real.database.name, "a", "bad")

    with pytest.raises(Forbidden, match="not here"):
        write_attached(real, "bad", {"a.pdf": b"x" * size})
    write_attached(real, "good", {"a.pdf": b"x"})  # the connection is good for more
    assert "bad" not in told(real)


def test_a_new_edit_keeps_what_it_only_names(real: Revisions) -> None:
    database = real.database
    attached = {"a.pdf": builders.attachment(b"a"), "b.pdf": builders.attachment(b"b")}
    revision = database.put({"_id": "one", "_attachments": attached})
    listed = {"a.pdf": {"content_type": "application/pdf", "stub": True, "revpos": 1}, "c.pdf": follows(b"c")}
    document = {"_id": "one", "_rev": revision, "_attachments": listed}

    real.write_with_attachments("one", json.dumps(document).encode(), [part("c.pdf", b"c")], new_edits=True)

    (newest,) = told(real)["one"]
    assert newest.startswith("2-")
    assert {name: read(real, "one", newest, name) for name in stubs(real, "one", newest)} == {
        "a.pdf": b"a",
        "c.pdf": b"c",
    }
    with pytest.raises(Conflict):
        real.write_with_attachments("one", json.dumps(document).encode(), [part("c.pdf", b"c")], new_edits=True)


# --- what is beside the documents


def test_local_documents_are_listed_where_the_server_can(site: Site, here: Revisions) -> None:
    for identity in ("_local/one", "_local/grüße"):
        here.database.put({"_id": identity, "n": 1})

    found = {document["_id"]: document["n"] for document in here.local_documents()}

    assert found == ({} if site.kind == "stand-in" else {"_local/one": 1, "_local/grüße": 1})


def test_the_limit_of_revisions_is_read_back(real: Revisions) -> None:
    assert real.database.revs_limit() == 1_000

    real.database.set_revs_limit(20)

    assert real.database.revs_limit() == 20
