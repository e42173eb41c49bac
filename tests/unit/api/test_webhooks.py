"""/api/webhooks: what is taken and refused, and that a URL goes in and never comes out."""

from __future__ import annotations

import functools
import json
from typing import Any

import pytest

from tasks.jobs import Kind
from tasks.store import Filter
from tasks.webhooks import mark_of
from tests.unit.api.world import World, settings
from worker.core.events import EventType
from worker.core.registrations import MOST

TOKEN = "hook-token-token"
URL = f"https://me:hook-password@hook.test/{TOKEN}?key={TOKEN}"
CHAT = "https://chat.test/services/chat-token-token"
SECRET = "whsec_" + "A" * 32


@functools.cache
def _kept() -> World:
    """Made once: an app takes half a second."""
    values = {"webhook_urls": CHAT, "webhook_secret": SECRET, "webhook_allow_private": "10.0.0.0/8, hooks.internal"}
    return World(settings(secret_key="k" * 32, **values))


@pytest.fixture
def world() -> World:
    world = _kept()
    world.redis.flushall()
    world.published.clear()
    world.wanted_soon.clear()
    return world


def register(world: World, url: str = URL, **more: Any) -> Any:
    return world.client.post("/api/webhooks", json={"url": url, **more})


def field_error(answer: Any) -> dict[str, str]:
    assert answer.status_code == 422, answer.text
    (error,) = answer.get_json()["errors"]
    return dict(error)


def test_one_is_registered_and_its_secret_is_told_once(world: World) -> None:
    answer = register(world, events=["node.state", "job.finished", "node.state"], description="on call")

    made = answer.get_json()
    assert answer.status_code == 201
    assert answer.headers["Location"] == f"/api/webhooks/{made['id']}"
    secret = made.pop("secret")
    assert secret.startswith("whsec_")
    assert made == {
        "id": made["id"],
        "host": "https://hook.test",
        "events": ["job.finished", "node.state"],
        "description": "on call",
        "created_at": "2026-11-23T15:00:00.123Z",
        "source": "api",
    }
    assert world.wanted_soon == ["receivers"], "it is copied to the nodes"
    one, listed = world.client.get(f"/api/webhooks/{made['id']}"), world.client.get("/api/webhooks")
    assert one.get_json() == made
    assert [each["source"] for each in listed.get_json()["webhooks"]] == ["settings", "api"]
    assert listed.get_json()["webhooks"][1] == made
    assert listed.get_json()["copies"] == []
    for text in (one.text, listed.text, answer.text.replace(secret, "")):
        assert not [hidden for hidden in (TOKEN, "hook-password", "chat-token", secret) if hidden in text]


def test_without_types_it_gets_all_that_are_kept(world: World) -> None:
    assert register(world).get_json()["events"] is None
    assert register(world, description=None, events=None).get_json()["description"] is None


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("ftp://hook.test/" + TOKEN, "must be an http:// or https:// URL"),
        ("hook.test/" + TOKEN, "must be an http:// or https:// URL"),
        ("https://hook.test/#" + TOKEN, "must be an http:// or https:// URL"),
        ("https://hök.test/" + TOKEN, "must be an http:// or https:// URL"),
        ("https://hook.test:port/" + TOKEN, "must be an http:// or https:// URL"),
        ("http://[fe80::1%25eth0]/" + TOKEN, "must be an http:// or https:// URL"),
        ("https://hook.test/" + "x" * 2_000 + TOKEN, "is longer than 2000 characters"),
        ("http://localhost:5984/" + TOKEN, "is this machine itself; WEBHOOK_ALLOW_PRIVATE can allow it"),
        ("http://localhost./" + TOKEN, "is this machine itself"),
        ("http://127.0.0.1:5984/" + TOKEN, "is not a public address; WEBHOOK_ALLOW_PRIVATE can allow it"),
        ("http://[::1]/" + TOKEN, "is not a public address"),
        ("http://[::ffff:127.0.0.1]/" + TOKEN, "is not a public address"),
        ("http://169.254.169.254/latest/" + TOKEN, "is not a public address"),
        ("http://0/" + TOKEN, "must be written as four decimal numbers"),
        ("http://2130706433/" + TOKEN, "must be written as four decimal numbers"),
        ("http://0x7f.1/" + TOKEN, "must be written as four decimal numbers"),
        ("http://127.1/" + TOKEN, "must be written as four decimal numbers"),
        ("http://public.test\\@127.0.0.1/" + TOKEN, "is not a public address"),
        ("http://public.test@127.0.0.1/" + TOKEN, "is not a public address"),
    ],
    ids=lambda value: str(value)[:34],
)
def test_where_nothing_may_be_sent_is_refused_at_once_and_not_repeated(world: World, url: str, why: str) -> None:
    answer = register(world, url)

    error = field_error(answer)
    assert error["field"] == "url"
    assert why in error["message"]
    assert TOKEN not in answer.text
    assert world.receivers.living() == []


def test_names_of_a_private_network_are_refused_where_none_is_allowed() -> None:
    world = World(settings(secret_key="k" * 32))
    for name in ("couchdb", "db.internal", "printer.local"):
        assert "is a name of a private network" in field_error(register(world, f"http://{name}:5984/"))["message"]


@pytest.mark.parametrize("url", ["http://10.1.2.3:8080/hook", "http://hooks.internal/", "http://db.internal/"])
def test_what_is_allowed_is_taken(world: World, url: str) -> None:
    assert register(world, url).status_code == 201


@pytest.mark.parametrize(
    ("body", "field", "why"),
    [
        ({}, "url", "is missing"),
        ({"url": 1}, "url", "must be a string"),
        ({"url": URL, "events": []}, "events", "leave it out for all events"),
        ({"url": URL, "events": "node.state"}, "events", "must be a list"),
        ({"url": URL, "events": ["node.sate"]}, "events", "'node.sate': not known here; known: node.state"),
        ({"url": URL, "events": ["webhook.test"]}, "events", "not known here"),
        ({"url": URL, "description": ""}, "description", "of 1 to 200 characters"),
        ({"url": URL, "description": "a\nb"}, "description", "must be one line of text"),
        ({"url": URL, "description": "x" * 201}, "description", "of 1 to 200 characters"),
        ({"url": URL, "secret": SECRET}, "secret", "is unknown here"),
    ],
)
def test_what_is_wrong_is_named(world: World, body: dict[str, Any], field: str, why: str) -> None:
    answer = world.client.post("/api/webhooks", json=body)
    error = field_error(answer)
    assert error["field"] == field
    assert why in error["message"]
    assert TOKEN not in answer.text


def test_every_type_of_event_may_be_asked_for_but_a_test(world: World) -> None:
    wanted = [kind.value for kind in EventType if kind is not EventType.WEBHOOK_TEST]
    assert register(world, events=wanted).get_json()["events"] == sorted(wanted)


def test_without_a_secret_key_it_says_what_to_set() -> None:
    answer = register(World())

    assert (answer.status_code, answer.get_json()["type"].rpartition(":")[2]) == (409, "no-secret-key")
    assert "set SECRET_KEY" in answer.get_json()["detail"]


def test_there_is_a_bound(world: World) -> None:
    for _ in range(MOST):
        assert register(world).status_code == 201
    answer = register(world)
    assert (answer.status_code, answer.get_json()["type"].rpartition(":")[2]) == (409, "too-many-webhooks")


def test_one_is_deleted(world: World) -> None:
    identity = register(world).get_json()["id"]
    world.wanted_soon.clear()

    answer = world.client.delete(f"/api/webhooks/{identity}")

    assert (answer.status_code, answer.data, answer.headers.get("Content-Type")) == (204, b"", None)
    assert world.wanted_soon == ["receivers"]
    for again in (world.client.delete, world.client.get):
        assert again(f"/api/webhooks/{identity}").status_code == 404


def test_one_of_the_settings_is_shown_and_tested_and_not_deleted(world: World) -> None:
    identity = mark_of(world.settings, world.settings.receivers[0])
    shown = world.client.get(f"/api/webhooks/{identity}").get_json()
    assert (shown["host"], shown["source"], shown["created_at"]) == ("https://chat.test", "settings", None)

    answer = world.client.delete(f"/api/webhooks/{identity}")
    assert (answer.status_code, answer.get_json()["type"].rpartition(":")[2]) == (409, "webhook-of-settings")
    assert world.client.post(f"/api/webhooks/{identity}/test").status_code == 202


@pytest.mark.parametrize("identity", ["wh_0000000000000000", "0000000000000000", "wh_", "x%00y", "http:"])
def test_one_that_is_not_there(world: World, identity: str) -> None:
    path = f"/api/webhooks/{identity}"
    for answer in (world.client.get(path), world.client.delete(path), world.client.post(f"{path}/test")):
        assert (answer.status_code, answer.get_json()["type"].rpartition(":")[2]) == (404, "unknown-webhook")


def test_a_test_is_a_job(world: World) -> None:
    made = register(world).get_json()
    answers = [
        world.client.post(f"/api/webhooks/{made['id']}/test", headers={"Idempotency-Key": "one"}) for _ in range(2)
    ]

    assert [answer.status_code for answer in answers] == [202, 202]
    job = answers[0].get_json()
    assert job["id"] == answers[1].get_json()["id"]
    assert answers[0].headers["Location"] == f"/api/jobs/{job['id']}"
    assert (job["kind"], job["params"]["receiver"], job["params"]["mark"]) == ("webhook", made["host"], made["id"])
    assert job["params"]["event"]["type"] == "webhook.test"
    assert world.published == [job["id"]]


def test_a_broker_that_is_away_costs_no_registration(world: World) -> None:
    """It was written by then: a 503 would say that nothing was done, and the secret would be lost."""
    from tasks.redis import StoreUnavailable  # noqa: PLC0415

    class Away(list[str]):
        def append(self, _: str) -> None:
            raise StoreUnavailable("the queue does not take messages")

    away = World(world.settings)
    away.wanted_soon = Away()
    fresh = away._app(
        away.jobs,
        away.seen,
        away.replication,
        away.events,
        away.backups,
        away.audit,
        away.sign_ins,
        away.receivers,
        away.workload,
    ).test_client()

    answer = fresh.post("/api/webhooks", json={"url": URL})

    assert answer.status_code == 201
    assert fresh.delete(f"/api/webhooks/{answer.get_json()['id']}").status_code == 204


def test_without_redis_it_says_so(world: World) -> None:
    client = world.without_redis()
    assert client.get("/api/webhooks").status_code == 503
    assert client.delete("/api/webhooks/wh_0000000000000000").status_code == 503


def test_a_job_that_is_cancelled_in_the_queue_keeps_no_url(world: World) -> None:
    made = register(world).get_json()
    world.client.post(f"/api/webhooks/{made['id']}/test")
    (job,) = world.store.list(Filter(kind=Kind.WEBHOOK)).jobs
    answer = world.client.delete(f"/api/jobs/{job.id}")
    assert answer.get_json()["state"] == "cancelled"
    assert TOKEN not in json.dumps(answer.get_json())
