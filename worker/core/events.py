"""What happened, as a record: what types of events there are, what each tells, and how it is written. Pure.

One table (ABOUT) for all types, because three things have to agree on it: whoever records one, docs/api.md, and the
programs that receive them. A type always has the same fields in `data`, null where there is nothing to say, and names
never change. There is no event about the sending of events, nor about the jobs that send them: a receiver that fails
would then cause what it fails at.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from worker.core.times import rfc3339


class Severity(StrEnum):
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class EventType(StrEnum):
    NODE_STATE = "node.state"
    CLUSTER_STATE = "cluster.state"
    PRIMARY_MOVED = "primary.moved"
    NODE_REJOINED = "node.rejoined"
    NODE_REJOIN_FAILED = "node.rejoin-failed"
    NODE_MAINTENANCE = "node.maintenance"
    LINKS_BROKEN = "links.broken"
    LINKS_MENDED = "links.mended"
    BACKUP_FINISHED = "backup.finished"
    BACKUP_FAILED = "backup.failed"
    BACKUP_STALE = "backup.stale"
    BACKUP_FRESH = "backup.fresh"
    BACKUP_VERIFIED = "backup.verified"
    BACKUP_DAMAGED = "backup.damaged"
    BACKUP_NOT_CHECKED = "backup.not-checked"
    BACKUP_NOT_COPIED = "backup.not-copied"
    RESTORE_FINISHED = "restore.finished"
    RESTORE_FAILED = "restore.failed"
    ACCESS_LOCKED = "access.locked-out"
    ACCESS_TOKENS_REFUSED = "access.tokens-refused"
    PASSWORDS_CHANGED = "passwords.changed"
    PASSWORDS_HALF_CHANGED = "passwords.half-changed"
    SECURITY_FINDING = "security.finding"
    JOB_FINISHED = "job.finished"
    WEBHOOK_TEST = "webhook.test"


# sent to whoever asks for them by name, and not kept: a sync each second would push everything else out of the list
SENT_ONLY = frozenset({EventType.JOB_FINISHED, EventType.WEBHOOK_TEST})


@dataclass(frozen=True)
class About:
    """`fields`: the keys of its `data`."""

    meaning: str
    fields: tuple[str, ...] = ()


ABOUT: Mapping[EventType, About] = {
    EventType.NODE_STATE: About("a node's verdict changed", ("from", "to", "failure")),
    EventType.CLUSTER_STATE: About("the verdict on the whole changed", ("from", "to")),
    EventType.PRIMARY_MOVED: About("another node acts as the primary from now on", ("from", "to")),
    EventType.NODE_REJOINED: About("a node that was away is up to date again", ("job", "seconds")),
    EventType.NODE_REJOIN_FAILED: About("a node that was away could not be brought up to date", ("job", "error")),
    EventType.NODE_MAINTENANCE: About("a person took a node out, or put it back", ("on",)),
    EventType.LINKS_BROKEN: About("links between two nodes stopped carrying changes", ("source", "target", "count")),
    EventType.BACKUP_FINISHED: About("a backup was made", ("backup", "job", "databases", "stored_bytes", "seconds")),
    EventType.BACKUP_FAILED: About("a backup failed, or some of its databases did", ("backup", "job", "error")),
    EventType.BACKUP_STALE: About("there has been no good backup of everything for too long", ("hours",)),
    EventType.BACKUP_FRESH: About("there is a good backup of everything again", ("backup",)),
    EventType.BACKUP_VERIFIED: About("a backup was restored as a drill, and was what it should be", ("backup", "job")),
    EventType.BACKUP_DAMAGED: About("a check or a drill found a backup wanting", ("backup", "job", "error")),
    EventType.BACKUP_NOT_CHECKED: About(
        "a check or a drill could not be carried out: a node or the store was away", ("backup", "job", "error")
    ),
    EventType.BACKUP_NOT_COPIED: About("backups could not be copied to the second location", ("backup", "error")),
    EventType.RESTORE_FINISHED: About("databases were restored", ("backup", "job", "mode", "refused")),
    EventType.RESTORE_FAILED: About("a restore failed", ("backup", "job", "mode", "error")),
    EventType.ACCESS_LOCKED: About("too many wrong tokens came from one address", ("address",)),
    EventType.ACCESS_TOKENS_REFUSED: About("the list of tokens was changed and cannot be used"),
    EventType.PASSWORDS_CHANGED: About("nodes were given another password", ("job", "to")),
    EventType.PASSWORDS_HALF_CHANGED: About(
        "a change of passwords ended in the middle: some nodes have one, some the other", ("job", "to")
    ),
    EventType.SECURITY_FINDING: About(
        "the security report found something grave that the one before had not", ("check", "grade", "count", "remedy")
    ),
    EventType.JOB_FINISHED: About(
        "a job has ended; only for receivers that name it", ("kind", "state", "job", "error")
    ),
    EventType.WEBHOOK_TEST: About("somebody asked for a test of this receiver"),
    EventType.LINKS_MENDED: About("all links from one node to another carry changes again", ("source", "target")),
}


@dataclass(frozen=True)
class Event:
    """`at`: seconds since the epoch. `id` orders events, and is the cursor of a list."""

    id: str
    type: EventType
    at: float
    severity: Severity
    detail: str
    node: str | None = None
    database: str | None = None
    data: Mapping[str, Any] = field(default_factory=dict)


def complete(kind: EventType, data: Mapping[str, Any]) -> dict[str, Any]:
    """`data` with every field that the type has. Raises ValueError for one that it has not."""
    known = ABOUT[kind].fields
    strange = sorted(data.keys() - set(known))
    if strange:
        raise ValueError(f"{kind.value} has no field {', '.join(strange)} (worker.core.events.ABOUT)")
    return {name: data.get(name) for name in known}


def as_json(event: Event) -> dict[str, Any]:
    """As it is kept; `of_json` reads it."""
    return {**vars(event), "type": event.type.value, "severity": event.severity.value, "data": dict(event.data)}


def of_json(raw: Mapping[str, Any]) -> Event:
    return Event(**{**raw, "type": EventType(raw["type"]), "severity": Severity(raw["severity"])})


def payload(event: Event) -> dict[str, Any]:
    """As it is sent (Standard Webhooks: type, timestamp, data)."""
    about = {"id": event.id, "severity": event.severity.value, "detail": event.detail}
    return {
        "type": event.type.value,
        "timestamp": rfc3339(event.at),
        "data": {**about, "node": event.node, "database": event.database, **event.data},
    }
