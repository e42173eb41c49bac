"""Everything that somebody who should not would try, against the running API: nothing gets in, nothing is told.

Over real HTTP, much of it as raw bytes, because a well-behaved client would not send them. What only one part decides
is tested with that part (tests/unit/api); TLS in tests/contract/test_tls.py, webhooks' addresses in
tests/unit/worker/core/test_addresses.py and tests/system/test_webhooks_registered.py.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import secrets
import socket
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import requests

from api.openapi import described
from config.tokens import Role, digest_of, new_token
from embedded.ports import LOOPBACK
from tests.system.couch import Couch
from tests.system.harness import Api, System, wait_until
from tests.unit.api.world import World

pytestmark = pytest.mark.system

TOKENS = {role: new_token() for role in Role}
NEVER_TOLD = ("Traceback", "werkzeug", "/usr/", "site-packages", "redis.exceptions")
# every call that may change something, with something in each of its places
MUTATIONS = sorted(
    (method, re.sub("<[^>]+>", "nobody-knows-it", rule.rule))
    for rule, method, _ in described(World().app)
    if method not in {"GET", "HEAD"}
)


@pytest.fixture(scope="module")
def tokens_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tokens") / "tokens"
    path.write_text("".join(f"{role.word}={role.word}:sha256:{digest_of(token)}\n" for role, token in TOKENS.items()))
    return path


@pytest.fixture(scope="module")
def own(nodes: list[Couch], tokens_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    settings = {
        "API_TOKENS_FILE": str(tokens_file),
        "API_PROXIES": "1",  # so that each test comes from an address of its own
        "API_THREADS": "8",  # so that few clients that say nothing would hold them all
        "SECRET_KEY": secrets.token_hex(32),
        "CONTINUOUS_REPLICATION": "false",
    }
    with System(nodes, tmp_path_factory.mktemp("security"), settings) as made:
        made.start("worker", "api")
        yield made


@pytest.fixture
def address(request: pytest.FixtureRequest) -> str:
    """That nobody else comes from: wrong tokens of one test lock no other one out."""
    return f"192.0.2.{zlib.crc32(request.node.name.encode()) % 250 + 1}"


@pytest.fixture
def admin(own: System, address: str) -> Iterator[Api]:
    with caller(own, address, TOKENS[Role.ADMIN]) as made:
        yield made


def caller(system: System, address: str, token: str | None) -> Api:
    made = Api(system.api.url, token)
    made._session.headers["X-Forwarded-For"] = address
    return made


def kind(answer: requests.Response) -> str:
    assert answer.headers["Content-Type"] == "application/problem+json", answer.text
    for words in NEVER_TOLD:
        assert words not in answer.text
    return str(answer.json()["type"]).rpartition(":")[2]


def raw(system: System, request: bytes) -> tuple[int, bytes]:
    """The status and all of the answer to bytes that no client would send."""
    with socket.create_connection((LOOPBACK, system.port), 10) as sent:
        sent.sendall(request)
        answer = http.client.HTTPResponse(sent)
        answer.begin()
        return answer.status, answer.read()


def request_line(method: str, target: str, *headers: str, host: str = "localhost", body: bytes = b"") -> bytes:
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}", "Connection: close", *headers]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


# --- who


@pytest.mark.parametrize(("method", "path"), MUTATIONS)
def test_without_a_token_nothing_is_changed(own: System, address: str, method: str, path: str) -> None:
    with caller(own, address, None) as stranger:
        assert kind(stranger.call(method, path, json={})) == "unauthorized"


@pytest.mark.parametrize(("method", "path"), MUTATIONS)
def test_a_token_that_may_look_changes_nothing(own: System, address: str, method: str, path: str) -> None:
    with caller(own, address, TOKENS[Role.VIEW]) as viewer:
        answer = viewer.call(method, path, json={})
        assert (answer.status_code, kind(answer)) == (403, "forbidden")
        assert viewer.get("/api/jobs").status_code == 200


def test_a_wrong_token_opens_nothing_and_is_not_repeated(own: System, address: str) -> None:
    wrong = new_token()
    with caller(own, address, wrong) as stranger:
        for path in ("/api/jobs", "/api/health", "/no/such/address"):
            answer = stranger.get(path)
            assert kind(answer) == "unauthorized"
            assert wrong not in answer.text + str(answer.headers)


def test_a_thousand_wrong_tokens_are_a_thousand_refusals_and_one_event(own: System, admin: Api) -> None:
    guesser = "198.51.100.7"
    with caller(own, guesser, None) as stranger:
        statuses = []
        for number in range(1_000):
            answer = stranger.get("/api/jobs", headers={"Authorization": f"Bearer guess-number-{number}"})
            statuses.append(answer.status_code)
        assert statuses == [401] * 10 + [429] * 990
    with caller(own, guesser, TOKENS[Role.ADMIN]) as right:
        held = right.get("/api/jobs")
        assert (held.status_code, kind(held)) == (429, "locked-out")
    assert admin.get("/api/jobs").status_code == 200, "from elsewhere it goes on"
    told = [event for event in admin.get("/api/events").json()["events"] if event["data"].get("address") == guesser]
    assert [event["type"] for event in told] == ["access.locked-out"]


def test_a_token_is_given_out_and_taken_back_while_all_runs(
    own: System, admin: Api, address: str, tokens_file: Path
) -> None:
    made, before = new_token(), tokens_file.read_text()

    def change(text: str, told: str) -> None:
        """And let requests come until the API has seen it: it looks when somebody asks."""
        count = log_of(own).count(told)
        replace(tokens_file, text)
        wait_until(lambda: admin.get("/api/jobs").status_code == 200 and log_of(own).count(told) > count, told, 8)

    with caller(own, address, made) as someone:
        assert someone.get("/api/jobs").status_code == 401
        change(f"{before}late=view:sha256:{digest_of(made)}\n", "was read again")
        assert someone.get("/api/jobs").status_code == 200
        change("broken", "cannot be used")
        assert someone.get("/api/jobs").status_code == 200, "a slip of the pen locks nobody out"
        change(before, "was read again")
        assert someone.get("/api/jobs").status_code == 401, "it was taken back"


def replace(path: Path, text: str) -> None:
    beside = path.with_suffix(".new")
    beside.write_text(text)
    os.replace(beside, path)


def log_of(system: System) -> str:
    return (system.folder / "api.log").read_text()


# --- browsers


def signed_in(system: System, address: str, role: Role = Role.ADMIN) -> requests.Session:
    browser = requests.Session()
    browser.trust_env = False
    browser.headers["X-Forwarded-For"] = address
    answer = browser.post(f"{system.api.url}/sign-in", data={"token": TOKENS[role]}, timeout=10, allow_redirects=False)
    assert answer.status_code == 303, answer.text
    return browser


def test_a_browser_signs_in_works_and_signs_out(own: System, address: str) -> None:
    url, browser = own.api.url, signed_in(own, address)
    (cookie,) = browser.cookies
    assert (cookie.secure, cookie.has_nonstandard_attr("HttpOnly")) == (False, True)  # plain HTTP here
    told = browser.get(f"{url}/api/session", timeout=10).json()
    assert (told["caller"], told["role"], told["signed_in"]) == ("admin", "admin", True)
    setup = {"url": f"{url}/api/replication/setup", "json": {"dry_run": True}, "timeout": 10}
    assert kind(browser.post(**setup)) == "bad-csrf-token"
    assert browser.post(**setup, headers={"X-CSRF-Token": told["csrf_token"]}).status_code == 202
    browser.post(f"{url}/sign-out", data={"csrf_token": told["csrf_token"]}, timeout=10)
    copy = requests.get(f"{url}/api/jobs", cookies={cookie.name: str(cookie.value)}, timeout=10)
    assert kind(copy) == "unauthorized"


def test_behind_tls_the_cookie_is_for_this_host_over_https_alone(own: System, address: str) -> None:
    headers = {"X-Forwarded-For": address, "X-Forwarded-Proto": "https"}
    form = {"token": TOKENS[Role.VIEW]}
    answer = requests.post(f"{own.api.url}/sign-in", data=form, headers=headers, timeout=10, allow_redirects=False)
    cookie = answer.headers["Set-Cookie"]
    assert cookie.startswith("__Host-nbr=")
    assert {"Secure", "HttpOnly", "Path=/", "SameSite=Lax"} <= set(cookie.split("; "))
    assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"


def test_a_forged_cookie_opens_nothing(own: System, address: str) -> None:
    browser = signed_in(own, address)
    (cookie,) = browser.cookies
    secret, *rest = str(cookie.value).split(".")
    for value in (
        "x",
        f"{secret}x.{'.'.join(rest)}",
        f"{secret}.{rest[0]}.{'A' * 43}",
        '{"role":"admin"}',
        "." * 3_000,
    ):
        answer = requests.get(f"{own.api.url}/api/jobs", cookies={cookie.name: value}, timeout=10)
        assert kind(answer) == "unauthorized", value[:60]


@pytest.mark.parametrize(
    "headers",
    [{"Origin": "https://evil.example"}, {"Origin": "http://localhost:1"}, {"Origin": "null"},
     {"Sec-Fetch-Site": "cross-site"}],
    ids=["site", "port", "null", "fetch"],
)  # fmt: skip
def test_a_form_of_another_site_changes_nothing(own: System, address: str, headers: dict[str, str]) -> None:
    browser = signed_in(own, address)
    token = browser.get(f"{own.api.url}/api/session", timeout=10).json()["csrf_token"]
    for path in ("/api/replication/setup", "/sign-out"):
        answer = browser.post(f"{own.api.url}{path}", json={}, headers={**headers, "X-CSRF-Token": token}, timeout=10)
        assert kind(answer) == "foreign-origin"
    # nor is anybody told to browsers who asks from elsewhere
    told = browser.get(f"{own.api.url}/api/jobs", headers=headers, timeout=10)
    assert not [name for name in told.headers if name.lower().startswith("access-control")]


def test_what_a_form_can_send_is_not_taken(admin: Api) -> None:
    for media in ("application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/plain"):
        answer = admin.call("POST", "/api/replication/setup", data=b"{}", headers={"Content-Type": media})
        assert kind(answer) == "not-json"


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "127.0.0.1.nip.io", "[::1]evil", ""])
def test_a_rebound_host_is_refused_whoever_asks(own: System, host: str) -> None:
    bearer = f"Authorization: Bearer {TOKENS[Role.ADMIN]}"
    status, said = raw(own, request_line("GET", "/api/jobs", bearer, host=host))
    assert status in {400, 421}, said
    assert b"jobs" not in said


# --- what is sent


def test_ten_megabytes_are_refused_without_reading_them_into_memory(own: System, admin: Api) -> None:
    body = b'{"database": "' + b"x" * 10_000_000 + b'"}'
    try:
        answer = admin.call("POST", "/api/replication/sync", data=body, headers={"Content-Type": "application/json"})
        assert kind(answer) == "body-too-large"
    except requests.ConnectionError:
        pass  # it hung up in the middle, which is an answer too

    def chunks() -> Iterator[bytes]:
        for _ in range(160):
            yield b" " * 65_536

    chunked = admin.call("POST", "/api/replication/sync", data=chunks(), headers={"Content-Type": "application/json"})
    assert kind(chunked) == "body-too-large"
    assert admin.get("/api/health").status_code in {200, 503}


@pytest.mark.parametrize("text", ["[" * 100_000, '{"database":' * 50_000, '{"a":' * 5_000 + "1" + "}" * 5_000])
def test_a_very_deep_json_is_refused_in_words(admin: Api, text: str) -> None:
    answer = admin.call(
        "POST", "/api/replication/sync", data=text.encode(), headers={"Content-Type": "application/json"}
    )
    assert (answer.status_code, kind(answer)) in {(400, "malformed-json"), (422, "invalid-request")}
    assert admin.get("/api/jobs").status_code == 200


NAMES = [
    "..", "../_users", "..%2F_users", "%2e%2e/_users", "a/../../_config", "_users", "_replicator", "_node/_local",
    "pdfs\x00", "pdfs\n", "päpers", "рdfs", "pdfs?x=1", "pdfs#x", " pdfs", "a" * 10_000, "\u202epdfs", "\ud800",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_tricks_in_names_reach_no_node(own: System, admin: Api, name: str) -> None:
    before = admin.get("/api/jobs").json()["jobs"]
    # as JSON can write it, lone surrogates too
    for body in ({"database": name}, {"databases": [name]}):
        path = "/api/replication/sync" if "database" in body else "/api/backups"
        answer = admin.call("POST", path, data=json.dumps(body).encode(), headers={"Content-Type": "application/json"})
        assert answer.status_code in {409, 422}, answer.text
        kind(answer)
    for place in ("/api/nodes/{}", "/api/nodes/{}/ready", "/api/jobs/{}", "/api/backups/{}", "/api/webhooks/{}"):
        target = place.format(quote(name.encode("utf-8", "surrogatepass"), safe=""))
        answer = admin.get(target)
        assert answer.status_code in {400, 404, 405, 409, 414}, f"{target[:80]}: {answer.status_code}"
    assert admin.get("/api/jobs").json()["jobs"] == before


@pytest.mark.parametrize(
    "target",
    ["/api/nodes/../../etc/passwd", "/api/nodes/%2e%2e%2f%2e%2e%2fetc%2fpasswd", "//etc/passwd", "/static/../auth.py",
     "/static/%2e%2e/auth.py", "/static/..%5cauth.py", "/docs/../api/jobs", "/docs/..%2f..%2fsecret",
     "/api/jobs;a=b", "/%00", "/\xff"],
)  # fmt: skip
def test_tricks_in_paths_lead_nowhere(own: System, target: str) -> None:
    bearer = f"Authorization: Bearer {TOKENS[Role.ADMIN]}"
    status, said = raw(own, request_line("GET", target, bearer))
    assert status in {400, 404, 421}, said[:200]
    assert b"root:" not in said
    assert b"import " not in said


def test_clients_that_never_end_a_request_stop_nobody(own: System, admin: Api) -> None:
    """More of them than there are threads, each with half a line, or half a body."""
    half = request_line("POST", "/sign-in", "Content-Type: application/x-www-form-urlencoded", "Content-Length: 99")
    sockets = [socket.create_connection((LOOPBACK, own.port), 10) for _ in range(12)]
    try:
        for number, each in enumerate(sockets):
            each.sendall(b"GET /api/he" if number % 2 else half + b"token=")
        wait_until(lambda: admin.get("/api/jobs").status_code == 200, "others are served again", 60)
        ended = [each for each in sockets if ends(each)]
        assert len(ended) == len(sockets), "nobody holds a thread by saying nothing"
    finally:
        for each in sockets:
            each.close()


def ends(waiting: socket.socket) -> bool:
    """Whether the server hangs up, or answers, before long."""
    waiting.settimeout(60)
    try:
        while waiting.recv(65_536):
            pass
    except ConnectionError:
        pass
    except TimeoutError:
        return False
    return True


def test_headers_cannot_be_smuggled_in_or_out(own: System, admin: Api) -> None:
    bearer = f"Authorization: Bearer {TOKENS[Role.ADMIN]}"
    for target in ("/sign-in?next=/%0d%0aSet-Cookie:%20a=b", "/api/nodes/x%0d%0aSet-Cookie:%20a=b"):
        with socket.create_connection((LOOPBACK, own.port), 10) as sent:
            sent.sendall(request_line("GET", target, bearer))
            answer = b"".join(iter(lambda: sent.recv(65_536), b""))
        head = answer.partition(b"\r\n\r\n")[0]
        assert b"a=b" not in head
    form = {"token": TOKENS[Role.VIEW], "next": "/docs\r\nSet-Cookie: a=b"}
    entered = requests.post(f"{own.api.url}/sign-in", data=form, timeout=10, allow_redirects=False)
    assert "a=b" not in str(entered.headers)
    # two lengths, or a length and chunks: what comes after must not be taken for a request
    hidden = b"GET /api/audit HTTP/1.1\r\nHost: localhost\r\n\r\n"
    both = request_line(
        "POST", "/api/replication/sync", bearer, "Transfer-Encoding: chunked", "Content-Type: application/json",
        f"Content-Length: {len(hidden) + 5}",
    )  # fmt: skip
    status, said = raw(own, both + b"0\r\n\r\n" + hidden)
    assert status == 400
    assert b"changes" not in said
    for name in ("X-Forwarded-Host", "X-Original-URL", "X-Rewrite-URL"):
        answer = admin.get("/api/session", headers={name: "evil.example"})
        assert "evil.example" not in answer.text + str(answer.headers)
    key = admin.sync("papers", headers={"Idempotency-Key": "a" * 300})
    assert kind(key) == "bad-idempotency-key"


# --- where it would have us go


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:5984/", "http://localhost:6379/", "http://[::1]/", "http://169.254.169.254/latest/meta-data/",
     "http://10.0.0.1/", "http://0x7f.1/", "http://2130706433/", "http://[::ffff:127.0.0.1]/", "http://0/",
     "http://100.64.0.1/", "http://metadata.google.internal/", "http://redis/", "file:///etc/passwd", "gopher://x/",
     "http://evil.example\r\nHost: x/", "http://user@127.0.0.1/", "http://[fe80::1%25eth0]/"],
)  # fmt: skip
def test_no_webhook_leads_into_our_own_network(own: System, admin: Api, url: str) -> None:
    answer = admin.call("POST", "/api/webhooks", json={"url": url})
    assert kind(answer) == "invalid-request"
    assert admin.get("/api/webhooks").json()["webhooks"] == []


@pytest.mark.parametrize("name", ["http://127.0.0.1:6379", "primary@evil.example", "//evil.example", "evil.example:80"])
def test_no_name_of_a_node_is_an_address(own: System, admin: Api, name: str) -> None:
    answer = admin.call("POST", f"/api/nodes/{quote(name, safe='')}/rejoin", json={})
    assert answer.status_code == 404
    for body in ({"databases": ["pdfs"], "nodes": [name]}, {"database": "pdfs", "node": name}):
        told = admin.call("POST", "/api/backups/latest/restore", json=body)
        assert told.status_code in {409, 422}


# --- what is said


def test_every_answer_forbids_what_a_page_could_do_with_it(own: System, admin: Api) -> None:
    for path in ("/", "/sign-in", "/docs", "/static/sign-in.css", "/api/jobs", "/api/nowhere", "/metrics"):
        headers = admin.get(path).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["X-Frame-Options"] == "DENY"
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert headers["Referrer-Policy"] == "same-origin"
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert not any(letter.isdigit() for letter in headers["Server"]), "no version"


def test_a_stranger_learns_nothing_of_the_installation(own: System, address: str) -> None:
    with caller(own, address, None) as stranger:
        told = "".join(stranger.get(path).text for path in ("/", "/api/health", "/openapi.json", "/sign-in", "/docs"))
        told += "".join(stranger.get(f"/api/nodes/{name}/ready").text for name in ("primary", "nobody"))
    for node in own.nodes.values():
        for words in (node.password, str(node.port), str(own.doors[node.name].port)):
            assert words not in told


def test_who_did_what_can_be_proved(own: System, admin: Api, address: str) -> None:
    with caller(own, address, TOKENS[Role.OPERATE]) as operator:
        job = operator.setup(dry_run=True).json()["id"]
        assert kind(operator.get("/api/audit")) == "forbidden"
    change: dict[str, Any] = admin.get("/api/audit?caller=operate&limit=1").json()["changes"][0]
    assert (change["job"], change["address"], change["path"]) == (job, address, "/api/replication/setup")
    logged = own.logged("audit", job=job)
    assert [(line["caller"], line["role"], line["status"]) for line in logged] == [("operate", "operate", 202)]
