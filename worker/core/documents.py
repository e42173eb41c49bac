"""A document's text with other attachments. Pure: its other fields pass through as bytes, so that no number changes."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import msgspec


def with_attachments(document: msgspec.Raw | bytes, listed: Mapping[str, Any]) -> bytes:
    """The same document with just these `_attachments`."""
    fields: dict[str, Any] = msgspec.json.decode(document, type=dict[str, msgspec.Raw])
    fields.pop("_attachments", None)
    if listed:
        fields["_attachments"] = dict(listed)
    return msgspec.json.encode(fields)


def without_attachments(document: msgspec.Raw | bytes, names: Collection[str]) -> bytes:
    """The same document without these, and with the others as they are."""
    fields: dict[str, msgspec.Raw] = msgspec.json.decode(document, type=dict[str, msgspec.Raw])
    listed: dict[str, msgspec.Raw] = msgspec.json.decode(fields["_attachments"], type=dict[str, msgspec.Raw])
    return with_attachments(document, {name: stub for name, stub in listed.items() if name not in names})
