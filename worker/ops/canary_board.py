"""Where the threads of one canary measurement tell each other what is written, and when to stop."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from worker.core.errors import ReplicationError


@dataclass(frozen=True)
class Written:
    """A mark that is on its node since `at` (our monotonic clock) at the latest."""

    mark: str
    at: float


class Board:
    def __init__(self, names: Iterable[str], ends_at: float) -> None:
        self.written: dict[str, Written] = {}
        self.errors: dict[str, ReplicationError] = {}
        self._open = set(names)  # those that have not written yet
        self._ends_at = ends_at
        self._stopped = False
        self._changed = threading.Condition()

    def wrote(self, name: str, written: Written) -> None:
        with self._changed:
            self.written[name] = written
            self._open.discard(name)
            self._changed.notify_all()

    def failed(self, name: str, error: ReplicationError) -> None:
        with self._changed:
            self.errors[name] = error
            self._open.discard(name)
            self._changed.notify_all()

    def stop(self) -> None:
        """Everybody ends at the next chance."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def left(self) -> float:
        return self._ends_at - time.monotonic()

    def awaited(self, target: str, seen: Iterable[str]) -> Mapping[str, Written]:
        """What `target` is still to be asked for; waits where others are still writing. Empty when it is over."""
        with self._changed:
            while not self._stopped and self.left() > 0:
                known = {target, *seen}
                found = {name: written for name, written in self.written.items() if name not in known}
                if found or not self._open:
                    return found
                self._changed.wait(self.left())
        return {}

    def pause(self, seconds: float) -> None:
        """Until then, or until it is over; a mark that is written meanwhile waits for the next look."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopped, max(0.0, min(seconds, self.left())))
