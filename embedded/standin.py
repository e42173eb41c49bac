"""A node that speaks CouchDB's protocol without CouchDB: for a machine that has none (first look, CI).

`standin/node.js` runs PouchDB's server under Node.js, and says what it mends and refuses. Its packages
come from `npm ci` in `make setup`, pinned by package-lock.json; no compiler is needed.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from embedded.nodes import EmbeddedNode
from embedded.process import Command, Process, StartError
from worker.core.model import Credentials

SCRIPT = Path(__file__).parent / "standin" / "node.js"
NO_NODE_JS = (
    "this machine has neither CouchDB nor Node.js: install one of them (Node.js 18.17 or later: apt install nodejs "
    "npm, or brew install node), or set COUCHDB_BIN to bin/couchdb of a CouchDB 3 installation"
)


class StandinNode(EmbeddedNode):
    kind = "stand-in"

    def __init__(self, name: str, port: int, folder: Path, admin: Credentials) -> None:
        super().__init__(name, port, folder, admin)
        environ = {**os.environ, "POUCH_USER": admin.user, "POUCH_PASS": admin.password}
        argv = [shutil.which("node") or "node", str(SCRIPT), str(port), str(self.folder)]
        self.process = Process(Command(name, argv, environ, self.folder), self.log)

    def prepare(self) -> None:
        if shutil.which("node") is None:
            raise StartError(NO_NODE_JS)
        if not (SCRIPT.parent / "node_modules" / "express-pouchdb").is_dir():
            raise StartError(f"the stand-in's packages are missing: run `make setup` (npm ci in {SCRIPT.parent})")

    def is_ready(self, databases: list[str]) -> bool:
        return True
