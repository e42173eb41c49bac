"""The processes that make up the system, listed once: `python app.py`, the demo and tests start these.

docker-compose.yml and Procfile run the same commands, one container or line each.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

from embedded.folders import PROJECT
from embedded.process import Command

# name -> arguments of `python`, in the order of start
SYSTEM: dict[str, tuple[str, ...]] = {
    "worker": ("-m", "tasks", "worker"),
    "control": ("-m", "tasks", "control"),
    "beat": ("-m", "tasks", "beat"),
    "watcher": ("-m", "tasks", "watcher"),
    "agent": ("-m", "tasks", "agent"),
    "api": ("-m", "api"),
    "flower": ("-m", "tasks", "flower"),
}


def system_commands(environ: Mapping[str, str]) -> list[Command]:
    """Every process of the system with `environ` as its whole environment."""
    environ = {**environ, "PYTHONUNBUFFERED": "1"}
    return [Command(name, (sys.executable, *argv), environ, PROJECT) for name, argv in SYSTEM.items()]


def without_settings(environ: Mapping[str, str], names: tuple[str, ...]) -> dict[str, str]:
    """`environ` without any setting of ours, nor a .env file: the demo must not touch somebody's real nodes."""
    ours = {variable for name in names for variable in (name.upper(), f"{name.upper()}_FILE")}
    return {key: value for key, value in environ.items() if key not in ours} | {"NBR_ENV_FILE": os.devnull}
