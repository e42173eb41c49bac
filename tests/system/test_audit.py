"""The security report, from the POST to the answer: what is wrong is in it, and no secret is left anywhere."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from embedded.ports import any_free
from tests.system.couch import Couch
from tests.system.harness import Api, System, wait_until
from tests.system.test_secrets import in_redis, leaks, logs

pytestmark = pytest.mark.system

TOKEN = f"token-{secrets.token_hex(16)}"
FLOWER_PASSWORD = f"flower-secret-{secrets.token_hex(8)}"
HOOK_TOKEN = f"hook-token-{secrets.token_hex(8)}"
INLINE = f"inline-secret-{secrets.token_hex(8)}"
PATH = "/api/security/report"
OPEN: dict[str, Any] = {"members": {"names": [], "roles": []}}
CLOSED: dict[str, Any] = {"members": {"names": [], "roles": ["_admin"]}}


@pytest.fixture
def own(mortals: list[Couch], tmp_path: Path) -> Iterator[System]:
    settings = {
        "API_TOKENS": TOKEN,
        "FLOWER_BASIC_AUTH": f"me:{FLOWER_PASSWORD}",
        "FLOWER_PORT": str(any_free()),
        "WEBHOOK_URLS": f"http://127.0.0.1:{any_free()}/{HOOK_TOKEN}",
        "WEBHOOK_SECRET": "whsec_" + "QUFB" * 8,
        "CONTINUOUS_REPLICATION": "false",
        "COUCHDB_TIMEOUT": "4",
    }
    with System(mortals, tmp_path / "audit", settings) as made:
        made.start("worker", "control", "api")
        yield made


@pytest.fixture
def open_database(mortals: list[Couch]) -> Iterator[str]:
    """On the second node alone."""
    name = f"audit-{secrets.token_hex(6)}"
    mortals[1].create(name)
    mortals[1].call("PUT", f"{name}/_security", OPEN)
    yield name
    mortals[1].drop(name)


def made(api: Api) -> dict[str, Any]:
    """As a job makes it now, and as it is kept."""
    answer = api.call("POST", PATH, json={"wait": True}, headers={"Prefer": "wait=60"})
    assert answer.status_code == 200, answer.text
    job = answer.json()
    assert (job["kind"], job["state"]) == ("audit", "succeeded"), job
    kept = api.get(PATH).json()
    assert kept["findings"] == job["result"]["findings"]
    return dict(kept)


def found(report: dict[str, Any], check: str) -> list[tuple[str | None, str | None]]:
    return [(one["node"], one["database"]) for one in report["findings"] if one["check"] == check]


def of(report: dict[str, Any], node: str | None) -> dict[str, Any]:
    (told,) = [each for each in report["checked"] if each["node"] == node]
    return dict(told)


def test_a_report_from_the_post_to_the_answer(own: System, mortals: list[Couch], open_database: str) -> None:
    api, real = own.api, mortals[1].schedules
    assert set(api.get(PATH).json().values()) == {None}, "nothing is known before the first"
    if real:
        inline = {"source": f"http://bob:{INLINE}@127.0.0.1:1/x", "target": "http://127.0.0.1:1/x"}
        revision = mortals[1].put("_replicator", {"_id": open_database, **inline})

    report = made(api)

    check = "database-open" if real else "database-open-to-users"
    assert (mortals[1].name, open_database) in found(report, check)
    assert found(report, "replication-user-is-admin") == [(None, None)]
    assert {"own-password-default", "own-password-weak", "redis-open", "api-without-token"} <= set(
        of(report, None)["passed"]
    )
    for node in mortals:
        assert "erlang-cookie" not in of(report, node.name)["passed"]
        assert "admin-party" in of(report, node.name)["passed"]
    if real:
        assert found(report, "inline-credentials") == [(mortals[1].name, "_replicator")]
        assert "default-password" in of(report, mortals[0].name)["passed"]
        told = {event["data"]["check"] for event in api.get("/api/events?type=security.finding").json()["events"]}
        assert "database-open" in told
        mortals[1].delete("_replicator", open_database, revision)
    _and_no_secret_is_left(own, mortals)

    mortals[1].call("PUT", f"{open_database}/_security", CLOSED)
    again = made(api)
    assert (mortals[1].name, open_database) not in found(again, check)
    assert found(again, "inline-credentials") == []
    assert again["observed_at"] > report["observed_at"]


def test_a_node_that_is_away_is_told_as_not_looked_at(own: System, mortals: list[Couch]) -> None:
    mortals[2].kill()

    report = made(own.api)

    told = of(report, mortals[2].name)
    assert "admin-party" in {row["check"] for row in told["unknown"]}
    assert set(told["passed"]) <= {"plain-http", "plain-http-between-nodes"}
    assert "admin-party" in of(report, mortals[0].name)["passed"]


def test_where_a_valid_user_is_required_no_stranger_is_let_in(own: System, mortals: list[Couch]) -> None:
    node = mortals[0]
    if not node.schedules:
        pytest.skip("a stand-in has no such setting")
    place = "_node/_local/_config/chttpd/require_valid_user"
    assert (node.name, None) in found(made(own.api), "valid-user-not-required")
    node.call("PUT", place, "true")
    try:
        report = made(own.api)
    finally:
        node.call("DELETE", place)

    assert "valid-user-not-required" in of(report, node.name)["passed"]
    assert "database-open" in of(report, node.name)["passed"]


def _and_no_secret_is_left(own: System, mortals: list[Couch]) -> None:
    wanted = {
        "the API token": TOKEN,
        "Flower's password": FLOWER_PASSWORD,
        "a webhook's token": HOOK_TOKEN,
        "a node's password": mortals[0].password,
        "inline credentials": INLINE,
    }
    if mortals[0].schedules:
        sections = mortals[0].call("GET", "_node/_local/_config")
        wanted["the cookie secret"] = sections["chttpd_auth"]["secret"]
        wanted["a hash"] = sections["admins"][mortals[0].user]
    with own.store() as store:
        wait_until(lambda: store.exists("nbr:seen:audit"), "the report is kept")
    places = {f"log of {name}": text for name, text in logs(own, []) if name not in {node.name for node in mortals}}
    places |= {f"answer: {text.splitlines()[0]}": text for text in own.api.answers} | in_redis(own)
    assert any("replication-user-is-admin" in text for text in places.values())
    found = [f"{what} in {where}" for where, text in places.items() for what in leaks(text, wanted)]
    assert found == [], json.dumps(found)
