"""JSON values out of a stream of bytes, each as it stands there.

Not parsed and written again, because that would change numbers that Python has no type for; and not by the line,
because other tools break lines as they like. The standard library's decoder, which is written in C, looks for where a
value ends, and what it makes of it is thrown away. A streaming parser (ijson) would hand out events to put together
again, with every number turned into one of Python's.
"""

from __future__ import annotations

import codecs
import json
import re
import zlib
from collections.abc import Iterable, Iterator

SHOWN = 32  # bytes of a dump that an error quotes
_GZIP = b"\x1f\x8b"
_UNPACKED = 1024 * 1024  # bytes at a time
_BLANK = re.compile(r"[ \t\r\n]*")
_NEAR = 16  # an error so near to the end of what was read may be for want of the rest: a pair of \u escapes has 12
_VALUES = json.JSONDecoder(parse_int=str, parse_float=str)  # no number is made, however long it is


class BadDump(ValueError):
    """Not a dump, or one that is damaged; the message says where."""


class Text:
    """What was read of the dump and not yet used. Each byte is one character, so that places are the same in both."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._text = ""
        self._at = 0
        self._used = 0  # characters before the text
        self._lines = 1  # the line in which the text begins
        self._failure: BadDump | None = None

    @property
    def line(self) -> int:
        return self._lines + self._text.count("\n", 0, self._at)

    def begin(self, size: int) -> bytes:
        """What it begins with, up to so many bytes. A byte order mark is passed over."""
        self._more(size)
        head = self._text[:size].encode("latin-1")
        self._at = len(codecs.BOM_UTF8) if head.startswith(codecs.BOM_UTF8) else 0
        return head

    def peek(self) -> str:
        """The next character that is not blank; "" at the end."""
        while True:
            found = _BLANK.match(self._text, self._at)
            self._at = found.end() if found else self._at
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more(1):
                return ""

    def take(self, wanted: str) -> str:
        """The next character, which has to be one of these."""
        found = self.peek()
        if not found:
            raise self._cut_off()
        if found not in wanted:
            raise self.bad(f"there is {self.next()} where {' or '.join(wanted)} is needed")
        self._at += 1
        return found

    def value(self) -> bytes:
        """The next JSON value."""
        if not self.peek():
            raise self._cut_off()
        end = self._end()
        found = self._text[self._at : end].encode("latin-1")
        try:
            found.decode()
        except UnicodeDecodeError as error:
            place = self._used + self._at + error.start + 1
            raise self.bad(f"what begins here is not UTF-8 (at byte {place:,})") from None
        self._at = end
        return found

    def _end(self) -> int:
        """Where the value ends. Who has read a part of it reads as much again, not a piece more: so a large document is
        not looked through once a piece."""
        while True:
            try:
                _, end = _VALUES.raw_decode(self._text, self._at)
            except json.JSONDecodeError as error:
                if not error.msg.startswith("Unterminated") and error.pos < len(self._text) - _NEAR:
                    place = self._used + error.pos + 1
                    raise self.bad(f"what begins here is no JSON ({error.msg}, at byte {place:,})") from None
                if not self._more(len(self._text) - self._at):
                    raise self._cut_off() from None
                continue
            except RecursionError:
                raise self.bad("what begins here is nested too deep to be read") from None
            if end < len(self._text) or self._text[end - 1] in '}]"':
                return end
            if not self._more(1):  # a number may go on where the text does
                return len(self._text)

    def end_line(self, most: int) -> bytes:
        """Pass over the rest of the line; returns the last of it, up to so many bytes."""
        last = ""
        while (end := self._text.find("\n", self._at)) < 0:
            last = (last + self._text[self._at :])[-most - 1 :]
            self._at = len(self._text)
            if not self._more(1):
                end = self._at
                break
        last += self._text[self._at : end]
        self._at = end
        return last.rstrip("\r")[-most:].encode("latin-1")

    def next(self) -> str:
        """What comes, as an error quotes it."""
        return shown(self._text[self._at : self._at + SHOWN].encode("latin-1"))

    def bad(self, what: str) -> BadDump:
        return BadDump(f"line {self.line:,}, byte {self._used + self._at + 1:,}: {what}")

    def _cut_off(self) -> BadDump:
        return BadDump(f"line {self.line:,} is cut off: the dump ends in the middle of it")

    def _more(self, least: int) -> bool:
        """Read on, at least so many characters. False where there are none. Raises what is wrong with the gzip file,
        after all that came before."""
        self._lines = self.line
        self._used += self._at
        found = [self._text[self._at :]]
        self._at = 0
        size = 0
        try:
            for piece in self._pieces:
                found.append(piece.decode("latin-1"))
                size += len(piece)
                if size >= least:
                    break
        except BadDump as failure:
            self._failure = failure
        self._text = "".join(found)
        if self._failure is not None and size == 0:
            raise self._failure
        return size > 0


def shown(text: bytes) -> str:
    return repr(text[:SHOWN].decode(errors="replace"))


def unpacked(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The same, without gzip where it was there. Raises BadDump where that is damaged."""
    left = iter(pieces)
    head = b""
    while len(head) < len(_GZIP) and (piece := next(left, None)) is not None:
        head += piece
    if not head.startswith(_GZIP):
        yield head
        yield from left
        return
    try:
        yield from _unzipped(head, left)
    except zlib.error as error:
        raise BadDump(f"the gzip file is damaged ({error})") from None


def _unzipped(head: bytes, left: Iterator[bytes]) -> Iterator[bytes]:
    unpack = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    piece: bytes | None = head
    while piece is not None:
        yield unpack.decompress(piece, _UNPACKED)
        rest = unpack.unconsumed_tail
        if unpack.eof and (rest := unpack.unused_data.lstrip(b"\0")):
            unpack = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)  # files that were joined are one
        piece = rest or next(left, None)
    yield unpack.flush()
    if not unpack.eof:
        raise BadDump("the gzip file is cut off")
