"""How fast a backup may go: batches of the right size, and no more bytes a second than allowed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from worker.core.errors import Cancelled

TARGET = 2 * 1024 * 1024  # bytes of one answer: larger ones are no faster, and are in memory several times
MOST = 2_000  # documents
FIRST = 200
GROWTH = 3


class Batches:
    """How many documents to ask for at once, so that an answer has about TARGET bytes. A database may have ten million
    documents of 100 bytes, or a hundred of 8 MB, or both one after the other."""

    def __init__(self, expected: float | None = None) -> None:
        """`expected`: bytes of a document, as far as the server tells: it makes the whole answer in its memory."""
        self._size = min(FIRST, max(1, int(TARGET / expected))) if expected else FIRST

    @property
    def size(self) -> int:
        return self._size

    def saw(self, documents: int, size: int) -> None:
        if not documents or not size:
            return
        fitting = int(TARGET / (size / documents))
        self._size = max(1, min(MOST, fitting, self._size * GROWTH))


class Throttle:
    """Lets `bytes_per_second` through, counted over everybody who shares it; 0 is no limit. A bucket that holds one
    second's worth: who waited may go on at once, and nobody saves up for a burst.

    It is also what ends streams once their work is over: a gigabyte that nobody waits for would come in to its end.
    """

    def __init__(
        self,
        bytes_per_second: float = 0,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] | None = None,
    ) -> None:
        self._rate = bytes_per_second
        self._over = threading.Event()
        self._clock = clock
        self._sleep = sleep or self._over.wait
        self._lock = threading.Lock()
        self._free_at = clock()

    def took(self, size: int) -> None:
        """Waits until so many bytes more were within the limit. Called after they came: nobody knows before. Raises
        Cancelled after `stop`."""
        self._check()
        if self._rate <= 0 or size <= 0:
            return
        with self._lock:
            now = self._clock()
            self._free_at = max(self._free_at, now - 1.0) + size / self._rate
            wait = self._free_at - now
        if wait > 0:
            self._sleep(wait)
            self._check()

    def stop(self) -> None:
        """Nobody waits here any more."""
        self._over.set()

    def _check(self) -> None:
        if self._over.is_set():
            raise Cancelled
