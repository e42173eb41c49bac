"""Where a secret was read, so that it can be read again: a file of its own, or a line of `.env`.

What comes from the environment of a process stays as it is for as long as the process runs, and has no source.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dotenv import dotenv_values


class SettingsError(ValueError):
    """The configuration cannot be used; the message names each variable and what it should be."""


@dataclass(frozen=True)
class Source:
    """`line`: whether it is a line of this file, and not all of it."""

    variable: str
    path: Path
    line: bool = False

    def read(self) -> str:
        """What is there now. Raises SettingsError where that cannot be read, or is empty."""
        return _line(self) if self.line else _whole(self)

    def state(self) -> tuple[int, ...] | None:
        """Another one after each change of the file, or of who may read it; None while there is none."""
        try:
            found = self.path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino


def _line(source: Source) -> str:
    try:
        value = dotenv_values(source.path).get(source.variable) if source.path.is_file() else None
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{source.variable}: cannot read {source.path} ({type(error).__name__})") from None
    if not value:
        raise SettingsError(f"{source.variable}: {source.path} has no such line any more, or an empty one")
    return value


def _whole(source: Source) -> str:
    try:
        secret = source.path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise SettingsError(f"{source.variable}_FILE: cannot read {source.path}: {error.strerror}") from error
    except UnicodeDecodeError:
        raise SettingsError(f"{source.variable}_FILE: {source.path} is not UTF-8 text") from None
    if not secret:  # an empty file is a secret that failed to arrive: never run as if none had been asked for
        raise SettingsError(f"{source.variable}_FILE: {source.path} is empty")
    return secret
