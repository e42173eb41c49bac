"""A program on a real terminal, as a person has it: what it writes is read until something is there, keys are typed."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

DEADLINE = 30.0
CTRL_C = "\x03"
# what moves the cursor, colours and clears
_STEERING = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[=>]")


# a run of the tests in the background hands on that SIGINT is ignored, and no shell can undo that
_HEARS_CTRL_C = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
os.execvp(sys.argv[1], sys.argv[1:])
"""


class Terminal:
    """80 columns wide. Use as a context manager: what still runs at its end is killed."""

    def __init__(self, command: Sequence[str], environ: Mapping[str, str], folder: Path) -> None:
        self._ours, theirs = pty.openpty()
        # a session of its own whose terminal this is, so that Ctrl-C reaches it as a signal; stty says how wide
        script = ["setsid", "--ctty", "--wait", "sh", "-c", 'stty cols 80 rows 24; exec "$@"', "sh", *command]
        shell = [sys.executable, "-S", "-c", _HEARS_CTRL_C, *script]
        self._process = subprocess.Popen(
            shell, stdin=theirs, stdout=theirs, stderr=theirs, env={**environ, "TERM": "xterm-256color"}, cwd=folder
        )
        os.close(theirs)
        self.raw = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        os.close(self._ours)  # hangs up: whatever reads or writes it ends
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(5)
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait(5)

    @property
    def text(self) -> str:
        """Everything that was written, without what steers the terminal."""
        return _STEERING.sub("", self.raw).replace("\r", "")

    @property
    def widest(self) -> int:
        """Columns of the longest line that was ever drawn."""
        return max(map(len, re.split(r"[\r\n]", _STEERING.sub("", self.raw))))

    def type(self, keys: str) -> None:
        os.write(self._ours, keys.encode())

    def wait_for(self, pattern: str, deadline: float = DEADLINE) -> re.Match[str]:
        """The first match in what was written so far, once there is one."""
        end = time.monotonic() + deadline
        while not (found := re.search(pattern, self.text)):
            assert self._read(end), f"{pattern!r} was not written:\n{self.text}"
        return found

    def wait_end(self, deadline: float = DEADLINE) -> int:
        """Its exit code."""
        end = time.monotonic() + deadline
        while self._read(end):
            pass
        return self._process.wait(max(0.1, end - time.monotonic()))

    def _read(self, end: float) -> bool:
        """Wait for more; False where there is no more, or no time."""
        ready, _, _ = select.select([self._ours], [], [], max(0.0, end - time.monotonic()))
        if not ready:
            return False
        try:
            more = os.read(self._ours, 65_536)
        except OSError:  # Linux: the other side is closed
            return False
        self.raw += more.decode("utf-8", "replace")
        return bool(more)
