"""One call as a fake node sees it."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.fakes.attachments import unpacked
from worker.couch.transport import Body


@dataclass(frozen=True)
class Request:
    """`path` has its segments decoded. `body` is JSON; a document that came with its attachments has them in it."""

    node: str
    method: str
    path: tuple[str, ...]
    params: Mapping[str, str]
    headers: Mapping[str, str]
    body: Any


def read_body(headers: Mapping[str, str], body: bytes | Body | None) -> Any:
    if not body:
        return None
    whole = body if isinstance(body, bytes) else b"".join(body)
    assert len(whole) == len(body), "a server would wait for the rest, or take the rest for the next request"
    if headers.get("Content-Encoding") == "gzip":
        whole = gzip.decompress(whole)
    content_type = headers.get("Content-Type", "")
    return unpacked(content_type, whole) if content_type.startswith("multipart/related") else json.loads(whole)
