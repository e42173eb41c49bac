"""What changes, as it changes. The jobs are real, on a fake Redis; the clock is the test's."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from tasks.jobs import Progress
from tests.unit.api.world import World


def messages(answer: Any) -> Iterator[dict[str, Any]]:
    """Each message that has data, as it comes."""
    for chunk in answer.response:
        fields = dict(line.split(": ", 1) for line in chunk.decode().strip().splitlines() if not line.startswith(":"))
        if "data" in fields:
            yield {"event": fields["event"], "id": fields.get("id"), "data": json.loads(fields["data"])}


def begun(world: World, **headers: str) -> tuple[Any, Iterator[dict[str, Any]]]:
    answer = world.client.get("/api/stream", headers=headers)
    assert (answer.status_code, answer.mimetype) == (200, "text/event-stream")
    return answer, messages(answer)


def record(world: World, detail: str) -> str:
    return world.events.record("node.state", at=world.now, detail=detail, severity="info", node="primary").id


def test_first_comes_when_things_were_looked_at(world: World) -> None:
    world.save_sweep()
    answer, told = begun(world)
    assert next(told) == {
        "event": "seen",
        "id": None,
        "data": {"nodes": world.now - 1, "links": None, "databases": None, "backups": None},
    }
    world.now += 5
    world.save_sweep()
    assert next(told)["data"]["nodes"] == world.now - 1
    answer.close()


def test_an_event_comes_with_its_id_and_who_had_it_does_not_get_it_again(world: World) -> None:
    record(world, "long ago")
    answer, told = begun(world)
    assert next(told)["event"] == "seen"
    first, second = record(world, "one"), record(world, "two")
    assert [(one["id"], one["data"]["detail"]) for one in (next(told), next(told))] == [(first, "one"), (second, "two")]
    answer.close()
    answer, told = begun(world, **{"Last-Event-ID": first})
    assert next(told)["id"] == second
    answer.close()


def test_what_is_no_id_of_ours_counts_for_none(world: World) -> None:
    record(world, "long ago")
    answer, told = begun(world, **{"Last-Event-ID": "7\x01; DROP"})
    assert next(told)["event"] == "seen"
    answer.close()


def test_a_job_is_told_at_each_change_without_what_may_be_large(world: World) -> None:
    answer, told = begun(world)
    assert next(told)["event"] == "seen"
    record(world, "the next look at jobs has begun")
    assert next(told)["event"] == "event"
    job = world.queued()
    world.start(job.id)
    found = next(told)
    assert (found["event"], found["data"]["id"], found["data"]["state"]) == ("job", job.id, "running")
    assert not {"result", "params"} & found["data"].keys()
    answer.close()


def test_many_changes_of_jobs_are_no_more_looks_at_the_rest(world: World) -> None:
    """The records are large where there are many databases, and one viewer may not keep the process busy."""
    answer, told = begun(world)
    assert next(told)["event"] == "seen"
    record(world, "the next look at jobs has begun")
    assert next(told)["event"] == "event"
    job = world.queued()
    token = world.start(job.id)
    record(world, "not asked for while jobs change, and no second has passed")
    for done in range(3):
        world.store.beat(job.id, token, "nonce", Progress("gather", done, 9, "changes", None))
        assert next(told)["event"] == "job"
    world.now += 1
    world.store.beat(job.id, token, "nonce", Progress("gather", 6, 9, "changes", None))
    assert [next(told)["event"] for _ in range(2)] == ["job", "event"]
    answer.close()


def test_it_ends_after_a_minute_so_that_who_looks_shows_again_who_he_is(world: World) -> None:
    answer, told = begun(world)
    assert next(told)["event"] == "seen"
    world.now += 61
    assert list(told) == []
    answer.close()


def test_a_thread_is_given_back_when_it_ends(world: World) -> None:
    for _ in range(10):  # more than there are threads
        answer, told = begun(world)
        next(told)
        answer.close()
    held = [world.client.get("/api/stream") for _ in range(2)]
    refused = world.client.get("/api/stream")
    assert refused.status_code == 503
    assert refused.get_json()["type"].endswith(":too-many-streams")
    for answer in held:
        answer.close()
    assert world.client.head("/api/stream").status_code == 200


def test_without_redis_it_says_so_and_ends(world: World) -> None:
    answer = world.without_redis().get("/api/stream")
    assert "Redis does not answer" in answer.text
