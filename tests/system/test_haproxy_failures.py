"""Real nodes behind the shipped haproxy.cfg, and violence: nodes killed or hung, our whole system gone.

Each node's copies have a document that names the node, so that every answer tells who gave it.
"""

from __future__ import annotations

import itertools
import json
import os
import secrets
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from embedded.haproxy import MISSING, EmbeddedHaproxy, find_haproxy
from embedded.process import Process
from tests.system.couch import Couch
from tests.system.harness import System, hung, kill_dash_nine, wait_until

pytestmark = [pytest.mark.system, pytest.mark.skipif(find_haproxy() is None, reason=MISSING)]

PROMISED = 3.0  # seconds from a node's death until no client is sent there
BUSY = 2.0  # times what is promised, on a busy machine
DATABASES = [f"proxied{number}-{secrets.token_hex(3)}" for number in range(24)]


@pytest.fixture(scope="module")
def filled(_mortals: list[Couch]) -> list[Couch]:
    for node in _mortals:
        for name in DATABASES:
            node.create(name)
            node.put(name, {"_id": "who", "node": node.name})
    return _mortals


@pytest.fixture
def ours(filled: list[Couch], mortals: list[Couch], tmp_path: Path) -> Iterator[System]:
    """Redis and an agent: the sweeps are the test's own."""
    with System(mortals, tmp_path / "system") as made:
        made.start("agent")
        yield made


@pytest.fixture
def proxy(ours: System, tmp_path: Path) -> Iterator[EmbeddedHaproxy]:
    made = EmbeddedHaproxy(
        tmp_path / "haproxy", {node.name: node.port for node in ours.nodes.values()}, ours.agent_port
    )
    made.start()
    # what the first checks say counts at once; from now on the shipped numbers do
    wait_until(lambda: set(homes(made, ours).values()) == set(ours.nodes), "every node has databases")
    wait_until(lambda: made.states("agent") == {"agent": "UP"}, "HAProxy hears the agent")
    yield made
    made.stop()


def who(proxy: EmbeddedHaproxy, system: System, database: str) -> str:
    node = next(iter(system.nodes.values()))
    # every node of the tests has the same admin
    answer = requests.get(f"{proxy.url}/{database}/who", auth=(node.user, node.password), timeout=30)
    answer.raise_for_status()
    return str(answer.json()["node"])


def homes(proxy: EmbeddedHaproxy, system: System) -> dict[str, str]:
    return {name: who(proxy, system, name) for name in DATABASES}


def say(system: System, **ways: tuple[str, str]) -> None:
    """What the next sweep would write: node -> (state, way); the others are well."""
    now = time.time()
    system.parts.seen.save_standings(
        {
            name: {"state": state, "reason": None, "lag": 0, "way": way, "way_reason": state, "observed_at": now}
            for name in system.nodes
            for state, way in [ways.get(name, ("healthy", "ready"))]
        }
    )


def seconds_until(condition: Callable[[], bool], what: str, deadline: float = 60) -> float:
    began = time.monotonic()
    wait_until(condition, what, deadline)
    return time.monotonic() - began


def write(proxy: EmbeddedHaproxy, system: System, database: str) -> None:
    node = next(iter(system.nodes.values()))
    url = f"{proxy.url}/{database}/{secrets.token_hex(8)}"
    requests.put(url, json={}, auth=(node.user, node.password), timeout=30).raise_for_status()


@contextmanager
def at_work(proxy: EmbeddedHaproxy, system: System) -> Iterator[dict[str, list[str]]]:
    """Inside, two read and two write all databases again and again. Of each: what failed."""
    failures: dict[str, list[str]] = {"read": [], "write": []}
    over = threading.Event()

    def work(kind: str) -> None:
        ask = who if kind == "read" else write
        for name in itertools.cycle(DATABASES):
            if over.is_set():
                return
            try:
                ask(proxy, system, name)
            except requests.RequestException as error:
                failures[kind].append(str(error))

    workers = [threading.Thread(target=work, args=(kind,)) for kind in ("read", "write") * 2]
    for worker in workers:
        worker.start()
    try:
        yield failures
    finally:
        over.set()
        for worker in workers:
            worker.join(60)


def process_of(node: Couch) -> Process:
    assert node.embedded is not None
    return node.embedded.process


def test_a_killed_node_is_out_in_seconds_its_databases_alone_move_and_come_back_when_it_has_caught_up(
    proxy: EmbeddedHaproxy, ours: System, mortals: list[Couch]
) -> None:
    before = homes(proxy, ours)
    victim = mortals[1]
    with at_work(proxy, ours) as failures:
        victim.kill()
        took = seconds_until(lambda: proxy.states()[victim.name] == "DOWN", "HAProxy calls it down")
        after = homes(proxy, ours)
    print(f"kill -9 to out: {took:.2f} s; failed: {failures}")
    assert took <= PROMISED * BUSY
    assert failures["read"] == [], "they are asked for again"
    assert len(failures["write"]) <= 2, "at most what was in flight there: one a writer"
    assert victim.name not in after.values()
    assert {name: home for name, home in before.items() if home != victim.name}.items() <= after.items()

    say(ours, **{victim.name: ("recovering", "down")})
    victim.revive()
    wait_until(lambda: victim.name in proxy.well(), "its own check is well", 60)
    assert proxy.states()[victim.name] == "DOWN (agent)"
    assert homes(proxy, ours) == after
    say(ours)
    took = seconds_until(lambda: proxy.states()[victim.name] == "UP", "it is let in")
    print(f"`ready` to let in: {took:.2f} s")
    assert homes(proxy, ours) == before


def test_a_node_that_is_back_at_once_is_not_let_in_before_a_sweep_could_see_it(
    proxy: EmbeddedHaproxy, ours: System, mortals: list[Couch]
) -> None:
    victim = mortals[2]
    victim.kill()
    wait_until(lambda: proxy.states()[victim.name] == "DOWN", "HAProxy calls it down")
    victim.revive()
    wait_until(lambda: proxy.states("last-resort")[victim.name] == "UP", "its own check is well")
    took = seconds_until(lambda: proxy.states()[victim.name] == "UP", "it is let in")
    print(f"well again to let in: {took:.2f} s")
    assert took >= 12, "a sweep (10 s), and what it takes until the agent knows and is asked"


def test_a_hung_node_is_out_and_its_feeds_are_cut_off(
    proxy: EmbeddedHaproxy, ours: System, mortals: list[Couch]
) -> None:
    before = homes(proxy, ours)
    victim = mortals[1]
    database = next(name for name, home in before.items() if home == victim.name)
    feed = requests.get(
        f"{proxy.url}/{database}/_changes?feed=continuous&heartbeat=1000&since=now",
        auth=(victim.user, victim.password),
        stream=True,
        timeout=(5, 60),
    )
    with feed, hung(process_of(victim)):
        took = seconds_until(lambda: proxy.states()[victim.name] == "DOWN", "HAProxy calls it down")
        print(f"SIGSTOP to out: {took:.2f} s")
        assert took <= 8 * BUSY
        assert ends(feed)
        assert victim.name not in homes(proxy, ours).values()


def ends(feed: requests.Response) -> bool:
    """Whether somebody cuts the feed off; its own time-out is far away."""
    try:
        list(feed.iter_content(64))
    except requests.exceptions.ChunkedEncodingError:
        return True
    return False


def test_a_feed_outlives_its_heartbeats(proxy: EmbeddedHaproxy, ours: System, mortals: list[Couch]) -> None:
    name = DATABASES[0]
    node = ours.nodes[who(proxy, ours, name)]
    url = f"{proxy.url}/{name}/_changes?feed=continuous&heartbeat=500&since=now"
    with requests.get(url, auth=(node.user, node.password), stream=True, timeout=(5, 30)) as feed:
        lines = feed.iter_lines(chunk_size=1)
        beats = [line for _, line in zip(range(4), lines, strict=False)]
        assert not any(beats), "heartbeats, two seconds long"
        node.put(name, {"_id": f"late-{secrets.token_hex(4)}"})
        assert json.loads(next(line for line in lines if line))["id"].startswith("late-")


def test_all_nodes_gone_for_a_moment_is_over_when_they_are_back(
    proxy: EmbeddedHaproxy, ours: System, mortals: list[Couch]
) -> None:
    before = homes(proxy, ours)
    for node in mortals:
        node.kill()
    wait_until(lambda: set(proxy.states("last-resort").values()) == {"DOWN"}, "HAProxy calls all of them down")
    for node in mortals:
        node.embedded.start()  # type: ignore[union-attr]
    for node in mortals:
        node.embedded.wait_ready()  # type: ignore[union-attr]
    wait_until(lambda: set(proxy.states("last-resort").values()) == {"UP"}, "the last resort has them", 10)
    assert set(proxy.states().values()) <= {"DOWN"} | {f"DOWN {n}/36" for n in range(1, 36)}, "the others do not yet"
    assert homes(proxy, ours) == before


# --- without us


def held_back(proxy: EmbeddedHaproxy, ours: System) -> None:
    say(ours, replica1=("recovering", "down"), replica2=("maintenance", "drain"))
    wait_until(lambda: proxy.states()["replica1"] == "DOWN (agent)", "replica1 is held back")
    wait_until(lambda: proxy.states("last-resort")["replica2"].startswith("DRAIN"), "replica2 is taken out")
    wait_until(lambda: proxy.states()["replica2"].startswith("DRAIN"), "the agent was asked for it there as well")
    assert set(homes(proxy, ours).values()) == {"primary"}


@pytest.mark.parametrize("how", ["kill -9", "SIGTERM", "hung"])
def test_with_our_whole_system_gone_clients_reach_every_live_node_but_the_one_that_a_person_took_out(
    proxy: EmbeddedHaproxy, ours: System, how: str
) -> None:
    held_back(proxy, ours)
    agent = ours.processes["agent"]
    ours.kill_redis()
    if how == "kill -9":
        kill_dash_nine(agent)
    elif how == "SIGTERM":
        agent.terminate()
        wait_until(lambda: agent.poll() == 0, "the agent ends by itself", 10)
    else:
        assert agent.pid
        os.kill(agent.pid, signal.SIGSTOP)
    took = seconds_until(lambda: set(homes(proxy, ours).values()) == {"primary", "replica1"}, "they are reached", 40)
    print(f"agent {how} to every live node: {took:.2f} s")


def test_with_our_whole_system_gone_all_nodes_of_a_healthy_cluster_keep_their_clients(
    proxy: EmbeddedHaproxy, ours: System
) -> None:
    say(ours)
    before = homes(proxy, ours)
    with at_work(proxy, ours) as failures:
        ours.kill_redis()
        kill_dash_nine(ours.processes["agent"])
        wait_until(lambda: proxy.states("agent") == {"agent": "DOWN"}, "HAProxy knows that nobody is left to ask", 30)
        assert homes(proxy, ours) == before
    assert failures == {"read": [], "write": []}


def test_an_agent_that_is_started_again_lets_nobody_in_meanwhile(proxy: EmbeddedHaproxy, ours: System) -> None:
    held_back(proxy, ours)
    agent = ours.processes["agent"]
    agent.stop()
    began = time.monotonic()
    agent.start()
    ours.wait_ready(agent)
    took = time.monotonic() - began
    print(f"the agent is back after {took:.2f} s")
    if took < 2:  # a machine so busy that it takes longer proves nothing
        assert set(homes(proxy, ours).values()) == {"primary"}
    wait_until(lambda: proxy.states("agent") == {"agent": "UP"}, "HAProxy hears it again")
    wait_until(lambda: set(homes(proxy, ours).values()) == {"primary"}, "nobody else is let in")
