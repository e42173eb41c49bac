"""What one database holds and takes on one node, in few bytes: it is kept of a hundred thousand of them. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from worker.core.disk import Size


@dataclass(frozen=True)
class Figures:
    """`file` and `active`: bytes; None where the node does not tell. `mark`: of its update_seq (see `mark`)."""

    name: str
    documents: int
    deleted: int | None
    file: int | None
    active: int | None
    mark: str

    @property
    def size(self) -> Size | None:
        if self.file is None or self.active is None:
            return None
        return Size(self.name, self.file, self.active)


@dataclass(frozen=True)
class Asked:
    """What one look asked for: the databases, the figures of those that were there, and whether they were the last ones
    of a round."""

    names: tuple[str, ...]
    figures: tuple[Figures, ...]
    last: bool


def figures(name: str, said: Mapping[str, Any]) -> Figures:
    """From what `GET /db` says, or the `info` of a row of `_dbs_info`."""
    sizes = said.get("sizes") or {}
    deleted = said.get("doc_del_count")
    return Figures(
        name=name,
        documents=int(said["doc_count"]),
        deleted=None if deleted is None else int(deleted),
        file=int(sizes["file"]) if "file" in sizes else None,
        active=int(sizes["active"]) if "active" in sizes else None,
        mark=mark(str(said["update_seq"])),
    )


def mark(update_seq: str) -> str:
    """Few bytes that are the same as long as a database's update_seq on one node is: they have no other meaning."""
    return hashlib.blake2b(update_seq.encode(), digest_size=6).hexdigest()
