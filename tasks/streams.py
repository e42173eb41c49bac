"""Reads what is kept as a Redis stream, whose ids are the cursors of lists."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tasks.redis import translated

_AT_ONCE = 200
_BEFORE_ALL = "0-0"


def rows(client: Any, key: str, *, before: str | None = None, after: str | None = None) -> Iterator[tuple[str, Any]]:
    """(id, fields) of each entry, newest first; or, where `after` is given, oldest first. Both ids bound what is read,
    and are not in it themselves. Raises StoreUnavailable."""
    forwards = after is not None
    read = client.xrange if forwards else client.xrevrange
    while before != _BEFORE_ALL:  # nothing is before it, and Redis refuses to be asked
        bounds = {"min": f"({after}" if after else "-", "max": f"({before}" if before else "+"}
        with translated():
            found = read(key, **bounds, count=_AT_ONCE)
        yield from found
        if len(found) < _AT_ONCE:
            return
        before, after = (before, found[-1][0]) if forwards else (found[-1][0], after)
