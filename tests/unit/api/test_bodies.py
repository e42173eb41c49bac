"""What is not a proper request is refused with words that help, before anything is asked of Redis."""

from __future__ import annotations

import io
from typing import Any

import pytest

from tasks.jobs import Kind
from tests.unit.api.world import World, settings
from worker.core.names import RULE

SYNC = "/api/replication/sync"
JSON = "application/json"
KINDS = f"Input should be {', '.join(repr(kind.value) for kind in list(Kind)[:-1])} or {list(Kind)[-1].value!r}"


@pytest.fixture
def post(world: World) -> Any:
    world.databases("pdfs")

    def send(data: bytes | str, content_type: str | None = JSON) -> Any:
        return world.client.post(SYNC, data=data, content_type=content_type)

    return send


@pytest.mark.parametrize(
    "kind", [JSON, "application/json; charset=utf-8", "application/json;charset=UTF-8", "application/merge-patch+json"]
)
def test_json_is_taken_under_all_its_names(post: Any, kind: str) -> None:
    assert post('{"database": "pdfs"}', kind).status_code == 202


@pytest.mark.parametrize(
    "kind",
    [
        None,
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "text/json",
        "application/json; charset=latin-1",
    ],
)
def test_anything_else_is_415(post: Any, kind: str | None) -> None:
    answer = post('{"database": "pdfs"}', kind)
    assert answer.status_code == 415
    assert answer.get_json()["type"].endswith(":not-json")


@pytest.mark.parametrize(
    ("data", "detail"),
    [
        (b"", "the body is empty"),
        (b'{"database":\n  pdfs}', "line 2, column 3"),
        (b'{"database": "pdfs"', "line 1, column 20"),
        (b'{"database": "pdfs", "database": "b"}', "the key 'database' is there twice"),
        (b'{"database": NaN}', "NaN is not JSON"),
        (b'{"database": -Infinity}', "-Infinity is not JSON"),
        (b'{"database": "\xff"}', "byte 14 is not UTF-8"),
        (b"[" * 100_000, "nested too deeply"),
        (b"1" * 5_000, "number that is too long"),
    ],
)
def test_what_is_not_json_is_400_and_says_where(post: Any, data: bytes, detail: str) -> None:
    answer = post(data)
    assert answer.status_code == 400
    assert answer.get_json()["type"].endswith(":malformed-json")
    assert detail in answer.get_json()["detail"]


@pytest.mark.parametrize("data", ["[]", "null", "1", '"pdfs"', "true"])
def test_json_that_is_no_object_is_422(post: Any, data: str) -> None:
    answer = post(data)
    assert answer.status_code == 422
    assert answer.get_json()["errors"] == [{"field": "", "message": "the body must be a JSON object"}]


@pytest.mark.parametrize(
    ("data", "field", "message"),
    [
        ("{}", "database", "is missing"),
        ('{"database": 1}', "database", "must be a string"),
        ('{"database": null}', "database", "must be a string"),
        ('{"database": "pdfs", "wait": "yes"}', "wait", "must be true or false"),
        ('{"database": "pdfs", "wait": 1}', "wait", "must be true or false"),
        ('{"database": "pdfs", "wiat": true}', "wiat", "is unknown here; known: database, wait"),
        ('{"database": "Pdfs"}', "database", RULE),
        ('{"database": ""}', "database", RULE),
        ('{"database": "pdfs\\n"}', "database", RULE),
        ('{"database": "\\ud800"}', "database", RULE),
        (f'{{"database": "{"a" * 239}"}}', "database", RULE),
        ('{"database": "_users"}', "database", f"names that start with _ are CouchDB's own system databases; {RULE}"),
    ],
)
def test_a_field_that_is_wrong_is_422_and_named(post: Any, data: str, field: str, message: str) -> None:
    answer = post(data)
    assert answer.status_code == 422
    assert answer.get_json()["errors"] == [{"field": field, "message": message}]
    assert f"{field}: {message}" in answer.get_json()["detail"]


def test_all_wrong_fields_are_named_at_once(post: Any) -> None:
    assert len(post('{"database": 1, "wait": 1, "other": 1}').get_json()["errors"]) == 3


def test_a_body_over_the_limit_is_413() -> None:
    world = World(settings(api_max_body_bytes=1024))
    world.databases("pdfs")
    fits, too_large = ('{"database": "pdfs"}'.ljust(size) for size in (1024, 1025))
    assert world.client.post(SYNC, data=fits, content_type=JSON).status_code == 202
    answer = world.client.post(SYNC, data=too_large, content_type=JSON)
    assert answer.status_code == 413
    assert answer.get_json()["type"].endswith(":body-too-large")


def test_a_body_in_chunks_is_bounded_too() -> None:
    world = World(settings(api_max_body_bytes=1024))
    world.databases("pdfs")

    def status(size: int) -> int:
        data = b'{"database": "pdfs"}'.ljust(size)
        chunked = {"wsgi.input": io.BytesIO(data), "wsgi.input_terminated": True}
        answer = world.client.post(SYNC, content_type=JSON, environ_overrides=chunked)
        return answer.status_code

    assert [status(size) for size in (100, 1023, 1025, 5000)] == [202, 202, 413, 413]


def test_a_slash_is_part_of_a_name(world: World) -> None:
    world.databases("a/b+c")
    assert world.client.post(SYNC, json={"database": "a/b+c"}).status_code == 202


@pytest.mark.parametrize(
    ("query", "field", "message"),
    [
        ("stat=queued", "stat", "is unknown here; known: state, kind, database, cursor, limit"),
        ("state=done", "state", "Input should be 'queued', 'running', 'succeeded', 'failed' or 'cancelled'"),
        ("kind=", "kind", KINDS),
        ("database=", "database", "must not be empty"),
        ("cursor=next", "cursor", "must be a cursor from an earlier answer"),
        ("cursor=019ab1c2-6f3e-7c44-9d5a-0b8f2d1e7a90%0a", "cursor", "must be a cursor from an earlier answer"),
        ("limit=0", "limit", "Input should be greater than or equal to 1"),
        ("limit=201", "limit", "Input should be less than or equal to 200"),
        ("limit=1.0", "limit", "must be a whole number from 1 to 200"),
        ("limit=", "limit", "must be a whole number from 1 to 200"),
        ("limit=9&limit=10", "limit", "is given more than once"),
    ],
)
def test_a_query_parameter_that_is_wrong_is_422_and_named(world: World, query: str, field: str, message: str) -> None:
    answer = world.client.get(f"/api/jobs?{query}")
    assert answer.status_code == 422
    assert answer.get_json()["errors"] == [{"field": field, "message": message}]


@pytest.mark.parametrize(
    "path", ["events", "health", "nodes", "replication/health", "replication/info", "replication/status"]
)
def test_a_misspelt_query_parameter_is_an_error_everywhere(world: World, path: str) -> None:
    answer = world.client.get(f"/api/{path}?databse=pdfs")
    assert answer.status_code == 422
    assert answer.get_json()["errors"][0]["field"] == "databse"
