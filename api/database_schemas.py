"""What goes in and out of /api/databases, and of a node's history. See api.schemas."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import ConfigDict, Field

from api.schemas import In, LinkBody, Out, Time, page_size
from worker.core.health import NodeState
from worker.core.history import MINUTE
from worker.core.names import MAX_LENGTH
from worker.core.standing import DatabaseState

MOST_DATABASES_A_PAGE = 200
MOST_IDS = 100  # of documents with conflicts
MOST_BACKUPS = 10
HOURS = 24


class Only(StrEnum):
    BEHIND = "behind"
    CONFLICTS = "conflicts"
    FRAGMENTED = "fragmented"
    NOT_BACKED_UP = "not-backed-up"
    BROKEN = "broken"
    UNKNOWN = "unknown"


class Sort(StrEnum):
    NAME = "name"
    SIZE = "size"
    DOCUMENTS = "documents"
    CONFLICTS = "conflicts"
    LAG = "lag"
    FRAGMENTATION = "fragmentation"
    BACKUP = "backup"


State = Annotated[
    DatabaseState | None,
    Field(
        description="The worst of its links: `broken` ones carry nothing; `behind`: changes are on their way; "
        "`unknown`: nobody could tell of all of them; null: it is not replicated."
    ),
]


class DatabasesQuery(In):
    model_config = ConfigDict(strict=False)  # a query has only strings

    search: str | None = Field(
        None, min_length=1, max_length=MAX_LENGTH, description="A part of the name; with `*` or `?` the whole name."
    )
    only: Only | None = Field(
        None, description="Only databases of which this is so; `unknown`: nobody can tell their lag or state."
    )
    sort: Sort = Field(
        Sort.NAME, description="By name, or the largest first; `backup`: never backed up first, then the oldest."
    )
    cursor: str | None = Field(None, min_length=1, max_length=1_000, description="`next` of the page before.")
    limit: Annotated[int, page_size(MOST_DATABASES_A_PAGE)] = Field(
        50, ge=1, le=MOST_DATABASES_A_PAGE, description="Most databases to answer."
    )


class ConflictsBody(Out):
    count: int = Field(description="Documents with two or more leaf revisions that are not deleted.")
    at_least: bool = Field(description="There are more than were counted.")
    observed_at: Time


class LastBackupBody(Out):
    id: str = Field(examples=["20261125T030000Z-1e7a90"])
    at: Time = Field(description="When the backup began.")
    good: bool = Field(description="False: it was found to be damaged, or cannot be read.")


class Figures(Out):
    documents: int | None = Field(description="Null while unknown, as every figure here.")
    deleted: int | None
    file_bytes: int | None = Field(description="Null on nodes that do not tell it, too (stand-ins).")
    active_bytes: int | None = Field(description="Of what is live in the files.")
    fragmentation: float | None = Field(description="The share that compaction would free.")
    observed_at: Time | None


class CopyBody(Figures):
    """One database on one node."""

    node: str
    has: bool | None = Field(description="Whether the node has it; null: it did not answer the last sweep.")


class DatabaseRow(Figures):
    """`documents` and `deleted` are of the copy with the most documents, bytes of the largest one; `observed_at` is
    that of the oldest figure among them."""

    name: str = Field(examples=["pdfs"])
    nodes: list[str] = Field(description="Those that have it, as the last sweep saw them.")
    conflicts: ConflictsBody | None = Field(description="Null until all of it was read once.")
    lag: int | None = Field(description="Changes that some node has not confirmed; null: unknown.")
    state: State
    mode: str | None = Field(
        description="How its changes travel: `continuous`, `on-change` or `off`; null while unknown.",
        examples=["continuous"],
    )
    last_backup: LastBackupBody | None = Field(description="The newest that holds it; null: none is known.")


class DatabaseBody(DatabaseRow):
    by_node: list[CopyBody]
    links: list[LinkBody]
    conflicted: list[str] = Field(description=f"Ids of documents with a conflict, {MOST_IDS} at most.")
    backups: list[LastBackupBody] = Field(description=f"The newest that hold it, {MOST_BACKUPS} at most.")


class DatabasesBody(Out):
    databases: list[DatabaseRow]
    total: int = Field(description="Databases that there are.")
    matching: int = Field(description="Of these, as many as `search` and `only` leave.")
    next: str | None = Field(description="Cursor of the next page; null on the last one.")
    observed_at: Time | None = Field(description="When the last sweep was; null before the first.")


class HistoryQuery(In):
    model_config = ConfigDict(strict=False)  # a query has only strings

    hours: int = Field(HOURS, ge=1, le=HOURS, description="How far back.")


class HistoryPoint(Out):
    at: Time = Field(description="When the minute began.")
    latency_ms: float | None = Field(description="At the last look in that minute; null: it did not answer.")
    latency_max_ms: float | None
    lag: int | None = Field(description="At the last look; null: unknown.")
    state: NodeState = Field(description="The worst of that minute.")


class HistoryBody(Out):
    node: str
    observed_at: Time | None = Field(description="When the last sweep was.")
    step_seconds: int = Field(examples=[MINUTE])
    points: list[HistoryPoint] = Field(description="Oldest first. Minutes without a sweep are absent.")
