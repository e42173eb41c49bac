"""The door: what goes out, and what each answer and each failure means for the exit code."""

from __future__ import annotations

import pytest
import requests

from cli.errors import Exit
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
        (problem(421, "misdirected"), Exit.REFUSED, "Misdirected"),
        (problem(404, "unknown-node", detail="no such", nearest=["a", "b"]), Exit.NOT_FOUND, "nearest: a, b"),
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
    done = terminal.run("nodes", "--json")
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
