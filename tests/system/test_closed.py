"""Closed by default: loopback only unless there are tokens, tokens asked for, and Flower is not for everybody."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import requests

from embedded.ports import LOOPBACK, any_free
from embedded.process import Process
from embedded.processes import SYSTEM
from tests.system.couch import Couch
from tests.system.harness import Api, System, wait_until

pytestmark = pytest.mark.system

TOKEN = "a-token-for-the-system-tests"


@pytest.fixture(scope="module")
def own(nodes: list[Couch], tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    settings = {
        "API_HOST": "0.0.0.0",  # noqa: S104 - that is what is tested
        "API_TOKENS": TOKEN,
        "FLOWER_PORT": str(any_free()),
    }
    with System(nodes, tmp_path_factory.mktemp("closed"), settings) as made:
        made.start("api", "worker")
        yield made


@pytest.mark.parametrize("name", ["api", "worker", "control", "beat", "agent", "flower"])
def test_no_process_starts_with_the_api_open_to_the_network(own: System, name: str) -> None:
    environ = {key: value for key, value in own.environ.items() if key != "API_TOKENS"}

    command = [sys.executable, *SYSTEM[name]]
    ended = subprocess.run(
        command, env=environ, cwd=own.folder, capture_output=True, text=True, timeout=30, check=False
    )

    assert ended.returncode == 2
    assert "API_HOST" in ended.stderr
    assert "API_TOKENS" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_token_is_asked_for_and_has_to_be_right(own: System) -> None:
    for token, status in ((None, 401), ("a-token-that-is-wrong", 401), (TOKEN, 200)):
        with Api(own.api.url, token) as caller:
            answer = caller.get("/api/jobs")
            assert answer.status_code == status
            if status == 401:
                assert answer.headers["WWW-Authenticate"].startswith("Bearer ")
                assert caller.sync("papers").status_code == 401
                assert caller.get("/no/such/address").status_code == 401, "a stranger learns of no address"


def test_a_stranger_is_told_only_whether_the_service_works(own: System) -> None:
    with Api(own.api.url) as stranger:
        assert stranger.get("/api/health").json().keys() == {"status"}
    assert "redis" in own.api.get("/api/health").json()


def test_another_host_name_is_refused_although_the_token_is_right(own: System) -> None:
    answer = own.api.get("/api/jobs", headers={"Host": "rebound.example"})

    assert answer.status_code == 421


def test_a_page_of_another_site_changes_nothing(own: System) -> None:
    answer = own.api.sync("papers", headers={"Origin": "https://evil.example"})

    assert answer.status_code == 403


def test_flower_lists_the_workers_on_loopback_alone(own: System) -> None:
    flower = own.launch("flower")
    worker = own.processes["worker"]
    url = f"http://{LOOPBACK}:{own.settings['FLOWER_PORT']}"

    page = wait_until(lambda: workers_page(url, f"worker-{worker.pid}@"), "Flower lists the worker")

    assert "Flower" in page
    if sys.platform == "linux":
        assert listening(flower) == {LOOPBACK}
    # its API can stop workers and change pools: not without a password
    refused = requests.post(f"{url}/api/worker/shutdown/worker-{worker.pid}@host", timeout=10)
    assert refused.status_code == 401
    assert worker.poll() is None


def workers_page(url: str, worker: str) -> str | None:
    page = requests.get(f"{url}/workers", timeout=10)
    return page.text if page.status_code == 200 and worker in page.text else None


def listening(process: Process) -> set[str]:
    """Addresses on which the process listens."""
    links = []
    for item in Path(f"/proc/{process.pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            links.append(item.readlink().name)
    sockets = {link.removeprefix("socket:[").rstrip("]") for link in links if link.startswith("socket:[")}
    found = set()
    for table in ("tcp", "tcp6"):
        rows = [line.split() for line in Path(f"/proc/{process.pid}/net/{table}").read_text().splitlines()[1:]]
        for row in rows:
            if row[3] == "0A" and row[9] in sockets:
                address = bytes.fromhex(row[1].partition(":")[0])
                found.add(".".join(str(byte) for byte in reversed(address)) if table == "tcp" else address.hex())
    return found
