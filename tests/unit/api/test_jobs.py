from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from api.jobs import _stream
from tasks.jobs import Job, Kind, Progress, Request, State
from tasks.redis import StoreUnavailable
from tests.unit.api.world import World, settings

NOBODY = "019ab1c2-6f3e-7c44-9d5a-0b8f2d1e7a90"


def _next_event(stream: Iterator[Any]) -> dict[str, Any]:
    """The next event `job`; comments are passed over."""
    for chunk in stream:
        text = chunk.decode() if isinstance(chunk, bytes) else chunk
        if text.startswith("event: job\n"):
            return json.loads(text.split("data: ", 1)[1])  # type: ignore[no-any-return]
        assert text.startswith(":")
    raise AssertionError("the stream has ended")


def test_a_job_can_be_looked_at(world: World) -> None:
    job = world.queued()
    answer = world.client.get(f"/api/jobs/{job.id}")
    assert answer.status_code == 200
    assert answer.headers["Retry-After"] == "1"
    assert answer.get_json()["state"] == "queued"
    assert "deduplicated" not in answer.get_json()


def test_a_running_job_shows_its_progress(world: World) -> None:
    job = world.queued()
    token = world.start(job.id)
    world.store.beat(job.id, token, "nonce", Progress("gather", 5, 10, "changes", 2.5))
    body = world.client.get(f"/api/jobs/{job.id}").get_json()
    assert body["progress"] == {"phase": "gather", "done": 5, "total": 10, "unit": "changes", "eta_seconds": 2.5}
    assert body["attempts"] == 1
    assert body["started_at"] == "2026-11-23T15:00:00.123Z"


def test_an_ended_job_needs_no_other_look(world: World) -> None:
    job = world.queued()
    world.finish(job.id)
    answer = world.client.get(f"/api/jobs/{job.id}")
    assert "Retry-After" not in answer.headers
    assert answer.get_json()["links"] == {"self": f"/api/jobs/{job.id}", "events": f"/api/jobs/{job.id}/events"}
    assert answer.get_json()["finished_at"] == "2026-11-23T15:00:00.123Z"


@pytest.mark.parametrize("job_id", [NOBODY, "nonsense", NOBODY.upper(), f"{NOBODY}%0a", "..", "*"])
def test_an_unknown_job_is_404(world: World, job_id: str) -> None:
    for answer in (
        world.client.get(f"/api/jobs/{job_id}"),
        world.client.delete(f"/api/jobs/{job_id}"),
        world.client.get(f"/api/jobs/{job_id}/events"),
    ):
        assert answer.status_code == 404
        assert answer.get_json()["type"].endswith(":unknown-job")


def test_jobs_are_listed_newest_first_page_by_page(world: World) -> None:
    made = {world.queued(f"db-{number}").id for number in range(5)}
    first = world.client.get("/api/jobs?limit=2").get_json()
    second = world.client.get(f"/api/jobs?limit=2&cursor={first['next']}").get_json()
    third = world.client.get(f"/api/jobs?limit=2&cursor={second['next']}").get_json()
    ids = [job["id"] for page in (first, second, third) for job in page["jobs"]]
    assert [len(page["jobs"]) for page in (first, second, third)] == [2, 2, 1]
    assert ids == sorted(made, reverse=True)
    assert third["next"] is None


def test_jobs_can_be_filtered(world: World) -> None:
    pdfs, categories = world.queued("pdfs").id, world.queued("categories").id
    setup = world.client.post("/api/replication/setup", json={}).get_json()["id"]
    world.finish(pdfs)

    def found(query: str) -> set[str]:
        return {job["id"] for job in world.client.get(f"/api/jobs?{query}").get_json()["jobs"]}

    assert found("state=succeeded") == {pdfs}
    assert found("kind=setup") == {setup}
    assert found("database=categories") == {categories}
    assert found("database=pdfs&state=queued") == set()
    assert found("") == {pdfs, categories, setup}


def test_a_queued_job_is_cancelled_at_once(world: World) -> None:
    job = world.queued()
    answer = world.client.delete(f"/api/jobs/{job.id}")
    assert (answer.status_code, answer.get_json()["state"]) == (200, "cancelled")


def test_a_running_job_is_asked_to_end(world: World) -> None:
    job = world.queued()
    world.start(job.id)
    answer = world.client.delete(f"/api/jobs/{job.id}")
    assert answer.status_code == 202
    assert answer.get_json()["cancel_requested"] is True
    assert answer.headers["Location"] == f"/api/jobs/{job.id}"


def test_an_ended_job_cannot_be_cancelled(world: World) -> None:
    job = world.queued()
    world.finish(job.id)
    answer = world.client.delete(f"/api/jobs/{job.id}")
    assert answer.status_code == 409
    assert answer.get_json()["type"].endswith(":job-ended")
    assert answer.get_json()["state"] == "succeeded"


def test_events_follow_a_job_to_its_end(world: World) -> None:
    job = world.queued()
    answer = world.client.get(f"/api/jobs/{job.id}/events", buffered=False)
    assert answer.status_code == 200
    assert answer.mimetype == "text/event-stream"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Accel-Buffering"] == "no"
    stream = iter(answer.response)
    assert _next_event(stream)["state"] == "queued"
    token = world.start(job.id)
    assert _next_event(stream)["state"] == "running"
    world.store.beat(job.id, token, "nonce", Progress("gather", 1, 2, "changes"))
    assert _next_event(stream)["progress"]["done"] == 1
    world.store.finish(job.id, token, State.SUCCEEDED, world.now)
    assert _next_event(stream)["state"] == "succeeded"
    assert list(stream) == []
    answer.close()


def test_a_quiet_stream_is_kept_alive() -> None:
    world = World(keep_alive_seconds=0.01)
    job = world.queued()
    answer = world.client.get(f"/api/jobs/{job.id}/events", buffered=False)
    stream = iter(answer.response)
    _next_event(stream)
    assert next(stream) in (b": keep-alive\n\n", ": keep-alive\n\n")
    answer.close()


def test_events_of_an_ended_job_are_one(world: World) -> None:
    job = world.queued()
    world.finish(job.id)
    text = world.client.get(f"/api/jobs/{job.id}/events").text
    assert text.count("event: job\n") == 1


def test_streams_are_bounded_and_give_their_threads_back(world: World) -> None:
    job = world.queued()
    path = f"/api/jobs/{job.id}/events"
    streams = [world.client.get(path, buffered=False) for _ in range(3)]
    refused = world.client.get(path)
    assert refused.status_code == 503
    assert refused.get_json()["type"].endswith(":too-many-streams")
    assert refused.headers["Retry-After"]
    for stream in streams:
        stream.close()
    for _ in range(5):  # HEAD holds nothing
        assert world.client.head(path).status_code == 200
    with world.client.get(path, buffered=False) as again:
        assert again.status_code == 200


def test_a_stream_ends_where_redis_goes_away() -> None:
    world = World()

    def changes() -> Iterator[Job | None]:
        yield world.queued()
        raise StoreUnavailable("gone")

    assert list(_stream(changes()))[1:] == [": Redis does not answer\n\n"]


def test_several_followers_see_the_same_end(world: World) -> None:
    job = world.queued()
    seen: list[str] = []

    def follow() -> None:
        seen.append(world.app.test_client().get(f"/api/jobs/{job.id}/events").text)

    followers = [threading.Thread(target=follow) for _ in range(2)]
    for follower in followers:
        follower.start()
    world.finish(job.id)
    for follower in followers:
        follower.join(10)
    assert len(seen) == 2
    assert all('"state":"succeeded"' in text for text in seen)


def test_redis_gone_is_503_for_every_look(world: World) -> None:
    client = world.without_redis()
    for answer in (
        client.get("/api/jobs"),
        client.get(f"/api/jobs/{NOBODY}"),
        client.get(f"/api/jobs/{NOBODY}/events"),
        client.delete(f"/api/jobs/{NOBODY}"),
        client.get("/api/nodes"),
        client.get("/api/replication/status"),
        client.get("/api/replication/health"),
        client.get("/api/replication/info"),
    ):
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "2")


def test_an_ended_job_is_asked_for_once_more(world: World) -> None:
    world.databases("pdfs")
    job = world.queued()
    assert world.client.post(f"/api/jobs/{job.id}/retry").get_json()["type"].endswith(":job-not-ended")
    world.finish(job.id)
    answer = world.client.post(f"/api/jobs/{job.id}/retry")
    again = answer.get_json()
    assert (answer.status_code, answer.headers["Location"]) == (202, f"/api/jobs/{again['id']}")
    assert again["id"] != job.id
    assert (again["kind"], again["database"], again["params"]) == ("sync", "pdfs", job.params)


def test_what_takes_an_admin_takes_one_again() -> None:
    world = World(settings(api_tokens="op=operate:a-token-that-may-operate"))
    job = world.jobs.submit(Request(Kind.ROTATE, None, {"to": "current"})).job
    world.finish(job.id)
    headers = {"Authorization": "Bearer a-token-that-may-operate"}
    answer = world.client.post(f"/api/jobs/{job.id}/retry", headers=headers)
    assert answer.get_json()["type"].endswith(":forbidden")
    assert len(world.published) == 1


def test_a_job_that_never_was_cannot_be_repeated(world: World) -> None:
    assert world.client.post(f"/api/jobs/{NOBODY}/retry").status_code == 404


@pytest.mark.parametrize(
    ("kind", "params", "problem"),
    [
        (Kind.BACKUP, {"databases": None}, "backups-off"),
        (Kind.RESTORE, {"backup": "b", "as": None}, "backups-off"),
        (Kind.ROTATE, {"to": "current"}, "nothing-to-change"),
    ],
    ids=["backup", "restore", "rotate"],
)
def test_what_the_settings_no_longer_allow_is_not_asked_for_again(
    world: World, kind: Kind, params: dict[str, Any], problem: str
) -> None:
    job = world.jobs.submit(Request(kind, None, params)).job
    world.finish(job.id)
    answer = world.client.post(f"/api/jobs/{job.id}/retry")
    assert (answer.status_code, answer.get_json()["type"].rpartition(":")[2]) == (409, problem)


def test_a_sync_of_a_database_that_is_gone_is_not_asked_for_again(world: World) -> None:
    job = world.queued()
    world.finish(job.id)
    world.seen.save_sweep({"observed_at": world.now, "cluster": "healthy", "nodes": []}, {"notes": ["primary"]})
    assert world.client.post(f"/api/jobs/{job.id}/retry").status_code == 404
