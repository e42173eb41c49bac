"""Revisions as a rollback compares them: a backup's lines, and what a node has now."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from worker.core.manifest import Wrapped
from worker.core.rollback import Leaf
from worker.couch.revisions import HEAD, Head
from worker.ops.restore.chain import Piece


@dataclass(frozen=True)
class Document:
    """A document of a backup: its leaves, and each one's line with where its attachments are."""

    id: str
    leaves: list[Leaf]
    lines: dict[str, Wrapped]  # by revision


def leaf(revision: bytes | msgspec.Raw) -> tuple[Head, Leaf]:
    head = HEAD.decode(revision)
    # numbers as they are written: two that differ beyond what a float holds are two, and none is a text
    fields: dict[str, Any] = json.loads(bytes(revision), parse_float=_number, parse_int=_number)
    content = {name: value for name, value in fields.items() if not name.startswith("_")}
    attachments = {
        name: (stub.content_type, stub.digest, stub.stored_length) for name, stub in head.attachments.items()
    }
    return head, Leaf(head.rev, head.deleted, content, attachments)


def documents(piece: Piece) -> Iterator[Document]:
    """Of a chunk, each with all of its leaves: these stand together."""
    wrapped = piece.wrapped or [Wrapped(msgspec.Raw(line)) for line in piece.plain]
    found: Document | None = None
    for one in wrapped:
        head, known = leaf(one.doc)
        if found is None or found.id != head.id:
            if found is not None:
                yield found
            found = Document(head.id, [], {})
        found.leaves.append(known)
        found.lines[head.rev] = one
    if found is not None:
        yield found


def _number(digits: str) -> tuple[str, str]:
    """Like nothing else that JSON has: in Python 1 would be True."""
    return ("number", digits)
