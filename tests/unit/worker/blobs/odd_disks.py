"""Where a disk is full, or may not be written: a process of its own sees it so, and nobody else.

Linux lets anybody mount in namespaces of his own, so nobody has to be root, and nothing stays mounted whatever happens.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[4]
_CALL = "import sys, pathlib; from {module} import {name} as it; it(pathlib.Path(sys.argv[1]))"


def on_small_disk(what: Callable[[Path], None], folder: Path, *, temporary: bool = False) -> None:
    """`what(folder)`, where the folder is a disk of 1 MB; `temporary`: which is the one for temporary files."""
    mount = 'mount -t tmpfs -o size=1m tmpfs "$1"'
    _run(what, folder, ["--map-root-user", "--mount"], mount, {"TMPDIR": str(folder)} if temporary else {})


def on_read_only_disk(what: Callable[[Path], None], folder: Path) -> None:
    mount = 'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1"'
    _run(what, folder, ["--map-root-user", "--mount"], mount, {})


def as_nobody(what: Callable[[Path], None], folder: Path) -> None:
    """By somebody who is not above the modes of files, as root is."""
    _run(what, folder, ["--user"], "true", {})


def _run(what: Callable[[Path], None], folder: Path, how: list[str], first: str, env: dict[str, str]) -> None:
    if shutil.which("unshare") is None:
        pytest.skip("no unshare here: only Linux has it")
    shell = ["unshare", *how, "sh", "-c", f'{first} && shift && exec "$@"', "sh", str(folder)]
    tried = subprocess.run([*shell, "true"], check=False, capture_output=True, text=True)
    if tried.returncode != 0:
        pytest.skip(f"no namespaces here: {tried.stderr.strip()}")
    call = _CALL.format(module=what.__module__, name=what.__name__)
    done = subprocess.run(
        [*shell, sys.executable, "-c", call, str(folder)],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, **env},
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
