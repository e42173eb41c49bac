"""promtool, and the Prometheus beside it, for the tests of monitoring/: where the two are.

    python -m embedded.promtool           prints where promtool is, and fetches Debian's into var/ where there is none

Never fails: where it does not work, it says what is missing, and those tests are skipped.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from embedded import debian
from embedded.folders import VAR

FOLDER = VAR / "prometheus"
MISSING = (
    "there is no promtool on this machine (Debian, Ubuntu: apt install prometheus; macOS: brew install prometheus), "
    "and `make promtool` has fetched none"
)
_PROGRAMS = "root/usr/bin"  # both are in one package, and need no library of it


def find(program: str = "promtool", environ: Mapping[str, str] = os.environ) -> Path | None:
    """promtool or prometheus: of the PATH, or the downloaded one."""
    found = shutil.which(program, path=environ.get("PATH"))
    if found:
        return Path(found)
    downloaded = FOLDER / _PROGRAMS / program
    return downloaded if (FOLDER / "promtool").exists() and os.access(downloaded, os.X_OK) else None


def main() -> int:
    found = find()
    if found is not None:
        print(f"promtool: {found}")
    elif not debian.available():
        print(f"promtool: {MISSING}. Tests that need it are skipped.")
    else:
        print(f"promtool: fetching Debian's package to {FOLDER}, without installing it")
        try:
            print(f"promtool: {debian.fetch(['prometheus'], 'usr/bin/promtool', FOLDER)}")
        except (OSError, subprocess.SubprocessError) as error:
            print(f"promtool: the package could not be fetched ({debian.why(error)}). Tests that need it are skipped.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
