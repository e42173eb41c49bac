"""The agent over TCP: one line in, one line out, whatever the caller or Redis does."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from structlog.testing import capture_logs

from config.settings import Settings, build
from tasks import agent as module
from tasks.agent import LONGEST_LINE, Agent
from tasks.redis import StoreUnavailable
from tests.fakes.agent import serving
from tests.unit.tasks.world import World
from worker.core.agent import ALIVE, READY

SECONDS = 10.0
NOW = 1_000.0
SETTINGS: Settings = build(
    {"couchdb_url": "primary=http://127.0.0.1:5984", "replication_nodes": "replica1=http://127.0.0.1:5985"}
)


def record(way: str, state: str = "healthy", at: float = NOW) -> dict[str, Any]:
    return {"state": state, "reason": None, "lag": 0, "way": way, "way_reason": f"is {state}", "observed_at": at}


class Clock:
    now = NOW

    def __call__(self) -> float:
        return self.now


def ask(port: int, line: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), SECONDS) as asked:
        asked.sendall(line)
        return asked.makefile("rb").read()


def test_it_answers_from_what_redis_holds(world: World) -> None:
    world.seen.save_standings({"primary": record("ready"), "replica1": record("down", "recovering")})
    with serving(Agent(SETTINGS, world.seen.standings, Clock())) as port:
        assert ask(port, b"primary\n") == b"up ready\n"
        assert ask(port, b"replica1\n") == b"down #is recovering\n"
        assert ask(port, b"replica1 last-resort\r\n") == b"up ready\n"
        assert ask(port, b"stranger\n") == b"down #not a configured node\n"
        assert ask(port, f"{ALIVE}\n".encode()) == f"{READY}\n".encode()


def test_what_changes_is_heard_within_seconds(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "READ_EVERY", 0.02)
    with serving(Agent(SETTINGS, world.seen.standings, Clock())) as port:
        assert ask(port, b"primary\n") == b"up ready\n"
        world.seen.save_standings({"primary": record("drain")})
        assert until(lambda: ask(port, b"primary\n") == b"drain\n")


def until(condition: Callable[[], bool]) -> bool:
    tries = threading.Event()
    return any(condition() or tries.wait(0.02) for _ in range(int(SECONDS / 0.02)))


@pytest.mark.parametrize("line", [b"x" * (LONGEST_LINE * 3), b"x" * (LONGEST_LINE * 3) + b"\n", b"\n", b"\xff\xfe\n"])
def test_what_is_no_line_gets_no_answer(world: World, line: bytes) -> None:
    with serving(Agent(SETTINGS, world.seen.standings, Clock())) as port:
        with contextlib.suppress(ConnectionError):  # it hangs up before everything was read
            assert ask(port, line) == b""
        assert ask(port, b"primary\n") == b"up ready\n"


def test_who_says_nothing_is_hung_up_on_and_holds_nobody_up(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.2)
    with (
        serving(Agent(SETTINGS, world.seen.standings, Clock())) as port,
        socket.create_connection(("127.0.0.1", port), SECONDS) as silent,
    ):
        assert ask(port, b"primary\n") == b"up ready\n"
        assert silent.recv(10) == b""


# --- without Redis


class Redis:
    """Standings that can be taken away."""

    def __init__(self, **standings: Mapping[str, Any]) -> None:
        self.standings: dict[str, Mapping[str, Any]] = standings
        self.away = False

    def __call__(self) -> Mapping[str, Mapping[str, Any]]:
        if self.away:
            raise StoreUnavailable("Redis does not answer")
        return self.standings


def test_without_redis_the_last_word_holds_until_it_is_old() -> None:
    clock, redis = Clock(), Redis(primary=record("down", "recovering"), replica1=record("drain", "maintenance"))
    agent = Agent(SETTINGS, redis, clock)
    agent.look()
    redis.away = True
    agent.look()
    assert agent.say("primary") == "down #is recovering"
    clock.now += SETTINGS.stale_after + 1
    assert agent.say("primary") == READY
    assert agent.say("replica1") == "drain", "a person has taken it out"


def test_a_person_is_remembered_although_redis_was_emptied() -> None:
    redis = Redis(primary=record("drain", "maintenance"))
    agent = Agent(SETTINGS, redis, Clock())
    agent.look()
    redis.standings = {}
    agent.look()
    assert agent.say("primary") == "drain"
    redis.standings = {"primary": record("ready")}
    agent.look()
    assert agent.say("primary") == READY


def test_an_agent_that_starts_without_redis_lets_everybody_in() -> None:
    redis = Redis()
    redis.away = True
    with serving(Agent(SETTINGS, redis, Clock())) as port:
        assert ask(port, b"primary\n") == b"up ready\n"


def test_changes_are_logged_and_not_every_answer() -> None:
    redis = Redis(primary=record("ready"))
    agent = Agent(SETTINGS, redis, Clock())
    with capture_logs() as logs:
        agent.look()
        for _ in range(5):
            agent.say("primary")
        redis.standings = {"primary": record("down", "recovering")}
        agent.look()
        for _ in range(5):
            agent.say("primary")
        redis.away = True
        for _ in range(3):
            agent.look()
        redis.away = False
        agent.look()
    assert [(entry["event"], entry.get("answer")) for entry in logs] == [
        ("agent answers", "up ready"),
        ("agent answers", "down #is recovering"),
        ("agent cannot read what is known", None),
        ("agent reads again what is known", None),
    ]


def test_strangers_questions_do_not_fill_the_memory() -> None:
    agent = Agent(SETTINGS, Redis(), Clock())
    for number in range(3_000):
        agent.say(f"stranger{number}")
    assert len(agent._said) == module.MOST_REMEMBERED
