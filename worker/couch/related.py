"""A document and its attachments as one multipart/related body (RFC 2387), of which never more than a piece is in
memory. https://docs.couchdb.org/en/stable/api/document/attachments.html, "Multiple Attachments"

CouchDB matches parts to attachments by their order in the document; names are sent as well, for other servers.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import quote


@dataclass(frozen=True)
class Part:
    """`pieces()` gives the bytes, from the beginning each time it is called."""

    name: str
    content_type: str
    length: int
    pieces: Callable[[], Iterator[bytes]]


class Related:
    """A worker.couch.transport.Body."""

    def __init__(self, document: bytes, parts: Sequence[Part]) -> None:
        self._boundary = secrets.token_hex(16)
        self._parts = list(parts)
        head = f"--{self._boundary}\r\nContent-Type: application/json\r\n\r\n".encode()
        self._first = head + document
        self._heads = [self._head(part) for part in self._parts]
        self._last = f"\r\n--{self._boundary}--".encode()

    @property
    def content_type(self) -> str:
        return f'multipart/related;boundary="{self._boundary}"'

    def __len__(self) -> int:
        parts = sum(len(head) + part.length for head, part in zip(self._heads, self._parts, strict=True))
        return len(self._first) + parts + len(self._last)

    def __iter__(self) -> Iterator[bytes]:
        yield self._first
        for head, part in zip(self._heads, self._parts, strict=True):
            yield head
            yield from part.pieces()
        yield self._last

    def _head(self, part: Part) -> bytes:
        # a name could hold a line break: quoted, none can end the header
        name = quote(part.name, safe=" ")
        return (
            f'\r\n--{self._boundary}\r\nContent-Disposition: attachment; filename="{name}"\r\n'
            f"Content-Length: {part.length}\r\n\r\n"
        ).encode()
