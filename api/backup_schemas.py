"""What goes in and out of /api/backups. See api.schemas."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator
from pydantic.config import JsonDict
from pydantic_core import PydanticCustomError

from api.schemas import MOST_DATABASES, In, Out, Time, Wait, page_size
from config.selectors import selector_errors
from worker.core.names import PATTERN, database_name_error, is_own

MOST_BACKUPS_A_PAGE = 200
MOST_IDS = 10_000
MOST_ENTRIES_A_PAGE = 1_000
MOST_DEPTH = 50  # of a selector
_EXAMPLE = "20261125T030000Z-1e7a90"
_USERS = "_users"  # the one system database that can be restored
_LARGEST = 1e300
_LONE = re.compile("[\ud800-\udfff]")
_GLOB = r"[a-z0-9_$()+\-/*?\[\]!]{1,238}"


def _globs(value: Any) -> Any:
    """One name or glob, or a list of them -> a sorted list without repetitions."""
    given = [value] if isinstance(value, str) else value
    if not isinstance(given, list) or not all(isinstance(one, str) for one in given):
        raise PydanticCustomError("database_globs", "must be a database name, a glob such as notes-*, or a list")
    if not 1 <= len(given) <= MOST_DATABASES:
        raise PydanticCustomError(
            "database_globs", f"a list needs 1 to {MOST_DATABASES} entries; leave the field out for all databases"
        )
    for one in given:
        if not re.fullmatch(_GLOB, one):
            text = f"{one!r}: must be a database name, or a glob with * and ?"
            raise PydanticCustomError("database_globs", "{text}", {"text": text})
    return sorted(set(given))


def _ids(value: list[str]) -> list[str]:
    if not 1 <= len(value) <= MOST_IDS or not all(value):
        raise PydanticCustomError("document_ids", f"must be 1 to {MOST_IDS} document ids, none of them empty")
    if trouble := _untellable(value, 1):
        raise PydanticCustomError("document_ids", "{text}", {"text": trouble})
    return sorted(set(value))


def _selector(value: dict[str, Any]) -> dict[str, Any]:
    trouble = [text] if (text := _untellable(value, MOST_DEPTH)) else selector_errors(value)
    if trouble:
        raise PydanticCustomError("selector", "{text}", {"text": "; ".join(trouble)})
    return value


def _untellable(value: Any, depth: int) -> str | None:
    """Why this cannot go to a worker and to a node, in words. JSON may write what nobody can keep."""
    if isinstance(value, str):
        return "has half of a character in it (a lone \\ud800 to \\udfff)" if _LONE.search(value) else None
    if isinstance(value, int | float):
        return None if -_LARGEST < value < _LARGEST else "has a number that is too large"
    if not isinstance(value, list | dict):
        return None
    if not depth:
        return f"is nested more than {MOST_DEPTH} deep"
    inner = value if isinstance(value, list) else [*value, *value.values()]
    return next((text for one in inner if (text := _untellable(one, depth - 1))), None)


def _source(name: str) -> str:
    why = None if name == _USERS else database_name_error(name)
    if why:
        raise PydanticCustomError("database_name", "{why}", {"why": why})
    return name


def _target(name: str) -> str:
    if is_own(name):
        raise PydanticCustomError("database_name", "is a database of this system's own")
    return _source(name)


_GLOB_SCHEMA = {"type": "string", "pattern": f"^{_GLOB}$"}
Globs = Annotated[
    list[str],
    BeforeValidator(_globs),
    WithJsonSchema(
        {
            "anyOf": [
                _GLOB_SCHEMA,
                {"type": "array", "items": _GLOB_SCHEMA, "minItems": 1, "maxItems": MOST_DATABASES},
            ],
            "examples": [["pdfs", "notes-*"]],
        }
    ),
]
Ids = Annotated[
    list[str],
    AfterValidator(_ids),
    WithJsonSchema({"type": "array", "items": {"type": "string", "minLength": 1}, "minItems": 1, "maxItems": MOST_IDS}),
]
_FIELD_SCHEMA = {"minLength": 1, "maxLength": 1_000}
Selector = Annotated[
    dict[str, Any],
    AfterValidator(_selector),
    WithJsonSchema({"type": "object", "minProperties": 1, "propertyNames": _FIELD_SCHEMA}),
]

_NAME_SCHEMA = {"type": "string", "pattern": f"^(?:{_USERS}|{PATTERN[1:-1]})$", "examples": ["pdfs"]}
Source = Annotated[str, AfterValidator(_source), WithJsonSchema(_NAME_SCHEMA)]
Target = Annotated[str, AfterValidator(_target), WithJsonSchema(_NAME_SCHEMA)]


class BackupRequest(In):
    databases: Globs = Field(
        default_factory=list, description="Names or globs; left out: all that BACKUP_INCLUDE and BACKUP_EXCLUDE say."
    )
    full: bool = Field(False, description="Not only what changed since the backup before.")
    legal_hold: str | None = Field(
        None,
        min_length=1,
        max_length=500,
        description="Why retention must never remove it; left out: it may. `/hold` takes it off.",
    )
    wait: Wait = False


# what goes with which mode, as RestoreRequest._fits says it in words
_ALL_OF_IT: JsonDict = {name: {"type": "null"} for name in ("database", "as", "ids", "selector")}
_FOR_GOOD: JsonDict = {"dry_run": {"const": False}, "made_since": {"const": "keep"}}
_ONE: JsonDict = {"database": {"type": "string"}}
_MODES: JsonDict = {
    "oneOf": [
        {"properties": {"mode": {"const": "new"}, **_ONE, **_FOR_GOOD}, "required": ["database"]},
        {"properties": {"mode": {"const": "rollback"}, **_ONE}, "required": ["mode", "database"]},
        {"properties": {"mode": {"const": "cluster"}, **_ALL_OF_IT, **_FOR_GOOD}, "required": ["mode"]},
    ]
}


class RestoreRequest(In):
    """`database` is needed but in mode cluster, which takes everything."""

    model_config = ConfigDict(json_schema_extra=_MODES)

    database: Source | None = Field(None, description="Which database of the backup.")
    into: Target | None = Field(None, alias="as", description="The name to restore it under; left out: its own.")
    node: str | None = Field(None, description="Which node it is written to; left out: the acting primary.")
    mode: Literal["new", "cluster", "rollback"] = Field(
        "new",
        description="`new`: into a database that does not exist. `cluster`: everything, onto nodes without databases. "
        "`rollback`: an existing database back to what it was, on all nodes, by new revisions.",
    )
    ids: Ids | None = Field(None, description="Only these documents.")
    selector: Selector | None = Field(
        None, description="Only documents whose winning revision matched this Mango selector."
    )
    made_since: Literal["keep", "delete"] = Field(
        "keep", description="Rollback: what becomes of documents that the backup does not know."
    )
    dry_run: bool = Field(False, description="Rollback: only say what would change.")
    wait: Wait = False

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.mode == "cluster":
            given = {"database": self.database, "as": self.into, "ids": self.ids, "selector": self.selector}
            extra = [name for name, value in given.items() if value is not None]
            if extra:
                raise PydanticCustomError(
                    "mode", "mode cluster takes the whole backup, so not {extra}", {"extra": ", ".join(extra)}
                )
        elif self.database is None:
            raise PydanticCustomError("mode", "database is missing: which one of the backup")
        if self.mode != "rollback" and (self.dry_run or self.made_since != "keep"):
            raise PydanticCustomError("mode", "dry_run and made_since are for mode rollback")
        return self

    def params(self, backup: str) -> dict[str, Any]:
        """Of the job."""
        return {"backup": backup, "as": self.into, **self.model_dump(exclude={"into", "wait"})}


class CheckRequest(In):
    drill: bool = Field(
        False,
        description="Restore it into a scratch database, compare, drop: what `verified` means. Otherwise only the "
        "checksum of every object is compared.",
    )
    node: str | None = Field(None, description="Where the drill is made; left out: the best one.")
    wait: Wait = False


class HoldRequest(In):
    on: bool = Field(description="`true`: retention never removes the backup.")
    reason: str | None = Field(None, min_length=1, max_length=500)
    wait: Wait = False


class PruneRequest(In):
    dry_run: bool = Field(False, description="Only say what would be removed, and why the others are kept.")
    wait: Wait = False


class BackupsQuery(In):
    model_config = ConfigDict(strict=False)  # a query has only strings

    database: str | None = Field(None, min_length=1, description="Only backups that have this database.")
    cursor: str | None = Field(None, min_length=1, description="`next` of the page before.")
    limit: Annotated[int, page_size(MOST_BACKUPS_A_PAGE)] = Field(
        50, ge=1, le=MOST_BACKUPS_A_PAGE, description="Most backups to answer."
    )


class BackupQuery(In):
    model_config = ConfigDict(strict=False)  # a query has only strings

    cursor: str | None = Field(None, min_length=1, description="`next` of the page before: a database's name.")
    limit: Annotated[int, page_size(MOST_ENTRIES_A_PAGE)] = Field(
        200, ge=1, le=MOST_ENTRIES_A_PAGE, description="Most databases to answer."
    )


class HoldBody(Out):
    reason: str | None
    at: Time


class DrillBody(Out):
    ok: bool
    at: Time
    node: str | None
    seconds: float
    databases: int
    detail: str | None = Field(description="What was found wanting.")


class DamageBody(Out):
    by: Literal["check", "drill"]
    at: Time
    detail: str | None


class FailedBody(Out):
    database: str
    error: str = Field(examples=["unreachable"])
    detail: str


class BackupSummary(Out):
    """Everything but `id`, `readable` and `why` is null of a backup that we cannot read."""

    id: str = Field(examples=[_EXAMPLE])
    readable: bool
    why: str | None = Field(description="Why it cannot be read.")
    started_at: Time | None = None
    finished_at: Time | None = None
    seconds: float | None = None
    age_seconds: float | None = Field(None, description="Since it began: what was written later is not in it.")
    scope: list[str] | None = Field(None, description='What was asked for; ["*"]: everything.')
    scheduled: bool | None = None
    good: bool | None = Field(None, description="Whether everything that was asked for is in it.")
    full: bool | None = Field(None, description="Whether it needs no other backup.")
    sealed: bool | None = Field(None, description="Whether it is encrypted.")
    parents: list[str] | None = Field(None, description="The backups that it goes on from.")
    databases: int | None = None
    documents: int | None = Field(None, description="In its databases.")
    changed: int | None = Field(None, description="Documents that it holds itself: those that its parents have not.")
    attachments: int | None = Field(None, description="Of the documents that it holds itself.")
    attachment_bytes: int | None = None
    stored_bytes: int | None = Field(
        None, description="What it added to the store: its documents, compressed, and attachments not there yet."
    )
    raw_bytes: int | None = Field(None, description="Its documents before they were compressed.")
    superseded: int | None = Field(
        None, description="Documents that were written to and compacted before they were read: a newer state was taken."
    )
    lost: int | None = Field(None, description="Attachments and revisions that a node listed and could not give.")
    failed: list[FailedBody] | None = None
    verified: bool | None = Field(None, description="Whether a drill found it right; null: there was none.")
    damage: DamageBody | None = Field(None, description="What a check or a drill found wrong, and none since right.")
    legal_hold: HoldBody | None = None
    drill: DrillBody | None = None

    @classmethod
    def of(cls, found: Mapping[str, Any], now: float) -> Self:
        if not found["readable"]:
            return cls.model_validate(dict(found))
        times = {
            "seconds": round(found["finished_at"] - found["started_at"], 3),
            "age_seconds": round(now - found["started_at"], 1),
            "verified": found["drill"]["ok"] if found["drill"] else None,
        }
        known = {name: value for name, value in found.items() if name in cls.model_fields}
        return cls.model_validate({**known, **times})


class BackupEntry(Out):
    database: str
    node: str = Field(description="Where it was read.")
    full: bool
    unchanged: bool = Field(description="Nothing was written since its parent: it holds nothing of its own.")
    why: str | None = Field(description="Why it is full although an incremental one was wanted.")
    documents: int
    deleted: int
    changed: int
    leaves: int
    attachments: int
    attachment_bytes: int
    stored_bytes: int
    raw_bytes: int
    superseded: int
    lost: int


class BackupBody(BackupSummary):
    entries: list[BackupEntry] = Field(description="Its databases, by name.")
    next: str | None = Field(description="Cursor of the next page; null on the last one.")


class BackupTrouble(Out):
    at: Time
    error: str
    detail: str


class BackupsBody(Out):
    observed_at: Time | None = Field(description="When the store was read; null: not yet.")
    trouble: BackupTrouble | None = Field(description="Why it could not be read the last time.")
    schedule: str | None = Field(description="When the next ones begin: cron, UTC; null: only when asked.")
    next_at: Time | None
    stale: bool = Field(description="Whether there has been no good backup of everything for BACKUP_STALE_HOURS.")
    backups: list[BackupSummary] = Field(description="Newest first.")
    next: str | None = Field(description="Cursor of the next page; null on the last one.")
