from __future__ import annotations

import hashlib
from typing import Any

import pytest

from api.auth import host_name
from tests.unit.api.world import BEARER, TOKEN, World, settings

SYNC = "/api/replication/sync"


@pytest.fixture
def locked() -> World:
    digest = hashlib.sha256(b"another-token-of-some-length").hexdigest()
    return World(settings(api_tokens=f"{TOKEN},sha256:{digest}"))


@pytest.mark.parametrize("path", ["/api", "/docs", "/docs/swagger-ui.css", "/docs/start.js", "/openapi.json"])
def test_the_documentation_is_open(locked: World, path: str) -> None:
    assert locked.client.get(path).status_code == 200


@pytest.mark.parametrize("path", ["/api/jobs", "/api/nodes", "/nowhere", SYNC])
def test_without_a_token_everything_is_401(locked: World, path: str) -> None:
    for method in ("GET", "POST", "DELETE", "TRACE"):
        answer = locked.client.open(path, method=method)
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"] == 'Bearer realm="notebook-replication"'
        assert answer.get_json()["type"].endswith(":unauthorized")


@pytest.mark.parametrize("token", [TOKEN, "another-token-of-some-length"])
def test_each_token_opens(locked: World, token: str) -> None:
    for scheme in ("Bearer", "bearer"):
        answer = locked.client.get("/api/jobs", headers={"Authorization": f"{scheme} {token}"})
        assert answer.status_code == 200


@pytest.mark.parametrize(
    "value", ["", "Bearer", "Bearer x", f"Basic {TOKEN}", TOKEN, f"Bearer {TOKEN}x", "Bearer schlüssel", "Bearer \x00"]
)
def test_a_wrong_token_is_401_and_said_to_be_wrong(locked: World, value: str) -> None:
    for path in ("/api/jobs", "/api/health"):
        answer = locked.client.get(path, headers={"Authorization": value})
        assert answer.status_code == 401
        assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]
        assert TOKEN not in answer.text


def test_health_is_open_but_says_little_without_a_token(locked: World) -> None:
    locked.alive()
    assert locked.client.get("/api/health").get_json() == {"status": "degraded"}
    assert "redis" in locked.client.get("/api/health", headers=BEARER).get_json()


def test_keys_of_two_callers_have_nothing_to_do_with_each_other(locked: World) -> None:
    locked.databases("pdfs")

    def sync(token: str, body: dict[str, Any]) -> Any:
        headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": "k"}
        return locked.client.post("/api/replication/setup", json=body, headers=headers)

    assert sync(TOKEN, {}).status_code == 202
    assert sync("another-token-of-some-length", {"database": "a"}).status_code == 202
    assert sync(TOKEN, {"database": "a"}).status_code == 422


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:5000", "127.0.0.1:8080", "[::1]:5000", "[::1]", "Nbr.example:1"]
)
def test_known_hosts_are_served(host: str) -> None:
    world = World(settings(api_allowed_hosts="nbr.example"))
    assert world.client.get("/api/jobs", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "", "[::1]evil", "a@localhost", "localhost:x"]
)
def test_other_hosts_are_421(world: World, host: str) -> None:
    for path in ("/api/jobs", "/api/health", "/nowhere"):
        answer = world.client.get(path, environ_overrides={"HTTP_HOST": host})
        assert answer.status_code == 421
        assert answer.get_json()["type"].endswith(":misdirected")


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://localhost", 202),
        ("http://LOCALHOST:80", 202),
        ("http://localhost:5000", 403),
        ("http://[::1]:5000", 403),
        ("https://evil.example", 403),
        ("null", 403),
        ("http://[", 403),
        ("", 403),
    ],
)
def test_pages_of_other_sites_change_nothing(world: World, origin: str, status: int) -> None:
    assert world.sync(Origin=origin).status_code == status
    job = world.queued("other")
    deleted = world.client.delete(f"/api/jobs/{job.id}", headers={"Origin": origin})
    assert deleted.status_code == (200 if status == 202 else 403)


def test_pages_of_other_sites_get_no_leave_to_read(world: World) -> None:
    answer = world.client.get("/api/jobs", headers={"Origin": "https://evil.example"})
    assert not [name for name, _ in answer.headers if name.startswith("Access-Control")]


@pytest.mark.parametrize(("netloc", "name"), [("A.b:1", "a.b"), ("[FE80::1]:5", "fe80::1"), ("a b", ""), ("::1", "")])
def test_host_names(netloc: str, name: str) -> None:
    assert host_name(netloc) == name


def test_every_answer_has_the_security_headers(locked: World) -> None:
    for path in ("/api", "/docs", "/docs/start.js", "/openapi.json", "/api/health", "/api/jobs", "/api/nowhere"):
        for headers in ({}, BEARER):
            answer = locked.client.get(path, headers=headers)
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert answer.headers["Referrer-Policy"] == "same-origin"
            assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
            assert "Access-Control-Allow-Origin" not in answer.headers
            if path.startswith("/api"):
                assert answer.headers["Cache-Control"] == "no-store"
