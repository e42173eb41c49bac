"""Folders under var/: private, and used by one run at a time."""

from __future__ import annotations

import fcntl
import os
import secrets
from pathlib import Path
from types import TracebackType
from typing import IO, Self

PROJECT = Path(__file__).resolve().parent.parent
VAR = PROJECT / "var"
SECRET_KEY_BYTES = 32


class FolderInUseError(RuntimeError):
    """Another process works in the folder."""


def private(path: Path) -> Path:
    """The folder, made where it is missing, for our user only."""
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.chmod(0o700)
    return path.resolve()


def write_private(path: Path, text: str) -> None:
    """Write a file that is never readable by others, not even for a moment."""
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    fresh.replace(path)


def keep_secret(path: Path, size: int = 18) -> str:
    """The secret in the file; a random one of `size` bytes is put there the first time."""
    if not path.exists():
        write_private(path, secrets.token_urlsafe(size) + "\n")
    return path.read_text(encoding="utf-8").strip()


class FolderLock:
    """Holds a folder for one process. The system lets go of it when the process ends, however it ends."""

    def __init__(self, folder: Path) -> None:
        self._folder = private(folder)
        self._file: IO[str] | None = None

    def acquire(self) -> None:
        """Raises FolderInUseError, with the other process's id."""
        if self._file is not None:
            return
        file = (self._folder / "lock").open("a+", encoding="utf-8")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            owner = file.read().strip() or "?"
            file.close()
            raise FolderInUseError(f"{self._folder} is in use by process {owner}: stop that one first") from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        self._file = file

    def release(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.release()
