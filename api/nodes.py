"""/api/nodes: every node as the last sweep saw it, whether clients may go there, and what a person can do with it."""

from __future__ import annotations

from flask import Blueprint, Response, g

from api import auth, observed, reading
from api.answers import answer
from api.context import Context, context
from api.database_schemas import HistoryBody, HistoryQuery
from api.errors import unknown_node
from api.node_history import history
from api.openapi import Answer, Operation, operation
from api.readiness import why_not_ready
from api.schemas import (
    MaintenanceBody,
    MaintenanceRequest,
    NodeBody,
    NodesBody,
    NoQuery,
    ReadyBody,
    ReadyQuery,
    ReadyShort,
    RejoinRequest,
)
from api.status import Status
from api.submitting import JOB_ANSWERS, JOB_HEADERS, submit
from tasks.rejoining import rejoin_request
from worker.core.health import NodeState

blueprint = Blueprint("nodes", __name__, url_prefix="/api/nodes")
_PATH = {"name": "The node's name, as in REPLICATION_NODES."}
_READY = ReadyBody | ReadyShort


@blueprint.get("")
@operation(
    Operation("Every node, as the last sweep saw it.", {200: Answer("Nodes.", NodesBody)}, (503,), query=NoQuery)
)
def all_nodes() -> Response:
    reading.query(NoQuery)
    return answer(listed(context()))


def listed(parts: Context) -> NodesBody:
    """Raises StoreUnavailable."""
    sweep = parts.seen.sweep()
    lag = Status(parts.settings, parts.seen, parts.replication).lag()
    return NodesBody(
        observed_at=(sweep or {}).get("observed_at"),
        primary=parts.seen.primary(),
        nodes=observed.nodes(parts.settings, sweep, lag),
    )


@blueprint.get("/<name>")
@operation(
    Operation(
        "One node, as the last sweep saw it.",
        {200: Answer("The node.", NodeBody)},
        (404, 503),
        query=NoQuery,
        path=_PATH,
    )
)
def one_node(name: str) -> Response:
    reading.query(NoQuery)
    return answer(detail(context(), name))


def detail(parts: Context, name: str) -> NodeBody:
    """Raises StoreUnavailable, and Problem where there is none."""
    _require(name)
    return next(node for node in listed(parts).nodes if node.name == name)


@blueprint.get("/<name>/history")
@operation(
    Operation(
        "How the node was over the last hours, minute by minute.",
        {200: Answer("Points, oldest first.", HistoryBody)},
        (404, 503),
        query=HistoryQuery,
        path=_PATH,
    )
)
def node_history(name: str) -> Response:
    asked = reading.query(HistoryQuery)
    _require(name)
    return answer(history(context(), name, asked.hours))


@blueprint.get("/<name>/ready")
@operation(
    Operation(
        "Whether clients may be sent to the node: for proxies, as often as they like.",
        {200: Answer("They may.", _READY), 503: Answer("They may not; the body says why.", _READY)},
        (404,),
        query=ReadyQuery,
        path=_PATH,
        open=True,
    )
)
def ready(name: str) -> Response:
    asked = reading.query(ReadyQuery)
    _require(name)
    parts = context()
    standing = parts.seen.standing(name)
    why = why_not_ready(standing, parts.settings, parts.clock(), asked.max_lag, asked.max_age)
    status = 200 if why is None else 503
    if auth.caller() is None:
        return answer(ReadyShort(ready=why is None), status)
    known = standing or {"state": NodeState.UNKNOWN.value}
    return answer(
        ReadyBody(
            ready=why is None,
            node=name,
            state=NodeState(known["state"]),
            reason=why,
            lag=known.get("lag"),
            observed_at=known.get("observed_at"),
        ),
        status,
    )


@blueprint.post("/<name>/rejoin")
@operation(
    Operation(
        "Bring a node up to date with all others, and let it in again.",
        JOB_ANSWERS,
        (404, 409, 503),
        body=RejoinRequest,
        bare=True,
        headers=JOB_HEADERS,
        path=_PATH,
    )
)
def rejoin(name: str) -> Response:
    asked = reading.optional_body(RejoinRequest)
    _require(name)
    return submit(rejoin_request(name, asked=True), asked.wait)


@blueprint.post("/<name>/maintenance")
@operation(
    Operation(
        "Take a node out, so that no client is sent there, or let it in again. Replication goes on.",
        {200: Answer("It counts from now on.", MaintenanceBody)},
        (404, 503),
        body=MaintenanceRequest,
        path=_PATH,
    )
)
def maintenance(name: str) -> Response:
    asked = reading.body(MaintenanceRequest)
    _require(name)
    parts = context()
    now = parts.clock()
    parts.seen.take_out(name, asked.on, now, asked.reason)
    g.about = f"{name} {'out' if asked.on else 'in'}"  # for the audit log
    what = "was taken out" if asked.on else "was let in again"
    detail = f"{name} {what} by {caller.name if (caller := auth.caller()) else 'somebody'}"
    parts.events.record(
        "node.maintenance",
        at=now,
        severity="info",
        node=name,
        detail=detail + (f": {asked.reason}" if asked.reason else ""),
        on=asked.on,
    )
    parts.soon("sweep")
    return answer(MaintenanceBody(node=name, on=asked.on, reason=asked.reason, since=now))


def _require(name: str) -> None:
    known = [node.name for node in context().settings.nodes]
    if name not in known:
        # who shows no token is not told what the others are called
        raise unknown_node(name, known if auth.caller() else ())
