"""/api/backups: ask for backups, restores, checks and holds, and see what there is."""

from __future__ import annotations

from collections.abc import Callable
from operator import itemgetter
from typing import Any

from flask import Blueprint, Response
from werkzeug.routing import BaseConverter

from api import reading
from api.answers import answer
from api.backup_schemas import (
    BackupBody,
    BackupEntry,
    BackupQuery,
    BackupRequest,
    BackupsBody,
    BackupsQuery,
    BackupSummary,
    BackupTrouble,
    CheckRequest,
    HoldRequest,
    PruneRequest,
    RestoreRequest,
)
from api.context import Context, context
from api.errors import Problem, unknown_node
from api.openapi import Answer, Operation, operation
from api.submitting import JOB_ANSWERS, JOB_HEADERS, submit
from config.tokens import Role
from tasks.backup_watch import drill_request
from tasks.jobs import Kind, Request
from worker.core import cron
from worker.core.errors import NotSealed
from worker.core.latest import newest
from worker.core.manifest import EVERYTHING, LATEST
from worker.core.names import nearest

blueprint = Blueprint("backups", __name__, url_prefix="/api/backups")


class BackupId(BaseConverter):
    """In a path. Not what is a path of its own: else that would seem to take the methods of both."""

    regex = "(?!prune$)[^/]+"
    part_isolating = True


_PATH = {
    "backup_id": "The backup's id, or `latest`: the newest that can be read; of a restore the newest that has the "
    "database, and in mode `cluster` the newest good one of everything."
}


@blueprint.post("")
@operation(
    Operation("Back up databases, or all of them, as one set.", JOB_ANSWERS, (409, 503),
              body=BackupRequest, bare=True, headers=JOB_HEADERS)
)  # fmt: skip
def make() -> Response:
    asked = reading.optional_body(BackupRequest)
    require_on()
    everything = asked.databases in ([], [EVERYTHING])
    params = {
        "databases": None if everything else asked.databases,
        "full": asked.full,
        "legal_hold": asked.legal_hold,
        "scheduled": False,
    }
    return submit(Request(Kind.BACKUP, None, params), asked.wait)


@blueprint.get("")
@operation(
    Operation("The backups there are, newest first.", {200: Answer("One page.", BackupsBody)}, (409, 503),
              query=BackupsQuery)
)  # fmt: skip
def page() -> Response:
    asked = reading.query(BackupsQuery)
    require_on()
    return answer(listed(context(), asked))


def listed(parts: Context, asked: BackupsQuery) -> BackupsBody:
    """Raises StoreUnavailable."""
    now, seen = parts.clock(), parts.backups
    found = [one for one in seen.all() if asked.cursor is None or one["id"] < asked.cursor]
    if asked.database is not None:
        found = [one for one in found if _has(one["id"], asked.database)]
    rows = found[: asked.limit]
    trouble = seen.noted("trouble")
    schedule = parts.backup_plan.schedule
    return BackupsBody(
        observed_at=seen.observed_at(),
        trouble=BackupTrouble.model_validate(trouble) if trouble else None,
        schedule=schedule,
        next_at=cron.next_due(schedule, now) if schedule else None,
        stale=bool(seen.noted("stale")),
        backups=[BackupSummary.of(one, now) for one in rows],
        next=rows[-1]["id"] if len(found) > len(rows) else None,
    )


@blueprint.get("/<backup:backup_id>")
@operation(
    Operation("One backup, with its databases.", {200: Answer("The backup.", BackupBody)}, (404, 409, 503),
              query=BackupQuery, path=_PATH)
)  # fmt: skip
def one(backup_id: str) -> Response:
    return answer(detail(backup_id, reading.query(BackupQuery)))


def detail(backup_id: str, asked: BackupQuery) -> BackupBody:
    """Raises StoreUnavailable, and Problem where there is none."""
    found = _find(backup_id)
    entries = [
        row for row in context().backups.entries(found["id"]) if asked.cursor is None or row["database"] > asked.cursor
    ]
    rows = entries[: asked.limit]
    summary = BackupSummary.of(found, context().clock())
    return BackupBody(
        **{name: getattr(summary, name) for name in BackupSummary.model_fields},
        entries=[BackupEntry.model_validate(row) for row in rows],
        next=rows[-1]["database"] if len(entries) > len(rows) else None,
    )


@blueprint.post("/<backup:backup_id>/restore")
@operation(
    Operation("Restore one database, single documents, or everything.", JOB_ANSWERS, (404, 409, 503),
              body=RestoreRequest, headers=JOB_HEADERS, path=_PATH, role=Role.ADMIN)
)  # fmt: skip
def restore(backup_id: str) -> Response:
    asked = reading.body(RestoreRequest)
    fit = _fit_for(asked)
    found = _find(backup_id, fit)
    if backup_id == LATEST:
        _refuse_unsealed(fit)
    _require_node(asked.node)
    if asked.database is not None and not _has(found["id"], asked.database):
        _refuse_database(found["id"], asked.database)
    return submit(Request(Kind.RESTORE, asked.database, asked.params(found["id"])), asked.wait)


@blueprint.post("/<backup:backup_id>/verify")
@operation(
    Operation("Compare a backup with its checksums, or restore it as a drill.", JOB_ANSWERS, (404, 409, 503),
              body=CheckRequest, bare=True, headers=JOB_HEADERS, path=_PATH)
)  # fmt: skip
def verify(backup_id: str) -> Response:
    asked = reading.optional_body(CheckRequest)
    found = _find(backup_id)
    _require_node(asked.node)
    if asked.drill:
        return submit(drill_request(found["id"], asked.node), asked.wait)
    params = {"backup": found["id"], "drill": False, "node": None}
    return submit(Request(Kind.CHECK, None, params), asked.wait)


@blueprint.post("/<backup:backup_id>/hold")
@operation(
    Operation("Put a backup on legal hold, so that it is never removed, or take it off.", JOB_ANSWERS, (404, 409, 503),
              body=HoldRequest, headers=JOB_HEADERS, path=_PATH, role=Role.ADMIN)
)  # fmt: skip
def hold(backup_id: str) -> Response:
    asked = reading.body(HoldRequest)
    params = {"backup": _find(backup_id)["id"], "on": asked.on, "reason": asked.reason}
    return submit(Request(Kind.HOLD, None, params), asked.wait)


@blueprint.post("/prune")
@operation(
    Operation("Remove what BACKUP_RETENTION does not keep, as is done after every backup.", JOB_ANSWERS, (409, 503),
              body=PruneRequest, bare=True, headers=JOB_HEADERS)
)  # fmt: skip
def prune() -> Response:
    asked = reading.optional_body(PruneRequest)
    require_on()
    return submit(Request(Kind.PRUNE, None, {"dry_run": asked.dry_run}), asked.wait)


def require_on() -> None:
    if not context().backup_plan.on:
        raise Problem("backups-off", "BACKUP_URL is not set: it says where backups are kept, like file:///var/backups")


def _fit_for(asked: RestoreRequest) -> Callable[[dict[str, Any]], bool]:
    """What `latest` means: of everything where everything is asked for, else the newest that has the database."""
    if asked.database is None:
        return lambda one: one["good"] and one["scope"] == [EVERYTHING]
    known = [one["id"] for one in context().backups.all() if _has(one["id"], str(asked.database))]
    return lambda one: one["id"] in known or not known


def _find(backup_id: str, fit: Callable[[dict[str, Any]], bool] = lambda one: True) -> dict[str, Any]:
    """`fit`: what the newest has to be. Raises Problem 404 with the newest ids."""
    require_on()
    seen = context().backups
    if backup_id == LATEST:
        found = next((one for one in seen.all() if one["readable"] and fit(one)), None)
    else:
        found = seen.one(backup_id)
    if found is None:
        known = [one["id"] for one in seen.all()[:3]]
        hint = f"the newest are {', '.join(known)}" if known else "none has been seen in the store"
        raise Problem("unknown-backup", f"there is no backup {backup_id!r}: {hint}", nearest=known)
    return found


def _refuse_unsealed(fit: Callable[[dict[str, Any]], bool]) -> None:
    """Where `latest` would be one that somebody else may have put there."""
    parts = context()
    readable = (one for one in parts.backups.all() if one["readable"] and fit(one))
    try:
        newest(readable, itemgetter("id"), itemgetter("sealed"), has_key=parts.backup_plan.keys is not None)
    except NotSealed as error:
        raise Problem("backup-not-sealed", error.detail) from None


def _has(backup_id: str, database: str) -> bool:
    return any(row["database"] == database for row in context().backups.entries(backup_id))


def _refuse_database(backup_id: str, database: str) -> None:
    names = [row["database"] for row in context().backups.entries(backup_id)]
    if not names:  # not read yet: the job will tell
        return
    close = nearest(database, names)
    hint = f"; did you mean {' or '.join(close)}?" if close else f"; it has {', '.join(names[:5])}"
    raise Problem("unknown-database", f"backup {backup_id} has no database {database!r}{hint}", nearest=close)


def _require_node(name: str | None) -> None:
    known = [node.name for node in context().settings.nodes]
    if name is not None and name not in known:
        raise unknown_node(name, known)
