"""What the benchmarks share: a private Redis and the system's processes, and honest percentiles."""

from __future__ import annotations

import math
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from config.settings import Settings
from embedded.ports import any_free
from embedded.process import Command, Process
from embedded.processes import SYSTEM, without_settings
from embedded.redis import EmbeddedRedis
from embedded.waiting import wait_until

ROOT = Path(__file__).resolve().parent.parent


def percentile(values: Sequence[float], share: float) -> float:
    """Nearest rank: the value that `share` of all values do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def line(name: str, seconds: Sequence[float]) -> str:
    return f"{name:<44} median {median(seconds):7.3f} s   p99 {percentile(seconds, 0.99):7.3f} s   n={len(seconds)}"


@contextmanager
def private_redis() -> Iterator[EmbeddedRedis]:
    with tempfile.TemporaryDirectory(prefix="nbr-bench-") as folder:
        server = EmbeddedRedis(Path(folder) / "redis", port=any_free())
        server.start()
        try:
            yield server
        finally:
            server.stop()


@contextmanager
def processes(commands: Mapping[str, tuple[str, ...]], environ: Mapping[str, str]) -> Iterator[None]:
    """Run `python ARGUMENTS` for each, with `environ` instead of this machine's settings."""
    clean = without_settings(os.environ, tuple(Settings.model_fields))
    started: list[Process] = []
    with tempfile.TemporaryDirectory(prefix="nbr-bench-") as folder:
        try:
            for name, arguments in commands.items():
                command = Command(name, (sys.executable, *arguments), {**clean, **environ}, ROOT)
                process = Process(command, Path(folder) / f"{name}.log")
                process.start()
                started.append(process)
            yield
        finally:
            for process in reversed(started):
                process.stop()


def system(names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """The commands of these processes of the system."""
    return {name: SYSTEM[name] for name in names}


def require(condition: Callable[[], bool], what: str, seconds: float = 30.0) -> None:
    """Wait for `condition()`, or end the benchmark with words."""
    if not wait_until(condition, seconds, every=0.1):
        sys.exit(f"bench: {what} did not happen within {seconds:g} s")


def timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
