"""Keeps several processes running in one terminal, and leaves none behind.

A process that ends by itself is started again, after a pause that doubles with each crash in a row (1 s to
30 s), because Celery's workers do die when Redis restarts (celery 5.7.0). honcho and foreman stop everything
at the first crash, which is why this is not one of them. In production systemd, Docker or Kubernetes does
the same (`restart: always`).

`run` blocks the thread that called it and starts every process from it: see embedded/process.py for why.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from embedded.process import STOP_SECONDS, Process

FIRST_PAUSE = 1.0
LONGEST_PAUSE = 30.0
CALM_SECONDS = 60.0  # a process that ran so long has recovered: its next crash is a first one again
LOOK_EVERY = 0.2


def pause_before_restart(crashes: int, first: float = FIRST_PAUSE) -> float:
    """Seconds to wait after this many crashes in a row."""
    return float(min(LONGEST_PAUSE, first * 2 ** min(crashes - 1, 30)))


def describe_exit(code: int) -> str:
    """An exit code as a person reads it."""
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"was ended by signal {-code}"


@dataclass
class _Watched:
    process: Process
    started_at: float
    crashes: int = 0
    restart_at: float | None = None


class Supervisor:
    """`with Supervisor(say) as supervisor: supervisor.add(...); supervisor.run()` stops everything at its end."""

    def __init__(
        self, say: Callable[[str], None], stop_seconds: float = STOP_SECONDS, first_pause: float = FIRST_PAUSE
    ) -> None:
        self._say = say
        self._first_pause = first_pause
        self._stop_seconds = stop_seconds
        self._watched: list[_Watched] = []
        self._done = False
        self.stopping = False  # so that others can tell an end we wanted from a failure

    def add(self, process: Process, start: Callable[[], None] | None = None) -> None:
        """Start it (`start` says how, where there is more to do the first time) and watch it from now on."""
        self._watched.append(_Watched(process, time.monotonic()))
        (start or process.start)()

    def run(self) -> None:
        """Watch until `finish` is called or a signal raises KeyboardInterrupt."""
        while not self._done:
            self.look()
            time.sleep(LOOK_EVERY)

    def finish(self) -> None:
        """Make `run` return; may be called from any thread."""
        self._done = True

    def look(self) -> None:
        """One round: notice what ended, start again what is due."""
        now = time.monotonic()
        for watched in self._watched:
            if watched.restart_at is not None:
                if now >= watched.restart_at:
                    watched.restart_at, watched.started_at = None, now
                    watched.process.start()
                continue
            code = watched.process.poll()
            if code is not None:
                self._plan_restart(watched, code, now)

    def stop(self) -> None:
        """Ask all to stop, the last one started first; after the deadline end what is left."""
        processes = [watched.process for watched in reversed(self._watched)]
        for process in processes:
            process.terminate()
        deadline = time.monotonic() + self._stop_seconds
        for process in processes:
            process.stop(max(0.0, deadline - time.monotonic()))
        self._watched.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        ignore_signals()  # an impatient second Ctrl-C must not leave processes behind; stop has a deadline
        self.stopping = True
        self.stop()

    def _plan_restart(self, watched: _Watched, code: int, now: float) -> None:
        watched.crashes = 1 if now - watched.started_at > CALM_SECONDS else watched.crashes + 1
        pause = pause_before_restart(watched.crashes, self._first_pause)
        watched.restart_at = now + pause
        last = watched.process.last_lines(1).strip()
        why = f" ({last})" if last and code > 0 else ""
        self._say(f"{watched.process.name} {describe_exit(code)}{why}; starting it again in {pause:g} s")


def interrupt_on_signals() -> None:
    """Let SIGTERM and a closed terminal end this process as Ctrl-C does: by KeyboardInterrupt."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)


def ignore_signals() -> None:
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
