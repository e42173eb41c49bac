"""Attachments as a fake node keeps them: like CouchDB, compressed where that pays, or like a stand-in, as they came.

Kept is the JSON object that a document has for it, with `data` (base64) as it lies on the disk. Digest and
`encoded_length` are of those bytes.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from typing import Any

JsonObject = dict[str, Any]
COMPRESSIBLE = ("text/", "application/javascript", "application/json", "application/xml")


def keep(given: JsonObject, revpos: int | None, *, compresses: bool) -> JsonObject:
    """What is kept of an attachment that came with its bytes (`revpos` None: and with its generation). Only one that
    follows its document may be compressed already: within a document CouchDB takes no notice of `encoding`."""
    generation = given.get("revpos", 0) if revpos is None else revpos
    kept = {"content_type": given["content_type"], "revpos": generation, "follows": True}
    if compresses and given.get("follows") and given.get("encoding") == "gzip":
        return {**kept, "data": given["data"], "encoding": "gzip"}
    if not compresses or not given["content_type"].startswith(COMPRESSIBLE):
        return {**kept, "data": given["data"]}
    # without the time of day in it: the same bytes have the same digest everywhere
    return {**kept, "data": _text(gzip.compress(base64.b64decode(given["data"]), mtime=0)), "encoding": "gzip"}


def stub(kept: JsonObject, *, encoding: bool = False) -> JsonObject:
    """As a document lists it. `encoding`: with what `att_encoding_info` adds."""
    told = {**_described(kept), "length": len(plain(kept)), "stub": True}
    if encoding and "encoding" in kept:
        told |= {"encoding": kept["encoding"], "encoded_length": len(stored(kept))}
    return told


def inline(kept: JsonObject) -> JsonObject:
    """As a document with `attachments=true` has it: never compressed."""
    return {**_described(kept), "data": _text(plain(kept))}


def stored(kept: JsonObject) -> bytes:
    return base64.b64decode(kept["data"])


def plain(kept: JsonObject) -> bytes:
    return gzip.decompress(stored(kept)) if "encoding" in kept else stored(kept)


def unpacked(content_type: str, body: bytes) -> JsonObject:
    """A document out of multipart/related, with the bytes of its attachments in it: they come in the order in which
    it lists those that follow, and their names are not looked at."""
    boundary = content_type.partition('boundary="')[2].rstrip('"').encode()
    _, first, *parts = (b"\r\n" + body).split(b"\r\n--" + boundary)
    assert parts.pop().strip() == b"--"
    document: JsonObject = json.loads(_content(first))
    following = [item for item in document.get("_attachments", {}).values() if item.get("follows")]
    for item, part in zip(following, parts, strict=True):
        item["data"] = _text(_content(part))
    return document


def _content(part: bytes) -> bytes:
    return part.partition(b"\r\n\r\n")[2]


def _described(kept: JsonObject) -> JsonObject:
    digest = hashlib.md5(stored(kept)).digest()  # noqa: S324 - CouchDB's own digest
    return {"content_type": kept["content_type"], "revpos": kept["revpos"], "digest": f"md5-{_text(digest)}"}


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode()
