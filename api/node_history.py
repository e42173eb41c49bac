"""How a node was over the last hours, minute by minute."""

from __future__ import annotations

from api.context import Context
from api.database_schemas import HistoryBody


def history(parts: Context, node: str, hours: int) -> HistoryBody:
    """`node` is one that is configured."""
    raise NotImplementedError
