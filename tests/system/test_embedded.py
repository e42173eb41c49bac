"""A private Redis and nodes on one machine: real ones, which keep what they should and let nobody else in."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from embedded.folders import FolderInUseError
from embedded.nodes import EmbeddedNode, make
from embedded.ports import LOOPBACK, any_free
from embedded.process import StartError
from embedded.redis import EmbeddedRedis
from embedded.standin import StandinNode
from tests.system.process_checks import DEADLINE, alive
from worker.core.model import Credentials

pytestmark = pytest.mark.system

ADMIN = Credentials("admin", "a-password-for-tests")


# --- Redis


def client(server: EmbeddedRedis) -> redis.Redis:
    return redis.Redis.from_url(server.url, socket_timeout=5, decode_responses=True)


def test_redis_answers_on_a_private_socket_and_on_no_port(server: EmbeddedRedis) -> None:
    with client(server) as connection:
        assert connection.config_get("port") == {"port": "0"}
    assert server.socket.stat().st_mode & 0o077 == 0
    assert server.socket.parent.stat().st_mode & 0o077 == 0


def test_what_redis_was_told_survives_its_restart(server: EmbeddedRedis) -> None:
    with client(server) as connection:
        connection.set("kept", "yes")
    first = server.pid

    server.stop()
    assert first is not None
    assert not alive(first)
    server.start()

    with client(server) as connection:
        assert connection.get("kept") == "yes"


def test_one_folder_serves_one_redis(server: EmbeddedRedis) -> None:
    with pytest.raises(FolderInUseError):
        EmbeddedRedis(server.folder).start()


def test_a_long_path_still_gets_a_private_socket_that_goes_with_the_server(tmp_path: Path) -> None:
    server = EmbeddedRedis(tmp_path / ("long-" * 25))
    server.start()
    folder = server.socket.parent
    try:
        assert len(os.fsencode(server.socket)) <= 100
        assert folder.stat().st_mode & 0o077 == 0
        assert server.answers()
    finally:
        server.stop()
    assert not folder.exists()


def test_redis_on_a_port_comes_back_on_the_same_one(tmp_path: Path) -> None:
    server = EmbeddedRedis(tmp_path / "redis", port=any_free())
    server.start()
    try:
        assert server.url == f"redis://{LOOPBACK}:{server.port}/0"
        server.stop()
        server.start()
        assert server.answers()
    finally:
        server.stop()


def test_a_redis_that_cannot_start_says_why(tmp_path: Path) -> None:
    (tmp_path / "appendonly.aof").write_text("this is no append-only file\n" * 10)
    (tmp_path / "appendonlydir").write_text("and this is no folder")

    with pytest.raises(StartError, match=r"redis ended at once; the end of .*redis\.log:\n"):
        EmbeddedRedis(tmp_path).start()


# --- nodes


@pytest.fixture(params=["stand-in", "couchdb"])
def node(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[EmbeddedNode]:
    made = make("primary", any_free(), tmp_path / "node", ADMIN)
    if request.param == "stand-in":
        made = StandinNode("primary", any_free(), tmp_path / "node", ADMIN)
    elif made.kind != "couchdb":
        pytest.skip("no CouchDB on this machine (COUCHDB_BIN can name one)")
    made.start()
    made.wait_ready()
    yield made
    made.stop()


def call(
    node: EmbeddedNode, method: str, path: str, *, user: Credentials | None = ADMIN, body: object = None
) -> tuple[int, object]:
    headers = {"Content-Type": "application/json"}
    if user:
        headers["Authorization"] = basic(user)
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(node.url + path, data, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=DEADLINE) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def basic(user: Credentials) -> str:
    return "Basic " + base64.b64encode(f"{user.user}:{user.password}".encode()).decode()


def test_a_node_asks_for_the_password_and_keeps_databases_and_identity(node: EmbeddedNode) -> None:
    assert call(node, "GET", "/_all_dbs", user=None)[0] == 401
    assert call(node, "GET", "/_all_dbs", user=Credentials("admin", "wrong"))[0] == 401
    assert call(node, "PUT", "/pdfs") == (201, {"ok": True})
    before = call(node, "GET", "/")[1]

    node.stop()
    node.start()
    node.wait_ready()

    assert call(node, "GET", "/")[1] == before
    assert call(node, "GET", "/pdfs")[0] == 200


def test_the_password_is_in_no_process_list_and_files_are_private(node: EmbeddedNode) -> None:
    listed = subprocess.run(["ps", "-A", "-o", "args"], capture_output=True, text=True, timeout=DEADLINE, check=True)

    assert ADMIN.password not in listed.stdout
    assert node.folder.stat().st_mode & 0o077 == 0


def test_a_node_made_with_another_password_says_so(node: EmbeddedNode) -> None:
    node.admin = Credentials("admin", "another")

    with pytest.raises(StartError, match="was made with another one"):
        node.wait_ready()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_node_listens_on_its_one_port_only(node: EmbeddedNode) -> None:
    assert node.pid is not None
    assert listening(node.pid) == [node.port]


def listening(pid: int) -> list[int]:
    """TCP ports the process listens on."""
    links = [os.readlink(item) for item in Path(f"/proc/{pid}/fd").iterdir() if item.is_symlink()]
    sockets = {link.removeprefix("socket:[").rstrip("]") for link in links if link.startswith("socket:[")}
    rows = [line.split() for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]]
    return [int(row[1].split(":")[1], 16) for row in rows if row[3] == "0A" and row[9] in sockets]


# --- what the stand-in's wrapper mends: without it these hang, lie or copy everything


@pytest.fixture
def standin(tmp_path: Path) -> Iterator[EmbeddedNode]:
    made = StandinNode("primary", any_free(), tmp_path / "node", ADMIN)
    made.start()
    made.wait_ready()
    assert call(made, "PUT", "/pdfs") == (201, {"ok": True})
    yield made
    made.stop()


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("PUT", "/Capitals", None, 400),
        ("DELETE", "/nothing", None, 404),
        ("GET", "/pdfs/_changes?since=3-opaque", None, 400),
        ("POST", "/_replicate", {"source": "pdfs", "target": "http://127.0.0.1:1/pdfs"}, 400),
        ("POST", "/_replicate", {"source": {"url": "no url"}, "target": "http://127.0.0.1:1/pdfs"}, 400),
        (
            "POST",
            "/_replicate",
            {"source": "http://127.0.0.1:1/a", "target": "http://127.0.0.1:1/b", "continuous": True},
            501,
        ),
    ],
)
def test_the_stand_in_refuses_what_it_cannot_do(
    standin: EmbeddedNode, method: str, path: str, body: object, status: int
) -> None:
    assert call(standin, method, path, body=body)[0] == status


def test_the_stand_in_answers_an_empty_bulk_get(standin: EmbeddedNode) -> None:
    assert call(standin, "POST", "/pdfs/_bulk_get", body={"docs": []}) == (200, {"results": []})


def test_the_stand_in_keeps_its_identity_when_its_port_changes(standin: EmbeddedNode) -> None:
    before = call(standin, "GET", "/")[1]
    standin.stop()

    moved = StandinNode("primary", any_free(), standin.folder, ADMIN)
    moved.start()
    try:
        moved.wait_ready()
        assert call(moved, "GET", "/")[1] == before
        assert call(moved, "GET", "/pdfs")[0] == 200
    finally:
        moved.stop()
