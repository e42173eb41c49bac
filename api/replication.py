"""/api/replication: ask for syncs, set-ups and verifies, and see how replication stands."""

from __future__ import annotations

from collections.abc import Mapping

from flask import Blueprint, Response

from api import observed, reading
from api.answers import answer
from api.context import context
from api.errors import invalid, unknown_database
from api.openapi import Answer, Operation, operation
from api.schemas import (
    CanaryBody,
    NoQuery,
    ReplicationHealth,
    ReplicationInfo,
    ReplicationStatus,
    SetupRequest,
    StatusQuery,
    SyncRequest,
    VerifyRequest,
)
from api.status import Status
from api.submitting import JOB_ANSWERS, JOB_HEADERS, submit
from tasks.jobs import Kind, Request
from tasks.rules import rules_of
from tasks.submit import UnknownDatabase
from worker.core.names import nearest

blueprint = Blueprint("replication", __name__, url_prefix="/api/replication")


@blueprint.post("/sync")
@operation(
    Operation("Bring one database to the same content on all healthy nodes.", JOB_ANSWERS, (404, 409, 503),
              body=SyncRequest, headers=JOB_HEADERS)
)  # fmt: skip
def sync() -> Response:
    asked = reading.body(SyncRequest)
    params = {"database": asked.database, "create_missing": True}
    return _submit_known(Request(Kind.SYNC, asked.database, params), asked.database, asked.wait)


@blueprint.post("/setup")
@operation(
    Operation("Make databases and their links on all nodes.", JOB_ANSWERS, (409, 503),
              body=SetupRequest, headers=JOB_HEADERS)
)  # fmt: skip
def setup() -> Response:
    asked = reading.body(SetupRequest)
    _refuse_unselected(asked.database)
    params = {
        "databases": asked.database or None,
        "bidirectional": asked.bidirectional,
        "dry_run": asked.dry_run,
        "asked": True,
    }
    only = asked.database[0] if len(asked.database) == 1 else None
    return submit(Request(Kind.SETUP, only, params), asked.wait)


def _refuse_unselected(databases: list[str]) -> None:
    """Raises Problem 422: the next reconcile would take away again what such a set-up makes."""
    rules = rules_of(context().settings)
    refused = [name for name in databases if not rules.selected(name)]
    if refused and context().settings.continuous_replication:
        raise invalid(
            [
                {
                    "field": "database",
                    "message": f"{', '.join(refused[:20])}: not replicated, by REPLICATION_INCLUDE, "
                    "REPLICATION_EXCLUDE or a rule with mode off; change those first",
                }
            ]
        )


@blueprint.post("/verify")
@operation(
    Operation("Compare one database on all nodes, document by document; repair what differs where asked.",
              JOB_ANSWERS, (404, 409, 503), body=VerifyRequest, headers=JOB_HEADERS)
)  # fmt: skip
def verify() -> Response:
    asked = reading.body(VerifyRequest)
    _require_nodes(asked.nodes)
    params = {"database": asked.database, "nodes": asked.nodes or None, "repair": asked.repair}
    return _submit_known(Request(Kind.VERIFY, asked.database, params), asked.database, asked.wait)


@blueprint.get("/status")
@operation(
    Operation("The links, as the last sweep saw them.", {200: Answer("Links.", ReplicationStatus)}, (404, 503),
              query=StatusQuery)
)  # fmt: skip
def status() -> Response:
    asked = reading.query(StatusQuery)
    parts = context()
    status = Status(parts.settings, parts.seen, parts.replication)
    sweep, reconcile = parts.seen.sweep() or {}, parts.replication.reconcile() or {}
    names = [asked.database] if asked.database is not None else status.databases()
    later = [name for name in names if asked.cursor is None or name > asked.cursor]
    page = later[: asked.limit]
    links = status.rows(page)
    if asked.database is not None and not links and not parts.seen.database_nodes(asked.database):
        raise unknown_database(asked.database, nearest(asked.database, parts.seen.database_names()))
    differing = (parts.replication.security() or {}).get("differing", {})
    return answer(
        ReplicationStatus(
            observed_at=sweep.get("observed_at"),
            mode=observed.mode(parts.settings, reconcile)[0],
            links=links,
            removed=_of(reconcile.get("removed", {}), asked.database),
            security_differs=_of(differing, asked.database),
            canary=CanaryBody.model_validate(canary) if (canary := parts.replication.canary()) else None,
            next=page[-1] if len(later) > len(page) else None,
        )
    )


def _of(found: Mapping[str, list[str]], database: str | None) -> dict[str, list[str]]:
    return {name: nodes for name, nodes in found.items() if database in {None, name}}


@blueprint.get("/health")
@operation(
    Operation("How the nodes are, as the last sweep saw them.", {200: Answer("Verdicts.", ReplicationHealth)}, (503,),
              query=NoQuery)
)  # fmt: skip
def health() -> Response:
    reading.query(NoQuery)
    settings, sweep = context().settings, context().seen.sweep()
    return answer(
        ReplicationHealth(
            status=observed.cluster(settings, sweep, context().clock()),
            observed_at=(sweep or {}).get("observed_at"),
            nodes=observed.verdicts(settings, sweep),
        )
    )


@blueprint.get("/info")
@operation(
    Operation("Nodes, topology, mode and settings in force; never a credential.",
              {200: Answer("What is in force.", ReplicationInfo)}, (503,), query=NoQuery)
)  # fmt: skip
def info() -> Response:
    reading.query(NoQuery)
    parts = context()
    return answer(observed.info(parts.settings, parts.shown_settings, parts.replication, parts.clock()))


def _submit_known(wanted: Request, database: str, wait: bool) -> Response:
    """Raises Problem 404 for a database that no node has."""
    try:
        return submit(wanted, wait, only_known=True)
    except UnknownDatabase:  # a slip, or a database made since the last sweep
        _require_database(database)
    return submit(wanted, wait)


def _require_nodes(names: list[str]) -> None:
    """Raises Problem 422 for a node that is not configured."""
    known = [node.name for node in context().settings.nodes]
    unknown = [name for name in names if name not in known]
    if unknown:
        message = f"not configured: {', '.join(map(repr, unknown))}; known: {', '.join(known)}"
        raise invalid([{"field": "nodes", "message": message}])


def _require_database(database: str) -> None:
    """Raises Problem 404 where the nodes were asked and none has it. Where nobody could tell, the job will."""
    found = context().lookup.find(database)
    configured = {node.name for node in context().settings.nodes}
    nobody_answered = bool(configured) and configured <= set(found.unreachable)
    if found.exists is not False or nobody_answered:
        return
    problem = unknown_database(database, found.nearest, "no node that answered has a")
    if found.unreachable:
        problem.detail += f" Not reached, so not asked: {', '.join(found.unreachable)}."
    raise problem
