from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from api.context import Context, Slots
from tasks.jobs import JobError, Request, State
from tasks.redis import StoreUnavailable
from tasks.store import Filter
from tests.unit.api.world import World

SYNC = "/api/replication/sync"
ENDED_EARLY = 5.0  # seconds; far below the 30 that a caller is ready to wait


def test_a_sync_is_queued_and_says_where_to_look(world: World) -> None:
    world.databases("pdfs")
    answer = world.client.post(SYNC, json={"database": "pdfs"})
    body = answer.get_json()
    assert answer.status_code == 202
    assert answer.headers["Location"] == f"/api/jobs/{body['id']}"
    assert answer.headers["Retry-After"] == "1"
    assert "Preference-Applied" not in answer.headers
    assert world.published == [body["id"]]
    assert body == {
        "id": body["id"],
        "kind": "sync",
        "state": "queued",
        "database": "pdfs",
        "params": {"database": "pdfs", "create_missing": True},
        "created_at": body["created_at"],
        "started_at": None,
        "finished_at": None,
        "attempts": 0,
        "cancel_requested": False,
        "progress": None,
        "result": None,
        "error": None,
        "links": {
            "self": f"/api/jobs/{body['id']}",
            "events": f"/api/jobs/{body['id']}/events",
            "cancel": f"/api/jobs/{body['id']}",
        },
        "deduplicated": False,
    }
    assert body["created_at"].endswith("Z")
    assert len(body["created_at"]) == len("2026-11-23T15:00:00.123Z")


def test_a_sync_that_is_queued_already_is_not_queued_twice(world: World) -> None:
    first = world.sync().get_json()
    second = world.sync()
    assert second.status_code == 202
    assert second.get_json() == {**first, "deduplicated": True}
    assert world.published == [first["id"]]


def test_a_sync_of_a_running_one_is_a_new_job(world: World) -> None:
    first = world.sync().get_json()
    world.start(first["id"])
    assert world.sync().get_json()["id"] != first["id"]


@pytest.mark.parametrize("ask", [{"json": {"database": "pdfs", "wait": True}}, {"headers": {"Prefer": "wait=30"}}])
def test_waiting_answers_as_soon_as_the_job_has_ended(world: World, ask: dict[str, Any]) -> None:
    world.on_publish = _soon(world)
    world.databases("pdfs")
    started = time.monotonic()
    answer = world.client.post(SYNC, **{"json": {"database": "pdfs"}, **ask})
    assert time.monotonic() - started < ENDED_EARLY
    assert answer.status_code == 200
    assert answer.get_json()["state"] == "succeeded"
    assert answer.get_json()["result"] == {"verified": True}
    assert "cancel" not in answer.get_json()["links"]
    assert answer.headers.get("Preference-Applied") == ("wait=30" if "headers" in ask else None)


def test_a_job_that_failed_in_time_is_200_with_state_failed(world: World) -> None:
    def fail(job_id: str, _request: Request) -> None:
        error = JobError("unreachable", "connection refused", retryable=True, context={"node": "replica1"})
        world.store.finish(job_id, world.start(job_id), State.FAILED, world.now, error=error)

    world.on_publish = fail
    world.databases("pdfs")
    answer = world.client.post(SYNC, json={"database": "pdfs", "wait": True})
    assert answer.status_code == 200
    assert answer.get_json()["state"] == "failed"
    assert answer.get_json()["error"] == {
        "type": "unreachable",
        "detail": "connection refused",
        "retryable": True,
        "context": {"node": "replica1"},
    }


def test_waiting_ends_when_the_time_is_over(world: World) -> None:
    world.databases("pdfs")
    started = time.monotonic()
    answer = world.client.post(SYNC, json={"database": "pdfs"}, headers={"Prefer": "respond-async, wait=1"})
    assert 0.9 < time.monotonic() - started < ENDED_EARLY
    assert answer.status_code == 202
    assert answer.headers["Preference-Applied"] == "wait=1"
    assert answer.headers["Location"] == f"/api/jobs/{answer.get_json()['id']}"


def test_wait_0_answers_at_once_even_where_the_body_wants_to_wait(world: World) -> None:
    world.databases("pdfs")
    started = time.monotonic()
    answer = world.client.post(SYNC, json={"database": "pdfs", "wait": True}, headers={"Prefer": "wait=0"})
    assert time.monotonic() - started < 1
    assert answer.status_code == 202
    assert answer.headers["Preference-Applied"] == "wait=0"


@pytest.mark.parametrize(
    ("prefer", "applied"),
    [
        ("wait=600", "wait=60"),
        ('wait="7"', "wait=7"),
        ("Wait = 7; x=y", "wait=7"),
        ("wait=soon", None),
        ("wait=-1", None),
    ],
)
def test_a_preference_is_capped_and_one_that_makes_no_sense_is_ignored(
    world: World, prefer: str, applied: str | None
) -> None:
    world.databases("pdfs")
    world.on_publish = lambda job_id, request: world.finish(job_id)
    answer = world.client.post(SYNC, json={"database": "pdfs"}, headers={"Prefer": prefer})
    assert answer.headers.get("Preference-Applied") == applied
    assert answer.status_code == (200 if applied else 202)


def test_when_too_many_wait_the_next_one_is_answered_at_once(world: World) -> None:
    slots = next(part.slots for part in world.app.extensions.values() if isinstance(part, Context))
    assert slots.most == 3  # of 4 threads
    assert [slots.take(who) for who in "aabb"] == [True, True, True, False]
    world.databases("pdfs")
    started = time.monotonic()
    answer = world.client.post(SYNC, json={"database": "pdfs", "wait": True}, headers={"Prefer": "wait=20"})
    assert time.monotonic() - started < 1
    assert answer.status_code == 202
    assert "Preference-Applied" not in answer.headers


def test_no_caller_has_more_than_half_of_the_threads() -> None:
    slots = Slots(32)
    assert [slots.take("a") for _ in range(13)] == [True] * 12 + [False]
    assert slots.take("b")
    slots.give_back("a")
    assert slots.take("a")


def test_a_wait_gives_its_thread_back(world: World) -> None:
    world.databases("pdfs")
    world.on_publish = lambda job_id, request: world.finish(job_id)
    for _ in range(5):  # more than there are slots
        assert world.client.post(SYNC, json={"database": "pdfs", "wait": True}).status_code == 200


def test_an_unknown_database_is_404_with_the_nearest_names(world: World) -> None:
    world.databases("pdfs", "categories")
    answer = world.client.post(SYNC, json={"database": "pdf"})
    assert answer.status_code == 404
    assert answer.get_json()["type"] == "urn:notebook-replication:problem:unknown-database"
    assert answer.get_json()["nearest"] == ["pdfs"]
    assert "'pdf'; did you mean pdfs?" in answer.get_json()["detail"]
    assert world.published == []


def test_nodes_that_could_not_be_asked_are_named(world: World) -> None:
    world.look = lambda database: ([], ["replica2"])
    answer = world.client.post(SYNC, json={"database": "pdf"})
    assert answer.status_code == 404
    assert "Not reached, so not asked: replica2." in answer.get_json()["detail"]


@pytest.mark.parametrize("look", [None, ([], ["primary", "replica1", "replica2"])])
def test_where_nobody_can_tell_the_job_will(look: tuple[list[str], list[str]] | None) -> None:
    world = World(look=lambda database: look)
    assert world.client.post(SYNC, json={"database": "made-just-now"}).status_code == 202


def test_a_database_that_a_node_has_since_a_second_is_found(world: World) -> None:
    world.look = lambda database: (["primary"], [])
    assert world.client.post(SYNC, json={"database": "made-just-now"}).status_code == 202


def test_a_repeated_request_gets_the_first_job(world: World) -> None:
    first = world.sync(**{"Idempotency-Key": "k"}).get_json()
    world.finish(first["id"])
    again = world.sync(**{"Idempotency-Key": "k"})
    assert again.status_code == 202
    assert again.get_json()["id"] == first["id"]
    assert again.get_json()["state"] == "succeeded"
    assert again.get_json()["deduplicated"] is False
    assert world.published == [first["id"]]


def test_a_repeated_request_gets_the_first_job_even_where_its_database_has_gone(world: World) -> None:
    first = world.sync(**{"Idempotency-Key": "k"}).get_json()
    world.save_sweep(databases={"categories": ["primary"]})
    headers = {"Idempotency-Key": "k"}
    again = world.client.post(SYNC, json={"database": "pdfs"}, headers=headers)
    assert (again.status_code, again.get_json()["id"]) == (202, first["id"])


def test_a_repeated_request_that_waits_gets_the_end_of_the_first_job(world: World) -> None:
    first = world.sync(**{"Idempotency-Key": "k"}).get_json()
    world.finish(first["id"])
    answer = world.sync(**{"Idempotency-Key": "k", "Prefer": "wait=10"})
    assert answer.status_code == 200
    assert answer.get_json()["id"] == first["id"]


def test_the_same_key_for_another_request_is_422(world: World) -> None:
    world.sync("pdfs", **{"Idempotency-Key": "k"})
    answer = world.sync("categories", **{"Idempotency-Key": "k"})
    assert answer.status_code == 422
    assert answer.get_json()["type"] == "urn:notebook-replication:problem:idempotency-key-reused"


def test_the_same_key_at_another_address_is_another_key(world: World) -> None:
    world.sync("pdfs", **{"Idempotency-Key": "k"})
    answer = world.client.post("/api/replication/setup", json={}, headers={"Idempotency-Key": "k"})
    assert answer.status_code == 202


@pytest.mark.parametrize("key", ["", "x" * 256, "schlüssel", "tab\there"])
def test_a_key_that_is_no_key_is_400(world: World, key: str) -> None:
    answer = world.sync(**{"Idempotency-Key": key})
    assert answer.status_code == 400
    assert answer.get_json()["type"] == "urn:notebook-replication:problem:bad-idempotency-key"
    assert world.published == []


def test_redis_gone_is_503_in_under_two_seconds_and_nothing_is_done(world: World) -> None:
    started = time.monotonic()
    answer = world.without_redis().post(SYNC, json={"database": "pdfs", "wait": True})
    assert time.monotonic() - started < 2
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "2"
    assert answer.mimetype == "application/problem+json"
    assert answer.get_json()["type"] == "urn:notebook-replication:problem:store-unavailable"
    assert world.published == []


def test_a_queue_that_takes_nothing_is_503_and_leaves_no_job(world: World) -> None:
    def refuse(_job_id: str, _request: Request) -> None:
        raise StoreUnavailable("the queue does not answer")

    world.on_publish = refuse
    assert world.sync().status_code == 503
    assert world.client.get("/api/jobs").get_json() == {"jobs": [], "next": None}
    world.on_publish = lambda job_id, request: None
    assert world.sync().get_json()["deduplicated"] is False


def _soon(world: World) -> Callable[[str, Request], None]:
    """A worker that ends the job as soon as its record is confirmed."""

    def publish(job_id: str, _request: Request) -> None:
        threading.Thread(target=_finish_once_listed, args=(world, job_id)).start()

    return publish


def _finish_once_listed(world: World, job_id: str) -> None:
    while not world.jobs.list(Filter(), cursor=None, limit=1).jobs:
        time.sleep(0.001)
    world.finish(job_id)
