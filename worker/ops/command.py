"""What the commands of this folder have in common: a node named on the command line, its password, a line of progress.

They run by hand, perhaps when nothing else of this system does, so they need no settings but these.
"""

from __future__ import annotations

import argparse
import getpass
import os
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TextIO
from urllib.parse import urlsplit, urlunsplit

from worker.core.model import Credentials, Node
from worker.couch.client import CouchClient
from worker.couch.server import Server
from worker.couch.tls import Tls
from worker.couch.transport import RequestsTransport, Timeouts
from worker.ops.control import Control

PASSWORD = "COUCHDB_PASSWORD"  # noqa: S105 - the name of a variable
TERMINAL = "/dev/tty"
EVERY = 0.1  # seconds; more often nobody could read it
CLEARED = "\r\x1b[K"  # back to the start of the line, and rub out what stands there


class Usage(Exception):
    """What was asked for makes no sense; the message says what would."""


def server_at(url: str, user: str | None, password: str | None, name: str = "node", *, tls: Tls = Tls()) -> Server:
    """Nothing is asked of it yet. Raises ValueError, in words that never quote the URL's password, where this is no URL
    of a node."""
    clean = _checked(url)
    credentials = Credentials(user, password or "") if user else None
    node = Node(name, clean, clean, credentials, credentials)
    return Server(CouchClient(node, RequestsTransport(tls), Timeouts(3, 60)))


def _checked(url: str) -> str:
    wrong = "this is not the URL of a node: write it like http://127.0.0.1:5984"
    try:
        parts = urlsplit(url.strip())
        _ = parts.port  # looked at only here
    except ValueError:
        raise ValueError(wrong) from None
    if "@" in parts.netloc:
        raise ValueError(
            "the node's URL has a user or a password in it, which every process list would show: leave them out, name "
            f"the user with --user, and give the password in the environment variable {PASSWORD}"
        )
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
        raise ValueError(wrong)
    return urlunsplit((parts.scheme, parts.netloc, parts.path.rstrip("/"), "", ""))


def add_node(parser: argparse.ArgumentParser) -> None:
    """What every command takes that works on a node."""
    parser.add_argument("--node", required=True, help="the CouchDB node, like http://127.0.0.1:5984")
    parser.add_argument("--user", default=os.environ.get("COUCHDB_USER"), help="a server admin there (COUCHDB_USER)")
    parser.add_argument(
        "--ca-bundle",
        type=Path,
        default=os.environ.get("COUCHDB_CA_BUNDLE"),
        help="the CAs that signed the node's certificate, where no public one did (COUCHDB_CA_BUNDLE)",
    )


def node_of(asked: argparse.Namespace, *, password: str = "", tls: Tls = Tls()) -> Server:
    """The node that was named. `password`: where it is known; else it is asked for, last. Raises Usage."""
    if asked.ca_bundle and not asked.ca_bundle.is_file():
        raise Usage(f"--ca-bundle {asked.ca_bundle}: there is no such file")
    tls = replace(tls, ca_bundle=asked.ca_bundle or tls.ca_bundle)
    try:
        _checked(asked.node)
    except ValueError as error:
        raise Usage(f"--node: {error}") from None
    try:
        password = password or password_of(asked.user) or ""
    except ValueError as error:
        raise Usage(f"{error}") from None
    return server_at(asked.node, asked.user, password, tls=tls)


def password_of(user: str | None) -> str | None:
    """From the environment, or asked for on the terminal, also where standard input is something else. None for nobody.
    Raises ValueError where there is no terminal to ask on."""
    if user is None:
        return None
    if password := os.environ.get(PASSWORD):
        return password
    try:
        # looked at first, because without a terminal getpass would read standard input, which may be a dump
        with open(TERMINAL, encoding="utf-8"):
            pass
    except OSError:
        raise ValueError(
            f"the password of {user} is not known: set the environment variable {PASSWORD} (there is no terminal here "
            "to ask for it)"
        ) from None
    return getpass.getpass(f"Password of {user}: ")


class Terminal(Control):
    """Progress for whoever started the command: one line on standard error, written over again and again, and nothing
    where that is no terminal. Use as a context manager, so that the line is gone before anything else is printed."""

    def __init__(self, to: TextIO | None = None) -> None:
        self._to = sys.stderr if to is None else to
        self._shown = self._to.isatty()
        self._told = -EVERY

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *error: object) -> None:
        self.clear()

    def report(self, phase: str, done: int | None = None, total: int | None = None, unit: str | None = None) -> None:
        now = time.monotonic()
        if self._shown and now - self._told >= EVERY:
            self._told = now
            self._to.write(f"{CLEARED}{_line(phase, done, total, unit)}")
            self._to.flush()

    def check(self) -> None:
        """Who wants it to stop presses Ctrl-C."""

    def clear(self) -> None:
        if self._shown:
            self._to.write(CLEARED)
            self._to.flush()


def _line(phase: str, done: int | None, total: int | None, unit: str | None) -> str:
    if done is None:
        return phase
    of = f" of {total:,}" if total else ""
    share = f" ({done / total:.0%})" if total else ""
    return f"{phase}: {done:,}{of} {unit or ''}".rstrip() + share
