"""Revisions of a database as bytes: what a backup reads, and what a restore writes.

Documents pass through as the node sent them. Taking them apart and putting them together again would cost more than
reading them, and would change numbers that Python has no type for. So only the envelope is read (msgspec.Raw is a
slice of the answer), and a document's own fields where it has attachments.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import msgspec

from worker.core.errors import BadAnswer, BadRequest, NotFound
from worker.core.model import NodeKind, Row
from worker.core.replication import BEGINNING
from worker.couch.database import Database, segments
from worker.couch.related import Part, Related
from worker.couch.transport import Oversize

SILENCE = 60.0  # seconds a feed may take to its next row: it seeks through whatever was deleted or is elsewhere
MOST_ANSWER = 16 * 1024 * 1024  # bytes of revisions in one answer: more are asked for in two
MOST_IN_URL = 2_000  # bytes of a name, each of which may become three
BULK_TIMEOUT = 120.0  # seconds; a node that compacts, or whose disk is slow, takes long over thousands of documents
_LINE_END = b",\r\n "


class _Change(msgspec.Struct):
    rev: str


class _FeedRow(msgspec.Struct):
    id: str
    changes: list[_Change]
    seq: Any = None


class _FeedEnd(msgspec.Struct):
    last_seq: Any


class _Feed(msgspec.Struct):
    results: list[_FeedRow]
    last_seq: Any


class _Doc(msgspec.Struct):
    """`ok` is empty where the revision is missing: CouchDB says so in `error`, a stand-in in `missing`."""

    ok: msgspec.Raw = msgspec.Raw(b"")


class _Result(msgspec.Struct):
    id: str
    docs: list[_Doc]


class _Results(msgspec.Struct):
    results: list[_Result]


class Stub(msgspec.Struct):
    """An attachment as a document lists it. `length`: bytes; where the node keeps it compressed (`encoding`) it holds
    `encoded_length` bytes, and `digest` is of those."""

    content_type: str = "application/octet-stream"
    length: int = 0
    digest: str | None = None
    revpos: int | None = None
    encoding: str | None = None
    encoded_length: int | None = None

    @property
    def stored_length(self) -> int:
        return self.length if self.encoded_length is None else self.encoded_length


class Head(msgspec.Struct):
    """The fields of a revision that a backup has to know."""

    id: str = msgspec.field(name="_id")
    rev: str = msgspec.field(name="_rev")
    deleted: bool = msgspec.field(name="_deleted", default=False)
    attachments: dict[str, Stub] = msgspec.field(name="_attachments", default_factory=dict)


_ROW = msgspec.json.Decoder(_FeedRow)
_FEED_END = msgspec.json.Decoder(_FeedEnd)
_FEED = msgspec.json.Decoder(_Feed)
_RESULTS = msgspec.json.Decoder(_Results)
HEAD = msgspec.json.Decoder(Head)


@dataclass(frozen=True)
class Page:
    """Rows of the changes feed. Who has them goes on from `seq`. `snapshot`: pages of one number are of one moment, so
    no document is in two of them."""

    rows: list[Row]
    seq: str
    snapshot: int = 0


class Found(msgspec.Struct, frozen=True):
    """The revisions of one document, as the node sent them, and those that it has no more. `simple`: they surely have
    no attachments and no line breaks, so nobody has to look into them."""

    id: str
    revisions: list[msgspec.Raw]
    missing: list[str]
    simple: bool


class Revisions:
    """Of one database on one server. All methods raise worker.core.errors."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._client = database.client
        self._name = database.name

    # --- reading

    def feed(self, since: str | None, size: int) -> Iterator[Page]:
        """Every document that changed after `since` (None: every document) with all its leaves, about `size` a page,
        as the database is when the first page is asked for: what is written later is not in it.

        One request, because CouchDB then reads from one snapshot; several would each see a later one.
        """
        params = {"style": "all_docs", "seq_interval": size, "since": BEGINNING if since is None else since}
        if self.database.server.capabilities().kind is NodeKind.STANDIN:
            return self._whole_feed(params, size)
        return self._streamed_feed(params, size)

    def _streamed_feed(self, params: Mapping[str, Any], size: int) -> Iterator[Page]:
        rows: list[Row] = []
        with self._understood("_changes"):
            for line in self._client.lines(self._name, "_changes", params=params, read_timeout=SILENCE):
                if line.startswith(b'{"seq"'):
                    row = _ROW.decode(line.rstrip(_LINE_END))
                    rows.append(_row(row))
                    if row.seq is not None and len(rows) >= size:
                        yield Page(rows, _text(row.seq))
                        rows = []
                elif line.startswith(b'"last_seq"'):
                    yield Page(rows, _text(_FEED_END.decode(b"{" + line.rstrip(_LINE_END)).last_seq))
                    return
        raise BadAnswer("the changes feed ended without its last sequence", node=self.database.server.node.name)

    def _whole_feed(self, params: Mapping[str, Any], size: int) -> Iterator[Page]:
        answer = self._client.get(self._name, "_changes", params=params, raw=True)
        with self._understood("_changes"):
            said = _FEED.decode(answer)
        for at in range(0, len(said.results), size):
            part = said.results[at : at + size]
            yield Page([_row(row) for row in part], _text(part[-1].seq))
        yield Page([], _text(said.last_seq))

    def leaves(self, rows: Sequence[Row], *, most: int = MOST_ANSWER) -> tuple[list[Found], int]:
        """These revisions of these documents with their histories, in the order of `rows`, and how many bytes the
        answers had. For few documents: all of them are in memory."""
        found, size, rest = self.first_leaves(rows, most=most)
        while rest:
            more, bytes_more, rest = self.first_leaves(rest, most=most)
            found, size = found + more, size + bytes_more
        return found, size

    def first_leaves(self, rows: Sequence[Row], *, most: int = MOST_ANSWER) -> tuple[list[Found], int, list[Row]]:
        """The same, of as many of the first documents as come in an answer of `most` bytes; and the rows that are left.
        The server makes an answer in its memory, and so do we: one that is larger is broken off, and half of it asked
        for, as long as there is something to halve."""
        wanted = [{"id": key, "rev": revision} for key, revisions in rows for revision in revisions]
        try:
            answer = self._client.post(
                self._name,
                "_bulk_get",
                params={"revs": "true", "att_encoding_info": "true"},
                body=msgspec.json.encode({"docs": wanted}),
                repeatable=True,
                read_timeout=BULK_TIMEOUT,
                most=most if len(wanted) > 1 else None,
                raw=True,
            )
        except Oversize:
            if len(rows) == 1:
                return *self._one_in_halves(rows[0], most), []
            found, size, rest = self.first_leaves(rows[: len(rows) // 2], most=most)
            return found, size, [*rest, *rows[len(rows) // 2 :]]
        return self._found(rows, answer), len(answer), []

    def _one_in_halves(self, row: Row, most: int) -> tuple[list[Found], int]:
        """One document with many large leaves, which have to stay together."""
        key, revisions = row
        middle = len(revisions) // 2
        (first, one), (second, other) = (
            self.leaves([(key, part)], most=most) for part in (revisions[:middle], revisions[middle:])
        )
        (one_half,), (other_half,) = first, second
        joined = [*one_half.revisions, *other_half.revisions]
        missing = one_half.missing + other_half.missing
        return [Found(one_half.id, joined, missing, one_half.simple and other_half.simple)], one + other

    def _found(self, rows: Sequence[Row], answer: bytes) -> list[Found]:
        with self._understood("_bulk_get"):
            said = _RESULTS.decode(answer)
        have: dict[str, list[msgspec.Raw]] = {}
        for result in said.results:
            # an answer is kept in memory by its slices: they are copied only into a chunk
            given = [doc.ok for doc in result.docs if doc.ok]
            if result.id in have:
                have[result.id] += given
            else:
                have[result.id] = given
        # asked once of the whole answer, which is much faster than of each of its documents
        simple = b'"_attachments"' not in answer and b"\n" not in answer.rstrip()
        return [_one(key, revisions, have.get(key, []), simple) for key, revisions in rows]

    @contextmanager
    def _understood(self, what: str) -> Iterator[None]:
        try:
            yield
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise BadAnswer(
                f"{what} was not answered as CouchDB does: {error}", node=self.database.server.node.name
            ) from None

    def attachment(self, document_id: str, revision: str, name: str) -> Iterator[bytes]:
        """Its bytes as the node keeps them: compressed where its stub has an encoding."""
        if has_no_url(document_id) or has_no_url(name):
            return self._out_of_its_document(document_id, revision, name)
        path = (self._name, *segments(document_id), name)
        accepted = {"Accept": "*/*", "Accept-Encoding": "gzip"}
        return self._client.pieces(*path, params={"rev": revision}, headers=accepted)

    def _out_of_its_document(self, document_id: str, revision: str, name: str) -> Iterator[bytes]:
        """Of one whose name, or whose document's, cannot stand in a URL. It comes whole, and not compressed."""
        wanted = {"docs": [{"id": document_id, "rev": revision}]}
        said = self._client.post(
            self._name,
            "_bulk_get",
            params={"attachments": "true"},
            json=wanted,
            repeatable=True,
            read_timeout=BULK_TIMEOUT,
        )
        found = said["results"][0]["docs"][0].get("ok", {}).get("_attachments", {}).get(name)
        if found is None:
            raise NotFound(f"no attachment {name}", node=self.database.server.node.name)
        yield base64.b64decode(found["data"])

    def local_documents(self) -> list[dict[str, Any]]:
        """All `_local` documents; none where the server cannot list them (a stand-in, CouchDB before 2.2)."""
        if self.database.server.capabilities().kind is NodeKind.STANDIN:
            return []
        try:
            said = self._client.get(self._name, "_local_docs", params={"include_docs": "true"})
        except (NotFound, BadRequest):
            return []
        return [dict(row["doc"]) for row in said["rows"] if row.get("doc")]

    # --- writing

    def write(self, revisions: Sequence[bytes], *, new_edits: bool = False) -> list[dict[str, Any]]:
        """`_bulk_docs` with JSON texts. With `new_edits` false the revisions keep their names, those that are here
        already are no failure, and only failures are answered: {id, rev, error, reason}."""
        start = b'{"docs":[' if new_edits else b'{"new_edits":false,"docs":['
        body = b"".join((start, b",".join(revisions), b"]}"))
        return list(
            self._client.post(self._name, "_bulk_docs", body=body, repeatable=not new_edits, read_timeout=BULK_TIMEOUT)
        )

    def write_with_attachments(
        self, document_id: str, document: bytes, parts: Sequence[Part], *, new_edits: bool = False
    ) -> None:
        """One revision whose attachments `follow` (multipart/related), however large they are. Raises what the node
        refused it with."""
        body = Related(document, parts)
        self._client.put(
            self._name,
            *segments(document_id),
            params={} if new_edits else {"new_edits": "false"},
            body=body,
            content_type=body.content_type,
            read_timeout=BULK_TIMEOUT,
            tries=1 if new_edits else 3,
            repeatable=not new_edits,
        )


def has_no_url(name: str) -> bool:
    """HTTP libraries resolve dot segments, encoded ones too (RFC 3986, 6.2.2); CouchDB's takes 8 KB at most."""
    return name in {".", ".."} or len(name.encode("utf-8", "surrogatepass")) > MOST_IN_URL


def _one(key: str, wanted: Sequence[str], have: list[msgspec.Raw], simple: bool) -> Found:
    if len(have) == len(wanted):
        return Found(key, have, [], simple)
    names = [HEAD.decode(revision).rev for revision in have]
    return Found(key, have, sorted(set(wanted) - set(names)), simple)


def _row(row: _FeedRow) -> Row:
    if len(row.changes) == 1:  # as nearly all have
        return row.id, (row.changes[0].rev,)
    return row.id, tuple(change.rev for change in row.changes)


def _text(seq: Any) -> str:
    """CouchDB's sequences are texts, those of stand-ins numbers, those of CouchDB 1 and some proxies arrays."""
    return seq if isinstance(seq, str) else json.dumps(seq)
