"""The OpenAPI 3.1 document, made from the pydantic models and a few words beside each route.

Our own, because flask-openapi3 derives JSON Schema again on every request and brings its own shape of
errors. Made once, when it is first asked for; kept as bytes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from flask import Flask
from pydantic import BaseModel, TypeAdapter
from werkzeug.routing import Rule

from api.errors import MEDIA_TYPE, PROBLEMS
from api.schemas import ProblemBody
from config.tokens import Role

_REF = "#/components/schemas/{model}"
_View = TypeVar("_View", bound=Callable[..., Any])
_BODY_PROBLEMS = (400, 413, 415, 422)
_ALWAYS = (401, 421, 429, 500)
_TITLE = "NoteBook Replication"
_ABOUT = (
    "Control plane for CouchDB multi-master replication. Work is asked for with POST and done by workers; "
    "each answer holds a job. Errors are application/problem+json (RFC 9457). docs/api.md has the whole contract."
)

_HEADERS: Mapping[str, dict[str, Any]] = {
    "Location": {"description": "The job, or what was made.", "required": True, "schema": {"type": "string"}},
    "Retry-After": {"description": "Seconds until asking again makes sense.", "schema": {"type": "integer"}},
    "Preference-Applied": {"description": "wait=N, where `Prefer: wait=N` was.", "schema": {"type": "string"}},
    "WWW-Authenticate": {"description": "How to say who you are.", "required": True, "schema": {"type": "string"}},
    "Allow": {"description": "The methods that this address takes.", "required": True, "schema": {"type": "string"}},
}
_PROBLEM_HEADERS = {401: ("WWW-Authenticate",), 405: ("Allow",), 429: ("Retry-After",), 503: ("Retry-After",)}
_REQUEST_HEADERS: Mapping[str, dict[str, Any]] = {
    "Idempotency-Key": {
        "description": "A repeated request with the same key gets the first one's job.",
        "schema": {"type": "string", "pattern": "^[ -~]{1,255}$", "examples": ["4f1c6f0e-nightly"]},
    },
    "Prefer": {
        "description": "`wait=N` (RFC 7240): hold the answer for at most N seconds, 60 at most.",
        "schema": {"type": "string", "examples": ["wait=10"]},
    },
}


@dataclass(frozen=True)
class Answer:
    """One status a route answers with. `model` is anything pydantic takes; no `media`: there is no body."""

    description: str
    model: Any = None
    headers: tuple[str, ...] = ()
    media: str = "application/json"


@dataclass(frozen=True)
class Operation:
    summary: str
    answers: Mapping[int, Answer]
    problems: tuple[int, ...] = ()
    body: type[BaseModel] | None = None
    query: type[BaseModel] | None = None
    headers: tuple[str, ...] = ()
    path: Mapping[str, str] = field(default_factory=dict)
    bare: bool = False  # the body may be left out (api.reading.optional_body)
    open: bool = False  # answered without a token too
    role: Role | None = None  # the least; None: view to look, operate for all else

    def needs(self, method: str) -> Role:
        return self.role or (Role.VIEW if method in {"GET", "HEAD"} else Role.OPERATE)


_OPERATIONS: dict[Callable[..., Any], Operation] = {}


def operation(described: Operation) -> Callable[[_View], _View]:
    """Describe the route below."""

    def remember(view: _View) -> _View:
        _OPERATIONS[view] = described
        return view

    return remember


def described(app: Flask) -> list[tuple[Rule, str, Operation]]:
    """Every (rule, method, operation) of the app that has a description."""
    return [
        (rule, method, _OPERATIONS[app.view_functions[rule.endpoint]])
        for rule in app.url_map.iter_rules()
        if app.view_functions[rule.endpoint] in _OPERATIONS
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"})
    ]


def roles(app: Flask) -> Callable[[str | None, str], Role]:
    """(endpoint, method) -> the least role for it. What is not described has nothing to hide: an unknown address, a
    method that is not taken, pages."""

    def needed(endpoint: str | None, method: str) -> Role:
        found = _OPERATIONS.get(app.view_functions[endpoint]) if endpoint else None
        return found.needs(method) if found else Role.VIEW

    return needed


def document(app: Flask, version: str) -> bytes:
    routes = described(app)
    refs, schemas = _schemas([entry for _, _, entry in routes])
    paths: dict[str, dict[str, Any]] = {}
    for rule, method, entry in routes:
        path = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule)
        paths.setdefault(path, {})[method.lower()] = _operation(rule, method, entry, refs)
    statuses = sorted({status for status, _ in PROBLEMS.values()})
    return json.dumps(
        {
            "openapi": "3.1.0",
            "info": {
                "title": _TITLE,
                "version": version,
                "description": _ABOUT,
                "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
            },
            "servers": [{"url": "/"}],
            "paths": paths,
            "components": {
                "schemas": schemas,
                "responses": {f"Problem{status}": _problem(status) for status in statuses},
                "securitySchemes": {
                    "bearer": {"type": "http", "scheme": "bearer"},
                    "cookie": {"type": "apiKey", "in": "cookie", "name": "__Host-nbr"},
                },
            },
            "security": [{"bearer": []}, {"cookie": []}],
        }
    ).encode()


def _schemas(operations: list[Operation]) -> tuple[dict[Any, Any], dict[str, Any]]:
    """References by (model, mode), and the components they point to."""
    wanted: dict[Any, tuple[Any, Any, TypeAdapter[Any]]] = {}
    for entry in operations:
        for model in (entry.body, entry.query):
            if model:
                wanted[model] = (model, "validation", TypeAdapter(model))
        for given in entry.answers.values():
            if given.model:
                wanted[given.model] = (given.model, "serialization", TypeAdapter(given.model))
    wanted[ProblemBody] = (ProblemBody, "serialization", TypeAdapter(ProblemBody))
    refs, schema = TypeAdapter.json_schemas(list(wanted.values()), ref_template=_REF)
    return {model: ref for (model, _), ref in refs.items()}, schema["$defs"]


def _operation(rule: Rule, method: str, entry: Operation, refs: Mapping[Any, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {
        "operationId": f"{method.lower()}_{rule.endpoint.replace('.', '_')}",
        "summary": entry.summary,
        "description": f"Least role: {entry.needs(method).word}.",
        "tags": [rule.endpoint.partition(".")[0]],
        "parameters": _parameters(rule, entry),
        "responses": _responses(entry, method, refs),
    }
    if entry.body:
        made["requestBody"] = {
            "required": not entry.bare,
            "content": {"application/json": {"schema": refs[entry.body]}},
        }
    if entry.open:
        made["security"] = [{"bearer": []}, {"cookie": []}, {}]
    return made


def _parameters(rule: Rule, entry: Operation) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "description": entry.path[name], "schema": {"type": "string"}}
        for name in sorted(rule.arguments)
    ]
    made += [{"name": name, "in": "header", **_REQUEST_HEADERS[name]} for name in entry.headers]
    schema = entry.query.model_json_schema(ref_template=_REF) if entry.query else {}
    for name, written in schema.get("properties", {}).items():
        given = _inlined(written, schema.get("$defs", {}))
        made.append({"name": name, "in": "query", "description": given.pop("description", ""), "schema": given})
    return made


def _inlined(given: dict[str, Any], definitions: Mapping[str, Any]) -> dict[str, Any]:
    """A query parameter's schema: a parameter is absent rather than null, and an enum is written out."""
    options = [option for option in given.get("anyOf", []) if option.get("type") != "null"]
    plain = {key: value for key, value in given.items() if key not in {"anyOf", "title"} and value is not None}
    for option in options or [given]:
        reference = option.get("$ref", "").rpartition("/")[2]
        plain |= definitions[reference] if reference else {k: v for k, v in option.items() if k != "title"}
    return plain


def _responses(entry: Operation, method: str, refs: Mapping[Any, Any]) -> dict[str, Any]:
    problems = {*_ALWAYS, *entry.problems, *(_BODY_PROBLEMS if entry.body else ()), *((422,) if entry.query else ())}
    problems |= {403} if method not in {"GET", "HEAD"} or entry.needs(method) > Role.VIEW else set()
    made: dict[str, Any] = {
        str(status): {"$ref": f"#/components/responses/Problem{status}"} for status in sorted(problems)
    }
    for status, given in entry.answers.items():
        made[str(status)] = {"description": given.description, "headers": _headers(given.headers)}
        schema = refs[given.model] if given.model else {}
        if given.media:
            made[str(status)]["content"] = {given.media: {"schema": schema}}
    return dict(sorted(made.items()))


def _problem(status: int) -> dict[str, Any]:
    titles = [title for code, title in PROBLEMS.values() if code == status]
    return {
        "description": "; or: ".join(titles),
        "headers": _headers(_PROBLEM_HEADERS.get(status, ())),
        "content": {MEDIA_TYPE: {"schema": {"$ref": _REF.format(model=ProblemBody.__name__)}}},
    }


def _headers(names: tuple[str, ...]) -> dict[str, Any]:
    return {name: dict(_HEADERS[name]) for name in names}
