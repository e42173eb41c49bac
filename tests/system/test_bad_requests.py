"""What is wrong with a request is said at once, in problem+json, and nothing is queued."""

from __future__ import annotations

import json
import uuid

import pytest
import requests

from tests.system.conftest import Fresh
from tests.system.couch import Couch
from tests.system.harness import Api, System, wait_until

pytestmark = pytest.mark.system

SYNC = "/api/replication/sync"


def problem(answer: requests.Response, status: int, name: str) -> dict[str, object]:
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    body: dict[str, object] = answer.json()
    assert body["status"] == status
    assert str(body["type"]).endswith(f":{name}")
    assert body["title"]
    assert body["detail"]
    return body


def test_an_unknown_database_is_404_with_the_nearest_name(api: Api, nodes: list[Couch], fresh: Fresh) -> None:
    database = fresh(prefix="papers-", on=nodes)
    slip = database.replace("papers", "paperz")
    wait_until(
        lambda: api.get("/api/replication/status", params={"database": database}).status_code == 200,
        "a sweep has seen the database",
    )

    said = problem(api.sync(slip), 404, "unknown-database")

    assert database in said["nearest"]  # type: ignore[operator]
    assert api.jobs(slip) == []


def test_a_bad_name_is_422_with_couchdbs_rule(api: Api) -> None:
    for name in ("Papers", "1papers", "_users", "pa pers", "", "a" * 239, "../etc"):
        said = problem(api.sync(name), 422, "invalid-request")
        assert said["errors"][0]["field"] == "database"  # type: ignore[index]
    assert "lowercase letter" in str(problem(api.sync("Papers"), 422, "invalid-request")["detail"])


def test_an_unknown_field_is_422_and_named(api: Api) -> None:
    said = problem(api.sync("papers", wiat=True), 422, "invalid-request")

    assert said["errors"][0]["field"] == "wiat"  # type: ignore[index]


def test_what_is_not_json_is_415(api: Api) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded"):
        answer = api.call("POST", SYNC, data=b'{"database": "papers"}', headers={"Content-Type": kind})
        problem(answer, 415, "not-json")


def test_broken_json_is_400(api: Api) -> None:
    answer = api.call("POST", SYNC, data=b'{"database": ', headers={"Content-Type": "application/json"})

    problem(answer, 400, "malformed-json")


def test_an_oversize_body_is_413(api: Api) -> None:
    body = json.dumps({"database": "a" * 1_100_000})
    with Api(api.url) as other:  # gunicorn ends the connection of a body that was not read
        answer = other.call("POST", SYNC, data=body, headers={"Content-Type": "application/json"})

    problem(answer, 413, "body-too-large")


def test_an_unknown_job_is_404_and_never_pending(api: Api) -> None:
    for job_id in (str(uuid.uuid4()), "never-was", "1"):
        for answer in (
            api.get(f"/api/jobs/{job_id}"),
            api.get(f"/api/jobs/{job_id}/events"),
            api.cancel(job_id),
        ):
            problem(answer, 404, "unknown-job")
            assert "pending" not in answer.text.lower()


def test_an_ended_job_cannot_be_cancelled(api: Api, nodes: list[Couch], fresh: Fresh) -> None:
    job = api.sync(fresh(on=nodes), wait=True).json()

    problem(api.cancel(job["id"]), 409, "job-ended")


def test_a_foreign_host_name_is_421(system: System) -> None:
    answer = system.api.get("/api/health", headers={"Host": "evil.example"})

    problem(answer, 421, "misdirected")
