"""Is a database in step on these nodes? The words "caught up" are earned here.

Two questions. *Lag*: how many changes of each link's source has its target not confirmed? And, where there is
reason to doubt it: does the target really have what it confirmed? A target that refuses a document (a
validate_doc_update function, a size limit) still confirms the sequence it came with, so lag is 0 and stays 0,
and the document is missing for ever. Reason to doubt: write failures in the link's history, now or long ago,
or figures (`doc_count`, `doc_del_count`) that differ although nothing lags.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from worker.core.errors import ReplicationError
from worker.core.model import DatabaseInfo, Link
from worker.couch.cluster import Cluster
from worker.couch.database import Database
from worker.ops.control import Control
from worker.ops.parallel import each

BATCH = 1_000  # documents compared in one call
MOST_NAMED = 20  # ids of missing documents that are listed


@dataclass
class Checked:
    """`infos` were read before `lag`: a write in between shows as lag. `errors`: node -> why it did not answer."""

    infos: dict[str, DatabaseInfo] = field(default_factory=dict)
    lag: dict[Link, int] = field(default_factory=dict)
    errors: dict[str, ReplicationError] = field(default_factory=dict)


@dataclass
class Missing:
    """Documents of which the target lacks a leaf revision that the source has: how many, and the first ids."""

    count: int = 0
    ids: list[str] = field(default_factory=list)


def check(
    cluster: Cluster,
    database: str,
    names: Sequence[str],
    checkpoints: Mapping[Link, str],
    control: Control,
    selector: Mapping[str, Any] | None = None,
) -> Checked:
    """Read every node's figures, then every link's lag. `checkpoints`: link -> what its target confirmed. `selector`:
    only documents that match are carried, so only they can lag."""
    found = Checked()
    for name, info in each(names, lambda name: Database(cluster[name], database).info(), control).items():
        if info.error is not None:
            found.errors[name] = info.error
        elif info.value is not None:
            found.infos[name] = info.value

    def lag(link: Link) -> int:
        return Database(cluster[link.source], database).changes_after(checkpoints[link], selector=selector)

    for link, changes in each(sorted(checkpoints), lag, control).items():
        if changes.error is not None:
            found.errors[link.source] = changes.error
        elif changes.value is not None:
            found.lag[link] = changes.value
    return found


def doubtful(checked: Checked, ever_refused: Mapping[Link, int], *, counted: bool = True) -> list[Link]:
    """The links whose lag of 0 is not to be believed without a look at the documents. `counted`: all nodes should
    have the same number of documents."""

    def figures(name: str) -> tuple[int, int] | None:
        info = checked.infos.get(name)
        return (info.doc_count, info.doc_del_count) if info else None

    return [
        link
        for link, changes in checked.lag.items()
        if not changes and (ever_refused.get(link) or (counted and figures(link.source) != figures(link.target)))
    ]


def find_missing(cluster: Cluster, link: Link, control: Control, selector: Mapping[str, Any] | None = None) -> Missing:
    """Compare leaf revisions, as many documents at a time as fit one call; memory does not grow with the database.
    `selector`: only of documents that match."""
    source = Database(cluster[link.source], link.database)
    target = Database(cluster[link.target], link.database)
    missing = Missing()
    batch: dict[str, tuple[str, ...]] = {}

    def compare() -> None:
        control.check()
        lacking = target.missing(batch)
        missing.count += len(lacking)
        missing.ids += sorted(lacking)[: MOST_NAMED - len(missing.ids)]
        batch.clear()

    for document, revisions in source.leaves(BATCH, selector=selector):
        batch[document] = revisions
        if len(batch) == BATCH:
            compare()
    if batch:
        compare()
    return missing
