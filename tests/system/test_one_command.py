"""The whole system by one command: `python -m embedded.demo --once` and `python app.py`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from config.settings import Settings
from embedded.folders import PROJECT
from embedded.processes import SYSTEM, without_settings
from embedded.redis import EmbeddedRedis
from embedded.waiting import wait_until
from tests.system.process_checks import DEADLINE, alive, children

pytestmark = pytest.mark.system


def run(*arguments: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    environ = {**without_settings(os.environ, tuple(Settings.model_fields)), **(env or {})}
    return subprocess.run(
        [sys.executable, *arguments], cwd=PROJECT, env=environ, capture_output=True, text=True, timeout=180, check=False
    )


def test_the_demo_ends_well_twice_and_finds_something_to_sync_each_time(tmp_path: Path) -> None:
    for number in (1, 2):
        done = run("-m", "embedded.demo", "--once", "--folder", str(tmp_path / "demo"))

        assert done.returncode == 0, done.stdout + done.stderr
        assert f"{13 * number} documents, {number} with a conflict, {number} deleted" in done.stdout
        assert "pdfs: identical on primary, replica1, replica2" in done.stdout
        assert (tmp_path / "demo" / "password").read_text().strip() not in done.stdout + done.stderr


def test_app_without_nodes_says_what_to_do() -> None:
    done = run("app.py")

    assert done.returncode == 2
    assert "make demo" in done.stdout
    assert ".env.example" in done.stdout


def test_app_with_a_bad_setting_names_it() -> None:
    done = run("app.py", env={"COUCHDB_URL": "http://127.0.0.1:1", "HEALTH_INTERVAL": "soon"})

    assert done.returncode == 2
    assert "HEALTH_INTERVAL" in done.stderr
    assert "Traceback" not in done.stderr


def test_app_starts_everything_and_ctrl_c_leaves_nothing(server: EmbeddedRedis, tmp_path: Path) -> None:
    environ = without_settings(os.environ, tuple(Settings.model_fields)) | {
        "COUCHDB_URL": "http://127.0.0.1:1",
        "REPLICATION_NODES": "http://127.0.0.1:2",
        "REDIS_URL": server.url,
        "API_PORT": "0",
        "FLOWER_PORT": "0",
        "AGENT_PORT": "0",
    }
    output = tmp_path / "output"
    with output.open("wb") as file:
        app = subprocess.Popen(
            [sys.executable, "app.py"], cwd=PROJECT, env=environ, stdout=file, stderr=file, start_new_session=True
        )
    try:
        assert wait_until(lambda: "app      | ready: API http://127.0.0.1:" in output.read_text(), 60), (
            output.read_text()
        )
        started = children(app.pid)
        assert len(started) == len(SYSTEM)
        app.send_signal(signal.SIGINT)
        assert app.wait(DEADLINE) == 0
    finally:
        app.kill()
        app.wait(DEADLINE)

    assert wait_until(lambda: not any(alive(pid) for pid in started), DEADLINE)
