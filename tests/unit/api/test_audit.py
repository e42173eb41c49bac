"""Who changed what."""

from __future__ import annotations

from typing import Any

import pytest
import structlog

from tasks.audit_log import KEPT, LONGEST_PATH, AuditLog, Change
from tasks.redis import connect
from tests.unit.api.world import BEARER, TOKEN, World, settings

OPERATOR = {"Authorization": "Bearer a-token-of-an-operator"}


@pytest.fixture
def world() -> World:
    return World(settings(api_tokens=f"owner=admin:{TOKEN},ci=operate:a-token-of-an-operator"))


def changes(world: World, query: str = "") -> list[dict[str, Any]]:
    answer = world.client.get(f"/api/audit{query}", headers=BEARER)
    assert answer.status_code == 200
    return list(answer.get_json()["changes"])


def test_who_what_and_which_job(world: World) -> None:
    job = world.client.post("/api/replication/setup", json={}, headers=OPERATOR).get_json()["id"]
    world.client.delete(f"/api/jobs/{job}", headers=BEARER)
    cancelled, made = changes(world)
    assert made == {
        "id": made["id"],
        "at": "2026-11-23T15:00:00.123Z",
        "caller": "ci",
        "role": "operate",
        "address": "127.0.0.1",
        "method": "POST",
        "path": "/api/replication/setup",
        "status": 202,
        "about": "setup all",
        "job": job,
        "problem": None,
    }
    assert (cancelled["caller"], cancelled["path"], cancelled["status"]) == ("owner", f"/api/jobs/{job}", 200)
    assert cancelled["about"] == "cancel setup"
    assert [change["caller"] for change in changes(world, "?caller=ci")] == ["ci"]


def test_what_was_refused_is_there_with_the_reason(world: World) -> None:
    world.client.post("/api/replication/setup", json={"no": 1}, headers=OPERATOR)
    world.client.post("/api/backups/x/hold", json={}, headers=OPERATOR)
    told = [(change["status"], change["problem"]) for change in changes(world, "?refused=true")]
    assert told == [(403, "forbidden"), (422, "invalid-request")]
    assert changes(world) == [], "apart: nobody pushes what was done out with what was not"


def test_what_asks_for_nothing_that_is_there_leaves_no_record(world: World) -> None:
    world.client.put("/api/jobs", headers=OPERATOR)
    world.client.post("/api/nowhere", headers=OPERATOR)
    anybody = World(settings(api_allow_anonymous="view"))
    anybody.client.post("/api/replication/setup", json={})
    for made in (world, anybody):
        assert made.audit.page(refused=True).changes == made.audit.page().changes == []


def test_a_sign_in_is_recorded_as_who_it_is_from_then_on(world: World) -> None:
    world.client.post("/sign-in", data={"token": TOKEN})
    world.client.post("/sign-in", data={"token": "a-token-of-an-operator"})
    assert [(change["caller"], change["about"]) for change in changes(world)] == [
        ("ci", "signed in"),
        ("owner", "signed in"),
    ]


def test_what_makes_no_job_says_what_it_changed(world: World) -> None:
    world.client.post("/api/nodes/replica1/maintenance", json={"on": True}, headers=OPERATOR)
    assert [change["about"] for change in changes(world)] == ["replica1 out"]


def test_looks_and_strangers_leave_no_record(world: World) -> None:
    world.client.get("/api/jobs", headers=OPERATOR)
    world.client.post("/api/replication/setup", json={})
    world.client.post("/api/replication/setup", json={}, headers={"Authorization": "Bearer wrong-token"})
    world.client.post("/sign-in", data={"token": "wrong-token"})
    assert changes(world) == []


def test_it_is_logged_too_and_alone_where_redis_is_away(world: World) -> None:
    with structlog.testing.capture_logs() as logged:
        world.client.post("/api/replication/setup", json={}, headers=OPERATOR)
        AuditLog(connect("redis://127.0.0.1:1/0")).record(Change(0, "ci", "operate", "::1", "POST", "/x", 202))
    lines = [line for line in logged if line["event"] == "audit"]
    assert [(line["caller"], line["path"]) for line in lines] == [("ci", "/api/replication/setup"), ("ci", "/x")]
    assert any("log alone" in line["event"] for line in logged)


def test_page_by_page(world: World) -> None:
    for number in range(5):
        world.audit.record(Change(number, "ci", "operate", "::1", "POST", f"/api/{number}", 202))
    seen, query = [], "?limit=2"
    while True:
        page = world.client.get(f"/api/audit{query}", headers=BEARER).get_json()
        seen += [change["path"] for change in page["changes"]]
        if page["next"] is None:
            break
        query = f"?limit=2&before={page['next']}"
    assert seen == [f"/api/{number}" for number in (4, 3, 2, 1, 0)]
    assert changes(world, "?before=0-0") == []


def test_it_is_bounded(world: World) -> None:
    world.client.post("/api/backups/" + "x" * 5_000 + "/hold", headers=OPERATOR)
    assert len(changes(world, "?refused=true")[0]["path"]) == LONGEST_PATH
    for number in range(KEPT + 300):
        world.audit.record(Change(number, "ci", "operate", "::1", "POST", "/x", 202))
    assert world.redis.xlen("nbr:audit") <= KEPT + 200
