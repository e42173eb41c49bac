"""Is a process still there? Asked by tests that must leave none behind."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

DEADLINE = 20.0  # seconds; whatever a test waits for has happened long before


def alive(pid: int) -> bool:
    """Whether it runs; a zombie that nobody has fetched yet does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")
    try:
        return not status.exists() or status.read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def children(pid: int) -> list[int]:
    listed = subprocess.run(
        ["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, timeout=DEADLINE, check=True
    )
    rows = [line.split() for line in listed.stdout.splitlines()]
    return [int(row[0]) for row in rows if int(row[1]) == pid]
