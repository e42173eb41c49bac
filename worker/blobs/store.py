"""The only door to where backup bytes live: a local folder, S3, GCS or Azure, through obstore.

An object appears whole or not at all: a local file is written under another name and renamed, an upload counts when it
is complete. Nothing is ever written in place. Large objects are read in slices, each with its own time-out: one
time-out over a gigabyte would have to be so long that it is none.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

import obstore
from obstore.store import LocalStore, MemoryStore

from worker.blobs.connect import PATIENCE, Patience, object_store
from worker.blobs.failures import translated
from worker.core.errors import ObjectMissing, StoreRefused

SLICE = 8 * 1024 * 1024  # bytes; also the size of an upload's parts
PARTS_AT_ONCE = 3
DELETE_AT_ONCE = 500
SCHEMES = ("file", "s3", "s3a", "gs", "az", "azure", "abfs", "abfss", "adl", "memory")
_CONTAINER_AT_ACCOUNT = ("abfs", "abfss")  # Azure writes abfss://container@account.dfs.core.windows.net/path
_STAGED = re.compile(r"#\d+$")


class Oversize(Exception):
    """An object is larger than it can be; `size` in bytes. Never leaves worker.blobs."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.size = size


@dataclass(frozen=True)
class Listed:
    name: str
    size: int
    modified: float  # seconds since the epoch


class Store:
    """`name` is what it is called in messages; it has no credentials. Safe to share between threads.

    All methods raise StoreUnavailable, StoreFull and StoreRefused; those that read an object ObjectMissing too.
    """

    def __init__(self, store: Any, name: str, root: Path | None = None) -> None:
        self._store = store
        self.name = name
        self._root = root

    @classmethod
    def open(
        cls, url: str, options: Mapping[str, str] | None = None, patience: Patience = PATIENCE, *, make: bool = True
    ) -> Store:
        """`options`: of the object store, as obstore names them (aws_endpoint, ...). What they do not say is taken
        from the environment variables that each cloud's own tools use. Nothing is connected before it is used.
        `make`: a local folder that is not there.

        Raises ValueError for a URL or an option that makes no sense, and as the methods do.
        """
        scheme, shown = check_url(url), _shown(url)
        if scheme not in {"memory", "file"}:
            return cls(object_store(url, options or {}, patience), shown)
        if options:
            raise ValueError(f"{', '.join(sorted(options))}: only an object store has options")
        if scheme == "memory":
            return cls(MemoryStore(), shown)
        root = Path(unquote(urlsplit(url).path))
        if not make and not root.is_dir():
            raise StoreRefused(f"{shown}: there is no such folder")
        try:
            root.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise StoreRefused(f"{shown}: the folder cannot be made: {error.strerror}") from None
        return cls(LocalStore(root, automatic_cleanup=True), shown, root)

    def put(self, name: str, data: bytes | Path) -> None:
        with self._telling(name, writing=True):
            if isinstance(data, Path):
                obstore.put(self._store, name, data, chunk_size=SLICE, max_concurrency=PARTS_AT_ONCE)
            else:
                obstore.put(self._store, name, data, use_multipart=False)

    def get(self, name: str, *, most: int | None = None) -> bytes:
        """Raises Oversize, before it is read, where it has more than `most` bytes."""
        with self._telling(name):
            found = obstore.get(self._store, name)
            size = int(found.meta["size"])
            if most is None or size <= most:
                return found.bytes().to_bytes()
        raise Oversize(size)

    def slices(self, name: str) -> Iterator[bytes]:
        """The object from its beginning to its end, a SLICE at a time."""
        with self._telling(name):
            size = int(obstore.head(self._store, name)["size"])
        for start in range(0, size, SLICE):
            with self._telling(name):
                yield obstore.get_range(self._store, name, start=start, end=min(start + SLICE, size)).to_bytes()

    def size(self, name: str) -> int | None:
        """None where there is no such object."""
        try:
            with self._telling(name):
                return int(obstore.head(self._store, name)["size"])
        except ObjectMissing:
            return None

    def listed(self, prefix: str) -> Iterator[Listed]:
        """Every object below a folder, in no order."""
        with self._telling(prefix):
            for page in obstore.list(self._store, prefix, chunk_size=1_000):
                for found in page:
                    yield Listed(found["path"], int(found["size"]), found["last_modified"].timestamp())

    def folders(self, prefix: str) -> list[str]:
        """The names of the folders right below a folder, sorted."""
        with self._telling(prefix):
            found = obstore.list_with_delimiter(self._store, prefix)
        return sorted(path.rpartition("/")[2] for path in found["common_prefixes"])

    def delete(self, names: Iterable[str]) -> int:
        """Those that are gone already are no failure. Returns how many there were to delete."""
        wanted = list(names)
        for at in range(0, len(wanted), DELETE_AT_ONCE):
            part = wanted[at : at + DELETE_AT_ONCE]
            try:
                with self._telling(part[0]):
                    obstore.delete(self._store, part)
            except ObjectMissing:  # a local folder tells so; the others are still to be deleted
                for one in part:
                    self._delete_one(one)
        return len(wanted)

    def _delete_one(self, name: str) -> None:
        try:
            with self._telling(name):
                obstore.delete(self._store, name)
        except ObjectMissing:
            pass

    def settle(self) -> None:
        """What was put so far survives a loss of power from now on. Called before a record that vouches for it is
        written: a local file that was renamed into place may still be empty on the disk. Object stores promise it
        with each answer."""
        if self._root is not None:
            os.sync()

    def clear_staged(self, before: float) -> int:
        """Removes what writers that were killed have left in a local folder, if it was written last before that moment
        (seconds since the epoch). No listing shows it, but it takes room and keeps its folder from going. Returns how
        many files. Object stores have the like, and rules of their own that end them."""
        gone = 0
        for path in list(self._root.rglob("*")) if self._root is not None else []:
            with suppress(OSError):  # somebody else's, or gone by now: the next call comes
                if _STAGED.search(path.name) and path.is_file() and path.stat().st_mtime < before:
                    path.unlink()
                    gone += 1
                    self._clear_folders(path.parent)
        return gone

    def _clear_folders(self, folder: Path) -> None:
        """Those that hold nothing any more; raises OSError at the first that does."""
        while folder != self._root:
            folder.rmdir()
            folder = folder.parent

    def _telling(self, name: str, *, writing: bool = False) -> AbstractContextManager[None]:
        return translated(self.name, name, writing=writing)


class Blobs(Protocol):
    """What of a Store its users need: a test may put something else in its place."""

    name: str

    def put(self, name: str, data: bytes | Path) -> None: ...
    def get(self, name: str, *, most: int | None = None) -> bytes: ...
    def slices(self, name: str) -> Iterator[bytes]: ...
    def size(self, name: str) -> int | None: ...
    def listed(self, prefix: str) -> Iterator[Listed]: ...
    def folders(self, prefix: str) -> list[str]: ...
    def delete(self, names: Iterable[str]) -> int: ...
    def settle(self) -> None: ...
    def clear_staged(self, before: float) -> int: ...


def check_url(url: str) -> str:
    """Its scheme. Raises ValueError in words that say what would be right."""
    parts = urlsplit(url)
    if parts.scheme not in SCHEMES:
        raise ValueError("must be file:///folder, s3://bucket/prefix, gs://bucket/prefix or az://container/prefix")
    if parts.password or (parts.username and parts.scheme not in _CONTAINER_AT_ACCOUNT):
        raise ValueError("must not have credentials in it: they go to BACKUP_OPTIONS")
    if parts.scheme == "file" and (parts.netloc or not parts.path.startswith("/")):
        raise ValueError("a local folder is written file:///absolute/path, with three slashes")
    if parts.scheme not in {"file", "memory"} and not parts.netloc:
        raise ValueError(f"lacks a bucket: {parts.scheme}://bucket/prefix")
    if parts.query or parts.fragment:
        raise ValueError("must end with its path: ? and # are written %3F and %23, and options go to BACKUP_OPTIONS")
    return parts.scheme


def _shown(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"
