"""Status, health, info and nodes: what the last sweep saw, and plain unknowns before the first."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import SecretStr

from api.observed import HIDDEN_SETTINGS, stale_after
from config.settings import Settings
from tests.unit.api.world import PASSWORD, World, settings

SEEN_AT = "2026-11-23T14:59:59.123Z"


def test_status_lists_the_links(world: World) -> None:
    world.save_sweep()
    assert world.client.get("/api/replication/status").get_json() == {
        "observed_at": SEEN_AT,
        "mode": "continuous",
        "links": [
            {
                "database": "pdfs",
                "source": "primary",
                "target": "replica1",
                "state": "running",
                "lag": 3,
                "last_error": None,
                "observed_at": SEEN_AT,
            }
        ],
    }


def test_status_of_one_database(world: World) -> None:
    world.save_sweep(databases={"pdfs": ["primary"], "categories": ["primary"]})
    assert len(world.client.get("/api/replication/status?database=pdfs").get_json()["links"]) == 1
    assert world.client.get("/api/replication/status?database=categories").get_json()["links"] == []
    answer = world.client.get("/api/replication/status?database=pdf")
    assert answer.status_code == 404
    assert answer.get_json()["type"].endswith(":unknown-database")
    assert answer.get_json()["nearest"] == ["pdfs"]
    assert "did you mean pdfs?" in answer.get_json()["detail"]


def test_health_of_the_cluster(world: World) -> None:
    world.save_sweep()
    body = world.client.get("/api/replication/health").get_json()
    assert (body["status"], body["observed_at"]) == ("degraded", SEEN_AT)
    assert body["nodes"][0] == {
        "name": "primary",
        "state": "healthy",
        "latency_ms": 1.5,
        "version": "3.5.0",
        "since": "2026-11-23T14:59:00.123Z",
        "reason": None,
    }
    assert body["nodes"][2]["reason"] == "unreachable: connection refused"


def test_an_old_sweep_says_nothing_about_now(world: World) -> None:
    world.save_sweep(cluster="healthy")
    world.now += stale_after(world.settings) - 2
    assert world.client.get("/api/replication/health").get_json()["status"] == "healthy"
    world.now += 2
    body = world.client.get("/api/replication/health").get_json()
    assert (body["status"], body["observed_at"]) == ("unknown", SEEN_AT)


def test_nodes(world: World) -> None:
    world.save_sweep()
    body = world.client.get("/api/nodes").get_json()
    assert body["observed_at"] == SEEN_AT
    assert body["nodes"][2] == {
        "name": "replica2",
        "url": "http://127.0.0.1:5986",
        "state": "down",
        "since": "2026-11-23T14:59:00.123Z",
        "reason": "unreachable: connection refused",
        "latency_ms": None,
        "version": None,
        "lag": None,
        "observed_at": SEEN_AT,
    }


def test_before_the_first_sweep_everything_is_unknown(world: World) -> None:
    nodes = world.client.get("/api/nodes").get_json()
    assert nodes["observed_at"] is None
    assert [(node["name"], node["state"], node["lag"]) for node in nodes["nodes"]] == [
        ("primary", "unknown", None),
        ("replica1", "unknown", None),
        ("replica2", "unknown", None),
    ]
    health = world.client.get("/api/replication/health").get_json()
    assert (health["status"], health["observed_at"]) == ("unknown", None)
    assert world.client.get("/api/replication/status").get_json() == {"observed_at": None, "mode": None, "links": []}
    info = world.client.get("/api/replication/info").get_json()
    assert (info["mode"], info["mode_reason"], info["observed_at"]) == (None, None, None)


def test_a_node_the_sweep_has_not_seen_is_unknown(world: World) -> None:
    world.save_sweep(nodes=[])
    assert {node["state"] for node in world.client.get("/api/nodes").get_json()["nodes"]} == {"unknown"}


def test_info_says_what_is_in_force(world: World) -> None:
    world.save_sweep()
    body = world.client.get("/api/replication/info").get_json()
    assert (body["mode"], body["mode_reason"]) == ("continuous", "the nodes have a scheduler")
    assert (body["topology"], body["continuous_replication"]) == ("mesh", True)
    assert body["nodes"] == [
        {"name": "primary", "url": "http://127.0.0.1:5984", "role": "primary"},
        {
            "name": "replica1",
            "url": "http://127.0.0.1:5985",
            "peer_url": "http://couchdb-replica1:5984",
            "role": "replica",
        },
        {"name": "replica2", "url": "http://127.0.0.1:5986", "role": "replica"},
    ]
    assert body["settings"]["RESULT_TTL"] == 86_400
    assert body["observed_at"] == SEEN_AT


def test_no_answer_shows_a_credential() -> None:
    secrets: dict[str, Any] = {
        name: f"not-to-be-seen-{name}" for name, field in Settings.model_fields.items() if field.annotation is SecretStr
    }
    secrets |= {
        "redis_url": "redis://:not-to-be-seen-redis@127.0.0.1:6379/0",
        "broker_url": "redis://:not-to-be-seen-broker@127.0.0.1:6379/0",
        "flower_basic_auth": "user:not-to-be-seen-flower",
    }
    world = World(settings(**secrets, couchdb_user="admin-name", replication_user="replicator-name"))
    world.alive()
    world.save_sweep()
    bearer = {"Authorization": f"Bearer {secrets['api_tokens']}"}
    for path in ("replication/info", "replication/status", "replication/health", "nodes", "health"):
        answer = world.client.get(f"/api/{path}", headers=bearer)
        assert answer.status_code == 200
        for secret in ("not-to-be-seen", PASSWORD, "admin", "replicator-name", *world.settings.secrets):
            assert secret not in answer.text


def test_every_setting_is_shown_or_hidden_on_purpose(world: World) -> None:
    shown = world.client.get("/api/replication/info").get_json()["settings"]
    secret = {name for name, field in Settings.model_fields.items() if field.annotation is SecretStr}
    assert {name.lower() for name in shown} == set(Settings.model_fields) - secret - HIDDEN_SETTINGS
    for name in shown:
        assert not any(word in name for word in ("PASSWORD", "TOKEN", "SECRET", "_URL", "_USER"))


@pytest.mark.parametrize("path", ["replication/status", "replication/health", "replication/info", "nodes", "jobs"])
def test_looks_are_also_answered_without_a_body(world: World, path: str) -> None:
    answer = world.client.head(f"/api/{path}")
    assert (answer.status_code, answer.data) == (200, b"")
