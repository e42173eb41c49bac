"""One child process: its own session, its output in a file or handed on line by line, and no way to outlive us.

Passwords never go into `argv`, which every user of the machine can read: they go through `env` or a 0600 file.

Start processes from a thread that lives as long as they should (the main thread): Linux counts the death of
the *thread* that started a child as its parent's death.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

LAUNCH = Path(__file__).with_name("launch.py")
STOP_SECONDS = 10.0

Sink = Callable[[str], None]


class StartError(RuntimeError):
    """Something did not start; the message says what, and shows the end of its log where there is one."""


@dataclass(frozen=True)
class Command:
    """What to run. `env` is the whole environment (None: ours)."""

    name: str
    argv: Sequence[str]
    env: Mapping[str, str] | None = field(default=None, repr=False)
    cwd: Path | None = None


class Process:
    """A command that can be started, watched, stopped and started again."""

    def __init__(self, command: Command, output: Path | Sink) -> None:
        self.command = command
        self._output = output
        self._child: subprocess.Popen[bytes] | None = None
        self._reader: threading.Thread | None = None
        self._cleaned = True  # whether nothing of the last start can be left

    @property
    def name(self) -> str:
        return self.command.name

    @property
    def pid(self) -> int | None:
        return self._child.pid if self._child is not None and self._child.poll() is None else None

    def start(self) -> None:
        if self.pid is not None:
            return
        self.kill()  # what a crashed one left behind
        out = self._open_output()
        try:
            self._child = subprocess.Popen(
                [sys.executable, "-I", "-S", str(LAUNCH), str(os.getpid()), *self.command.argv],
                stdin=subprocess.DEVNULL,
                stdout=out or subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=None if self.command.env is None else dict(self.command.env),
                cwd=self.command.cwd,
                start_new_session=True,
            )
        finally:
            if out:
                out.close()
        self._cleaned = False
        if self._child.stdout is not None and not isinstance(self._output, Path):
            self._reader = threading.Thread(target=_pass_on, args=(self._child.stdout, self._output), daemon=True)
            self._reader.start()

    def poll(self) -> int | None:
        """The exit code, or None while it runs. Raises StartError where it was never started."""
        if self._child is None:
            raise StartError(f"{self.name} was not started")
        return self._child.poll()

    def terminate(self) -> None:
        """Ask it to stop; it tells its own children."""
        if self.pid is not None and self._child is not None:
            self._child.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it and everything in its session's process group that is left, at once."""
        if self._child is None or self._cleaned:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS: EPERM where only zombies are left
            os.killpg(self._child.pid, signal.SIGKILL)
        self._child.wait(STOP_SECONDS)
        if self._reader is not None:
            self._reader.join(STOP_SECONDS)
            self._reader = None
        self._cleaned = True

    def stop(self, seconds: float = STOP_SECONDS) -> None:
        """Ask, wait for at most `seconds`, then end whatever is left."""
        if self._child is None or self._cleaned:
            return
        self.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._child.wait(seconds)
        self.kill()

    def last_lines(self, count: int = 15) -> str:
        """The end of its log, for error messages; empty where the output went elsewhere."""
        if not isinstance(self._output, Path) or not self._output.exists():
            return ""
        lines = self._output.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(f"    {line}" for line in lines[-count:])

    def failed(self, what: str) -> StartError:
        """An error that says `what` and shows the end of the log."""
        log = self.last_lines()
        return StartError(f"{self.name} {what}" + (f"; the end of {self._output}:\n{log}" if log else ""))

    def _open_output(self) -> IO[bytes] | None:
        if not isinstance(self._output, Path):
            return None
        return os.fdopen(os.open(self._output, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab")


def _pass_on(stream: IO[bytes], sink: Sink) -> None:
    with stream:
        for line in stream:
            sink(line.decode("utf-8", errors="replace").rstrip("\r\n"))
