"""CouchDB nodes on one machine: what every kind of them can do, and which kind this machine gets.

Real CouchDB wherever it is found (`COUCHDB_BIN`, the PATH, /opt/couchdb of the Apache packages); else the
stand-in that npm brings. All nodes of one run are of one kind: CouchDB's replicator must not talk to a stand-in.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import urllib.error
import urllib.request
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from embedded.folders import private
from embedded.ports import LOOPBACK
from embedded.process import Process, StartError
from embedded.waiting import wait_until
from worker.core.model import Credentials, Node

READY_SECONDS = 60.0
CALL_SECONDS = 5.0
PACKAGED = Path("/opt/couchdb/bin/couchdb")


class EmbeddedNode(ABC):
    """One node with its own data folder, on a loopback port. Data stays when it stops."""

    kind: str
    process: Process

    def __init__(self, name: str, port: int, folder: Path, admin: Credentials) -> None:
        self.name = name
        self.port = port
        self.folder = private(folder)
        self.admin = admin

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def node(self) -> Node:
        """This node as the system's own code knows it."""
        return Node(self.name, self.url, self.url, self.admin, self.admin)

    @property
    def log(self) -> Path:
        return self.folder / "node.log"

    @property
    def pid(self) -> int | None:
        return self.process.pid

    @abstractmethod
    def prepare(self) -> None:
        """Write what the process reads at its start. Raises StartError where something is missing."""

    @abstractmethod
    def is_ready(self, databases: list[str]) -> bool:
        """Whether a node that lists these databases has everything it needs."""

    def start(self) -> None:
        """Does not wait: start all nodes first, then `wait_ready` each."""
        self.prepare()
        self.process.start()

    def wait_ready(self, seconds: float = READY_SECONDS) -> None:
        """Returns when it answers an authorised call. Raises StartError (with the end of its log)."""
        if not wait_until(lambda: self.process.poll() is not None or self._answers(), seconds, every=0.05):
            raise self.process.failed(f"did not answer on {self.url} within {seconds:g} s")
        if self.process.poll() is not None:
            raise self.process.failed("ended at once")

    def stop(self) -> None:
        self.process.stop()

    def _answers(self) -> bool:
        try:
            return self.is_ready(self._get("/_all_dbs"))
        except urllib.error.HTTPError as error:
            if error.code == 401:
                raise StartError(
                    f"{self.name} does not take the password: {self.folder} was made with another one; "
                    "remove that folder to begin anew"
                ) from None
            return False
        except (OSError, ValueError):
            return False

    def _get(self, path: str) -> Any:
        token = base64.b64encode(f"{self.admin.user}:{self.admin.password}".encode()).decode()
        request = urllib.request.Request(self.url + path, headers={"Authorization": f"Basic {token}"})
        with urllib.request.urlopen(request, timeout=CALL_SECONDS) as answer:
            return json.load(answer)


def find_couchdb(environ: Mapping[str, str] = os.environ) -> Path | None:
    """The start script of a real CouchDB. Raises StartError where COUCHDB_BIN names something that is none."""
    named = environ.get("COUCHDB_BIN")
    if named:
        if not os.access(named, os.X_OK):
            raise StartError(f"COUCHDB_BIN={named}: there is no program to run")
        return Path(named)
    found = shutil.which("couchdb", path=environ.get("PATH"))
    if found:
        return Path(found)
    return PACKAGED if os.access(PACKAGED, os.X_OK) else None


def make(name: str, port: int, folder: Path, admin: Credentials) -> EmbeddedNode:
    """A node of the best kind that this machine has, not started. Raises StartError where it has none."""
    couchdb = find_couchdb()
    if couchdb is not None:
        from embedded.couchdb import CouchNode  # noqa: PLC0415 (the kinds import the base class from here)

        return CouchNode(name, port, folder, admin, couchdb)
    from embedded.standin import StandinNode  # noqa: PLC0415

    return StandinNode(name, port, folder, admin)
