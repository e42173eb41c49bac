"""Flower with the versions that are pinned: it shows what is done in words, to whoever has its login, and no secret."""

from __future__ import annotations

import secrets
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from embedded.ports import any_free
from tests.system.couch import Couch
from tests.system.harness import System, wait_until

pytestmark = pytest.mark.system

USER, PASSWORD = "viewer", f"flower-secret-{secrets.token_hex(8)}"
REDIS_PASSWORD = f"redis-secret-{secrets.token_hex(8)}"
TOKEN = f"token-{secrets.token_hex(16)}"
# every page, and the API's routes that look
PAGES = ("/", "/workers", "/tasks", "/broker", "/api/workers", "/api/tasks", "/api/task/types", "/metrics")

Get = Callable[..., requests.Response]


@pytest.fixture(scope="module")
def flowering(nodes: list[Couch], tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    settings = {
        "FLOWER_BASIC_AUTH": f"{USER}:{PASSWORD}",
        "FLOWER_PORT": str(any_free()),
        "API_TOKENS": TOKEN,
        # what somebody may have left in the environment
        "FLOWER_UNAUTHENTICATED_API": "true",
    }
    with System(nodes, tmp_path_factory.mktemp("flower"), settings) as made:
        with made.store() as store:
            store.config_set("requirepass", REDIS_PASSWORD)
        made.settings["REDIS_URL"] = made.settings["REDIS_URL"].replace("://", f"://:{REDIS_PASSWORD}@")
        flower = made.launch("flower")
        wait_until(lambda: get_of(made)("/healthcheck").text == "OK", "Flower answers", tell=flower.last_lines)
        made.start("worker", "control", "api")
        yield made


def get_of(system: System) -> Get:
    def get(path: str, auth: tuple[str, str] | None = None, **options: Any) -> requests.Response:
        url = f"http://127.0.0.1:{system.settings['FLOWER_PORT']}{path}"
        return requests.get(url, auth=auth, timeout=20, allow_redirects=False, **options)

    return get


@pytest.fixture
def get(flowering: System) -> Get:
    return get_of(flowering)


@pytest.mark.parametrize("path", PAGES)
def test_nothing_is_shown_without_the_login(get: Get, path: str) -> None:
    assert get(path).status_code == 401
    assert get(path, (USER, "wrong")).status_code == 401
    answer = get(path, (USER, PASSWORD))
    assert answer.status_code == 200, answer.text[:300]
    assert PASSWORD not in answer.text


def test_a_sync_is_shown_in_words_and_without_a_secret(
    flowering: System, get: Get, nodes: list[Couch], fresh: Callable[..., str]
) -> None:
    database = fresh(on=nodes[:1])
    # control looks at the databases by sweeps, and beat does not run here: the sync itself makes them
    job = flowering.api.wait_succeeded(flowering.api.start_sync(database))

    def shown() -> dict[str, Any] | None:
        tasks = get("/api/tasks", (USER, PASSWORD)).json().values()
        return next((task for task in tasks if job["id"] in (task["args"] or "")), None)

    task = wait_until(shown, "Flower has heard of the sync")
    assert task is not None
    assert (task["name"], task["args"], task["kwargs"]) == ("sync", f"({database} {job['id']})", "{}")
    wait_until(lambda: (shown() or {})["state"] == "SUCCESS", "Flower has heard of its end")
    one = get(f"/task/{task['uuid']}", (USER, PASSWORD))
    assert (one.status_code, database in one.text) == (200, True)
    told = "".join(get(path, (USER, PASSWORD)).text for path in PAGES) + one.text
    told += get(f"/worker/{worker(get)}", (USER, PASSWORD)).text
    for secret in (PASSWORD, REDIS_PASSWORD, TOKEN, *(node.password for node in nodes)):
        assert secret not in told


def worker(get: Get) -> str:
    names = list(get("/api/workers?refresh=true", (USER, PASSWORD)).json())
    assert {name.partition("-")[0] for name in names} == {"worker", "control"}
    return next(name for name in names if name.startswith("worker-"))


@pytest.mark.parametrize("login", ["", "viewer:"], ids=["none", "half of one"])
def test_it_does_not_start_open_to_the_network(flowering: System, tmp_path: Path, login: str) -> None:
    environ = {**flowering.environ, "FLOWER_HOST": "0.0.0.0", "FLOWER_BASIC_AUTH": login}  # noqa: S104
    started = subprocess.run(
        [sys.executable, "-m", "tasks", "flower"],
        env=environ, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert started.returncode == 2
    assert "FLOWER_HOST=0.0.0.0 would show Flower to the network" in started.stderr
    assert "FLOWER_BASIC_AUTH" in started.stderr
