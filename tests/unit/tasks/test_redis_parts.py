"""The small parts on Redis: locks, observations, messages, and how its errors are told."""

from __future__ import annotations

import time

import pytest
import redis
from celery import Celery
from redis._parsers.base import BaseParser

from config.celery import options
from tasks.locks import alone, take_slot
from tasks.observations import WORKER_SILENT_AFTER
from tasks.publish import Publisher
from tasks.redis import StoreUnavailable, connect, fields, translated
from tests.unit.tasks.world import NOW, World, settings, sync


def test_a_slot_is_taken_once(world: World) -> None:
    assert take_slot(world.redis, "sweep", 100.0, 10)
    assert not take_slot(world.redis, "sweep", 109.9, 10)
    assert take_slot(world.redis, "sweep", 110.0, 10)
    assert take_slot(world.redis, "reap", 100.0, 10)


def test_a_slot_is_forgotten_after_its_time(world: World) -> None:
    take_slot(world.redis, "sweep", 100.0, 10)

    (key,) = world.redis.keys("*")
    assert 10 <= world.redis.ttl(key) <= 21


def test_one_at_a_time(world: World) -> None:
    with alone(world.redis, "sweep") as first:
        with alone(world.redis, "sweep") as second:
            assert (first, second) == (True, False)
        with alone(world.redis, "sweep") as still:
            assert not still  # who was not let in does not open the door
        assert world.redis.pttl("nbr:alone:sweep") <= 60_000
    with alone(world.redis, "sweep") as again:
        assert again


def test_a_lock_that_ran_out_is_not_taken_from_its_next_owner(world: World) -> None:
    with alone(world.redis, "sweep"):
        world.redis.set("nbr:alone:sweep", "somebody else")
    assert world.redis.get("nbr:alone:sweep") == "somebody else"


def test_a_lock_is_let_go_after_an_error(world: World) -> None:
    with pytest.raises(ZeroDivisionError), alone(world.redis, "sweep"):
        raise ZeroDivisionError
    with alone(world.redis, "sweep") as again:
        assert again


@pytest.mark.parametrize("error", [redis.ConnectionError("x"), redis.TimeoutError("x")])
def test_a_redis_that_does_not_answer_is_unavailable(error: redis.RedisError) -> None:
    with pytest.raises(StoreUnavailable), translated():
        raise error


@pytest.mark.parametrize(
    "answer",
    [
        "LOADING Redis is loading the dataset in memory",
        "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk.",
        "NOREPLICAS Not enough good replicas to write.",
        "BUSY Redis is busy running a script.",
        "ERR Error running script (call to f_1): @user_script:1: -OOM command not allowed",
        "OOM command not allowed when used memory > 'maxmemory'.",
        "READONLY You can't write against a read only replica.",
        "MASTERDOWN Link with MASTER is down",
    ],
)
def test_a_redis_that_takes_no_commands_now_is_unavailable(answer: str) -> None:
    with pytest.raises(StoreUnavailable), translated():
        raise BaseParser.parse_error(answer)


def test_a_scripts_own_error_is_a_defect_and_passes() -> None:
    with pytest.raises(redis.ResponseError), translated():
        raise redis.ResponseError("wrong type")


def test_no_connection_is_made_before_it_is_needed_and_a_dead_one_is_told() -> None:
    client = connect("redis://:hunter2-secret@127.0.0.1:1/0")

    with pytest.raises(StoreUnavailable) as error, translated():
        client.ping()
    assert "hunter2" not in str(error.value)


def test_workers_are_counted_while_they_are_heard(world: World) -> None:
    world.seen.worker_alive("one", NOW)
    world.seen.worker_alive("two", NOW + 5)
    world.seen.worker_alive("three", NOW)
    world.seen.worker_gone("three")

    assert set(world.seen.workers(NOW + 5)) == {"one", "two"}
    assert set(world.seen.workers(NOW + WORKER_SILENT_AFTER + 1)) == {"two"}


def test_what_was_never_seen_is_unknown(world: World) -> None:
    assert world.seen.sweep() is None
    assert world.seen.last_pass() is None
    assert world.seen.last_tick() is None
    assert world.seen.syncs() == {}
    assert world.seen.database_nodes("pdfs") == []


def test_a_sweep_replaces_the_databases_of_the_one_before(world: World) -> None:
    world.seen.save_sweep({"observed_at": 1.0}, {"old": ["a"], "pdfs": ["a"]})
    world.seen.save_sweep({"observed_at": 2.0}, {"pdfs": ["b"]})
    world.seen.save_sweep({"observed_at": 3.0}, None)

    assert world.seen.sweep() == {"observed_at": 3.0}
    assert world.seen.database_names() == ["pdfs"]
    assert world.seen.database_count() == 1
    assert world.seen.database_nodes("pdfs") == ["b"]


# --- messages


@pytest.fixture
def broker() -> Celery:
    app = Celery(broker="memory://", set_as_current=False)
    app.conf.task_publish_retry = False
    return app


def test_a_message_is_the_jobs_id_and_nothing_else(broker: Celery) -> None:
    publisher = Publisher(broker)
    publisher.job("the-id", sync())

    assert publisher.depth("sync") == 1
    with broker.connection_for_read() as connection:
        message = connection.default_channel.basic_get("sync")
    assert message is not None
    args, kwargs, _ = message.decode()
    assert (args, kwargs) == (["the-id"], {})
    assert message.headers["task"] == "sync"
    assert "pdfs" in message.headers["argsrepr"]


def test_a_queue_that_nobody_used_is_empty(broker: Celery) -> None:
    assert Publisher(broker).depth("never-used") == 0


def test_a_broker_that_is_away_is_told_at_once() -> None:
    app = Celery(set_as_current=False)
    app.config_from_object(options(settings(redis_url="redis://127.0.0.1:1/0")))
    publisher = Publisher(app)
    for call in (lambda: publisher.job("the-id", sync()), lambda: publisher.depth("sync")):
        began = time.monotonic()
        with pytest.raises(StoreUnavailable):
            call()
        assert time.monotonic() - began < 2


@pytest.mark.parametrize(
    ("names", "found"),
    [(None, {"a": "1", "b": "2"}), (["b", "empty", "nobody"], {"b": "2"}), ([], {})],
    ids=["all", "some", "none"],
)
def test_fields_of_a_hash_are_those_that_are_there(
    world: World, names: list[str] | None, found: dict[str, str]
) -> None:
    world.redis.hset("nbr:test", mapping={"a": "1", "b": "2", "empty": ""})

    assert fields(world.redis, "nbr:test", names) == found
    with pytest.raises(StoreUnavailable):
        fields(connect("redis://127.0.0.1:1/0"), "nbr:test", None)
