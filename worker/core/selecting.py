"""Which databases are backed up, of all that there are. Pure."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence

from worker.core.names import is_own

NEVER = ("_replicator", "_global_changes")  # made by set-up, and by the server, of what else is there


def backed_up(name: str, globs: Sequence[str], exclude: Sequence[str]) -> bool:
    """`*` means every user database: a system database has to be asked for by a glob that begins with `_`."""
    if never(name):
        return False
    return any(_matches(name, glob) for glob in globs) and not any(_matches(name, glob) for glob in exclude)


def never(name: str) -> bool:
    return name in NEVER or is_own(name)


def _matches(name: str, glob: str) -> bool:
    return name.startswith("_") <= glob.startswith("_") and fnmatch.fnmatchcase(name, glob)
