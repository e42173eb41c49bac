"""A password is changed on all nodes while the system runs: what becomes of work, of a node that goes down in the
middle, and of a worker that dies in the middle."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from embedded.process import Process
from tests.system.conftest import running_nodes
from tests.system.couch import Couch
from tests.system.harness import System, kill_dash_nine, wait_until
from tests.system.test_secrets import in_redis, leaks, logs
from tests.system.test_sync import assert_same

pytestmark = pytest.mark.system

ROTATE = "/api/security/rotate"
CHANGING = b"PUT /_node/_local/_config/admins/"
PROCESSES = ("worker", "control", "beat", "watcher", "api")


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Couch]]:
    """Of this file alone, because their password changes."""
    with running_nodes(tmp_path_factory.mktemp("rotated-nodes")) as made:
        yield made


class Passwords:
    """The password that all nodes have, and what the settings say of it and the next one."""

    def __init__(self, nodes: list[Couch]) -> None:
        self.nodes = nodes
        self.user, self.now = nodes[0].user, nodes[0].password
        self.next = f"next-secret-{secrets.token_hex(8)}"

    def settings(self, system: System) -> dict[str, str]:
        """Written without credentials in the nodes' URLs."""
        doors = {
            name: f"{name}=http://127.0.0.1:{system.doors[name].port}|http://127.0.0.1:{system.peer_roads[name].port}"
            for name in system.nodes
        }
        primary, *others = doors.values()
        return {
            "COUCHDB_URL": primary,
            "REPLICATION_NODES": ",".join(others),
            "COUCHDB_USER": self.user,
            "COUCHDB_PASSWORD": self.next,
            "COUCHDB_PASSWORD_PREVIOUS": self.now,
        }

    def taken(self) -> None:
        """All nodes have the next one: the tests go on with it."""
        for node in self.nodes:
            assert status(node, self.now) == 401
            node.password = self.next
            node._session.auth = (self.user, self.next)
            assert node.call("GET", "_all_dbs") is not None


def status(node: Couch, password: str) -> int:
    return requests.get(f"{node.url}/_all_dbs", auth=(node.user, password), timeout=10).status_code


@pytest.fixture
def passwords(nodes: list[Couch]) -> Passwords:
    return Passwords(nodes)


@pytest.fixture
def system(nodes: list[Couch], passwords: Passwords, tmp_path: Path) -> Iterator[System]:
    settings = {"CONTINUOUS_REPLICATION": "true", "REPLICATION_RETRY_SECONDS": "2", "COUCHDB_TIMEOUT": "5"}
    with System(nodes, tmp_path / "rotation", settings) as made:
        made.settings.update(passwords.settings(made))
        made.start(*PROCESSES)
        yield made


def replicated(system: System, nodes: list[Couch]) -> str:
    """A database that is on all nodes and in step, with the password that they have so far."""
    database = f"rotated-{secrets.token_hex(6)}"
    nodes[0].create(database)
    nodes[0].fill(database, 20)
    answer = system.api.sync(database, wait=True)
    assert answer.json()["state"] == "succeeded", answer.text
    assert_same(database, nodes)
    return database


def rotate(system: System, **body: Any) -> str:
    answer = system.api.call("POST", ROTATE, json=body)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def all_well(system: System) -> bool:
    return {node["state"] for node in system.api.get("/api/nodes").json()["nodes"]} == {"healthy"}


def test_all_goes_on_before_and_after_and_with_the_new_one_alone(
    system: System, nodes: list[Couch], passwords: Passwords
) -> None:
    database = replicated(system, nodes)
    wait_until(lambda: all_well(system), "the nodes are called with the password that they have")

    job = system.api.wait_succeeded(rotate(system), deadline=60)

    assert [one["node"] for one in job["result"]["changed"]] == list(system.nodes)
    assert (job["result"]["to"], job["result"]["links"]["state"]) == ("current", "succeeded")
    passwords.taken()
    nodes[1].fill(database, 5, start=100)
    assert system.api.sync(database, wait=True).json()["state"] == "succeeded"
    assert_same(database, nodes)
    # changes travel by themselves again
    nodes[2].fill(database, 1, start=500)
    wait_until(lambda: nodes[0].has(database, "doc-000500"), "a change travels by itself", 60)
    wait_until(lambda: all_well(system), "all nodes are well")
    audited = system.api.get("/api/audit").json()["changes"]
    assert [change["job"] for change in audited if change["path"] == ROTATE] == [job["id"]]
    assert "passwords.changed" in [event["type"] for event in system.api.get("/api/events").json()["events"]]

    system.restart(COUCHDB_PASSWORD_PREVIOUS="")

    assert system.api.sync(database, wait=True).json()["state"] == "succeeded"
    nothing = system.api.call("POST", ROTATE, json={})
    assert (nothing.status_code, nothing.json()["type"].rpartition(":")[2]) == (409, "nothing-to-change")
    assert_no_secret(system, nodes, passwords)


def assert_no_secret(system: System, nodes: list[Couch], passwords: Passwords) -> None:
    places = {f"log of {name}": log for name, log in logs(system, nodes)} | in_redis(system)
    places |= {f"answer: {text.splitlines()[0]}": text for text in system.api.answers}
    wanted = {"the old password": passwords.now, "the new password": passwords.next}
    assert [f"{what} in {where}" for where, text in places.items() for what in leaks(text, wanted)] == []


def test_a_worker_that_dies_in_the_middle_is_gone_on_from(
    system: System, nodes: list[Couch], passwords: Passwords
) -> None:
    """Killed when its call was sent and not answered: nobody knows whether the node has the new password."""
    database = replicated(system, nodes)
    door = system.doors["replica1"]
    with door.holding(CHANGING):
        identity = rotate(system)
        wait_until(lambda: door.held, "the second node is about to be changed")
        victim = system.worker_of(identity)
        kill_dash_nine(victim)
    door.resume()
    assert status(nodes[0], passwords.next) == 200, "one has the new one"
    victim.start()
    system.wait_ready(victim)

    job = system.api.wait_succeeded(identity, deadline=90)

    assert job["attempts"] == 2
    passwords.taken()
    assert system.api.sync(database, wait=True).json()["state"] == "succeeded"
    wait_until(lambda: all_well(system), "all nodes are well", 60)


def test_a_node_that_goes_down_in_the_middle_stops_nothing_and_is_changed_when_it_is_back(
    system: System, nodes: list[Couch], passwords: Passwords
) -> None:
    database = replicated(system, nodes)
    door = system.doors["replica2"]
    with door.holding(CHANGING):
        identity = rotate(system)
        wait_until(lambda: door.held, "the third node is about to be changed")
    door.refuse()
    door.resume()
    wait_until(lambda: system.api.job(identity)["state"] == "queued", "it is to be tried again", 60)
    # half of the nodes have one, half the other, and work goes on
    changed = Couch(nodes[1].name, nodes[1].url, passwords.user, passwords.next)
    changed.fill(database, 5, start=200)
    assert system.api.sync(database, wait=True).json()["state"] == "succeeded"
    assert nodes[0].name == "primary"
    assert status(nodes[0], passwords.next) == 200
    assert status(nodes[2], passwords.now) == 200

    door.accept()

    system.api.wait_succeeded(identity, deadline=90)
    passwords.taken()
    assert system.api.sync(database, wait=True).json()["state"] == "succeeded"
    assert_same(database, nodes)


def test_a_process_that_knows_one_password_alone_is_named_and_nothing_is_changed(
    system: System, nodes: list[Couch], passwords: Passwords
) -> None:
    def late(name: str) -> Process:
        process = system.launch(name, COUCHDB_PASSWORD=passwords.now, COUCHDB_PASSWORD_PREVIOUS="")
        system.wait_ready(process)
        return process

    def named() -> str:
        error = system.api.wait_state(rotate(system), "failed", deadline=60)["error"]
        assert error["type"] == "process-unaware", error
        return str(error["detail"]).partition(":")[0]

    # found by a worker that knows both: of a kind that takes no such job
    control = late("control")
    assert named().startswith(f"control-{control.pid}@")
    control.stop()

    # the worker that takes the job is the one: it names itself, and not those whose word it cannot read
    system.processes["worker"].stop()
    worker = late("worker")
    assert named().startswith(f"worker-{worker.pid}@")

    assert {status(node, passwords.now) for node in nodes} == {200}
