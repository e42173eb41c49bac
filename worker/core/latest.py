"""Which backup `latest` means. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from worker.core.errors import NotSealed

Backup = TypeVar("Backup")


def newest(
    fit: Iterable[Backup], identity: Callable[[Backup], str], sealed: Callable[[Backup], bool], *, has_key: bool
) -> Backup | None:
    """Of those that are fit for the purpose, the newest first. Raises NotSealed where it is not sealed, BACKUP_KEY is
    set, and there are sealed ones: nobody who cannot open backups must be able to say which one is taken."""
    left = iter(fit)
    first = next(left, None)
    if first is None or sealed(first) or not has_key:
        return first
    before = next(filter(sealed, left), None)
    if before is not None:
        raise NotSealed(
            f"the newest, {identity(first)}, is not sealed although BACKUP_KEY is set, and {identity(before)} before "
            "it is: whoever can write to the store may have put it there. Name the one that you trust by its id"
        )
    return first  # BACKUP_KEY is new: there is none that is sealed
