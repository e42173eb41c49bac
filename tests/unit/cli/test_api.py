"""The door: what goes out, and what each answer and each failure means for the exit code."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from cli.access import Access
from cli.api import Api
from cli.errors import Exit, Unavailable
from tests.unit.cli import bodies
from tests.unit.cli.terminal import TOKEN, URL, Reply, Terminal, problem

NODES = "GET /api/nodes"


def test_the_token_goes_into_a_header_with_time_outs_and_no_redirects(terminal: Terminal) -> None:
    terminal.api.on(NODES, {"nodes": [], "observed_at": None})
    terminal.run("nodes")
    (asked,) = terminal.api.asked
    assert asked.headers["Authorization"] == f"Bearer {TOKEN}"
    assert all(0 < seconds <= 30 for seconds in asked.options["timeout"])
    assert asked.options["verify"]
    assert not asked.options["proxies"]


def test_nothing_of_netrc_or_of_proxies_counts(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.example.com")
    terminal.api.on(NODES, {"nodes": [], "observed_at": None})
    terminal.run("nodes")
    assert not terminal.api.asked[0].options["proxies"]


@pytest.mark.parametrize(
    ("reply", "code", "told"),
    [
        (problem(401, "unauthorized"), Exit.REFUSED, "NBR_TOKEN"),
        (problem(403, "forbidden", detail="needs operate"), Exit.REFUSED, "needs operate"),
        (problem(421, "misdirected"), Exit.USAGE, "API_ALLOWED_HOSTS"),
        (problem(404, "unknown-node", detail="no such", nearest=["a", "b"]), Exit.NOT_FOUND, "nearest: a, b"),
        (problem(404, "not-found"), Exit.UNAVAILABLE, "is this the API"),
        (Reply(404, {"error": "not_found", "reason": "missing"}), Exit.UNAVAILABLE, "is this the API"),
        (Reply(404, "<html>Not found</html>"), Exit.UNAVAILABLE, "NBR_URL or --url says where"),
        (Reply(405, "<html>Not allowed</html>"), Exit.UNAVAILABLE, "is this the API"),
        (problem(405, "method-not-allowed"), Exit.USAGE, "Method not allowed"),
        (Reply(200, {"couchdb": "Welcome"}), Exit.UNAVAILABLE, "is this the API"),
        (Reply(200, {"nodes": ["primary"]}), Exit.UNAVAILABLE, "is this the API"),
        (Reply(200, {"nodes": 7}), Exit.UNAVAILABLE, "is this the API"),
        (problem(429, "too-many-requests"), Exit.UNAVAILABLE, "Too many"),
        (problem(429, "locked-out"), Exit.REFUSED, "Locked out"),
        (problem(503, "store-unavailable"), Exit.UNAVAILABLE, "Store"),
        (problem(409, "job-ended"), Exit.FAILED, "Job ended"),
        (problem(500, "internal-error"), Exit.FAILED, "Internal"),
        (
            problem(422, "invalid-request", errors=[{"field": "limit", "message": "too large"}]),
            Exit.USAGE,
            "limit: too large",
        ),
        (Reply(502, "<html>Bad gateway</html>", {"Content-Type": "text/html"}), Exit.UNAVAILABLE, "502"),
        (Reply(200, "<html>Hello</html>", {"Content-Type": "text/html"}), Exit.UNAVAILABLE, "is this the API?"),
        (Reply(200, ["no object"]), Exit.UNAVAILABLE, "is this the API?"),
        (Reply(302, {}, {"Location": "https://elsewhere.example.com/x?token=1"}), Exit.UNAVAILABLE, "elsewhere"),
        (requests.ConnectionError("refused"), Exit.UNAVAILABLE, "cannot be reached"),
        (requests.ReadTimeout(), Exit.UNAVAILABLE, "does not answer in time"),
        (requests.exceptions.SSLError("self-signed certificate"), Exit.UNAVAILABLE, "NBR_CA_BUNDLE"),
    ],
    ids=lambda value: str(value.status) if isinstance(value, Reply) else None,
)
def test_failures(terminal: Terminal, reply: object, code: Exit, told: str) -> None:
    terminal.api.on(NODES, reply)
    done = terminal.run("nodes")
    assert done.exit_code == code
    assert told in done.stderr
    assert done.stdout == ""
    assert done.stderr.startswith("nbr: ")


def test_a_redirect_is_not_followed(terminal: Terminal) -> None:
    terminal.api.on(NODES, Reply(307, {}, {"Location": f"{URL}/elsewhere"}))
    terminal.run("nodes")
    assert terminal.api.calls() == [NODES]


def test_error_texts_of_others_are_not_obeyed(terminal: Terminal) -> None:
    terminal.api.on(NODES, problem(409, "conflict", detail="\x1b]0;owned\x07[bold]x", nearest=["\x1b[2J"]))
    done = terminal.run("nodes")
    assert "\x1b" not in done.output
    assert "\x07" not in done.output
    assert "[bold]x" in done.stderr


def test_without_an_api_the_address_is_named(terminal: Terminal) -> None:
    terminal.api.on(NODES, requests.ConnectionError("x"))
    assert URL in terminal.run("nodes").stderr


def test_names_are_one_segment_of_a_path(terminal: Terminal) -> None:
    terminal.api.on("GET /api/nodes/../audit?x", bodies.node())
    assert terminal.run("nodes", "show", "../audit?x").exit_code == 0
    assert terminal.api.asked[0].query == {}


def test_what_the_detail_says_is_not_said_twice(terminal: Terminal) -> None:
    errors = [{"field": "limit", "message": "too large"}, {"field": "", "message": "it is odd"}]
    terminal.api.on(NODES, problem(422, "invalid-request", detail="limit: too large; it is odd", errors=errors))
    told = terminal.run("nodes").stderr
    assert told.count("too large") == told.count("it is odd") == 1


def test_a_host_that_speaks_plain_http_is_told_from_one_with_a_bad_certificate() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor(1) as pool:
        pool.submit(_refuse_in_plain, server)
        with Api(Access(f"https://127.0.0.1:{server.getsockname()[1]}")) as api, pytest.raises(Unavailable) as caught:
            api.get("/api/nodes")
    told = str(caught.value.format_message())
    assert "plain HTTP is spoken there" in told
    assert "certificate" not in told


def _refuse_in_plain(server: socket.socket) -> None:
    connection, _ = server.accept()
    with connection:
        connection.recv(65_536)
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        connection.recv(65_536)


def test_something_that_was_sent_may_have_been_done(terminal: Terminal) -> None:
    terminal.api.on("POST /api/nodes/b/maintenance", requests.ReadTimeout())
    done = terminal.run("nodes", "maintenance", "b", "--on")
    assert done.exit_code == Exit.UNAVAILABLE
    assert "may be done all the same" in done.stderr
    terminal.api.on("POST /api/nodes/b/maintenance", requests.ConnectTimeout())
    assert "all the same" not in terminal.run("nodes", "maintenance", "b", "--on").stderr
