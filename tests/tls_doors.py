"""A real TLS endpoint in front of nodes: HAProxy, with certificates that tests make.

One HAProxy has as many doors as wanted, each on a loopback port of its own.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from embedded.folders import private, write_private
from embedded.haproxy import MISSING, find_haproxy, start
from embedded.ports import LOOPBACK, any_free
from embedded.process import Command, Process, StartError

_HEAD = """\
global
    maxconn 500
    ssl-default-bind-options ssl-min-ver TLSv1.0
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    timeout http-request 10s
"""
_DOOR = """\
frontend {name}
    bind {host}:{port} ssl crt {certificate} {more}
    default_backend {name}
backend {name}
    server node {host}:{upstream}
"""


@dataclass(frozen=True)
class Door:
    """In front of a port. `certificate` has the key in it as well; `more`: further options of its `bind` line."""

    upstream: int
    certificate: Path
    more: str = ""


class TlsDoors:
    """Use as a context manager. Raises StartError where there is no HAProxy."""

    def __init__(self, folder: Path, doors: Mapping[str, Door]) -> None:
        program = find_haproxy()
        if program is None:
            raise StartError(MISSING)
        folder = private(folder)
        self._ports: dict[str, int] = {}
        text = _HEAD
        for name, door in doors.items():
            self._ports[name] = any_free(self._ports.values())
            text += _DOOR.format(name=name, host=LOOPBACK, port=self._ports[name], **vars(door))
        write_private(folder / "tls.cfg", text)
        argv = [str(program), "-db", "-f", str(folder / "tls.cfg")]
        self._process = Process(Command("tls-doors", argv), folder / "tls.log")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """On the same ports; certificates are read anew."""
        start(self._process, self._open)

    def stop(self) -> None:
        self._process.kill()

    def port(self, name: str) -> int:
        return self._ports[name]

    def url(self, name: str, host: str = LOOPBACK, scheme: str = "https") -> str:
        return f"{scheme}://{host}:{self._ports[name]}"

    def _open(self) -> bool:
        try:
            for port in self._ports.values():
                socket.create_connection((LOOPBACK, port), 1).close()
        except OSError:
            return False
        return True
