"""Documents with attachments, on their way from the store to a node.

CouchDB takes them as multipart/related: bytes go through as they were kept there (compressed ones stay compressed, so
their digests stay the same), and never more than a piece is in memory. A stand-in takes attachments only within the
document, as base64, and not compressed.
"""

from __future__ import annotations

import base64
import gzip
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from worker.blobs.vault import PIECE, Vault, disk_errors
from worker.core.documents import with_attachments
from worker.core.errors import ObjectDamaged
from worker.core.manifest import Stored, Wrapped
from worker.couch.related import Part
from worker.couch.revisions import HEAD, Head, Stub

IN_MEMORY = 128 * 1024  # bytes; larger ones lie in a file while they are sent: a document may have hundreds

Raw = dict[str, Any]


def related(
    vault: Vault, wrapped: Wrapped, stack: ExitStack, known: Collection[str] = ()
) -> tuple[Head, bytes, list[Part]]:
    """The revision with attachments that follow, and these; they can be read for as long as `stack` is open. `known`:
    those that the revision below has already, so that a stub is enough."""
    head = HEAD.decode(wrapped.doc)
    parts, listed = [], {}
    for name, stub in head.attachments.items():
        if name in known:
            listed[name] = {"content_type": stub.content_type, "stub": True}
            continue
        stored = _object(wrapped, head, name)
        parts.append(Part(name, stub.content_type, stub.stored_length, _source(vault, stored, stub, stack)))
        listed[name] = _following(stub)
    return head, with_attachments(wrapped.doc, listed), parts


def inline(vault: Vault, wrapped: Wrapped) -> bytes:
    """The revision with its attachments in it."""
    head = HEAD.decode(wrapped.doc)
    listed = {name: _inline(vault, _object(wrapped, head, name), stub) for name, stub in head.attachments.items()}
    return with_attachments(wrapped.doc, listed)


def _object(wrapped: Wrapped, head: Head, name: str) -> Stored:
    stored = wrapped.objects.get(name)
    if stored is None:
        raise ObjectDamaged(f"the backup does not say where attachment {name} of {head.id} is")
    return stored


def _following(stub: Stub) -> Raw:
    told: Raw = {"content_type": stub.content_type, "length": stub.length, "follows": True}
    if stub.revpos is not None:
        told["revpos"] = stub.revpos
    if stub.digest is not None:
        told["digest"] = stub.digest
    if stub.encoding is not None:
        told |= {"encoding": stub.encoding, "encoded_length": stub.stored_length}
    return told


def _inline(vault: Vault, stored: Stored, stub: Stub) -> Raw:
    data = vault.read_bytes(stored)
    if stub.encoding == "gzip":
        data = gzip.decompress(data)
    told: Raw = {"content_type": stub.content_type, "data": base64.b64encode(data).decode()}
    return told if stub.revpos is None else {**told, "revpos": stub.revpos}


def _source(vault: Vault, stored: Stored, stub: Stub, stack: ExitStack) -> Callable[[], Iterator[bytes]]:
    if stub.stored_length <= IN_MEMORY:
        data = vault.read_bytes(stored)
        return lambda: iter((data,))
    return partial(_pieces, stack.enter_context(vault.opened(stored)))


def _pieces(path: Path) -> Iterator[bytes]:
    # our own disk's failure must not look like the node's, which is what becomes of an OSError while a body is sent
    with disk_errors(), path.open("rb") as file:
        while piece := file.read(PIECE):
            yield piece
