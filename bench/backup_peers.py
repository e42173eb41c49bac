"""Those that bench.backup is measured against: couchbackup and couchrestore from npm, and curl."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from bench.rig import ROOT, timed

PACKAGE = "@cloudant/couchbackup@2.11.12"
FOLDER = ROOT / "var" / "bench-couchbackup"


@dataclass(frozen=True)
class Peers:
    """Of one node; `url` has credentials, which the programs get by their environment."""

    url: str
    programs: Path

    @classmethod
    def install(cls, url: str) -> Peers:
        """From npm, once, into var/. Ends the benchmark with words where that cannot be."""
        programs = FOLDER / "node_modules" / ".bin"
        if not (programs / "couchbackup").exists():
            if shutil.which("npm") is None or shutil.which("curl") is None:
                sys.exit("bench: npm and curl are needed for what it is compared with")
            command = ["npm", "install", "--prefix", str(FOLDER), "--no-audit", "--no-fund", PACKAGE]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return cls(url, programs)

    def backup(self, database: str, file: Path) -> float:
        """Seconds that couchbackup takes, its defaults (5 requests at once, 500 documents each)."""
        with file.open("wb") as output:
            return timed(lambda: self._run("couchbackup", database, stdout=output))

    def restore(self, database: str, file: Path) -> float:
        """Seconds that couchrestore takes, into an empty database that is there."""
        with file.open("rb") as source:
            return timed(lambda: self._run("couchrestore", database, stdin=source))

    def curl(self, path: str) -> float:
        """Seconds to download it to a file."""
        parts = urlsplit(self.url)
        with tempfile.TemporaryDirectory(prefix="nbr-bench-") as folder:
            netrc, output = Path(folder) / "netrc", Path(folder) / "answer"
            netrc.write_text(f"machine {parts.hostname} login {parts.username} password {parts.password}\n")
            plain = f"http://{parts.hostname}:{parts.port}/{path}"
            command = ["curl", "-sf", "--netrc-file", str(netrc), "-o", str(output), plain]
            return timed(lambda: subprocess.run(command, check=True))

    def _run(self, program: str, database: str, **streams: object) -> None:
        environ = {**os.environ, "COUCH_URL": self.url, "COUCH_DATABASE": database}
        command = [str(self.programs / program)]
        subprocess.run(command, check=True, env=environ, stderr=subprocess.DEVNULL, **streams)  # type: ignore[call-overload]
