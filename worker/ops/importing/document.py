"""A document of a dump, made ready to be written under the revision that it has there.

What a node does not take, or takes for something else, is put right here, and nothing else: attachments of which the
dump has only the names (CouchDB 3.5 answers such a document with a crash), and those whose type couchbackup, by the
library that it uses since 2.10, calls `contentType` (CouchDB would make it application/octet-stream).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import msgspec

from worker.core.documents import with_attachments

_RENAMED = {"contentType": "content_type", "encodedLength": "encoded_length"}
_Attachment = dict[str, msgspec.Raw]


class _Fields(msgspec.Struct):
    id: str = msgspec.field(name="_id")
    rev: str | None = msgspec.field(name="_rev", default=None)
    revisions: msgspec.Raw = msgspec.field(name="_revisions", default=msgspec.Raw(b""))
    deleted: bool = msgspec.field(name="_deleted", default=False)
    attachments: dict[str, _Attachment] = msgspec.field(name="_attachments", default_factory=dict)


_FIELDS = msgspec.json.Decoder(_Fields)


@dataclass(frozen=True)
class Document:
    """`text`: as it is written. `attachments` that it has there, and those that are `missing`. `new`: the dump tells no
    revision, so it was given one."""

    id: str
    rev: str
    text: bytes
    deleted: bool
    has_history: bool
    new: bool
    attachments: int
    missing: list[str]

    @property
    def is_design(self) -> bool:
        return self.id.startswith("_design/")


def prepared(text: bytes) -> Document:
    """Raises msgspec.DecodeError where this is no document."""
    found = _FIELDS.decode(text)
    have = {name: told for name, told in found.attachments.items() if bytes(told.get("data", b"null")) != b"null"}
    missing = [name for name in found.attachments if name not in have]
    if missing or any(_RENAMED.keys() & told.keys() for told in have.values()):
        text = with_attachments(text, {name: _named(told) for name, told in have.items()})
    rev = found.rev
    if rev is None:
        # from its content, as CouchDB's own are: so a second attempt adds nothing, and neither does another node
        rev = f"1-{hashlib.md5(text, usedforsecurity=False).hexdigest()}"
        text = msgspec.json.encode({**msgspec.json.decode(text, type=dict[str, msgspec.Raw]), "_rev": rev})
    return Document(
        found.id, rev, text, found.deleted, bool(found.revisions), found.rev is None, len(have), sorted(missing)
    )


def _named(attachment: _Attachment) -> _Attachment:
    return {_RENAMED.get(name, name): value for name, value in attachment.items()}
