"""A node named on the command line, its password, and the line of progress."""

from __future__ import annotations

import io

import pytest

from worker.ops import command
from worker.ops.command import Terminal, password_of, server_at

SECRET = "secret-that-nobody-shows-1"


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


# --- the node


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://127.0.0.1:5984", "http://127.0.0.1:5984"),
        (" https://couch.example:6984/ ", "https://couch.example:6984"),
        ("http://proxy.example/couch/", "http://proxy.example/couch"),
        ("http://[::1]:5984/", "http://[::1]:5984"),
    ],
)
def test_a_url_becomes_a_server(url: str, expected: str) -> None:
    node = server_at(url, "admin", SECRET, "here").node
    assert (node.name, node.url, node.peer_url) == ("here", expected, expected)
    assert node.credentials is not None
    assert (node.credentials.user, node.credentials.password) == ("admin", SECRET)
    assert SECRET not in repr(node)


def test_without_a_user_nobody_logs_in() -> None:
    assert server_at("http://127.0.0.1:5984", None, SECRET).node.credentials is None


@pytest.mark.parametrize(
    "url", ["127.0.0.1:5984", "ftp://a", "http://", "http://a:x", "http://a?b=c", "http://a#b", "pdfs", ""]
)
def test_what_is_no_url_of_a_node_says_what_would_be(url: str) -> None:
    with pytest.raises(ValueError, match=r"write it like http://127\.0\.0\.1:5984"):
        server_at(url, None, None)


@pytest.mark.parametrize("userinfo", [f"admin:{SECRET}", "admin", f":{SECRET}", f"a%40b:{SECRET}", f"admin:{SECRET}@x"])
def test_a_url_with_a_password_is_refused_without_showing_it(userinfo: str) -> None:
    with pytest.raises(ValueError, match="COUCHDB_PASSWORD") as caught:
        server_at(f"http://{userinfo}@127.0.0.1:5984", None, None)
    assert SECRET not in str(caught.value)


# --- the password


def test_the_password_is_that_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(command.PASSWORD, SECRET)
    assert password_of("admin") == SECRET
    assert password_of(None) is None


def test_without_a_terminal_nobody_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(command.PASSWORD, raising=False)
    monkeypatch.setattr(command, "TERMINAL", "/nonexistent/tty")
    with pytest.raises(ValueError, match="set the environment variable COUCHDB_PASSWORD"):
        password_of("admin")


def test_on_a_terminal_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.delenv(command.PASSWORD, raising=False)
    monkeypatch.setattr(command, "TERMINAL", "/dev/null")
    monkeypatch.setattr("getpass.getpass", lambda prompt: asked.append(prompt) or SECRET)
    assert password_of("admin") == SECRET
    assert asked == ["Password of admin: "]


# --- progress


def test_progress_is_one_line_that_goes_away() -> None:
    screen = Screen()
    with Terminal(screen) as control:
        control.check()
        control.report("import", 1_200, 4_800, "documents")
        control.report("import", 1_201, 4_800, "documents")  # too soon to be seen
    assert screen.getvalue() == f"{command.CLEARED}import: 1,200 of 4,800 documents (25%){command.CLEARED}"


@pytest.mark.parametrize(
    ("told", "line"),
    [(("copy",), "copy"), (("copy", 7), "copy: 7"), (("copy", 7, None, "chunks"), "copy: 7 chunks")],
)
def test_a_line_has_what_is_known(told: tuple[str, int, None, str], line: str) -> None:
    screen = Screen()
    Terminal(screen).report(*told)
    assert screen.getvalue() == f"{command.CLEARED}{line}"


def test_nothing_is_shown_where_nobody_looks() -> None:
    log = io.StringIO()
    with Terminal(log) as control:
        control.report("import", 1, 2, "documents")
    assert log.getvalue() == ""
