"""Every error has one shape, and every class that the layers below may raise has a place in the table."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from flask import Flask
from werkzeug.exceptions import default_exceptions

import tasks.jobs
import tasks.lookup
import tasks.observations
import tasks.redis
import tasks.store
import tasks.submit
from api import errors
from tasks.jobs import Job, Kind, State
from tasks.submit import JobEnded
from tests.unit.api.world import World

BELOW = (tasks.jobs, tasks.lookup, tasks.observations, tasks.redis, tasks.store, tasks.submit)


def _raised_by(error: Exception) -> Any:
    app = Flask("test")
    errors.install(app)

    @app.get("/")
    def fail() -> str:
        raise error

    return app.test_client().get("/")


def _check_shape(answer: Any, status: int) -> None:
    body = answer.get_json()
    assert answer.status_code == status
    assert answer.content_type == "application/problem+json"
    assert body["status"] == status
    assert body["title"]
    assert body["detail"]
    assert body["type"].startswith("urn:notebook-replication:problem:") or body["type"] == "about:blank"


def _example(kind: type[Exception]) -> Exception:
    if kind is JobEnded:
        return JobEnded(Job("an-id", Kind.SYNC, State.FAILED, "pdfs", {}, 0.0))
    return kind("some words")


def test_every_exception_of_the_layer_below_is_mapped() -> None:
    raised = {
        value
        for module in BELOW
        for _, value in inspect.getmembers(module, inspect.isclass)
        if issubclass(value, Exception) and value.__module__ == module.__name__
    }
    assert raised == set(errors.FROM_CLASS)


@pytest.mark.parametrize("kind", list(errors.FROM_CLASS))
def test_mapped_exceptions_are_problems(kind: type[Exception]) -> None:
    problem = errors.FROM_CLASS[kind](_example(kind))
    answer = _raised_by(_example(kind))
    _check_shape(answer, problem.status)
    assert answer.get_json()["type"] == f"{errors.URN}{problem.name}"
    assert "Retry-After" in answer.headers or problem.status != 503


@pytest.mark.parametrize("name", list(errors.PROBLEMS))
def test_every_problem_has_the_shape(name: str) -> None:
    answer = _raised_by(errors.Problem(name, "some words", {"X-Test": "1"}, extra=[1]))
    _check_shape(answer, errors.PROBLEMS[name][0])
    assert answer.get_json()["extra"] == [1]
    assert answer.headers["X-Test"] == "1"


@pytest.mark.parametrize("status", sorted(code for code in default_exceptions if code >= 400))
def test_flasks_own_errors_have_the_shape(status: int) -> None:
    _check_shape(_raised_by(default_exceptions[status]()), status)


def test_a_defect_is_500_and_keeps_its_words_to_itself(caplog: pytest.LogCaptureFixture) -> None:
    answer = _raised_by(ZeroDivisionError("secret words"))
    _check_shape(answer, 500)
    assert "secret words" not in answer.text


@pytest.mark.parametrize("path", ["/nowhere", "/api/", "/api/jobs/", "/api//jobs", "/api/nodes/x/", "/static/x"])
def test_an_address_that_is_not_there_is_404(world: World, path: str) -> None:
    answer = world.client.open(environ_overrides={"PATH_INFO": path})
    _check_shape(answer, 404)
    assert answer.get_json()["type"] == f"{errors.URN}not-found"


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("POST", "/api/jobs", {"GET", "HEAD"}),
        ("GET", "/api/replication/sync", {"POST"}),
        ("PUT", "/api/jobs/019ab1c2-6f3e-7c44-9d5a-0b8f2d1e7a90", {"GET", "HEAD", "DELETE"}),
        ("OPTIONS", "/api/replication/sync", {"POST"}),
        ("TRACE", "/api/health", {"GET", "HEAD"}),
    ],
)
def test_a_method_that_is_not_taken_is_405_and_says_which_are(
    world: World, method: str, path: str, allowed: set[str]
) -> None:
    answer = world.client.open(path, method=method)
    _check_shape(answer, 405)
    assert set(answer.headers["Allow"].split(", ")) == allowed
