"""Dumps of other tools, cut into pieces anywhere."""

from __future__ import annotations

import gzip
import itertools
import json
import tracemalloc
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.core.dump_text import BadDump
from worker.core.dumps import RESUMED, Dump, Format

DATA = Path(__file__).parent / "data"
HEADER = b'{"name":"@cloudant/couchbackup","version":"2.11.12","mode":"full","attachments":false}\n'
NUMBERS = b'{"_id":"n","_rev":"1-a","v":[1.0,-0,1E400,12345678901234567890.10,' + b"9" * 5_000 + b"]}"
DOCUMENTS = [
    {"_id": "a", "_rev": "1-x", "text": 'a "quoted" \\ back\\slash, [brackets] and {braces}'},
    {"_id": "ü/€", "_rev": "2-y", "text": "\u2028 😀 \x7f", "nested": {"a": [1, 2.5, None, True, {}, []]}},
    {"_id": "rows", "_rev": "1-z", "rows": [{"doc": 1}], "docs": [1, 2], "_attachments": {"x": {"stub": True}}},
    {"_id": "c", "_rev": "1-w", "_deleted": True},
]


def compact(value: Any, **options: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), **options).encode()


def row(document: Any) -> dict[str, Any]:
    return {"id": document["_id"], "key": document["_id"], "value": {"rev": document["_rev"]}, "doc": document}


def by_curl(documents: Sequence[Any]) -> bytes:
    """As CouchDB answers, with its line ends."""
    rows = b",\r\n".join(compact(row(document)) for document in documents)
    return b'{"total_rows":%d,"offset":0,"rows":[\r\n%b\r\n]}\n' % (len(documents), rows)


def all_docs(documents: Sequence[Any]) -> dict[str, Any]:
    return {"total_rows": len(documents), "offset": 0, "rows": [row(document) for document in documents]}


def by_couchbackup(documents: Sequence[Any]) -> bytes:
    lines = [documents[at : at + 2] for at in range(0, len(documents), 2)]
    return HEADER + b"".join(compact(line) + b"\n" for line in lines)


WRITERS: dict[str, Callable[[Sequence[Any]], bytes]] = {
    "by curl": by_curl,
    "in one line": lambda documents: compact(all_docs(documents)),
    "by jq": lambda documents: json.dumps(all_docs(documents), indent=2).encode(),
    "by jq -S": lambda documents: json.dumps(all_docs(documents), indent=2, sort_keys=True).encode(),
    "of couchbackup": by_couchbackup,
    "of an old couchbackup": lambda documents: by_couchbackup(documents).removeprefix(HEADER),
    "an array": compact,
    "an array by jq": lambda documents: json.dumps(documents, indent=2).encode(),
    "a body of _bulk_docs": lambda documents: compact({"new_edits": False, "docs": documents}),
    "a document a line": lambda documents: b"\n".join(compact(document) for document in documents),
    "with a byte order mark": lambda documents: b"\xef\xbb\xbf" + by_curl(documents),
    "of two pages": lambda documents: by_curl(documents[:1]) + by_curl(documents[1:]),
}


IN_LINES = {"of couchbackup", "of an old couchbackup", "a document a line", "of two pages"}  # the first may be the last


def cut(data: bytes, places: Iterable[int]) -> list[bytes]:
    edges = [0, *sorted(min(place, len(data)) for place in places), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(edges)]


def read(data: bytes, places: Iterable[int] = ()) -> list[bytes]:
    return list(Dump(cut(data, places)).documents())


def parsed(documents: Iterable[bytes]) -> list[Any]:
    return [json.loads(document) for document in documents]


def told(data: bytes) -> tuple[list[bytes], str]:
    """What was whole, and what was said of the rest."""
    found: list[bytes] = []
    with pytest.raises(BadDump) as caught:
        found.extend(Dump([data]).documents())
    return found, str(caught.value)


def so_far(data: bytes, step: int = 1) -> tuple[list[Any], str | None]:
    """The same, also where nothing is wrong."""
    found: list[bytes] = []
    try:
        for document in Dump(data[at : at + step] for at in range(0, len(data), step)).documents():
            found.append(document)
    except BadDump as error:
        return parsed(found), str(error)
    return parsed(found), None


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts.filter(lambda key: key[:1] != "_"), inner),
    max_leaves=5,
)
documents = st.builds(
    lambda identity, fields: {"_id": identity, "_rev": "1-a", **fields},
    texts.filter(bool),
    st.dictionaries(texts.filter(lambda key: key[:1] != "_"), values, max_size=3),
)


@pytest.mark.parametrize("how", WRITERS)
@settings(max_examples=25, deadline=None)
@given(found=st.lists(documents, min_size=3, max_size=6), places=st.lists(st.integers(0, 2_000), max_size=20))
def test_documents_come_back_wherever_the_pieces_are_cut(
    how: str, found: list[dict[str, Any]], places: list[int]
) -> None:
    assert parsed(read(WRITERS[how](found), places)) == found


@pytest.mark.parametrize("how", WRITERS)
@pytest.mark.parametrize("size", [1, 2, 7])
def test_pieces_may_be_tiny(how: str, size: int) -> None:
    data = WRITERS[how](DOCUMENTS)
    assert parsed(read(data, range(0, len(data), size))) == DOCUMENTS


@pytest.mark.parametrize("how", WRITERS)
def test_of_a_dump_cut_off_anywhere_only_whole_documents_come(how: str) -> None:
    data = WRITERS[how](DOCUMENTS)
    for end in range(1, len(data)):
        found, error = so_far(data[:end], 50)
        assert found == DOCUMENTS[: len(found)]
        if len(found) < len(DOCUMENTS) and how not in IN_LINES:
            assert error is not None


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("by curl", Format.ALL_DOCS),
        ("by jq", Format.ALL_DOCS),
        ("of couchbackup", Format.COUCHBACKUP),
        ("of an old couchbackup", Format.COUCHBACKUP),
        ("an array", Format.DOCUMENTS),
        ("a body of _bulk_docs", Format.DOCUMENTS),
    ],
)
def test_it_tells_what_the_file_is(how: str, expected: Format) -> None:
    dump = Dump([WRITERS[how](DOCUMENTS)])
    assert len(list(dump.documents())) == dump.count == len(DOCUMENTS)
    assert dump.format is expected
    assert dump.total_rows == (len(DOCUMENTS) if expected is Format.ALL_DOCS else None)


@pytest.mark.parametrize("how", ['{"rows":[{"id":"n","key":"n","value":{},"doc":%s}]}', "[%s]", "%s", '{"docs":[%s]}'])
def test_numbers_stay_as_they_are(how: str) -> None:
    data = how.replace("%s", NUMBERS.decode()).encode()
    assert read(data) == read(data, range(0, len(data), 3)) == [NUMBERS]


def test_escapes_stay_as_they_are() -> None:
    escaped = rb'{"_id":"\u00e9","t":"\ud83d\ude00 \ud800 \/"}'
    for place in range(len(escaped) + 2):
        assert read(b"[" + escaped + b"]", [place]) == [escaped]


def test_the_beginning_is_the_same_however_it_is_cut_and_packed() -> None:
    data = by_curl([{"_id": f"{i}", "_rev": "1-a"} for i in range(5_000)])
    dumps = [Dump([data]), Dump(cut(data, range(0, len(data), 777))), Dump([gzip.compress(data)]), Dump([data[:-500]])]
    assert all(next(dump.documents()) for dump in dumps)
    assert len({dump.beginning for dump in dumps}) == 1
    other = Dump([data.replace(b"1-a", b"1-b", 1)])
    next(other.documents())
    assert other.beginning != dumps[0].beginning


def test_an_empty_database_has_a_dump_too() -> None:
    for data in (b'{"total_rows":0,"offset":0,"rows":[\r\n\r\n]}\n', HEADER, HEADER + b"[]\n", b"[]"):
        assert read(data) == []


def test_rows_without_a_document_are_counted() -> None:
    rows = [
        {"id": "a", "key": "a", "value": {"rev": "2-a", "deleted": True}, "doc": None},
        {"key": "b", "error": "not_found"},
        row(DOCUMENTS[0]),
    ]
    dump = Dump([compact({"rows": rows})])
    assert parsed(dump.documents()) == [DOCUMENTS[0]]
    assert dump.empty == 2


# --- files that the real programs wrote


@pytest.mark.parametrize(
    ("name", "expected", "leaves"),
    [
        ("all_docs-3.5.0.json", Format.ALL_DOCS, 5),
        ("couchbackup-2.0.1.txt", Format.COUCHBACKUP, 8),
        ("couchbackup-2.11.12.txt", Format.COUCHBACKUP, 8),
    ],
)
def test_real_files_are_read(name: str, expected: Format, leaves: int) -> None:
    dump = Dump([(DATA / name).read_bytes()])
    found = parsed(dump.documents())
    assert (dump.format, dump.count, dump.broken) == (expected, leaves, [])
    assert {document["_id"] for document in found} >= {"note-1", "note-2", "note-3", "paper", "_design/notes"}
    assert all("_rev" in document for document in found)


# --- gzip


@settings(max_examples=50, deadline=None)
@given(
    places=st.lists(st.integers(0, 400), max_size=8), joined=st.booleans(), padding=st.sampled_from([b"", b"\0" * 9])
)
def test_gzip_is_undone(places: list[int], joined: bool, padding: bytes) -> None:
    data = by_curl(DOCUMENTS)
    packed = gzip.compress(data[:99]) + gzip.compress(data[99:]) if joined else gzip.compress(data)
    assert parsed(read(packed + padding, places)) == DOCUMENTS


def test_a_large_gzip_file_is_unpacked_in_pieces() -> None:
    many = [{"_id": f"{i}", "_rev": "1-a", "text": "x" * 1_000} for i in range(5_000)]
    assert len(read(gzip.compress(by_curl(many)))) == len(many)


def test_a_gzip_file_that_is_cut_off_or_damaged_says_so() -> None:
    packed = gzip.compress(by_curl(DOCUMENTS))
    for end in range(2, len(packed)):
        found, error = so_far(packed[:end])
        assert found == DOCUMENTS[: len(found)]
        assert error is not None
    assert "the gzip file is cut off" in told(packed[:-3])[1]
    assert f"documents that were whole before that: {len(DOCUMENTS)}" in told(packed[:-3])[1]
    assert "the gzip file is damaged" in told(packed[:-8] + b"\1" * 8)[1]


# --- couchbackup, resumed


@pytest.mark.parametrize("size", [1, 50, 10_000])
def test_a_line_where_couchbackup_was_resumed_is_no_damage(size: int) -> None:
    first, second = compact(DOCUMENTS[:2]), compact(DOCUMENTS[2:])
    for end in range(len(first)):
        dump = Dump(cut(HEADER + first[:end] + RESUMED + b"\n" + first + b"\n" + second, range(0, 2_000, size)))
        found = parsed(dump.documents())
        assert found[-4:] == DOCUMENTS
        assert found[:-4] == DOCUMENTS[: len(found) - 4]
        assert dump.broken == []


def test_an_old_couchbackup_marked_nothing_so_such_a_line_is_told() -> None:
    first, second = compact(DOCUMENTS[:2]), compact(DOCUMENTS[2:])
    for end in range(1, len(first)):
        dump = Dump([second + b"\n" + first[:end] + b"\n" + first + b"\n"])
        found = parsed(dump.documents())
        assert found[:2] == DOCUMENTS[2:]
        assert found[-2:] == DOCUMENTS[:2]
        assert dump.broken == [2]


def test_a_new_couchbackup_would_have_marked_it() -> None:
    first = compact(DOCUMENTS[:2])
    found, error = told(HEADER + first + b"\n" + first[:-30] + b"\n" + first + b"\n")
    assert len(found) == 3
    assert error.startswith("line 3,")


def test_a_last_line_that_is_cut_off_is_named() -> None:
    found, error = told(by_couchbackup(DOCUMENTS)[:-40])
    assert parsed(found) == DOCUMENTS[: len(found)]
    assert error.startswith("line 3 is cut off")
    assert error.endswith(f"whole before that: {len(found)}")


# --- what is no dump, or a damaged one


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (b" \r\n", "empty"),
        (gzip.compress(b"", mtime=0), "empty"),
        (b"<html><body>502</body></html>", "<html>"),
        (b"HTTP/1.1 200 OK\r\n\r\n{}", "HTTP/1.1 200 OK"),
        (b'{"error":"unauthorized","reason":"You are not authorized."}', "unauthorized: You are not authorized."),
        (b'{"results":[{"seq":1,"id":"a","changes":[]}]}', "a list of results"),
        (b'{"couchdb":"Welcome","version":"3.5.0"}', "couchdb, version"),
        (b"{}", "nothing"),
        (b"[1, 2]", "'1, 2]' where an object is needed"),
        (b"[[]]", "where an object is needed"),
        (b'{"rows":[17]}', "where an object is needed"),
        (b'{"rows":[{"id":"a","doc":17}]}', "where a document is needed"),
        (b'{"rows":[{"id":"a","doc":{},"error":NaN}]}', "no row of _all_docs"),
        (b"{1:2}", "name of a field"),
        ("{}".encode("utf-16"), "UTF-16"),
        ("{}".encode("utf-16-le"), "UTF-16"),
        (b'[{"_id":"\xff"}]', "not UTF-8"),
        (b'{"a":' * 100_000, "nested too deep"),
        (b'{"a"' + b":1" * 9, "is needed"),
        (b'[{"_id":"a"} {"_id":"b"}]', "where , or ] is needed"),
        (b'[{"_id":"a" "x":1, "y":"..................."}]', "no JSON"),
    ],
)
def test_what_is_no_dump_is_told_in_words(data: bytes, words: str) -> None:
    assert words in told(data)[1]


@pytest.mark.parametrize(
    "data", [by_curl(DOCUMENTS), compact(all_docs(DOCUMENTS)), compact(all_docs(DOCUMENTS), indent=1)]
)
def test_a_dump_without_documents_is_told_in_words(data: bytes) -> None:
    bare = json.loads(data)
    for one in bare["rows"]:
        del one["doc"]
    found, error = told(compact(bare))
    assert found == []
    assert "was saved without include_docs=true: it holds ids and no documents" in error


def test_an_error_names_its_place() -> None:
    data = by_curl(DOCUMENTS).replace(b'"rev":"1-z"', b'"rev" "1-z"')
    found, error = told(data)
    assert parsed(found) == DOCUMENTS[:2]
    place = data.index(b'"1-z"') + 1
    assert error.startswith("line 4, byte ")
    assert f"no JSON (Expecting ':' delimiter, at byte {place})" in error
    assert error.endswith("documents that were whole before that: 2")


def test_memory_holds_little_of_a_large_dump() -> None:
    text = "x" * 2_000

    def pieces() -> Iterator[bytes]:
        yield b'{"total_rows":3000,"offset":0,"rows":[\r\n'
        for i in range(3_000):
            yield (b",\r\n" if i else b"") + compact(row({"_id": f"{i}", "_rev": "1-a", "text": text}))
        yield b"\r\n]}\n"

    tracemalloc.start()
    try:
        assert sum(1 for _ in Dump(pieces()).documents()) == 3_000
        assert tracemalloc.get_traced_memory()[1] < 1024 * 1024
    finally:
        tracemalloc.stop()
