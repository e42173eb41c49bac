"""Dumps of a database that other tools made, read a document at a time. What a file is shows in it, not in its name:

- the answer of `GET db/_all_docs?include_docs=true`, as curl saved it or as jq wrote it again;
- a backup file of couchbackup: lines, each a JSON array of revisions, since its 2.10 after one that tells its version.
  Where it was resumed a line can be broken off: what it should have held comes again;
- a JSON array of documents, `{"docs": [...]}`, documents one after the other.

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
KNOWN = (
    "the answer of GET db/_all_docs?include_docs=true, a backup file of couchbackup, a JSON array of documents, "
    '{"docs": [...]}, and documents one after the other'
)
UTF_16 = (
    "this is UTF-16, as PowerShell's > writes it, and on that way characters other than A to Z may have been lost: "
    "save it again with `curl --output FILE`, or, where that is not possible, make it UTF-8 and look whether they are "
    "right"
)
NO_DOCUMENTS = (
    "this was saved without include_docs=true: it holds ids and no documents; where the database is still there, save "
    "it again from _all_docs?include_docs=true"
)


class Format(StrEnum):
    ALL_DOCS = "_all_docs"
    COUCHBACKUP = "couchbackup"
    DOCUMENTS = "documents"


class _Row(msgspec.Struct):
    doc: msgspec.Raw = msgspec.Raw(b"")
    error: Any = None


_ROW = msgspec.json.Decoder(_Row)
_FIRST = ("{", "n", "")  # of an object, of null, and of what is cut off
_Told = dict[str, msgspec.Raw]


class Dump:
    """The rest is known as far as `documents` was read. `count`: of documents that were whole; `empty`: of rows
    without one; `broken`: lines of couchbackup, from 1, that are broken off with no sign that it was resumed there;
    `total_rows`: what `_all_docs` said that the database had; `beginning`: a checksum of how the dump begins."""

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
        """Each as JSON, its values byte for byte. Raises BadDump, also in the middle. To be called once."""
        try:
            self._begin()
            for document in self._values():
                if document == b"null":
                    self.empty += 1
                    continue
                if not document.startswith(b"{"):
                    raise self._text.bad(f"before this there is {shown(document)} where a document is needed")
                self.count += 1
                yield document
        except BadDump as error:
            whole = f"; documents that were whole before that: {self.count:,}" if self.count else ""
            raise BadDump(f"{error}{whole}") from None

    def _begin(self) -> None:
        head = self._text.begin(HEAD)
        self.beginning = hashlib.sha256(head).hexdigest()
        if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in head[:4]:
            raise BadDump(UTF_16)
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
                raise self._text.bad(f"no dump has {self._text.next()} here; known are {KNOWN}")

    def _line(self) -> Iterator[bytes]:
        """An array of documents, which is all that is in a line of couchbackup's."""
        number = self._text.line
        try:
            for document in self._elements():
                if document == RESUMED:  # the line broke off between two documents
                    return
                yield document
        except BadDump:
            # where it is on the next line already, nothing but the line's end was in the way
            if self._text.line == number and self._text.end_line(len(RESUMED)) == RESUMED:
                return
            if self._marks_resumes or self._text.peek() != "[":
                raise
            self.broken.append(number)  # couchbackup before 2.10 set no mark, and skipped all that it could not read

    def _elements(self) -> Iterator[bytes]:
        more = self._starts("[", "]")
        while more:
            if self._text.peek() not in _FIRST:
                raise self._text.bad(f"there is {self._text.next()} where an object is needed")
            yield self._text.value()
            more = self._text.take(",]") == ","

    def _starts(self, begin: str, end: str) -> bool:
        """Whether there is something in this array or object."""
        self._text.take(begin)
        if self._text.peek() != end:
            return True
        self._text.take(end)
        return False

    def _object(self) -> Iterator[bytes]:
        """Of what is beside the documents only small things are kept."""
        told: _Told = {}
        listed = False
        more = self._starts("{", "}")
        while more:
            key = self._key()
            if self._text.peek() == "[" and "_id" not in told:
                if key not in {"rows", "docs"}:
                    raise self._text.bad(f"an object with a list of {key} is none of the dumps that are known: {KNOWN}")
                listed = True
                self._count_rows(told)
                yield from self._rows() if key == "rows" else self._elements()
            else:
                told[key] = msgspec.Raw(self._text.value())
            more = self._text.take(",}") == ","
        self._count_rows(told)
        if not listed:
            yield from self._single(told)

    def _key(self) -> str:
        if self._text.peek() not in {'"', ""}:
            raise self._text.bad(f"there is {self._text.next()} where the name of a field is needed")
        key = str(json.loads(self._text.value()))
        self._text.take(":")
        return key

    def _count_rows(self, told: _Told) -> None:
        said = bytes(told.get("total_rows", b""))
        self.total_rows = int(said) if said.isdigit() and len(said) < 20 else self.total_rows

    def _rows(self) -> Iterator[bytes]:
        self.format = Format.ALL_DOCS
        for row in self._elements():
            try:
                found = _ROW.decode(row)
            except msgspec.DecodeError as error:
                raise self._text.bad(f"before this there is no row of _all_docs: {error}") from None
            if not found.doc and found.error is None:
                raise BadDump(NO_DOCUMENTS)
            yield bytes(found.doc) or b"null"

    def _single(self, told: _Told) -> Iterator[bytes]:
        """An object that holds no list: a document, what couchbackup tells of itself, or something else."""
        if "_id" in told:
            yield msgspec.json.encode(told)
        elif {"name", "version", "mode"} <= told.keys():
            self.format = Format.COUCHBACKUP
            self._marks_resumes = True
        elif told.keys() == {"marker"}:
            self.format = Format.COUCHBACKUP
        elif {"error", "reason"} <= told.keys():
            said = ": ".join(str(json.loads(bytes(told[name]))) for name in ("error", "reason"))
            raise BadDump(f"this is no dump, but CouchDB's refusal to give one ({said})")
        else:
            names = ", ".join(list(told)[:5]) or "nothing"
            raise self._text.bad(f"an object with {names} in it is none of the dumps that are known: {KNOWN}")
