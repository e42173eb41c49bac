"""What Celery is told: every name that is scheduled or sent is registered, and every process can be started."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from celery import Celery, signals

from config.celery import CONTROL_QUEUE, JOB_QUEUES, ON_CHANGE_QUEUE, options
from config.schedule import CLOCK_SKEW, beat_table
from tasks.__main__ import arguments
from tasks.app import register
from tasks.jobs import Kind
from tasks.locks import LEASE
from tests.builders import fake_cluster
from tests.unit.tasks.world import World, settings

SIGNALS = (signals.setup_logging, signals.worker_ready, signals.worker_shutting_down)


@pytest.fixture
def app(world: World) -> Iterator[Celery]:
    """Registered; the process' signals are as before when the test is over."""
    before = [list(signal.receivers) for signal in SIGNALS]
    yield register(world.parts, fake_cluster("a", "b")[1])
    for signal, receivers in zip(SIGNALS, before, strict=True):
        signal.receivers[:] = receivers
        signal.sender_receivers_cache.clear()


def test_every_scheduled_task_is_registered(app: Celery) -> None:
    for entry in beat_table(settings()).values():
        assert entry["task"] in app.tasks


def test_every_kind_of_job_is_a_task_on_a_queue_that_workers_serve(app: Celery) -> None:
    config = options(settings())
    served = arguments("worker", settings())

    assert set(JOB_QUEUES) == {kind.value for kind in Kind}
    for kind in Kind:
        assert kind.value in app.tasks
        assert config["task_routes"][kind.value] == {"queue": kind.value}
    assert served[served.index("--queues") + 1].split(",") == [*JOB_QUEUES, ON_CHANGE_QUEUE]


def test_syncs_of_what_changed_are_on_a_queue_of_their_own(app: Celery) -> None:
    assert "on-change" in app.tasks
    assert ON_CHANGE_QUEUE not in JOB_QUEUES
    assert options(settings())["task_routes"]["on-change"] == {"queue": ON_CHANGE_QUEUE}


@pytest.mark.parametrize("name", ["reconcile", "drift"])
def test_what_may_be_wanted_at_once_is_registered(app: Celery, name: str) -> None:
    assert f"{name}-now" in app.tasks


def test_every_scheduled_task_has_a_lease() -> None:
    assert {entry["task"] for entry in beat_table(settings()).values()} <= LEASE.keys()


@pytest.mark.parametrize("more", [{"canary_seconds": 0}, {"continuous_replication": False}])
def test_the_canary_is_not_scheduled_where_it_is_not_wanted(more: dict[str, Any]) -> None:
    assert "canary" in beat_table(settings())
    assert "canary" not in beat_table(settings(**more))


def test_looks_and_scheduled_tasks_are_on_the_control_queue(app: Celery) -> None:
    assert "look" in app.tasks
    assert options(settings())["task_default_queue"] == CONTROL_QUEUE
    assert CONTROL_QUEUE in arguments("control", settings())


def test_scheduled_ticks_expire_and_know_their_interval() -> None:
    table = beat_table(settings(health_interval=7, replication_retry_seconds=42))

    assert table["sweep"]["schedule"] == 7
    assert table["drift"]["schedule"] == 42
    for entry in table.values():
        assert entry["args"] == (entry["schedule"],)
        # clocks of beat and worker may differ by so much
        assert entry["options"]["expires"] == entry["schedule"] + CLOCK_SKEW


def test_celery_is_set_up_as_was_measured_to_survive() -> None:
    config = options(settings())

    assert config["task_acks_late"] is False
    assert config["result_backend"] is None
    assert config["worker_prefetch_multiplier"] == 1
    assert config["accept_content"] == ["json"]
    assert config["broker_connection_max_retries"] is None
    assert config["task_publish_retry"] is False


@pytest.mark.parametrize("process", ["worker", "control", "beat", "flower"])
def test_no_process_has_a_secret_on_its_command_line(process: str) -> None:
    told = arguments(
        process, settings(redis_url="redis://:redis-secret@127.0.0.1/0", flower_basic_auth="me:flower-secret")
    )

    assert process in " ".join(told) or "worker" in told
    assert "secret" not in " ".join(told)


def test_a_scheduled_task_is_done_once_an_interval_however_many_beats_tick(world: World, app: Celery) -> None:
    done: list[int] = []
    world.publisher.depth = lambda queue: done.append(1) or 0  # type: ignore[method-assign, assignment, func-returns-value]

    for _ in range(3):
        app.tasks["reap"].run(3_600)

    assert len(done) == len(Kind)


def test_a_scheduled_task_is_not_done_while_it_is_being_done(world: World, app: Celery) -> None:
    world.redis.set("nbr:alone:reap", "somebody")

    app.tasks["reap"].run(3_600)

    assert world.seen.last_tick() is None


def test_a_task_survives_a_redis_that_is_away(world: World, app: Celery) -> None:
    server = world.redis.connection_pool.connection_kwargs["server"]
    server.connected = False
    for entry in beat_table(settings()).values():
        app.tasks[entry["task"]].run(10)
    app.tasks["drift-now"].run()
    app.tasks["on-change"].run("pdfs", "token")
    app.tasks["sync"].run("01234567-0000-7000-8000-000000000000")
    server.connected = True
