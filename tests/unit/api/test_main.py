from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from api.__main__ import options
from tests.unit.api.world import settings

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(("variable", "value"), [("REDIS_URL", ""), ("API_PORT", "many"), ("API_HOST", "0.0.0.0")])  # noqa: S104
def test_a_start_that_cannot_be_names_the_variable(variable: str, value: str) -> None:
    env = {
        "PATH": os.environ["PATH"],
        "NBR_ENV_FILE": "/dev/null",
        "REDIS_URL": "redis://127.0.0.1:1/0",
        variable: value,
    }
    ended = subprocess.run(
        [sys.executable, "-m", "api"], cwd=ROOT, env=env, capture_output=True, text=True, timeout=30, check=False
    )
    assert ended.returncode == 2
    assert ended.stderr.startswith("api: ")
    assert variable in ended.stderr
    assert "Traceback" not in ended.stderr


def test_the_server_listens_where_the_settings_say() -> None:
    made = options(settings(api_host="::1", api_port=5001, api_threads=9))
    assert (made["bind"], made["workers"], made["threads"]) == ("[::1]:5001", 1, 9)
