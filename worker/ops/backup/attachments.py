"""Attachments in the store: each content once, whatever it is called and however many documents have it.

A stub in a document gives the digest, so what the store has already is never asked of the node again. What it has is
looked up a shard at a time (256 of them, by the first two digits of a name): one listing answers for thousands.
"""

from __future__ import annotations

import base64
import hashlib
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from pathlib import Path

from worker.blobs.vault import PIECE, Vault, disk_errors
from worker.core.errors import BadAnswer, BadRequest, NotFound, TimedOut, Unreachable
from worker.core.manifest import ATTACHMENTS, DAMAGED, Stored
from worker.couch.revisions import Revisions, Stub
from worker.ops.backup.pace import Throttle

IN_MEMORY = 1024 * 1024  # bytes: larger ones go through a file
TRIES = 3
MOST_KNOWN = 150_000  # attachments remembered: 80 MB of Python's dictionaries
SEALED = 16  # bytes that age adds to each 64 KiB, at least


class AttachmentStore:
    """Safe to share between threads."""

    def __init__(self, vault: Vault, throttle: Throttle) -> None:
        self._vault = vault
        self._throttle = throttle
        self._lock = threading.Lock()
        self._shards: OrderedDict[str, dict[str, Stored]] = OrderedDict()
        self._listing: dict[str, threading.Lock] = {}
        self._under_way: dict[str, Future[Stored]] = {}
        self._damaged: set[str] = set()
        self._new: set[str] = set()
        self._known = 0

    def keep(self, revisions: Revisions, document: str, revision: str, name: str, stub: Stub) -> Stored:
        """Where its bytes are in the store, after they were put there if need be."""
        if stub.digest is None:  # written by a very old CouchDB: only its bytes can tell what it is
            return self._fetch(revisions, document, revision, name, stub)
        key = self._vault.seals.attachment_name(stub.digest, stub.stored_length)
        with self._lock:
            mine = key not in self._under_way
            if mine:
                self._under_way[key] = Future()
            waiting = self._under_way[key]
        if not mine:
            return waiting.result()
        try:
            stored = self._known_as(key)
            if stored is None or not self._whole(stored, stub):
                stored = self._fetch(revisions, document, revision, name, stub)
                self._remember(key, stored)
                with self._lock:
                    self._new.add(stored.object)
            waiting.set_result(stored)
        except BaseException as error:
            waiting.set_exception(error)
            raise
        finally:
            with self._lock:
                del self._under_way[key]
        return stored

    def has(self, stored: Stored) -> bool:
        """Whether it is in the store, in its whole size."""
        key = stored.object.rpartition("/")[2].partition("-")[0]
        return self._known_as(key) == stored

    def new_bytes(self, kept: Iterable[Stored]) -> int:
        """What these added to the store: those that this process put there, each told of once. One that a worker put
        there that died before it noted so is there already."""
        with self._lock:
            new = {stored.object: stored.size for stored in kept if stored.object in self._new}
            self._new -= new.keys()
        return sum(new.values())

    # --- what the store has

    def _known_as(self, key: str) -> Stored | None:
        shard = key[:2]
        with self._lock:
            lock = self._listing.setdefault(shard, threading.Lock())
        with lock:
            known = self._shards.get(shard)
            if known is None:
                known = dict(self._listed(shard))
                with self._lock:
                    self._shards[shard] = known
                    self._known += len(known)
                    while self._known > MOST_KNOWN and len(self._shards) > 1:
                        _, forgotten = self._shards.popitem(last=False)
                        self._known -= len(forgotten)
        return known.get(key)

    def _whole(self, stored: Stored, stub: Stub) -> bool:
        """A file that was renamed into place may be empty after a loss of power. Such a one is not taken for stored: it
        is written again, under the same name."""
        if self._vault.seals.key is None:
            return stored.size == stub.stored_length
        return stored.size > stub.stored_length + SEALED

    def _listed(self, shard: str) -> Iterator[tuple[str, Stored]]:
        there = {found.name: found.size for found in self._vault.blobs.listed(self._folder(shard))}
        damaged = {name for name in there if f"{name}{DAMAGED}" in there}
        with self._lock:
            self._damaged |= damaged
        for name, size in there.items():
            key, _, rest = name.rpartition("/")[2].partition("-")
            digest = rest.partition(".")[0]
            if len(digest) == 64 and not name.endswith(DAMAGED) and name not in damaged:
                yield key, Stored(name, digest, size)

    def _remember(self, key: str, stored: Stored) -> None:
        if stored.object in self._damaged:  # and is no more: not sealed, it has the name that it had
            self._vault.blobs.delete([f"{stored.object}{DAMAGED}"])
        with self._lock:
            if key[:2] in self._shards:
                self._shards[key[:2]][key] = stored
                self._known += 1

    def _folder(self, shard: str) -> str:
        return f"{ATTACHMENTS}/{self._vault.seals.where}/{shard}"

    # --- what it has not

    def _fetch(self, revisions: Revisions, document: str, revision: str, name: str, stub: Stub) -> Stored:
        left = TRIES
        while True:
            left -= 1
            try:
                stored = self._fetch_once(revisions, document, revision, name, stub)
                break
            except (NotFound, BadRequest) as error:
                where = f"attachment {name} of {document}, revision {revision}"
                raise type(error)(f"{where}: {error.detail}", node=error.node) from None
            except (Unreachable, TimedOut, BadAnswer):
                if not left:
                    raise
        return stored

    def _fetch_once(self, revisions: Revisions, document: str, revision: str, name: str, stub: Stub) -> Stored:
        pieces = _Checked(revisions.attachment(document, revision, name), self._throttle)
        where = f"attachment {name} of {document}"
        if stub.stored_length <= IN_MEMORY and stub.digest is not None:
            data = b"".join(pieces)
            key = self._key(pieces, stub, where)
            return self._vault.write_bytes(self._folder(key[:2]), key, data)
        with self._vault.scratch() as path:
            _write(path, pieces)
            key = self._key(pieces, stub, where)
            return self._vault.write_file(self._folder(key[:2]), key, path)

    def _key(self, pieces: _Checked, stub: Stub, where: str) -> str:
        """Its name; raises BadAnswer where what came is not what the document lists."""
        if stub.digest is not None and (pieces.digest, pieces.length) != (stub.digest, stub.stored_length):
            raise BadAnswer(
                f"{where} came with {pieces.length} bytes and the digest {pieces.digest}, and the document lists "
                f"{stub.stored_length} and {stub.digest}"
            )
        return self._vault.seals.attachment_name(pieces.digest, pieces.length)


class _Checked:
    """Pieces as they come, with CouchDB's own digest of all of them."""

    def __init__(self, pieces: Iterator[bytes], throttle: Throttle) -> None:
        self._pieces = pieces
        self._throttle = throttle
        self._md5 = hashlib.md5(usedforsecurity=False)
        self.length = 0

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._pieces:
            self._md5.update(piece)
            self.length += len(piece)
            self._throttle.took(len(piece))
            yield piece

    @property
    def digest(self) -> str:
        return f"md5-{base64.b64encode(self._md5.digest()).decode()}"


def _write(path: Path, pieces: _Checked) -> None:
    file = None
    try:
        with disk_errors():
            file = path.open("wb", buffering=PIECE)
        for piece in pieces:
            with disk_errors():
                file.write(piece)
    finally:
        if file is not None:
            with disk_errors():
                file.close()
