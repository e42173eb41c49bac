"""/api/databases: what is known of each database on all nodes, as workers have seen it."""

from __future__ import annotations

from flask import Blueprint, Response

from api import database_rows, reading
from api.answers import answer
from api.context import context
from api.database_schemas import DatabaseBody, DatabasesBody, DatabasesQuery
from api.openapi import Answer, Operation, operation
from api.schemas import NoQuery

blueprint = Blueprint("databases", __name__, url_prefix="/api/databases")


@blueprint.get("")
@operation(
    Operation(
        "All databases: size, documents, conflicts, lag and last backup.",
        {200: Answer("Databases.", DatabasesBody)},
        (503,),
        query=DatabasesQuery,
    )
)
def all_databases() -> Response:
    asked = reading.query(DatabasesQuery)
    return answer(database_rows.page(context(), asked))


@blueprint.get("/<path:name>")
@operation(
    Operation(
        "One database, node by node, with its links, conflicts and backups.",
        {200: Answer("The database.", DatabaseBody)},
        (404, 503),
        query=NoQuery,
        path={"name": "The database's name; a slash in it as %2F."},
    )
)
def one_database(name: str) -> Response:
    reading.query(NoQuery)
    return answer(database_rows.one(context(), name))
