"""Lines of several processes in one terminal: each with its process's name before it."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import TextIO

COLOURS = (36, 32, 33, 35, 34, 96, 92, 93, 95, 94)  # ANSI foreground colours that read well on dark and light
WIDTH = 9


class Terminal:
    """Writes whole lines from any thread. Colours only where a person looks (a tty)."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stdout
        self._coloured = self._stream.isatty()
        self._lock = threading.Lock()
        self._names: list[str] = []

    def sink(self, name: str) -> Callable[[str], None]:
        """What writes one process's lines."""
        if name not in self._names:
            self._names.append(name)
        prefix = self._prefix(name)
        return lambda line: self.write(f"{prefix} {line}")

    def write(self, line: str = "") -> None:
        with self._lock:
            try:
                print(line, file=self._stream, flush=True)
            except (OSError, ValueError):  # the terminal is gone, or closed while we stop: nobody reads this any more
                return

    def _prefix(self, name: str) -> str:
        plain = f"{name:<{WIDTH}}|"
        if not self._coloured:
            return plain
        colour = COLOURS[self._names.index(name) % len(COLOURS)]
        return f"\x1b[{colour}m{plain}\x1b[0m"
