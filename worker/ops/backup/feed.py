"""The changes feed, read ahead onto the disk.

CouchDB keeps a snapshot for whoever reads its feed, and hangs up on who takes nothing for five minutes; a backup that
waits for its store may. And sequences of a feed that was read to its end in a minute are closer together than those of
one that took all night. So a thread reads as fast as the node gives, and the backup takes its pages from a file: ten
million rows are some hundred megabytes there.
"""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Iterator
from typing import Any

import msgspec

from worker.blobs.vault import disk_errors
from worker.core.errors import ReplicationError, TimedOut, Unreachable
from worker.couch.revisions import Page, Revisions

PAGE = 1_000  # rows; CouchDB is slow to make sequences, so it makes one a page
TRIES = 3
_LENGTH = 8  # bytes before each page in the file


class Feed:
    """Pages of a database's changes after `since`, all of them. Use as a context manager."""

    def __init__(self, revisions: Revisions, since: str | None) -> None:
        self._revisions = revisions
        self._since = since
        with disk_errors():
            self._file = tempfile.TemporaryFile(prefix="nbr-feed-")  # noqa: SIM115 - closed by __exit__
        self._news = threading.Condition()
        self._written = 0
        self._snapshot = 0
        self._over = False
        self._stopped = False
        self._error: BaseException | None = None

    def __enter__(self) -> Feed:
        threading.Thread(target=self._read, daemon=True, name="changes feed").start()
        return self

    def __exit__(self, *_: Any) -> None:
        with self._news:
            self._stopped = True
            while not self._over and self._error is None:  # the thread writes to the file
                self._news.wait()
        self._file.close()

    @property
    def restarted(self) -> bool:
        """It broke in the middle, and went on in a later snapshot: a document may come twice."""
        return self._snapshot > 0

    def __iter__(self) -> Iterator[Page]:
        at = 0
        while True:
            with self._news:
                while self._written <= at and not self._over and self._error is None:
                    self._news.wait()
                if self._written <= at:
                    if self._error is not None:
                        raise self._error
                    return
            with disk_errors():
                length = int.from_bytes(os.pread(self._file.fileno(), _LENGTH, at), "big")
                raw = os.pread(self._file.fileno(), length, at + _LENGTH)
            at += _LENGTH + length
            seq, rows, snapshot = msgspec.msgpack.decode(raw, type=tuple[str, list[tuple[str, tuple[str, ...]]], int])
            yield Page(rows, seq, snapshot)

    def _read(self) -> None:
        try:
            since, tries = self._since, TRIES
            while True:
                try:
                    for page in self._revisions.feed(since, PAGE):
                        self._keep(page)
                        since, tries = page.seq, TRIES
                        if self._stopped:
                            break
                    break
                except (Unreachable, TimedOut):
                    # goes on where it was, in a later snapshot: still one sequence at its end
                    tries, self._snapshot = tries - 1, self._snapshot + 1
                    if not tries or self._stopped:
                        raise
            self._end(None)
        except ReplicationError as error:
            self._end(error)
        except BaseException as error:  # noqa: BLE001 - handed to the thread that reads the pages, which raises it
            self._end(error)

    def _end(self, error: BaseException | None) -> None:
        with self._news:
            self._error, self._over = error, error is None
            self._news.notify_all()

    def _keep(self, page: Page) -> None:
        raw = msgspec.msgpack.encode((page.seq, page.rows, self._snapshot))
        with disk_errors():
            os.pwrite(self._file.fileno(), len(raw).to_bytes(_LENGTH, "big") + raw, self._written)
        with self._news:
            self._written += _LENGTH + len(raw)
            self._news.notify_all()
