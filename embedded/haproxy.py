"""HAProxy on one machine, for tests and benchmarks: where the program is, and one that runs with the shipped files.

    python -m embedded.haproxy            prints the program's path, or nothing

What is tested is what ships: haproxy/*.cfg is taken as it is. Only ports and the addresses of nodes, agent and API are
others, and everything listens on loopback.
"""

from __future__ import annotations

import csv
import io
import os
import re
import shutil
import sys
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path

from config.haproxy import written
from config.haproxy_nodes import Nodes
from config.nodes import NodeSetting
from embedded.folders import PROJECT, VAR, private
from embedded.ports import LOOPBACK, any_free
from embedded.process import Command, Process, StartError
from embedded.waiting import wait_until

SHIPPED = PROJECT / "haproxy"
DOWNLOADED = VAR / "haproxy" / "haproxy"  # embedded/haproxy_download.py puts it there
START_SECONDS = 10.0
CALL_SECONDS = 5.0
MISSING = (
    "there is no haproxy on this machine (Debian, Ubuntu: apt install haproxy; macOS: brew install haproxy), "
    "HAPROXY_BIN names none, and `make haproxy` has fetched none"
)
_PORTS = re.compile(r"\b(bind :|bind 127\.0\.0\.1:|agent-port |addr 127\.0\.0\.1 port )(\d+)")


def find_haproxy(environ: Mapping[str, str] = os.environ) -> Path | None:
    """HAPROXY_BIN, the PATH (and sbin, which is not on everybody's), the downloaded one. Raises StartError where
    HAPROXY_BIN names something that is none."""
    named = environ.get("HAPROXY_BIN")
    if named:
        if not os.access(named, os.X_OK):
            raise StartError(f"HAPROXY_BIN={named}: there is no program to run")
        return Path(named)
    path = os.pathsep.join((environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin"))
    found = shutil.which("haproxy", path=path)
    if found:
        return Path(found)
    return DOWNLOADED if os.access(DOWNLOADED, os.X_OK) else None


def servers(statistics: str, backend: str) -> list[dict[str, str]]:
    """The rows of a backend's servers, from what HAProxy answers to `;csv`."""
    rows = csv.DictReader(io.StringIO(statistics.removeprefix("# ")))
    return [row for row in rows if row["pxname"] == backend and row["svname"] not in {"BACKEND", "FRONTEND"}]


def start(process: Process, serves: Callable[[], bool]) -> None:
    """Returns when it serves. Raises StartError, with the end of its log."""
    process.start()
    if not wait_until(lambda: process.poll() is not None or serves(), START_SECONDS):
        process.kill()
        raise process.failed(f"did not answer within {START_SECONDS:g} s")
    if process.poll() is not None:
        raise process.failed("ended at once")


class EmbeddedHaproxy:
    """One HAProxy with its files in `folder`. `nodes`: name -> loopback port. `helper_port`: of the agent, or of the
    API where the file asks that. `other`: text of the file -> what to have there, for limits that no test can reach."""

    def __init__(
        self,
        folder: Path,
        nodes: Mapping[str, int],
        helper_port: int,
        file: str = "haproxy.cfg",
        other: Mapping[str, str] | None = None,
    ) -> None:
        program = find_haproxy()
        if program is None:
            raise StartError(MISSING)
        self.folder = private(folder)
        self._ports: dict[str, int] = {}
        configuration = self.folder / file
        shutil.copytree(SHIPPED / "errors", self.folder / "errors", dirs_exist_ok=True)
        configuration.write_text(self._local(file, nodes, helper_port, other or {}), encoding="utf-8")
        argv = [str(program), "-db", "-f", str(configuration)]
        self.process = Process(Command("haproxy", argv), self.folder / "haproxy.log")

    @property
    def url(self) -> str:
        """Where clients go."""
        return f"http://{LOOPBACK}:{self._ports['5983']}"

    @property
    def port(self) -> int:
        return self._ports["5983"]

    def start(self) -> None:
        start(self.process, self._alive)

    def stop(self) -> None:
        self.process.kill()

    def states(self, backend: str = "couchdb") -> dict[str, str]:
        """Server -> what HAProxy's statistics call it: UP, DOWN, DOWN (agent), DRAIN and the like."""
        return {row["svname"]: row["status"] for row in self._servers(backend)}

    def well(self, backend: str = "couchdb") -> set[str]:
        """The servers whose own check is well, whatever an agent says of them."""
        return {row["svname"] for row in self._servers(backend) if int(row["check_health"]) >= int(row["check_rise"])}

    def _servers(self, backend: str) -> list[dict[str, str]]:
        return servers(self._get("/;csv"), backend)

    def _alive(self) -> bool:
        try:
            self._get("/alive")
        except OSError:
            return False
        return True

    def _get(self, path: str) -> str:
        url = f"http://{LOOPBACK}:{self._ports['8404']}{path}"
        with urllib.request.urlopen(url, timeout=CALL_SECONDS) as answer:
            text: str = answer.read().decode()
            return text

    def _local(self, file: str, nodes: Mapping[str, int], helper_port: int, other: Mapping[str, str]) -> str:
        settings = tuple(
            NodeSetting(name, f"http://{LOOPBACK}:{port}", f"http://{LOOPBACK}:{port}") for name, port in nodes.items()
        )
        helper = f"{LOOPBACK}:{helper_port}"
        mine = Nodes("this machine", settings, helper, helper)
        shipped = (SHIPPED / file).read_text(encoding="utf-8")
        for text, instead in other.items():
            if text not in shipped:
                raise StartError(f"{file} has no {text!r} any more")
            shipped = shipped.replace(text, instead)
        return written(file, _PORTS.sub(self._other_port, shipped), mine)

    def _other_port(self, match: re.Match[str]) -> str:
        """The same free port wherever a shipped one stands, and on loopback."""
        before, shipped = match.groups()
        port = self._ports.setdefault(shipped, any_free(self._ports.values()))
        return f"{before.replace('bind :', f'bind {LOOPBACK}:')}{port}"


if __name__ == "__main__":
    sys.stdout.write(f"{find_haproxy() or ''}\n")
