"""What goes in and out, as pydantic models. The OpenAPI document is made from them, so it cannot drift.

One file although it is long: it is read as one, beside docs/api.md. Requests refuse unknown fields and
convert nothing ("true" is not true); answers are built from the records of the layers below.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from tasks.jobs import Job, Kind, State
from worker.core import times
from worker.core.events import Event, EventType, Severity
from worker.core.health import ClusterState, Failure, NodeState
from worker.core.names import MAX_LENGTH, NODE_PATTERN, PATTERN, RULE, database_name_error

MOST_JOBS_A_PAGE = 200
MOST_EVENTS_A_PAGE = 200
MOST_DATABASES = 1000  # in one setup
MOST_STATUS_DATABASES = 1000  # on one page of the status
_EXAMPLE_ID = "019ab1c2-6f3e-7c44-9d5a-0b8f2d1e7a90"
EVENT_ID = r"^(0|[1-9][0-9]{0,18})-(0|[1-9][0-9]{0,18})$"
_UUID = r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"
_NAME_SCHEMA: dict[str, Any] = {
    "type": "string",
    "pattern": PATTERN,
    "maxLength": MAX_LENGTH,
    "description": RULE[0].upper() + RULE[1:] + ".",
    "examples": ["pdfs"],
}


def rfc3339(epoch: Any) -> Any:
    """Seconds since the epoch as "2026-11-23T15:00:00.123Z"; anything but a number is left as it is."""
    if isinstance(epoch, bool) or not isinstance(epoch, int | float):
        return epoch
    return times.rfc3339(epoch)


def _name(value: str) -> str:
    why = database_name_error(value)
    if why:
        raise PydanticCustomError("database_name", "{why}", {"why": why})
    return value


def _names(value: Any) -> Any:
    """One name or a list of them -> a sorted list without repetitions: the order means nothing."""
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise PydanticCustomError("database_names", "must be a database name or a list of them")
    if not 1 <= len(names) <= MOST_DATABASES:
        raise PydanticCustomError(
            "database_names", f"a list needs 1 to {MOST_DATABASES} names; leave the field out for all databases"
        )
    bad = {name: why for name in names if (why := database_name_error(name))}
    if bad:
        text = "; ".join(f"{name!r}: {why}" if len(names) > 1 else why for name, why in bad.items())
        raise PydanticCustomError("database_names", "{text}", {"text": text})
    return sorted(set(names))


def _node_names(value: Any) -> Any:
    """A list of two names or more -> sorted: the order means nothing."""
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise PydanticCustomError("node_names", "must be a list of node names")
    if len(set(value)) != len(value) or len(value) < 2:
        raise PydanticCustomError("node_names", "needs two or more different nodes; leave the field out for all")
    return sorted(value)


def page_size(most: int) -> BeforeValidator:
    def check(value: Any) -> Any:
        if isinstance(value, str) and not (value.isascii() and value.isdigit() and len(value) <= 4):
            raise PydanticCustomError("page_size", f"must be a whole number from 1 to {most}")
        return int(value)

    return BeforeValidator(check)


def is_event_id(given: str) -> bool:
    return re.fullmatch(EVENT_ID, given) is not None


def absent(value: Any) -> bool:
    return value is None


Time = Annotated[
    str,
    BeforeValidator(rfc3339),
    WithJsonSchema({"type": "string", "format": "date-time", "examples": ["2026-11-23T15:00:00.123Z"]}),
]
DatabaseName = Annotated[str, AfterValidator(_name), WithJsonSchema(_NAME_SCHEMA)]
DatabaseNames = Annotated[
    list[str],
    BeforeValidator(_names),
    WithJsonSchema(
        {
            "anyOf": [
                _NAME_SCHEMA,
                {"type": "array", "items": _NAME_SCHEMA, "minItems": 1, "maxItems": MOST_DATABASES},
            ],
            "examples": ["categories", ["categories", "pdfs"]],
        }
    ),
]
NodeNames = Annotated[
    list[str],
    BeforeValidator(_node_names),
    WithJsonSchema(
        {
            "type": "array",
            "items": {"type": "string", "pattern": NODE_PATTERN},
            "minItems": 2,
            "uniqueItems": True,
            "examples": [["primary", "replica1"]],
        }
    ),
]
Mode = Annotated[
    str | None,
    BeforeValidator(lambda mode: None if mode == "unknown" else mode),  # unknown is null in every answer
    Field(
        description="How changes travel: `continuous`, `on-change`, `off`, or `mixed` where databases differ; null "
        "while unknown.",
        examples=["continuous"],
    ),
]
Wait = Annotated[
    bool, Field(description="Hold the answer until the job has ended, for 30 s or as many as `Prefer: wait=N` says.")
]


class In(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Out(BaseModel):
    model_config = ConfigDict(frozen=True, serialize_by_alias=True)


# --- requests


class SyncRequest(In):
    database: DatabaseName
    wait: Wait = False


class SetupRequest(In):
    database: DatabaseNames = Field(
        default_factory=list, description="One database, several, or (left out) all that replication is on for."
    )
    bidirectional: bool = Field(
        True, description="`false`: from now on only from the primary to the others, until set up again."
    )
    dry_run: bool = Field(False, description="Only say what would be done.")
    wait: Wait = False


class VerifyRequest(In):
    database: DatabaseName
    nodes: NodeNames = Field(
        default_factory=list, description="Compare only these nodes, two or more; left out: all that are configured."
    )
    repair: bool = Field(False, description="Sync just the documents that differ, and look again.")
    wait: Wait = False


class RetryRequest(In):
    wait: Wait = False


class NoQuery(In):
    """For addresses that take no query parameters: a misspelt one is an error everywhere."""


class StatusQuery(In):
    model_config = ConfigDict(strict=False)  # a query has only strings

    database: str | None = Field(None, min_length=1, description="Only the links of this database.")
    cursor: str | None = Field(None, min_length=1, description="`next` of the page before.")
    limit: Annotated[int, page_size(MOST_STATUS_DATABASES)] = Field(
        200, ge=1, le=MOST_STATUS_DATABASES, description="Most databases whose links are answered."
    )


class JobsQuery(In):
    model_config = ConfigDict(strict=False)  # a query has only strings

    state: State | None = Field(None, description="Only jobs in this state.")
    kind: Kind | None = Field(None, description="Only jobs of this kind.")
    database: str | None = Field(None, min_length=1, description="Only jobs of this database.")
    cursor: str | None = Field(None, pattern=_UUID, description="`next` of the page before.")
    limit: Annotated[int, page_size(MOST_JOBS_A_PAGE)] = Field(
        50, ge=1, le=MOST_JOBS_A_PAGE, description="Most jobs to answer."
    )


class EventsQuery(In):
    model_config = ConfigDict(strict=False)  # a query has only strings

    after: str | None = Field(
        None, pattern=EVENT_ID, description="Only events after the one with this id, oldest first: for who follows."
    )
    before: str | None = Field(None, pattern=EVENT_ID, description="Only events before the one with this id.")
    limit: Annotated[int, page_size(MOST_EVENTS_A_PAGE)] = Field(
        50, ge=1, le=MOST_EVENTS_A_PAGE, description="Most events to answer."
    )
    type: EventType | None = Field(None, description="Only events of this type.")
    node: str | None = Field(None, min_length=1, description="Only events of this node.")


# --- jobs


class ProgressBody(Out):
    phase: str = Field(examples=["gather"])
    done: int | None = Field(description="How many units are done; null while unknown.")
    total: int | None
    unit: str | None = Field(examples=["changes"])
    eta_seconds: float | None


class JobErrorBody(Out):
    type: str = Field(description="A stable name, listed in docs/api.md.", examples=["unreachable"])
    detail: str
    retryable: bool = Field(description="Whether the same request may succeed later.")
    context: dict[str, Any] = Field(description="What a program can act on.")


class JobLinks(Out):
    own: str = Field(serialization_alias="self", examples=[f"/api/jobs/{_EXAMPLE_ID}"])
    events: str = Field(examples=[f"/api/jobs/{_EXAMPLE_ID}/events"])
    cancel: str | None = Field(None, exclude_if=absent, description="Send DELETE here; absent once the job has ended.")


class JobBody(Out):
    id: str = Field(examples=[_EXAMPLE_ID])
    kind: Kind
    state: State
    database: str | None = Field(description="Null where the job is about several databases.", examples=["pdfs"])
    params: dict[str, Any]
    created_at: Time
    started_at: Time | None = Field(description="Start of the last attempt.")
    finished_at: Time | None
    attempts: int = Field(description="How often a worker has started it.")
    cancel_requested: bool
    progress: ProgressBody | None
    result: dict[str, Any] | None
    error: JobErrorBody | None
    links: JobLinks

    @classmethod
    def of(cls, job: Job, **more: Any) -> Self:
        # vars() of a flat frozen dataclass is its fields, without the copying of dataclasses.asdict
        path = f"/api/jobs/{job.id}"
        return cls.model_validate(
            {
                **vars(job),
                "progress": vars(job.progress) if job.progress else None,
                "error": vars(job.error) if job.error else None,
                "links": JobLinks(own=path, events=f"{path}/events", cancel=None if job.ended else path),
                **more,
            }
        )


class SubmittedJobBody(JobBody):
    deduplicated: bool = Field(description="An equal job was queued already: this is that one.")


class JobsBody(Out):
    jobs: list[JobBody] = Field(description="Newest first.")
    next: str | None = Field(description="Cursor of the next page; null on the last one.")


# --- events


class EventBody(Out):
    id: str = Field(description="Ids grow; each is a cursor.", examples=["1795446000123-0"])
    type: EventType
    at: Time
    severity: Severity
    detail: str = Field(description="What happened, in words.")
    node: str | None = Field(description="Null where it is not about one node.", examples=["replica1"])
    database: str | None = Field(description="Null where it is not about one database.")
    data: dict[str, Any] = Field(description="The same fields for every event of a type: docs/api.md lists them.")

    @classmethod
    def of(cls, event: Event) -> Self:
        return cls.model_validate({**vars(event), "data": dict(event.data)})


class EventsBody(Out):
    events: list[EventBody] = Field(description="Newest first; with `after` oldest first.")
    next: str | None = Field(
        description="`before` (with `after`: `after`) of the next page; null where there is no more."
    )


# --- what was last seen


class NodeHealth(Out):
    name: str = Field(examples=["replica1"])
    state: NodeState = Field(description="`suspect` has failed, but not often enough in a row to be called down.")
    since: Time | None = Field(description="Since when it is in this state.")
    reason: str | None = Field(None, description="Why it is not healthy.")


class NodeVerdict(NodeHealth):
    latency_ms: float | None = None
    version: str | None = None


class SlowestTask(Out):
    type: str = Field(examples=["database_compaction"])
    database: str | None
    progress: int = Field(description="Percent.")


class ActiveTasks(Out):
    counts: dict[str, int] = Field(description="How many run, by type.", examples=[{"replication": 3, "indexer": 1}])
    slowest: SlowestTask | None = Field(description="Of those that have an end, the one that is furthest from it.")


class ReplicationJobs(Out):
    running: int
    pending: int = Field(description="Wait for their turn.")
    crashed: int = Field(description="Failed, and wait to be tried again.")
    total: int


class Load(Out):
    run_queue: int = Field(description="Processes that wait for a core; far above the count of cores: short of CPU.")
    messages: int = Field(description="Unread messages between the processes of the server.")
    memory_bytes: int


class DatabaseSize(Out):
    name: str
    file_bytes: int
    active_bytes: int
    fragmentation: float | None


class Disk(Out):
    """Of all databases, system databases too; views are not counted."""

    databases: int
    file_bytes: int
    active_bytes: int = Field(description="Of what is live in the files.")
    fragmentation: float | None = Field(description="The share that compaction would free; null: there are no files.")
    largest: list[DatabaseSize] = Field(description="At most five.")
    most_fragmented: list[DatabaseSize] = Field(description="At most five: those that compaction would shrink most.")
    observed_at: Time = Field(description="When the last one was asked for: a hundred of them a sweep.")


class NodeBody(NodeVerdict):
    url: str = Field(examples=["http://127.0.0.1:5985"])
    failure: Failure | None = Field(None, description="What is wrong with it, as one word for programs.")
    lag: int | None = Field(None, description="Changes of other nodes that it has not confirmed; null is unknown.")
    kind: str | None = Field(None, examples=["couchdb"])
    uptime_seconds: float | None = Field(None, description="Since its server was started.")
    active_tasks: ActiveTasks | None = None
    replication_jobs: ReplicationJobs | None = Field(None, description="Of its scheduler, whoever asked for them.")
    load: Load | None = None
    disk: Disk | None = Field(None, description="Null until all of its databases were asked for once.")
    system_databases_missing: list[str] | None = Field(None, examples=[["_global_changes"]])
    observed_at: Time | None = None


class ReadyQuery(In):
    model_config = ConfigDict(strict=False)  # a query has only strings

    max_lag: int | None = Field(None, ge=0, description="Most changes by which it may lag; unknown lag is too much.")
    max_age: float | None = Field(
        None, gt=0, le=86_400, description="Most seconds since it was seen; else three intervals of the sweep."
    )


class MaintenanceRequest(In):
    on: bool = Field(description="`true` takes the node out: no client is sent there. `false` lets it in again.")
    reason: str | None = Field(None, min_length=1, max_length=200, description="Why, for those who look at it later.")


class RejoinRequest(In):
    wait: Wait = False


class ReadyBody(Out):
    ready: bool
    node: str
    state: NodeState
    reason: str | None = Field(None, description="Why it is not ready.")
    lag: int | None = Field(None, description="Changes of other nodes that it has not confirmed; null is unknown.")
    observed_at: Time | None = None


class ReadyShort(Out):
    """All that a caller without a token is told."""

    ready: bool


class MaintenanceBody(Out):
    node: str
    on: bool
    reason: str | None
    since: Time


class NodesBody(Out):
    observed_at: Time | None = Field(description="When the last sweep was; null before the first.")
    primary: str | None = Field(None, description="The node that acts as the primary now.")
    nodes: list[NodeBody]


class LinkBody(Out):
    database: str
    source: str
    target: str
    mode: str = Field(examples=["continuous"], description="`continuous`: a link of CouchDB's. `on-change`: our syncs.")
    state: str | None = Field(
        None,
        examples=["running"],
        description="CouchDB's state of a continuous link, or `stalled`: it runs, has something to carry, and carries "
        "nothing. On change: `in-step`, `behind`, `failing` (its last sync failed) or `unknown`.",
    )
    since: Time | None = Field(None, description="Since when it is in this state.")
    lag: int | None = Field(None, description="Changes of the source that the target has not confirmed; null: unknown.")
    last_moved_at: Time | None = Field(None, description="When it was last seen to carry something.")
    doc_write_failures: int | None = Field(None, description="Documents that the target has refused.")
    last_error: str | None = Field(None, description="What is wrong, in words.")
    error_kind: str | None = Field(None, examples=["unreachable-from-node"])
    remedy: str | None = Field(None, description="What would help.")
    observed_at: Time | None = None


class ArrivalBody(Out):
    source: str
    target: str
    seconds: float | None = Field(description="From the write to its being seen; null: not arrived, or not known.")
    overdue: float | None = Field(None, description="Seconds that were waited for one that did not arrive.")
    error: str | None = None


class CanaryBody(Out):
    observed_at: Time
    arrivals: list[ArrivalBody]


class ReplicationStatus(Out):
    observed_at: Time | None
    mode: Mode
    links: list[LinkBody]
    removed: dict[str, list[str]] = Field(
        description="Databases that somebody deleted on these nodes; only a set-up makes them there again."
    )
    security_differs: dict[str, list[str]] = Field(description="Databases whose `_security` is another on these nodes.")
    canary: CanaryBody | None = Field(description="What a write of ours took from each node to each other.")
    next: str | None = Field(description="Cursor of the next page; null on the last one.")


class ReplicationHealth(Out):
    status: ClusterState = Field(description="`unknown` before the first sweep and where the last one is too old.")
    observed_at: Time | None
    nodes: list[NodeVerdict]


class NodeInfo(Out):
    name: str
    url: str = Field(description="How we reach it.")
    peer_url: str | None = Field(None, exclude_if=absent, description="How its peers do, where that differs.")
    role: Literal["primary", "replica"]
    replicator: dict[str, str] | None = Field(
        description="Its `[replicator]` options in force, as far as they matter here; null while unknown."
    )


class RuleInfo(Out):
    databases: list[str]
    topology: str
    direction: str
    mode: str
    selector: dict[str, Any] | None


class WatcherInfo(Out):
    name: str
    leads: bool
    feeds: dict[str, Time | None] = Field(description="Node -> since when its feed is open; null: it is not.")


class ReplicationInfo(Out):
    mode: Mode
    mode_reason: str | None
    topology: str
    continuous_replication: bool = Field(description="As configured; `mode` says what is in force.")
    modes: dict[str, int] = Field(description="How many databases travel in which mode.")
    rules: list[RuleInfo] = Field(description="REPLICATION_RULES in their order; the last one is for all others.")
    watchers: list[WatcherInfo] = Field(description="Watchers heard of lately.")
    nodes: list[NodeInfo]
    settings: dict[str, Any] = Field(description="The settings in force, without any credential.")
    observed_at: Time | None


# --- the health of the service itself


class RedisHealth(Out):
    ok: bool
    detail: str | None


class WorkersHealth(Out):
    count: int | None = Field(description="Workers heard of lately; null while Redis is away.")
    last_heartbeat: Time | None


class BeatHealth(Out):
    last_tick: Time | None
    ok: bool | None


class WatcherHealth(Out):
    count: int | None = Field(description="Watchers heard of lately; null while Redis is away.")
    last_heartbeat: Time | None


class ServiceStatus(Out):
    """All that a caller without a token is told."""

    status: Literal["ok", "degraded", "unavailable"] = Field(
        description="`unavailable`: no job can be taken. `degraded`: beat is silent, a node is not healthy, or a "
        "watcher is needed and none lives."
    )


class ServiceHealth(ServiceStatus):
    redis: RedisHealth
    workers: WorkersHealth
    beat: BeatHealth
    watcher: WatcherHealth
    nodes: list[NodeHealth]
    jobs: dict[State, int] | None = Field(description="How many jobs are in each state.")
    observed_at: Time = Field(description="When this answer was put together.")


# --- errors


class FieldError(BaseModel):
    field: str = Field(description="Empty where the body as a whole is wrong.", examples=["database"])
    message: str


class ProblemBody(BaseModel):
    """RFC 9457. Further members depend on the type: docs/api.md."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(examples=["urn:notebook-replication:problem:unknown-database"])
    title: str
    status: int
    detail: str
    errors: list[FieldError] | None = Field(None, description="With 422: what is wrong with which field.")
    nearest: list[str] | None = Field(None, description="With 404 for a database or a node: names that look alike.")
