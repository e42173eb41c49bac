from __future__ import annotations

import time

from api.health import BEAT_SILENT_AFTER
from tests.unit.api.world import World

HEALTH = "/api/health"


def test_all_is_well(world: World) -> None:
    world.alive()
    world.save_sweep(cluster="healthy")
    answer = world.client.get(HEALTH)
    body = answer.get_json()
    assert answer.status_code == 200
    assert body["status"] == "ok"
    assert body["redis"] == {"ok": True, "detail": None}
    assert body["workers"] == {"count": 1, "last_heartbeat": "2026-11-23T15:00:00.123Z"}
    assert body["beat"] == {"last_tick": "2026-11-23T15:00:00.123Z", "ok": True}
    assert body["nodes"][0] == {
        "name": "primary",
        "state": "healthy",
        "since": "2026-11-23T14:59:00.123Z",
        "reason": None,
    }
    assert body["observed_at"] == "2026-11-23T15:00:00.123Z"


def test_jobs_are_counted_by_state(world: World) -> None:
    world.alive()
    world.queued("pdfs")
    world.start(world.queued("categories").id)
    counts = world.client.get(HEALTH).get_json()["jobs"]
    assert counts == {"queued": 1, "running": 1, "succeeded": 0, "failed": 0, "cancelled": 0}


def test_a_node_down_is_degraded_but_jobs_are_taken(world: World) -> None:
    world.alive()
    world.save_sweep()
    answer = world.client.get(HEALTH)
    assert (answer.status_code, answer.get_json()["status"]) == (200, "degraded")


def test_nodes_nobody_has_looked_at_are_not_called_ok(world: World) -> None:
    world.alive()
    body = world.client.get(HEALTH).get_json()
    assert body["status"] == "degraded"
    assert {node["state"] for node in body["nodes"]} == {"unknown"}


def test_a_silent_beat_is_degraded(world: World) -> None:
    world.alive()
    world.now += BEAT_SILENT_AFTER + 1
    world.seen.worker_alive("worker-1", world.now)
    world.save_sweep(cluster="healthy")
    body = world.client.get(HEALTH).get_json()
    assert (body["status"], body["beat"]["ok"]) == ("degraded", False)


def test_without_workers_no_job_can_be_done(world: World) -> None:
    answer = world.client.get(HEALTH)
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "2"
    assert answer.mimetype == "application/json"
    body = answer.get_json()
    assert body["status"] == "unavailable"
    assert body["workers"] == {"count": 0, "last_heartbeat": None}
    assert body["beat"] == {"last_tick": None, "ok": False}


def test_it_answers_where_redis_is_gone(world: World) -> None:
    started = time.monotonic()
    answer = world.without_redis().get(HEALTH)
    assert time.monotonic() - started < 2
    assert answer.status_code == 503
    body = answer.get_json()
    assert body["status"] == "unavailable"
    assert body["redis"]["ok"] is False
    assert "Redis does not answer" in body["redis"]["detail"]
    assert body["workers"] == {"count": None, "last_heartbeat": None}
    assert body["beat"] == {"last_tick": None, "ok": None}
    assert body["jobs"] is None
