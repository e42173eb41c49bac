"""`python -m embedded.haproxy_download`: Debian's haproxy in var/haproxy, without root, for the tests that need one.

apt-get works with folders of our own, so it needs no root and no earlier `apt update`, and the machine's package
database is only read, to leave out libraries that are there. dpkg only unpacks. Never fails: where it does not work,
it says what is missing, and those tests are skipped.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from shlex import quote

from embedded.folders import VAR, private
from embedded.haproxy import DOWNLOADED, MISSING, find_haproxy
from embedded.process import StartError

FOLDER = VAR / "haproxy"
STATUS = Path("/var/lib/dpkg/status")
SECONDS = 120  # for each of two steps: the lists, the packages
STARTER = """\
#!/bin/sh
# written by embedded/haproxy_download.py
LD_LIBRARY_PATH={libraries}${{LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}} exec {program} "$@"
"""


def apt(folder: Path, *arguments: str, status: Path = STATUS) -> list[str]:
    """An apt-get that keeps everything in `folder`. `status`: the list of what is installed."""
    own = {
        "Dir::State": folder / "state",
        "Dir::State::status": status,
        "Dir::Cache": folder / "cache",
        "Dir::Log": folder / "log",
        "Debug::NoLocking": "true",
        "APT::Sandbox::User": "",
        "APT::Update::Post-Invoke": "",
        "Acquire::http::Timeout": "20",
        "Acquire::https::Timeout": "20",
        "Acquire::Retries": "1",
    }
    return ["apt-get", "-qq", *(word for key, value in own.items() for word in ("-o", f"{key}={value}")), *arguments]


def download(folder: Path, status: Path = STATUS) -> Path:
    """The program, which works. Raises OSError or subprocess.SubprocessError where it cannot be had."""
    for made in ("state/lists/partial", "cache/archives/partial", "log"):
        (private(folder) / made).mkdir(parents=True, exist_ok=True)
    run(apt(folder, "update", status=status))
    wanted = ("--yes", "--download-only", "--no-install-recommends", "install", "haproxy")
    run(apt(folder, *wanted, status=status))
    root = folder / "root"
    for package in sorted((folder / "cache" / "archives").glob("*.deb")):
        run(["dpkg", "-x", str(package), str(root)])
    program = root / "usr" / "sbin" / "haproxy"
    libraries = sorted({str(path.parent) for path in root.rglob("*.so*")})
    starter = folder / "haproxy"
    starter.write_text(
        STARTER.format(libraries=quote(":".join(libraries)), program=quote(str(program))), encoding="utf-8"
    )
    starter.chmod(0o700)
    run([str(starter), "-v"])
    shutil.rmtree(folder / "cache", ignore_errors=True)
    shutil.rmtree(folder / "state", ignore_errors=True)
    return starter


def run(command: list[str]) -> None:
    environ = {**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run(command, env=environ, check=True, timeout=SECONDS, capture_output=True, text=True)


def why(error: Exception) -> str:
    """The reason in one line."""
    said = getattr(error, "stderr", None) or str(error)
    return str(said).strip().splitlines()[-1] if str(said).strip() else type(error).__name__


def main() -> int:
    try:
        found = find_haproxy()
    except StartError as error:
        print(error)
        return 0
    if found is not None:
        print(f"HAProxy: {found}")
        return 0
    if shutil.which("apt-get") is None or shutil.which("dpkg") is None:
        print(f"HAProxy: {MISSING}. Tests that need one are skipped.")
        return 0
    print(f"HAProxy: fetching Debian's package to {FOLDER}, without installing it")
    try:
        print(f"HAProxy: {download(FOLDER)}")
    except (OSError, subprocess.SubprocessError) as error:
        DOWNLOADED.unlink(missing_ok=True)
        print(f"HAProxy: the package could not be fetched ({why(error)}). Tests that need one are skipped.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
