"""/api/nodes: every node, as the last sweep saw it."""

from __future__ import annotations

from flask import Blueprint, Response

from api import observed, reading
from api.answers import answer
from api.context import context
from api.errors import Problem
from api.openapi import Answer, Operation, operation
from api.schemas import NodeBody, NodesBody, NoQuery
from api.status import Status
from worker.core.names import nearest

blueprint = Blueprint("nodes", __name__, url_prefix="/api/nodes")


@blueprint.get("")
@operation(
    Operation("Every node, as the last sweep saw it.", {200: Answer("Nodes.", NodesBody)}, (503,), query=NoQuery)
)
def all_nodes() -> Response:
    reading.query(NoQuery)
    sweep, nodes = _nodes()
    return answer(NodesBody(observed_at=(sweep or {}).get("observed_at"), nodes=nodes))


@blueprint.get("/<name>")
@operation(
    Operation("One node, as the last sweep saw it.", {200: Answer("The node.", NodeBody)}, (404, 503),
              query=NoQuery, path={"name": "The name of a configured node."})
)  # fmt: skip
def one_node(name: str) -> Response:
    reading.query(NoQuery)
    nodes = {node.name: node for node in _nodes()[1]}
    if name not in nodes:
        close = nearest(name, nodes)
        hint = f"; did you mean {' or '.join(close)}?" if close else f"; known: {', '.join(nodes)}"
        raise Problem("unknown-node", f"there is no node {name!r}{hint}", nearest=close)
    return answer(nodes[name])


def _nodes() -> tuple[observed.Sweep | None, list[NodeBody]]:
    settings, seen = context().settings, context().seen
    sweep = seen.sweep()
    lag = Status(settings, seen, context().replication).lag()
    return sweep, observed.nodes(settings, sweep, lag)
