"""`python -m embedded.haproxy_download`: Debian's haproxy in var/haproxy, for the tests that need one.

Never fails: where it does not work, it says what is missing, and those tests are skipped.
"""

from __future__ import annotations

import subprocess
import sys

from embedded import debian
from embedded.folders import VAR
from embedded.haproxy import MISSING, find_haproxy
from embedded.process import StartError

FOLDER = VAR / "haproxy"


def main() -> int:
    try:
        found = find_haproxy()
    except StartError as error:
        print(error)
        return 0
    if found is not None:
        print(f"HAProxy: {found}")
        return 0
    if not debian.available():
        print(f"HAProxy: {MISSING}. Tests that need one are skipped.")
        return 0
    print(f"HAProxy: fetching Debian's package to {FOLDER}, without installing it")
    try:
        print(f"HAProxy: {debian.fetch(['haproxy'], 'usr/sbin/haproxy', FOLDER, check=['-v'])}")
    except (OSError, subprocess.SubprocessError) as error:
        print(f"HAProxy: the package could not be fetched ({debian.why(error)}). Tests that need one are skipped.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
