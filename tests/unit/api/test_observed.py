"""Status, health, info and nodes: what the last sweep saw, and plain unknowns before the first."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from api.observed import HIDDEN_SETTINGS
from config.settings import Settings
from tests.unit.api.world import PASSWORD, World, link, settings, sweep

SEEN_AT = "2026-11-23T14:59:59.123Z"


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
    world.now += world.settings.stale_after - 2
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
        "failure": "refused",
        "latency_ms": None,
        "version": None,
        "lag": None,
        "kind": "couchdb",
        "uptime_seconds": None,
        "active_tasks": None,
        "replication_jobs": None,
        "load": None,
        "disk": None,
        "system_databases_missing": None,
        "observed_at": SEEN_AT,
    }


def test_one_node_is_told_with_all_its_figures(world: World) -> None:
    size = {"name": "pdfs", "file_bytes": 400, "active_bytes": 100, "fragmentation": 0.75}
    figures = {
        "uptime_seconds": 3600.0,
        "active_tasks": {
            "counts": {"indexer": 1},
            "slowest": {"type": "indexer", "database": "pdfs", "progress": 40},
        },
        "replication_jobs": {"running": 2, "pending": 0, "crashed": 1, "total": 3},
        "load": {"run_queue": 0, "messages": 1, "memory_bytes": 40_000_000},
        "disk": {
            "databases": 1,
            "file_bytes": 400,
            "active_bytes": 100,
            "fragmentation": 0.75,
            "largest": [size],
            "most_fragmented": [size],
            "observed_at": world.now - 1,
        },
        "system_databases_missing": ["_global_changes"],
    }
    primary = {**sweep(world.now)["nodes"][0], **figures, "disk_round": {"cursor": "half-way"}}
    world.save_sweep(nodes=[primary])

    body = world.client.get("/api/nodes/primary").get_json()

    assert {**body, "disk": {**body["disk"], "observed_at": world.now - 1}}.items() >= figures.items()
    assert body["disk"]["observed_at"] == SEEN_AT
    assert "disk_round" not in body
    assert body == world.client.get("/api/nodes").get_json()["nodes"][0]
    assert world.client.get("/api/nodes/replica1").get_json()["state"] == "unknown"


def test_a_node_nobody_knows_is_404_with_the_nearest_names(world: World) -> None:
    slip = world.client.get("/api/nodes/replica")
    other = world.client.get("/api/nodes/zzz")

    assert (slip.status_code, other.status_code) == (404, 404)
    assert slip.get_json()["type"].endswith(":unknown-node")
    assert set(slip.get_json()["nearest"]) == {"replica1", "replica2"}
    assert other.get_json()["nearest"] == []
    assert "known: primary, replica1, replica2" in other.get_json()["detail"]


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
    status = world.client.get("/api/replication/status").get_json()
    assert (status["observed_at"], status["mode"], status["links"], status["canary"]) == (None, None, [], None)
    info = world.client.get("/api/replication/info").get_json()
    assert (info["mode"], info["mode_reason"], info["observed_at"]) == (None, None, None)
    assert (info["modes"], info["watchers"]) == ({}, [])
    assert {node["replicator"] for node in info["nodes"]} == {None}


def test_a_node_the_sweep_has_not_seen_is_unknown(world: World) -> None:
    world.save_sweep(nodes=[])
    assert {node["state"] for node in world.client.get("/api/nodes").get_json()["nodes"]} == {"unknown"}


def test_info_says_what_is_in_force(world: World) -> None:
    world.save_reconcile()
    body = world.client.get("/api/replication/info").get_json()
    assert (body["mode"], body["modes"]) == ("continuous", {"continuous": 1})
    assert body["mode_reason"].startswith("auto: 2 replication jobs")
    assert (body["topology"], body["continuous_replication"]) == ("mesh", True)
    options = {"max_jobs": "500", "startup_jitter": "5000"}
    assert body["nodes"] == [
        {"name": "primary", "url": "http://127.0.0.1:5984", "role": "primary", "replicator": options},
        {
            "name": "replica1",
            "url": "http://127.0.0.1:5985",
            "peer_url": "http://couchdb-replica1:5984",
            "role": "replica",
            "replicator": options,
        },
        {"name": "replica2", "url": "http://127.0.0.1:5986", "role": "replica", "replicator": None},
    ]
    assert body["settings"]["RESULT_TTL"] == 86_400
    assert body["observed_at"] == SEEN_AT


def test_info_lists_the_rules_and_last_the_one_for_all_others(tmp_path: Path) -> None:
    rules = tmp_path / "rules.yml"
    rules.write_text("rules:\n  - databases: [notes-*]\n    direction: one-way\n    selector: {type: note}\n")
    world = World(settings(replication_rules=rules, replication_topology="star", replication_mode="on-change"))
    assert world.client.get("/api/replication/info").get_json()["rules"] == [
        {
            "databases": ["notes-*"],
            "topology": "star",
            "direction": "one-way",
            "mode": "on-change",
            "selector": {"type": "note"},
        },
        {"databases": ["*"], "topology": "star", "direction": "both", "mode": "on-change", "selector": None},
    ]


def test_info_lists_the_watchers_that_live(world: World) -> None:
    world.replication.watcher_alive("dead", {"at": world.now - 60, "leads": True, "feeds": {"primary": 1}})
    world.replication.watcher_alive(
        "leader", {"at": world.now - 1, "leads": True, "feeds": {"primary": world.now - 60, "replica1": None}}
    )
    world.replication.watcher_alive("spare", {"at": world.now - 1, "leads": False, "feeds": {}})
    assert world.client.get("/api/replication/info").get_json()["watchers"] == [
        {"name": "leader", "leads": True, "feeds": {"primary": "2026-11-23T14:59:00.123Z", "replica1": None}},
        {"name": "spare", "leads": False, "feeds": {}},
    ]


def test_where_nothing_travels_by_itself_info_says_why() -> None:
    world = World(settings(continuous_replication=False))
    world.save_reconcile()
    body = world.client.get("/api/replication/info").get_json()
    assert body["mode"] == "off"
    assert "CONTINUOUS_REPLICATION" in body["mode_reason"]
    assert world.client.get("/api/replication/status").get_json()["mode"] == "off"


def test_no_answer_shows_a_credential() -> None:
    secrets: dict[str, Any] = {
        name: f"not-to-be-seen-{name}" for name, field in Settings.model_fields.items() if field.annotation is SecretStr
    }
    secrets |= {
        "redis_url": "redis://:not-to-be-seen-redis@127.0.0.1:6379/0",
        "broker_url": "redis://:not-to-be-seen-broker@127.0.0.1:6379/0",
        "flower_basic_auth": "user:not-to-be-seen-flower",
        "backup_key": "",
        "secret_key": "not-to-be-seen-" * 3,
        "backup_options": "aws_secret_access_key=not-to-be-seen-bucket",
        "backup_copy_options": "aws_secret_access_key=not-to-be-seen-copy",
        "webhook_urls": "https://chat.test/not-to-be-seen-token",
        "webhook_secret": f"whsec_{base64.b64encode(b'not-to-be-seen-' * 2).decode()}",
    }
    world = World(settings(**secrets, couchdb_user="admin-name", replication_user="replicator-name"))
    world.alive()
    world.save_sweep()
    world.save_reconcile()
    world.save_links(link(world.now))
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
    # where backups and Flower are: a URL with credentials in it stops the start
    for name in shown.keys() - {"REPLICATE_USERS", "BACKUP_URL", "BACKUP_COPY_URL", "FLOWER_URL"}:
        assert not any(word in name for word in ("PASSWORD", "TOKEN", "SECRET", "_URL", "_USER"))


@pytest.mark.parametrize("path", ["replication/status", "replication/health", "replication/info", "nodes", "jobs"])
def test_looks_are_also_answered_without_a_body(world: World, path: str) -> None:
    answer = world.client.head(f"/api/{path}")
    assert (answer.status_code, answer.data) == (200, b"")
