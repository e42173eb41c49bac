"""The documents keep up with the code: every route is in /openapi.json and in docs/api.md."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from api import errors, openapi
from tests.unit.api.world import World
from worker.core import errors as node_errors

GUIDE = (Path(__file__).parents[3] / "docs" / "api.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def document() -> Any:
    return World().client.get("/openapi.json").get_json()


def _routes() -> set[tuple[str, str]]:
    rules = World().app.url_map.iter_rules()
    return {(method, rule.rule) for rule in rules for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}}


def test_every_api_route_is_in_the_document() -> None:
    described = {(method, rule.rule) for rule, method, _ in openapi.described(World().app)}
    assert described == {(method, path) for method, path in _routes() if path.startswith(("/api/", "/metrics"))}


@pytest.mark.parametrize(("method", "path"), sorted(_routes()))
def test_every_route_is_in_the_guide(method: str, path: str) -> None:
    written = re.sub(r"<(?:\w+:)?\w+>", "ID", re.sub("<(name|path:filename|path:name)>", "NAME", path))
    assert re.search(rf"`{method} {re.escape(written)}[\[`]", GUIDE), f"{method} {written} is not in docs/api.md"


@pytest.mark.parametrize("name", list(errors.PROBLEMS))
def test_every_problem_is_in_the_guide(name: str) -> None:
    assert f"| `{name}` | {errors.PROBLEMS[name][0]} |" in GUIDE


def _slugs(kind: type[node_errors.ReplicationError]) -> set[str]:
    return {kind.slug}.union(*(_slugs(child) for child in kind.__subclasses__()))


@pytest.mark.parametrize("slug", sorted(_slugs(node_errors.ReplicationError) - {"error", "transient", "permanent"}))
def test_every_error_of_a_job_is_in_the_guide(slug: str) -> None:
    assert f"| `{slug}` |" in GUIDE


def test_it_is_openapi_3_1_with_sound_schemas(document: Any) -> None:
    assert document["openapi"] == "3.1.0"
    for schema in document["components"]["schemas"].values():
        jsonschema_rs.meta.validate(schema)


def test_no_reference_is_broken(document: Any) -> None:
    for path in re.findall(r'"#/(components/[^"]+)"', json.dumps(document)):
        part = document
        for key in path.split("/"):
            part = part[key]


def test_bodies_refuse_unknown_fields(document: Any) -> None:
    for name in ("SyncRequest", "SetupRequest"):
        assert document["components"]["schemas"][name]["additionalProperties"] is False


def test_health_and_readiness_are_the_only_operations_that_need_no_token(document: Any) -> None:
    assert document["security"] == [{"bearer": []}, {"cookie": []}]
    free = {
        path for path, item in document["paths"].items() for entry in item.values() if {} in entry.get("security", [])
    }
    assert free == {"/api/health", "/api/nodes/{name}/ready", "/api/session"}


def test_the_document_is_not_sent_twice() -> None:
    client = World().client
    etag = client.get("/openapi.json").headers["ETag"]
    assert client.get("/openapi.json", headers={"If-None-Match": etag}).status_code == 304


def test_the_page_needs_no_outside_host_and_no_inline_script() -> None:
    client = World().client
    page = client.get("/docs")
    assert page.mimetype == "text/html"
    assert "http" not in re.sub(r"https?-equiv", "", page.text)
    assert "script-src 'self';" in page.headers["Content-Security-Policy"]
    assert not re.search(r"<script(?! src=)|\son\w+=|<style", page.text)
    for path in re.findall(r'(?:src|href)="([^"]+)"', page.text):
        assert path.startswith("/docs/")
        assert client.get(path).status_code == 200
    assert "http" not in client.get("/docs/start.js").text
    assert client.get("/docs/../app.py").status_code == 404
    assert client.get("/docs/other.js").status_code == 404


def test_the_index_leads_everywhere() -> None:
    client = World().client
    for path in client.get("/api").get_json().values():
        if path.startswith("/"):
            assert client.get(path).status_code in {200, 503}
