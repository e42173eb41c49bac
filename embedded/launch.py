"""Runs a command that dies with the process that started it: `python -I -S launch.py PARENT_PID COMMAND...`

Linux can send a process a signal when its parent dies, kill -9 included (prctl, PR_SET_PDEATHSIG). That has
to be asked for in the child. It is asked for here, in a program of its own, and not in Popen's preexec_fn,
because that runs Python between fork and exec, which may deadlock where the parent has threads. Elsewhere
(macOS) there is no such call; the parent's own clean-up has to do.

Imports the standard library only: it runs before any package is found, and it has to be quick.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    parent, command = int(sys.argv[1]), sys.argv[2:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it died before we asked
            raise SystemExit(1)
    try:
        os.execvp(command[0], command)  # noqa: S606 (no shell is what we want)
    except OSError as error:
        raise SystemExit(f"cannot run {command[0]}: {error.strerror}") from None


if __name__ == "__main__":
    main()
