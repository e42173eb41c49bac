"""Databases one by one: those that METRICS_DATABASES names, and no more than MOST of them however many there are."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase

from prometheus_client.core import Metric

from api.context import Context
from api.metrics.figure import Gauge
from api.schemas import LinkBody
from api.status import Status

MOST = 200
LAG = Gauge(
    "database_lag_changes", "Most changes of one other node that the node has not confirmed", "database", "node"
)
NOT_SHOWN = Gauge(
    "databases_not_shown", f"Databases of METRICS_DATABASES that are not shown, being beyond the {MOST}th"
)
BYTES = Gauge("database_bytes", "Size of the database's files on the node", "database", "node")
DOCUMENTS = Gauge(
    "database_documents", "Documents of the database on the node, without deleted ones", "database", "node"
)
CONFLICTS = Gauge("database_conflicts", "Documents with a conflict at the last whole count; at least", "database")
FIGURES = (LAG, BYTES, DOCUMENTS, CONFLICTS, NOT_SHOWN)


def figures(parts: Context) -> Iterator[Metric]:
    globs = parts.settings.shown_databases
    if not globs:
        return
    status = Status(parts.settings, parts.seen, parts.replication)
    names = sorted({*status.databases(), *parts.seen.database_names()})
    found = [name for name in names if any(fnmatchcase(name, glob) for glob in globs)]
    shown = found[:MOST]
    yield from NOT_SHOWN.one(max(0, len(found) - MOST))
    yield from LAG.of(_lags(status.rows(shown)))
    nodes = {node.name: parts.seen.figures.of(node.name, shown) for node in parts.settings.nodes}
    kept = {(name, node): one for node, known in nodes.items() for name, one in known.items()}
    yield from BYTES.of({key: one.file for key, one in kept.items()})
    yield from DOCUMENTS.of({key: one.documents for key, one in kept.items()})
    yield from CONFLICTS.of({(name,): count.count for name, count in parts.seen.conflicts.counts(shown).items()})


def _lags(rows: list[LinkBody]) -> dict[tuple[str, ...], float | None]:
    """Not added up: what one node has, the next one mostly has too. Unknown where that of one of its links is."""
    lags: dict[tuple[str, ...], list[float | None]] = {}
    for row in rows:
        lags.setdefault((row.database, row.target), []).append(row.lag)
    return {key: None if None in found else max(lag for lag in found if lag is not None) for key, found in lags.items()}
