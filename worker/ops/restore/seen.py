"""Which documents have been met already, on the disk: a set of ten million ids in memory would be a gigabyte."""

from __future__ import annotations

import sqlite3
import tempfile
from hashlib import blake2b
from types import TracebackType

from worker.core.errors import StoreFull

_SIZE = 16  # bytes of hash: that two of a billion ids share one has a chance of 1 : 10**20
_CACHE = 32 * 1024  # KiB


class SeenIds:
    """Use as a context manager. For one thread."""

    def __init__(self) -> None:
        # an empty name: a file of sqlite's own that nobody sees, in memory as long as it fits into the cache
        self._database = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._database.execute(f"PRAGMA cache_size = -{_CACHE}")
        self._database.execute("PRAGMA synchronous = OFF")
        self._database.execute("CREATE TABLE ids (hash BLOB PRIMARY KEY) WITHOUT ROWID")
        self._database.execute("BEGIN")

    def __enter__(self) -> SeenIds:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._database.close()

    def add(self, document_id: str) -> bool:
        """True where it is met for the first time."""
        try:
            done = self._database.execute("INSERT OR IGNORE INTO ids VALUES (?)", (_hash(document_id),))
        except sqlite3.OperationalError as error:
            raise StoreFull(f"the folder for temporary files, {tempfile.gettempdir()}: {error}") from None
        return done.rowcount == 1

    def __contains__(self, document_id: str) -> bool:
        found = self._database.execute("SELECT 1 FROM ids WHERE hash = ?", (_hash(document_id),))
        return found.fetchone() is not None


def _hash(document_id: str) -> bytes:
    return blake2b(document_id.encode("utf-8", "surrogatepass"), digest_size=_SIZE).digest()
