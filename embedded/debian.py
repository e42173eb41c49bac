"""A program of Debian's, fetched and unpacked under var/ without root: for what tests need and a machine has not.

apt-get works with folders of our own, so it needs no root and no earlier `apt update`, and the machine's package
database is only read, to leave out libraries that are there. dpkg only unpacks: no package's own script is run, and
nothing outside the folder is written.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from shlex import quote

from embedded.folders import private

STATUS = Path("/var/lib/dpkg/status")
SECONDS = 120  # for each of two steps: the lists, the packages
STARTER = """\
#!/bin/sh
# written by embedded/debian.py
{settings}exec {program} "$@"
"""


def available() -> bool:
    """Whether this machine has Debian's tools."""
    return shutil.which("apt-get") is not None and shutil.which("dpkg") is not None


def fetch(
    packages: Sequence[str],
    program: str,
    folder: Path,
    *,
    check: Sequence[str] = ("--version",),
    environ: Mapping[str, str] | None = None,
    status: Path = STATUS,
    seconds: float = SECONDS,
) -> Path:
    """Starts `program` (its path inside the packages) with the libraries that came with it: `folder`/NAME.

    It is there only where it ended well with the arguments `check`. `environ`: what else it is started with.
    `status`: the list of what is installed. Raises OSError or subprocess.SubprocessError where it cannot be had.
    """
    for made in ("state/lists/partial", "cache/archives/partial", "log"):
        (private(folder) / made).mkdir(parents=True, exist_ok=True)
    run(apt(folder, "update", status=status), seconds)
    wanted = ("--yes", "--download-only", "--no-install-recommends", "install", *packages)
    run(apt(folder, *wanted, status=status), seconds)
    root = folder / "root"
    for package in sorted((folder / "cache" / "archives").glob("*.deb")):
        run(["dpkg", "-x", str(package), str(root)], seconds)
    starter = _starter(folder, root / program, environ or {})
    run([str(starter), *check], seconds)
    ready = starter.replace(folder / Path(program).name)
    shutil.rmtree(folder / "cache", ignore_errors=True)
    shutil.rmtree(folder / "state", ignore_errors=True)
    return ready


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


def run(command: Sequence[str], seconds: float = SECONDS) -> None:
    environ = {**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run(command, env=environ, check=True, timeout=seconds, capture_output=True, text=True)


def why(error: Exception) -> str:
    """The reason in one line."""
    said = getattr(error, "stderr", None) or str(error)
    return str(said).strip().splitlines()[-1] if str(said).strip() else type(error).__name__


def _starter(folder: Path, program: Path, environ: Mapping[str, str]) -> Path:
    """A script under a name for the time until it is known to work."""
    root = folder / "root"
    libraries = ":".join(sorted({str(path.parent) for end in ("*.so", "*.so.*") for path in root.rglob(end)}))
    settings = [f"export {name}={quote(value)}" for name, value in environ.items()]
    settings.append(f"export LD_LIBRARY_PATH={quote(libraries)}${{LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}}")
    lines = "".join(f"{line}\n" for line in settings)
    starter = folder / f"{program.name}.new"
    starter.write_text(STARTER.format(settings=lines, program=quote(str(program))), encoding="utf-8")
    starter.chmod(0o700)
    return starter
