"""Many databases on change: nothing is lost, though the watcher is killed in the middle and Redis is emptied.

On nodes without feeds the periodic pass alone does it; then the watcher has nothing to do, and its death costs nothing.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from functools import partial

import pytest

from tests.system.conftest import Fresh
from tests.system.couch import Couch
from tests.system.harness import System, kill_dash_nine, wait_until

pytestmark = pytest.mark.system

DATABASES = 200
DATABASES_ON_STANDINS = 50  # which are slower, and have no feeds: there the watcher has nothing to do
PREFIX = f"onc-{secrets.token_hex(4)}-"
PASS_EVERY = 30  # seconds between two passes where feeds tell of changes
HEARD = 6.0  # seconds in which a change is synced that a feed told of
PATIENCE = 120.0  # seconds


@pytest.fixture(scope="module")
def system(nodes: list[Couch], tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    # seldom enough that what arrives sooner was heard, where there is something to hear with
    passes = PASS_EVERY if nodes[0].schedules else 2
    settings = {
        "CONTINUOUS_REPLICATION": "true",
        "REPLICATION_MODE": "on-change",
        "REPLICATION_RETRY_SECONDS": str(passes),
        "REPLICATION_INCLUDE": f"{PREFIX}*",
        "CANARY_SECONDS": "0",
        "LOG_LEVEL": "info",
    }
    with System(nodes[:2], tmp_path_factory.mktemp("on-change"), settings) as made:
        made.start("worker", "control", "beat", "watcher", "api")
        yield made


@pytest.fixture(scope="module")
def names(system: System, nodes: list[Couch], fresh: Fresh) -> list[str]:
    count = DATABASES if nodes[0].schedules else DATABASES_ON_STANDINS
    found = [fresh(prefix=PREFIX, on=nodes[:2]) for _ in range(count)]
    wait_until(lambda: in_step(system) >= {*found}, "all databases are known to be in step", PATIENCE)
    return found


def in_step(system: System) -> set[str]:
    links = system.api.get("/api/replication/status?limit=1000").json()["links"]
    return {link["database"] for link in links if link["state"] == "in-step"}


def write(nodes: list[Couch], names: list[str], what: str) -> None:
    for name in names:
        nodes[int(name[-1], 16) % 2].put(name, {"_id": what})


def all_have(nodes: list[Couch], names: list[str], what: str) -> bool:
    return all(node.has(name, what) for name in names for node in nodes[:2])


def listens(system: System, to: int) -> bool:
    """Whether a watcher that lives has so many feeds open."""
    watchers = system.api.get("/api/replication/info").json()["watchers"]
    return any(watcher["leads"] and sum(map(bool, watcher["feeds"].values())) == to for watcher in watchers)


def test_feeds_tell_of_changes_long_before_a_pass_would(system: System, nodes: list[Couch], names: list[str]) -> None:
    if not nodes[0].schedules:
        pytest.skip("a stand-in has no feed")
    wait_until(lambda: listens(system, to=2), "the watcher listens to both nodes")
    for number in range(6):  # three passes' worth of luck would be needed
        name = names[number * 7]
        nodes[number % 2].put(name, {"_id": f"heard-{number}"})
        heard = partial(nodes[1 - number % 2].has, name, f"heard-{number}")
        wait_until(heard, "it was heard", HEARD)


def test_the_watchers_death_loses_nothing(system: System, nodes: list[Couch], names: list[str]) -> None:
    first = system.processes["watcher"]
    system.wait_ready(system.launch("watcher"))  # a second one, which waits for its turn
    write(nodes, names[::2], "before")
    kill_dash_nine(first)
    write(nodes, names[1::2], "before")

    wait_until(lambda: all_have(nodes, names, "before"), "every write is on both nodes", PATIENCE)
    if nodes[0].schedules:
        wait_until(lambda: listens(system, to=2), "the second one listens now")


def test_an_emptied_redis_loses_nothing(system: System, nodes: list[Couch], names: list[str]) -> None:
    write(nodes, names[::2], "after")
    with system.store() as store:
        store.flushall()
    write(nodes, names[1::2], "after")

    wait_until(lambda: all_have(nodes, names, "after"), "every write is on both nodes", PATIENCE)
    wait_until(lambda: in_step(system) >= {*names}, "and known to be in step", PATIENCE)


def test_a_sync_that_somebody_asks_for_does_not_wait_behind_them(
    system: System, nodes: list[Couch], names: list[str]
) -> None:
    write(nodes, names, "many")

    job = system.api.sync(names[0], wait=True).json()

    assert job["state"] == "succeeded"
    assert job["result"]["caught_up"] is True
    wait_until(lambda: all_have(nodes, names, "many"), "and the others come as well", PATIENCE)


def test_nothing_changes_nothing_is_synced(system: System, names: list[str]) -> None:
    """The echo ends: what a sync wrote is not a change for the next one."""
    wait_until(lambda: in_step(system) >= {*names}, "all are in step", PATIENCE)
    with system.store() as store:
        wait_until(lambda: store.zcard("nbr:on-change:dirty") == store.zcard("nbr:on-change:busy") == 0, "all is quiet")
        before = store.hgetall("nbr:seen:synced")
        passed = store.get("nbr:seen:pass")
        for _ in range(2):
            passed = wait_until(
                lambda was=passed: now if (now := store.get("nbr:seen:pass")) != was else None, "a pass", PATIENCE
            )
        assert store.hgetall("nbr:seen:synced") == before
