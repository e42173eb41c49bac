"""Two made-up nodes with as many documents as a benchmark wants: a transport that makes up answers as they are asked.

Nothing is kept, so what a process takes in memory is its own, and it starts at once: a million real documents would
have to be written first.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from worker.core.model import Node
from worker.couch.client import CouchClient
from worker.couch.cluster import Cluster
from worker.couch.server import Server
from worker.couch.transport import Answer, Body, Timeouts


class MadeUp:
    """A worker.couch.transport.Transport. The nodes differ in one document in the middle, or in all of them."""

    database = "made-up"

    def __init__(self, documents: int, *, all_different: bool) -> None:
        self._documents = documents
        self._all_different = all_different

    def send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        body: bytes | Body | None,
        timeouts: Timeouts,
        most: int | None = None,
    ) -> Answer:
        parts = urlsplit(url)
        whole = b"".join(body) if body is not None and not isinstance(body, bytes) else body
        plain = gzip.decompress(whole) if whole and "Content-Encoding" in headers else whole
        asked = json.loads(plain) if plain else None
        said = self._answer(parts.netloc, parts.path.strip("/"), dict(parse_qsl(parts.query)), asked)
        return Answer(200, {}, json.dumps(said).encode())

    def lines(self, url: str, *, headers: Mapping[str, str], timeouts: Timeouts) -> Iterator[bytes]:
        """There is no feed to listen to."""
        return iter(())

    def pieces(self, url: str, *, headers: Mapping[str, str], timeouts: Timeouts) -> Iterator[bytes]:
        """Nor an attachment to read."""
        return iter(())

    def _answer(self, node: str, path: str, params: Mapping[str, str], asked: Any) -> Any:
        if not path:
            return {"couchdb": "made up", "version": "0", "uuid": node}
        if path == self.database:
            return {"doc_count": self._documents, "doc_del_count": 0, "update_seq": str(self._documents)}
        if path == f"{self.database}/_revs_diff":
            rows = {key: set(revisions) - {self._revision(node, key)} for key, revisions in asked.items()}
            return {key: {"missing": sorted(left)} for key, left in rows.items() if left}
        if path == f"{self.database}/_changes" and asked:
            return {"results": [self._row(node, key) for key in asked["doc_ids"]]}
        if path == f"{self.database}/_changes":
            since, limit = int(params["since"]), int(params["limit"])
            upto = min(self._documents, since + limit)
            return {"results": [self._row(node, key) for key in self._ids(since, upto)], "last_seq": upto}
        return {}

    @staticmethod
    def _ids(start: int, end: int) -> Iterator[str]:
        """As long as those that CouchDB makes."""
        return (f"{number * 2654435761 % 2**32:08x}{number:024x}" for number in range(start, end))

    def _row(self, node: str, key: str) -> dict[str, Any]:
        return {"seq": None, "id": key, "changes": [{"rev": self._revision(node, key)}]}

    def _revision(self, node: str, key: str) -> str:
        number = int(key[8:], 16)
        differs = self._all_different or number == self._documents // 2
        return f"{len(node) if differs else 1}-{number:032x}"


def cluster_of(made_up: MadeUp) -> Cluster:
    """Two nodes whose names have different lengths, which is how their revisions differ."""
    urls = {"one": "http://one", "other": "http://other"}
    return Cluster([Server(CouchClient(Node(name, url, url), made_up)) for name, url in urls.items()])
