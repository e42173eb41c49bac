"""What is known of each database, put together for people: see docs/architecture.md, "What is kept of databases"."""

from __future__ import annotations

from api.context import Context
from api.database_schemas import DatabaseBody, DatabasesBody, DatabasesQuery


def page(parts: Context, asked: DatabasesQuery) -> DatabasesBody:
    """Raises Problem 422 for a cursor of another order."""
    raise NotImplementedError


def one(parts: Context, name: str) -> DatabaseBody:
    """Raises Problem 404, with the nearest names."""
    raise NotImplementedError
