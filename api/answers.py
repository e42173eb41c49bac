"""Small helpers with which routes answer. Bodies are serialised by pydantic's compiled code, not flask.jsonify."""

from __future__ import annotations

from collections.abc import Mapping

from flask import Response
from pydantic import BaseModel

_JSON = "application/json"
SOON = {"Retry-After": "1"}  # while a job has not ended


def answer(body: BaseModel, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    # a list, because werkzeug takes twice as long over a mapping
    return Response(body.model_dump_json(), status, list((headers or {}).items()), content_type=_JSON)
