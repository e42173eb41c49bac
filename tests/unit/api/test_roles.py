"""What each role may do: every address that is described, with every role."""

from __future__ import annotations

import functools
import re

import pytest

from api import openapi
from api.jobs import ADMINS as ADMINS_JOBS
from config.tokens import Role
from tasks.jobs import Kind, Request
from tests.unit.api.world import World, settings

SECRETS = {role: f"a-token-for-the-role-{role.word}" for role in Role}
# what a person may be given who only looks, what changes no data that cannot be had again, and all the rest
ADMINS = {
    ("POST", "/api/backups/<backup:backup_id>/restore"),
    ("POST", "/api/backups/<backup:backup_id>/hold"),
    ("GET", "/api/audit"),
    ("POST", "/api/security/rotate"),
    ("POST", "/api/webhooks"),
    ("DELETE", "/api/webhooks/<webhook_id>"),
    ("POST", "/api/webhooks/<webhook_id>/test"),
}
OPERATORS = {("GET", "/api/security/report")}  # what is weak is not for everybody's eyes


@functools.cache
def world() -> World:
    return World(settings(api_tokens=",".join(f"{role.word}:{secret}" for role, secret in SECRETS.items())))


def operations() -> list[tuple[str, str]]:
    return sorted({(method, rule.rule) for rule, method, entry in openapi.described(world().app) if not entry.open})


@pytest.mark.parametrize(("method", "path"), operations(), ids=str)
def test_each_call_has_its_least_role(method: str, path: str) -> None:
    least = Role.VIEW if method == "GET" and (method, path) not in OPERATORS else Role.OPERATE
    needed = Role.ADMIN if (method, path) in ADMINS else least
    for role, secret in SECRETS.items():
        answer = world().client.open(
            re.sub("<[^>]+>", "nobody-knows-it", path), method=method, headers={"Authorization": f"Bearer {secret}"}
        )
        problem = (answer.get_json(silent=True) or {}) if answer.status_code >= 400 else {}
        refused = str(problem.get("type", "")).endswith(":forbidden")
        assert refused is (role < needed), f"{role.word}: {answer.status_code} {answer.text[:200]}"
        if refused:
            assert answer.status_code == 403
            assert problem["needed"] == needed.word


def test_the_document_says_which() -> None:
    document = world().client.get("/openapi.json").get_json()
    restore = document["paths"]["/api/backups/{backup_id}/restore"]["post"]
    assert restore["description"] == "Least role: admin."
    assert "403" in restore["responses"]
    assert "403" in document["paths"]["/api/audit"]["get"]["responses"]
    assert "403" not in document["paths"]["/api/jobs"]["get"]["responses"]


def test_a_method_or_an_address_that_is_not_there_is_no_question_of_roles() -> None:
    viewer = {"Authorization": f"Bearer {SECRETS[Role.VIEW]}"}
    assert world().client.get("/api/nowhere", headers=viewer).status_code == 404
    assert world().client.put("/api/jobs", headers=viewer).status_code == 405


@pytest.mark.parametrize(("role", "status"), [("view", 403), ("operate", 202), ("admin", 202)])
def test_everybody_may_do_what_is_said(role: str, status: int) -> None:
    made = World(settings(api_allow_anonymous=role, api_tokens="admin:another-token-of-some-length"))
    assert made.client.get("/api/jobs").status_code == 200
    assert made.client.post("/api/replication/setup", json={}).status_code == status
    with_token = {"Authorization": "Bearer another-token-of-some-length"}
    assert made.client.get("/api/audit", headers=with_token).status_code == 200
    wrong = {"Authorization": "Bearer one-that-is-wrong"}
    assert made.client.get("/api/jobs", headers=wrong).status_code == 401, "a slip is told, and not taken for anybody"


def test_only_who_may_begin_it_may_cancel_it() -> None:
    made = World(settings(api_tokens=",".join(f"{role.word}:{secret}" for role, secret in SECRETS.items())))
    restore = made.jobs.submit(Request(Kind.ROTATE, None, {"to": "current"})).job.id
    sync = made.queued().id
    operator = {"Authorization": f"Bearer {SECRETS[Role.OPERATE]}"}
    refused = made.client.delete(f"/api/jobs/{restore}", headers=operator)
    assert (refused.status_code, refused.get_json()["needed"]) == (403, "admin")
    assert made.client.delete(f"/api/jobs/{sync}", headers=operator).status_code == 200
    owner = {"Authorization": f"Bearer {SECRETS[Role.ADMIN]}"}
    assert made.client.delete(f"/api/jobs/{restore}", headers=owner).status_code == 200


def test_the_kinds_that_only_an_admin_may_cancel_are_those_that_only_he_may_ask_for() -> None:
    asked = {"restore": Kind.RESTORE, "hold": Kind.HOLD, "rotate": Kind.ROTATE}
    jobs = {path.rpartition("/")[2] for method, path in ADMINS if method == "POST" and "webhooks" not in path}
    assert {asked[word] for word in jobs} == ADMINS_JOBS


def test_who_comes_from_elsewhere_is_not_on_this_machine() -> None:
    made = World()
    assert made.client.get("/api/jobs", environ_base={"REMOTE_ADDR": "192.0.2.1"}).status_code == 401
    assert made.client.get("/api/jobs", environ_base={"REMOTE_ADDR": "::1"}).status_code == 200


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "X-Forwarded-Host"])
def test_what_a_proxy_brings_does_not_come_from_this_machine(header: str) -> None:
    made = World()
    assert made.client.get("/api/jobs").status_code == 200
    assert made.client.get("/api/jobs", headers={header: "for=192.0.2.1"}).status_code == 401
