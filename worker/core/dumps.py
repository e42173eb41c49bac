"""Dumps of a database that other tools made, read a document at a time. What a file is shows in it, not in its name:

- the answer of `GET db/_all_docs?include_docs=true`, as curl saved it or as jq wrote it again;
- a backup file of couchbackup: lines, each a JSON array of revisions, and since its 2.10 a first line that tells its
  version. Where it was resumed a line can be broken off: what that line held comes again after it;
- a JSON array of documents, `{"docs": [...]}`, documents one after the other; all of these gzip'd as well.

Memory holds a document at a time, and a few small things beside.
"""

from __future__ import annotations

import codecs
import hashlib
import json
from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import Any

import msgspec

from worker.core.dump_text import BadDump, Text, shown, unpacked

RESUMED = b'{"marker":"@cloudant/couchbackup:resume"}'
HEAD = 65_536  # bytes that a dump is known again by
_KNOWN = (
    "the answer of GET db/_all_docs?include_docs=true, a backup file of couchbackup, and JSON documents in an array, in "
    '{"docs": [...]} or one after the other'
)


class Format(StrEnum):
    ALL_DOCS = "_all_docs"
    COUCHBACKUP = "couchbackup"
    DOCUMENTS = "documents"


class _Row(msgspec.Struct):
    doc: msgspec.Raw = msgspec.Raw(b"")
    error: Any = None


_ROW = msgspec.json.Decoder(_Row)


class Dump:
    """The rest is known as far as `documents` was read. `count`: of documents that were whole; `empty`: of rows
    without one; `broken`: lines of couchbackup, from 1, that are cut off with no sign that it was resumed there;
    `total_rows`: what `_all_docs` said that the database had; `beginning`: a checksum of the file's."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self.format = Format.DOCUMENTS
        self.count = 0
        self.empty = 0
        self.broken: list[int] = []
        self.total_rows: int | None = None
        self.beginning = ""
        self._marks_resumes = False
        self._text = Text(unpacked(pieces))

    def documents(self) -> Iterator[bytes]:
        """Each as JSON. Raises BadDump, also in the middle. To be called once."""
        try:
            self._begin()
            for document in self._values():
                if document == b"null":
                    self.empty += 1
                    continue
                if not document.startswith(b"{"):
                    raise self._text.bad(f"there is a document needed, and it is {shown(document)}")
                self.count += 1
                yield document
        except BadDump as error:
            whole = f"; {self.count:,} documents before that were whole" if self.count else ""
            raise BadDump(f"{error}{whole}") from None

    def _begin(self) -> None:
        head = self._text.begin(HEAD)
        self.beginning = hashlib.sha256(head).hexdigest()
        if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in head[:4]:
            raise BadDump(
                "this is UTF-16, as PowerShell's > writes it, and other characters than A to Z may be lost on that way: "
                "save it again with `curl --output FILE`; or, where that cannot be, make it UTF-8 (iconv) and look "
                "whether they are right"
            )
        if not self._text.peek():
            raise BadDump("this is empty")

    def _values(self) -> Iterator[bytes]:
        arrays = 0
        while start := self._text.peek():
            if start == "[":
                arrays += 1
                self.format = Format.COUCHBACKUP if arrays > 1 else self.format
                yield from self._line()
            elif start == "{":
                yield from self._object()
            else:
                raise self._text.bad(f"{self._text.shown()} is the beginning of no dump; known are {_KNOWN}")

    def _line(self) -> Iterator[bytes]:
        """An array of documents, which is all that is in a line of couchbackup's."""
        number = self._text.line
        try:
            yield from self._elements()
        except BadDump:
            resumed = self._text.end_of_line().endswith(RESUMED)
            if resumed:
                return
            if self._marks_resumes or self._text.peek() != "[":
                raise
            self.broken.append(number)  # couchbackup before 2.10 set no mark, and skipped all that it could not read

    def _elements(self) -> Iterator[bytes]:
        self._text.take("[")
        if self._text.peek() == "]":
            self._text.take("]")
            return
        while True:
            value = self._text.value()
            if value == RESUMED:
                raise self._text.bad("couchbackup was resumed in the middle of this")
            yield value
            if self._text.take(",]") == "]":
                return

    def _object(self) -> Iterator[bytes]:
        """Of what is beside the documents only small things are kept."""
        told: dict[str, msgspec.Raw] = {}
        listed = False
        end = self._text.take("{")
        while end != "}":
            if not told and self._text.peek() == "}":
                break
            key = str(json.loads(self._text.value()))
            self._text.take(":")
            if key in {"rows", "docs"} and "_id" not in told and self._text.peek() == "[":
                listed = True
                self._count_rows(told)
                yield from self._rows() if key == "rows" else self._elements()
            else:
                told[key] = msgspec.Raw(self._text.value())
            end = self._text.take(",}")
        self._count_rows(told)
        if not listed:
            yield from self._single(told)

    def _count_rows(self, told: dict[str, msgspec.Raw]) -> None:
        if "total_rows" in told and told["total_rows"] != b"null":
            self.total_rows = int(bytes(told["total_rows"]))

    def _rows(self) -> Iterator[bytes]:
        self.format = Format.ALL_DOCS
        for row in self._elements():
            try:
                found = _ROW.decode(row)
            except msgspec.DecodeError as error:
                raise self._text.bad(f"this is no row of _all_docs: {error}") from None
            if not found.doc and found.error is None:
                raise BadDump(
                    "this was saved without include_docs=true: it holds ids and no documents; where the database is "
                    "still there, save it again from _all_docs?include_docs=true"
                )
            yield bytes(found.doc) or b"null"

    def _single(self, told: dict[str, msgspec.Raw]) -> Iterator[bytes]:
        """An object that holds no list: what couchbackup tells of itself, a document, or something else."""
        if "_id" in told:
            yield msgspec.json.encode(told)
        elif {"name", "version", "mode"} <= told.keys():
            self.format = Format.COUCHBACKUP
            self._marks_resumes = True
        elif told.keys() == {"marker"}:
            self.format = Format.COUCHBACKUP
        elif {"error", "reason"} <= told.keys():
            said = ": ".join(json.loads(bytes(told[name])) or "" for name in ("error", "reason"))
            raise BadDump(f"this is no dump, but CouchDB's refusal to give one ({said})")
        else:
            names = ", ".join(list(told)[:5]) or "nothing"
            raise self._text.bad(f"an object with {names} in it is none of the dumps that are known: {_KNOWN}")
