"""The only door to where backup bytes live: a local folder, S3, GCS or Azure, through obstore.

An object appears whole or not at all: a local file is written under another name and renamed, an upload counts when it
is complete. Nothing is ever written in place. Large objects are read in slices, each with its own time-out: one
time-out over a gigabyte would have to be so long that it is none.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

import obstore
from obstore import exceptions
from obstore.store import LocalStore, MemoryStore, from_url

from worker.core.errors import ObjectMissing, ReplicationError, StoreFull, StoreRefused, StoreUnavailable
from worker.core.redact import scrub

SLICE = 8 * 1024 * 1024  # bytes; also the size of an upload's parts
PARTS_AT_ONCE = 3
ANSWER = timedelta(seconds=120)  # for one request: a slice or a part
CONNECT = timedelta(seconds=5)
RETRIES = 4
RETRY_FOR = timedelta(seconds=60)
DELETE_AT_ONCE = 500
SCHEMES = ("file", "s3", "s3a", "gs", "az", "azure", "abfs", "abfss", "adl", "memory")
_FULL = ("No space left on device", "os error 28", "os error 122", "Disk quota exceeded")
_REFUSED = (
    "AccessDenied",
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "NoSuchBucket",
    "403 Forbidden",
    "401 Unauth",
)


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
    def open(cls, url: str, options: Mapping[str, str] | None = None) -> Store:
        """`options`: of the object store, as obstore names them (aws_endpoint, ...). What they do not say is taken
        from the environment variables that each cloud's own tools use. Nothing is connected before it is used.

        Raises ValueError for a URL or an option that makes no sense, and as the methods do.
        """
        scheme, shown = check_url(url), _shown(url)
        if scheme == "memory":
            return cls(MemoryStore(), shown)
        if scheme == "file":
            root = Path(unquote(urlsplit(url).path))
            try:
                root.mkdir(mode=0o700, parents=True, exist_ok=True)
            except OSError as error:
                raise StoreRefused(f"{shown}: the folder cannot be made: {error.strerror}") from None
            return cls(LocalStore(root, automatic_cleanup=True), shown, root)
        given = dict(options or {})
        client: dict[str, Any] = {"timeout": ANSWER, "connect_timeout": CONNECT}
        if given.pop("allow_http", "").lower() in {"true", "1"}:
            client["allow_http"] = True
        retries: Any = {"max_retries": RETRIES, "retry_timeout": RETRY_FOR}
        with _translated(shown):
            try:
                # its stubs have an overload for each cloud; which one it is only the URL tells
                made = from_url(url, config=given or None, client_options=client, retry_config=retries)  # type: ignore[call-overload]
            except exceptions.UnknownConfigurationKeyError as error:
                raise ValueError(f"BACKUP_OPTIONS: {_first_line(error)}") from None
        return cls(made, shown)

    def put(self, name: str, data: bytes | Path) -> None:
        with _translated(self.name, name):
            if isinstance(data, Path):
                obstore.put(self._store, name, data, chunk_size=SLICE, max_concurrency=PARTS_AT_ONCE)
            else:
                obstore.put(self._store, name, data, use_multipart=False)

    def get(self, name: str) -> bytes:
        with _translated(self.name, name):
            return obstore.get(self._store, name).bytes().to_bytes()

    def slices(self, name: str) -> Iterator[bytes]:
        """The object from its beginning to its end, a SLICE at a time."""
        with _translated(self.name, name):
            size = int(obstore.head(self._store, name)["size"])
        for start in range(0, size, SLICE):
            with _translated(self.name, name):
                yield obstore.get_range(self._store, name, start=start, end=min(start + SLICE, size)).to_bytes()

    def size(self, name: str) -> int | None:
        """None where there is no such object."""
        try:
            with _translated(self.name, name):
                return int(obstore.head(self._store, name)["size"])
        except ObjectMissing:
            return None

    def listed(self, prefix: str) -> Iterator[Listed]:
        """Every object below a folder, in no order."""
        with _translated(self.name, prefix):
            for page in obstore.list(self._store, prefix, chunk_size=1_000):
                for found in page:
                    yield Listed(found["path"], int(found["size"]), found["last_modified"].timestamp())

    def folders(self, prefix: str) -> list[str]:
        """The names of the folders right below a folder, sorted."""
        with _translated(self.name, prefix):
            found = obstore.list_with_delimiter(self._store, prefix)
        return sorted(path.rpartition("/")[2] for path in found["common_prefixes"])

    def delete(self, names: Iterable[str]) -> int:
        """Those that are gone already are no failure. Returns how many there were to delete."""
        wanted = list(names)
        for at in range(0, len(wanted), DELETE_AT_ONCE):
            part = wanted[at : at + DELETE_AT_ONCE]
            try:
                with _translated(self.name, part[0]):
                    obstore.delete(self._store, part)
            except ObjectMissing:  # a local folder tells so; the others are still to be deleted
                for one in part:
                    self._delete_one(one)
        return len(wanted)

    def _delete_one(self, name: str) -> None:
        try:
            with _translated(self.name, name):
                obstore.delete(self._store, name)
        except ObjectMissing:
            pass

    def settle(self) -> None:
        """What was put so far survives a loss of power from now on. Called before a record that vouches for it is
        written: a local file that was renamed into place may still be empty on the disk. Object stores promise it
        with each answer."""
        if self._root is not None:
            os.sync()


class Blobs(Protocol):
    """What of a Store its users need: a test may put something else in its place."""

    name: str

    def put(self, name: str, data: bytes | Path) -> None: ...
    def get(self, name: str) -> bytes: ...
    def slices(self, name: str) -> Iterator[bytes]: ...
    def size(self, name: str) -> int | None: ...
    def listed(self, prefix: str) -> Iterator[Listed]: ...
    def folders(self, prefix: str) -> list[str]: ...
    def delete(self, names: Iterable[str]) -> int: ...
    def settle(self) -> None: ...


def check_url(url: str) -> str:
    """Its scheme. Raises ValueError in words that say what would be right."""
    parts = urlsplit(url)
    if parts.scheme not in SCHEMES:
        raise ValueError("must be file:///folder, s3://bucket/prefix, gs://bucket/prefix or az://container/prefix")
    if parts.username or parts.password:
        raise ValueError("must not have credentials in it: they go to BACKUP_OPTIONS")
    if parts.scheme == "file" and (parts.netloc or not parts.path.startswith("/")):
        raise ValueError("a local folder is written file:///absolute/path, with three slashes")
    if parts.scheme not in {"file", "memory"} and not parts.netloc:
        raise ValueError(f"lacks a bucket: {parts.scheme}://bucket/prefix")
    return parts.scheme


def _shown(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}{parts.path}".rstrip("/") or url


@contextmanager
def _translated(store: str, name: str = "") -> Iterator[None]:
    try:
        yield
    except ReplicationError:
        raise
    except (FileNotFoundError, exceptions.NotFoundError) as error:
        if "NoSuchBucket" in str(error):
            raise StoreRefused(f"{store}: there is no such bucket") from None
        raise ObjectMissing(f"{store}: there is no object {name}") from None
    except (PermissionError, exceptions.PermissionDeniedError, exceptions.UnauthenticatedError) as error:
        raise StoreRefused(f"{store}: access to {name or 'it'} is refused: {_first_line(error)}") from None
    except (exceptions.BaseError, OSError, TimeoutError) as error:
        text = str(error)
        if any(words in text for words in _FULL):
            raise StoreFull(f"{store}: no space left to write {name}") from None
        if any(words in text for words in _REFUSED):
            raise StoreRefused(f"{store}: {_first_line(error)}") from None
        raise StoreUnavailable(f"{store}: {name}: {_first_line(error)}") from None


def _first_line(error: BaseException) -> str:
    """Libraries print whole debug records; a person needs the first line."""
    return scrub(next(iter(str(error).strip().splitlines()), type(error).__name__))[:300]
