"""/api/nodes: every node, as the last sweep saw it."""

from __future__ import annotations

from flask import Blueprint, Response

from api import observed, reading
from api.answers import answer
from api.context import context
from api.openapi import Answer, Operation, operation
from api.schemas import NodesBody, NoQuery
from api.status import Status

blueprint = Blueprint("nodes", __name__, url_prefix="/api/nodes")


@blueprint.get("")
@operation(
    Operation("Every node, as the last sweep saw it.", {200: Answer("Nodes.", NodesBody)}, (503,), query=NoQuery)
)
def all_nodes() -> Response:
    reading.query(NoQuery)
    settings, seen = context().settings, context().seen
    sweep = seen.sweep()
    lag = Status(settings, seen, context().replication).lag()
    nodes = observed.nodes(settings, sweep, lag)
    return answer(NodesBody(observed_at=(sweep or {}).get("observed_at"), nodes=nodes))
