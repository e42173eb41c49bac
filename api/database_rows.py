"""What is known of each database, put together for people: rows of a table, and one of them with all its parts.

The API asks no node for it: docs/architecture.md, "What is kept of databases", says where each figure comes from and
how old it may be.
"""

from __future__ import annotations

import base64
import fnmatch
import heapq
import json
from itertools import islice
from typing import Any

from api.context import Context
from api.database_schemas import (
    MOST_BACKUPS,
    MOST_IDS,
    ConflictsBody,
    CopyBody,
    DatabaseBody,
    DatabaseRow,
    DatabasesBody,
    DatabasesQuery,
    LastBackupBody,
    Sort,
)
from api.database_table import Table, is_good
from api.errors import invalid, unknown_database
from api.status import Status
from tasks.figures_seen import Kept
from worker.core.names import nearest

Place = tuple[int, float, str]  # unknown or not, the figure, and the name: how rows are ordered


def page(parts: Context, asked: DatabasesQuery) -> DatabasesBody:
    """Raises Problem 422 for a cursor of another order."""
    after = _after(asked)
    names = parts.seen.database_names()
    found = [name for name in names if _matches(name, asked.search)]
    table = Table(parts, None)
    if asked.only is not None:
        found = [name for name in found if table.fits(name, asked.only)]
    places = [_place(table, name, asked.sort) for name in found]
    later = places if after is None else [place for place in places if place > after]
    shown = heapq.nsmallest(asked.limit, later)
    rows = Table(parts, [name for *_, name in shown])  # all columns, but of these alone
    sweep = parts.seen.sweep() or {}
    return DatabasesBody(
        databases=[DatabaseRow.model_validate(_row(rows, name)) for *_, name in shown if name in rows.nodes],
        total=len(names),
        matching=len(found),
        next=_cursor(asked.sort, shown[-1]) if len(later) > len(shown) else None,
        observed_at=sweep.get("observed_at"),
    )


def one(parts: Context, name: str) -> DatabaseBody:
    """Raises Problem 404, with the nearest names."""
    table = Table(parts, [name])
    if name not in table.nodes:
        raise unknown_database(name, nearest(name, parts.seen.database_names()))
    status = Status(parts.settings, parts.seen, parts.replication)
    return DatabaseBody.model_validate(
        {
            **_row(table, name),
            "by_node": _by_node(parts, table, name),
            "links": status.rows([name]),
            "conflicted": parts.seen.conflicts.ids(name)[:MOST_IDS],
            "backups": [_backup(found) for found in islice(table.backups_of(name), MOST_BACKUPS)],
        }
    )


# --- order


def _matches(name: str, search: str | None) -> bool:
    if search is None:
        return True
    wanted = search.lower()
    return fnmatch.fnmatchcase(name, wanted) if set(wanted) & {"*", "?"} else wanted in name


def _place(table: Table, name: str, sort: Sort) -> Place:
    if sort is Sort.NAME:
        return 0, 0.0, name
    value = table.place(name, sort)
    # what is not known is the last, but what was never backed up the first
    return int((value is None) != (sort is Sort.BACKUP)), value or 0.0, name


def _cursor(sort: Sort, place: Place) -> str:
    """It says where the row stood, so that it means the same when that row has gone or stands elsewhere."""
    return base64.urlsafe_b64encode(json.dumps([sort.value, *place]).encode()).decode().rstrip("=")


def _after(asked: DatabasesQuery) -> Place | None:
    if asked.cursor is None:
        return None
    try:
        sort, unknown, value, name = json.loads(base64.urlsafe_b64decode(asked.cursor + "=" * (-len(asked.cursor) % 4)))
        place = int(unknown), float(value), str(name)
    except (TypeError, ValueError, OverflowError, RecursionError):
        sort, place = None, (0, 0.0, "")
    if sort != asked.sort.value:
        message = f"must be `next` of an earlier answer that was sorted by {asked.sort.value}"
        raise invalid([{"field": "cursor", "message": message}])
    return place


# --- one row


def _row(table: Table, name: str) -> dict[str, Any]:
    fullest, largest = table.fullest(name), table.largest(name)
    figures = [kept.at for kept in (fullest, largest) if kept is not None]
    mode, _ = table.travels.get(name, (None, None))
    return {
        "name": name,
        "nodes": table.nodes[name],
        "documents": fullest.documents if fullest else None,
        "deleted": fullest.deleted if fullest else None,
        "file_bytes": largest.file if largest else None,
        "active_bytes": largest.active if largest else None,
        "fragmentation": largest.fragmentation if largest else None,
        "observed_at": min(figures, default=None),
        "conflicts": _conflicts(table, name),
        "lag": table.lag(name),
        "state": table.state(name),
        "mode": mode,
        "last_backup": next((_backup(found) for found in table.backups_of(name)), None),
    }


def _conflicts(table: Table, name: str) -> ConflictsBody | None:
    """A count is as young as the last look that found the database unchanged since."""
    count = table.conflicts.get(name)
    if count is None:
        return None
    kept = table.figures.get(count.node, {}).get(name)
    same = kept is not None and kept.mark == count.through
    at = max(count.at, kept.at) if kept is not None and same else count.at
    return ConflictsBody(count=count.count, at_least=count.at_least, observed_at=at)


def _backup(found: dict[str, Any]) -> LastBackupBody:
    return LastBackupBody(id=found["id"], at=found["started_at"], good=is_good(found))


def _by_node(parts: Context, table: Table, name: str) -> list[CopyBody]:
    configured = [node.name for node in parts.settings.nodes]
    answered = parts.seen.answering(configured) or []
    holders = table.nodes[name]
    return [
        CopyBody(
            node=node,
            has=True if node in holders else False if node in answered else None,
            **_figures(None if node in answered and node not in holders else table.figures[node].get(name)),
        )
        for node in configured
    ]


def _figures(kept: Kept | None) -> dict[str, Any]:
    return {
        "documents": kept.documents if kept else None,
        "deleted": kept.deleted if kept else None,
        "file_bytes": kept.file if kept else None,
        "active_bytes": kept.active if kept else None,
        "fragmentation": kept.fragmentation if kept else None,
        "observed_at": kept.at if kept else None,
    }
