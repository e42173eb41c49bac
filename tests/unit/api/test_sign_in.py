"""The way in for browsers, and what a cookie may do."""

from __future__ import annotations

import hashlib
import re
from typing import Any

import pytest
from flask.testing import FlaskClient
from itsdangerous import URLSafeTimedSerializer

from tests.unit.api.world import BEARER, TOKEN, World, settings

VIEWER = "a-token-that-may-only-look"
KEY, OLDER = "k" * 32, "o" * 32
SHA256 = {"digest_method": hashlib.sha256}
SETUP = "/api/replication/setup"


@pytest.fixture
def locked() -> World:
    return World(settings(api_tokens=f"owner=admin:{TOKEN},guest=view:{VIEWER}", secret_key=KEY))


def enter(client: FlaskClient, token: str = TOKEN, **more: str) -> Any:
    return client.post("/sign-in", data={"token": token, **more})


def session(client: FlaskClient) -> dict[str, Any]:
    answer = client.get("/api/session")
    assert answer.status_code == 200
    return dict(answer.get_json())


def proof(client: FlaskClient) -> dict[str, str]:
    return {"X-CSRF-Token": session(client)["csrf_token"]}


def test_who_signs_in_is_whose_token_it_was(locked: World) -> None:
    assert session(locked.client) == {"caller": None, "role": None, "signed_in": False, "csrf_token": None}
    answer = enter(locked.client, VIEWER)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/")
    told = session(locked.client)
    assert (told["caller"], told["role"], told["signed_in"]) == ("guest", "view", True)
    assert locked.client.get("/api/jobs").status_code == 200
    refused = locked.client.post(SETUP, json={}, headers=proof(locked.client))
    assert refused.get_json()["type"].endswith(":forbidden")


@pytest.mark.parametrize("secure", [False, True], ids=["http", "https"])
def test_the_cookie_is_for_this_server_alone_and_no_script_can_read_it(secure: bool) -> None:
    world = World(settings(api_tokens=TOKEN, secret_key=KEY, api_proxies=1))
    headers = {"X-Forwarded-Proto": "https" if secure else "http"}
    answer = world.client.post("/sign-in", data={"token": TOKEN}, headers=headers)
    (cookie,) = answer.headers.getlist("Set-Cookie")
    name, *parts = cookie.split("; ")
    assert name.startswith("__Host-nbr=" if secure else "nbr=")
    assert {"HttpOnly", "Path=/", "SameSite=Lax", "Max-Age=43200"} <= set(parts)
    assert ("Secure" in parts) is secure
    assert not any(part.startswith("Domain") for part in parts)
    assert ("Strict-Transport-Security" in answer.headers) is secure
    assert TOKEN not in cookie


def test_what_changes_something_needs_the_second_value(locked: World) -> None:
    enter(locked.client)
    for given in ({}, {"X-CSRF-Token": ""}, {"X-CSRF-Token": "0" * 64}, {"X-CSRF-Token": "ä"}):
        refused = locked.client.post(SETUP, json={}, headers=given)
        assert refused.status_code == 403
        assert refused.get_json()["type"].endswith(":bad-csrf-token")
    assert locked.published == []
    assert locked.client.post(SETUP, json={}, headers=proof(locked.client)).status_code == 202
    # a program with a token is no browser: nothing adds its header by itself
    assert locked.client.post(SETUP, json={"database": "a"}, headers=BEARER).status_code == 202


def test_one_may_sign_in_again_as_somebody_else(locked: World) -> None:
    enter(locked.client)
    assert enter(locked.client, "not-one-of-the-tokens").status_code == 401
    assert session(locked.client)["caller"] == "owner"
    before = locked.client.get_cookie("nbr")
    assert before is not None
    assert enter(locked.client, VIEWER).status_code == 303
    assert session(locked.client)["caller"] == "guest"
    locked.client.set_cookie("nbr", before.value)
    assert not session(locked.client)["signed_in"], "the one before has ended"


def test_the_second_value_is_of_one_sign_in_alone(locked: World) -> None:
    mine, other = locked.app.test_client(), locked.app.test_client()
    enter(mine)
    enter(other)
    assert mine.post(SETUP, json={}, headers=proof(other)).status_code == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "http://localhost:8080"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
    ids=["site", "port", "null", "cross-site", "same-site"],
)
def test_forms_of_other_sites_neither_change_anything_nor_sign_anybody_in_or_out(
    locked: World, headers: dict[str, str]
) -> None:
    refused = locked.client.post("/sign-in", data={"token": TOKEN}, headers=headers)
    assert (refused.status_code, refused.headers.getlist("Set-Cookie")) == (403, [])
    enter(locked.client)
    with_proof = {**headers, **proof(locked.client)}
    assert locked.client.post(SETUP, json={}, headers=with_proof).status_code == 403
    assert locked.client.post("/sign-out", headers=with_proof).status_code == 403
    assert session(locked.client)["signed_in"]
    # what an HTML form can send is no JSON
    form = locked.client.post(SETUP, data={"a": "b"}, headers=proof(locked.client))
    assert form.status_code == 415


def test_signing_out_ends_it_for_whoever_has_a_copy_too(locked: World) -> None:
    enter(locked.client)
    copy = locked.client.get_cookie("nbr")
    assert copy is not None
    assert locked.client.post("/sign-out").status_code == 403, "not without the proof"
    token = session(locked.client)["csrf_token"]
    answer = locked.client.post("/sign-out", data={"csrf_token": token})
    assert (answer.status_code, answer.headers["Location"]) == (303, "/sign-in")
    assert locked.client.get_cookie("nbr") is None
    thief = locked.app.test_client()
    thief.set_cookie("nbr", copy.value)
    assert thief.get("/api/jobs").status_code == 401


def test_a_token_that_is_taken_back_ends_its_sign_ins(locked: World) -> None:
    enter(locked.client)
    copy = locked.client.get_cookie("nbr")
    assert copy is not None
    later = World(settings(api_tokens=f"guest=view:{VIEWER}", secret_key=KEY), redis=locked.redis)
    later.client.set_cookie("nbr", copy.value)
    assert later.client.get("/api/jobs").status_code == 401
    enter(later.client, VIEWER)
    assert later.client.get("/api/jobs").status_code == 200


def test_cookies_outlive_a_change_of_the_key_while_the_old_one_is_listed(locked: World) -> None:
    enter(locked.client)
    copy, second = locked.client.get_cookie("nbr"), proof(locked.client)
    assert copy is not None
    for keys, known in ((f"{OLDER} {KEY}", True), (OLDER, False)):
        world = World(settings(api_tokens=TOKEN, secret_key=keys), redis=locked.redis)
        world.client.set_cookie("nbr", copy.value)
        assert session(world.client)["signed_in"] is known
        assert (world.client.post(SETUP, json={}, headers=second).status_code == 202) is known


def test_forged_cookies_open_nothing_and_do_not_lock_their_owner_out(locked: World) -> None:
    enter(locked.client)
    good = locked.client.get_cookie("nbr")
    assert good is not None
    signed_by_another = URLSafeTimedSerializer("x" * 32, salt="nbr-session").dumps("secret")
    unknown = URLSafeTimedSerializer(KEY, salt="nbr-session", signer_kwargs=SHA256).dumps("never-signed-in")
    forged = [signed_by_another, unknown, good.value[:-2] + "AA", "", "a.b.c", "." * 3_000, '{"role":"admin"}']
    for value in forged * 5:
        thief = locked.app.test_client()
        thief.set_cookie("nbr", value)
        assert thief.get("/api/jobs").status_code == 401, value[:50]
    assert locked.client.get("/api/jobs").status_code == 200


def test_a_wrong_token_is_told_in_words_and_counts(locked: World) -> None:
    for number in range(10):
        answer = enter(locked.client, f"not-one-of-the-tokens-{number}")
        assert answer.status_code == 401
        assert 'role="alert"' in answer.text
        assert "not-one-of-the-tokens" not in answer.text
    held = enter(locked.client)
    assert held.status_code == 429
    assert "too many wrong tokens" in held.text
    assert held.headers["Retry-After"]
    assert held.headers.getlist("Set-Cookie") == []


@pytest.mark.parametrize(
    ("path", "goes_to"),
    [
        ("/docs?x=1#y", "/docs?x=1#y"),
        ("", "/"),
        ("https://evil.example/", "/"),
        ("//evil.example/", "/"),
        ("/\\evil.example", "/"),
        ("/a\r\nSet-Cookie: x=y", "/"),
        ("javascript:alert(1)", "/"),
    ],
)
def test_one_is_sent_on_to_this_server_alone(locked: World, path: str, goes_to: str) -> None:
    answer = enter(locked.client, next=path)
    assert answer.status_code == 303
    assert answer.headers["Location"] == goes_to


def test_the_page_shows_what_is_so_and_runs_no_script(locked: World) -> None:
    page = locked.client.get('/sign-in?next=/x"><script>alert(1)</script>')
    assert page.status_code == 200
    assert "<script" not in page.text
    assert "script-src" not in page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert locked.client.get("/static/sign-in.css").mimetype == "text/css"
    enter(locked.client)
    there = locked.client.get("/sign-in").text
    assert "owner" in there
    assert re.search(r'name="csrf_token" value="[0-9a-f]{64}"', there)
    assert "No token is asked for" in World().client.get("/sign-in").text


@pytest.mark.parametrize("path", ["/static/../auth.py", "/static/%2e%2e/auth.py", "/static//etc/passwd", "/static/"])
def test_static_files_are_those_of_one_folder(locked: World, path: str) -> None:
    answer = locked.client.get(path)
    assert answer.status_code in {401, 404}, "an address that nobody knows is nobody's business"
    assert "import" not in answer.text


def test_without_redis_nobody_signs_in_and_health_still_answers(locked: World) -> None:
    enter(locked.client)
    copy = locked.client.get_cookie("nbr")
    assert copy is not None
    alone = locked.without_redis()
    alone.set_cookie("nbr", copy.value)
    assert alone.get("/api/health").status_code == 503
    assert alone.get("/api/jobs").status_code == 503
    assert enter(alone).status_code == 503
