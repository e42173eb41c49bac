"""That a job has ended is told to receivers that ask for it by name, however it ended, and never at its cost."""

from __future__ import annotations

import time
from typing import Any

import pytest
import structlog

from config.webhooks import receiver
from tasks.events import EventFilter
from tasks.jobs import Kind, State
from tasks.store import Filter
from tests.unit.tasks.test_runner import Bench, raising
from tests.unit.tasks.world import NOW, World, settings, sync
from worker.core.errors import Cancelled, NotFound, Unreachable
from worker.core.events import of_json, payload


@pytest.fixture
def heard() -> World:
    """With a receiver of job.finished, and one of everything that is kept."""
    world = World(settings(secret_key="k" * 32, webhook_urls="https://page.test/", webhook_secret="whsec_" + "A" * 32))
    add = world.receivers.add
    add(receiver("https://jobs.test/"), NOW, events=["job.finished"], description=None)
    add(receiver("https://all.test/"), NOW, events=None, description=None)
    return world


def told(world: World) -> list[dict[str, Any]]:
    found = world.store.list(Filter(kind=Kind.WEBHOOK)).jobs
    assert {job.params["receiver"] for job in found} <= {"https://jobs.test"}
    return [payload(of_json(job.params["event"])) for job in reversed(found)]


def test_a_job_that_went_well(heard: World) -> None:
    job = heard.jobs.submit(sync()).job
    ended = Bench(heard, lambda control: {"caught_up": True}).run(job.id)

    (event,) = told(heard)
    assert event["type"] == "job.finished"
    assert event["data"] == {
        "id": f"job-{job.id}",
        "severity": "info",
        "detail": "sync of pdfs succeeded",
        "node": None,
        "database": "pdfs",
        "kind": "sync",
        "state": "succeeded",
        "job": job.id,
        "error": None,
    }
    assert ended.finished_at is not None
    assert event["timestamp"].startswith(time.strftime("%Y-%m-%dT", time.gmtime(ended.finished_at)))
    assert heard.events.list(EventFilter()).events == [], "it is sent and not kept"


def test_one_that_failed_and_one_that_was_cancelled(heard: World) -> None:
    first = heard.jobs.submit(sync("first")).job
    Bench(heard, raising(NotFound("no such database"))).run(first.id)
    second = heard.jobs.submit(sync("second")).job
    Bench(heard, raising(Cancelled())).run(second.id)

    failed, cancelled = told(heard)
    assert (failed["data"]["state"], failed["data"]["error"], failed["data"]["severity"]) == (
        "failed",
        "not-found",
        "warning",
    )
    assert "no such database" not in str(failed), "what an error says is for who may ask for the job"
    assert (cancelled["data"]["state"], cancelled["data"]["job"]) == ("cancelled", second.id)


def test_one_that_will_be_tried_again_has_not_ended(heard: World) -> None:
    job = heard.jobs.submit(sync()).job
    Bench(heard, raising(Unreachable("refused"))).run(job.id)

    assert heard.job(job.id).state is State.QUEUED
    assert told(heard) == []


def test_one_that_was_cancelled_while_it_was_queued(heard: World) -> None:
    job = heard.jobs.submit(sync()).job
    heard.jobs.cancel(job.id)

    (event,) = told(heard)
    assert (event["data"]["job"], event["data"]["state"]) == (job.id, "cancelled")


def test_one_whose_workers_died_one_after_the_other(heard: World) -> None:
    job = heard.jobs.submit(sync()).job
    heard.redis.hset(f"nbr:job:{job.id}", "failures", str(heard.max_attempts))
    Bench(heard, lambda control: {}).run(job.id)

    assert heard.job(job.id).state is State.FAILED
    (event,) = told(heard)
    assert (event["data"]["state"], event["data"]["error"]) == ("failed", "worker-lost")


def test_a_delivery_that_ended_is_not_told(heard: World) -> None:
    heard.jobs.submit(sync())
    heard.jobs.cancel(heard.publisher.sent[0])
    (delivery,) = heard.store.list(Filter(kind=Kind.WEBHOOK)).jobs

    heard.jobs.cancel(delivery.id)

    assert len(told(heard)) == 1


@pytest.mark.parametrize("broken", ["the queue is away", "a record that cannot be read"])
def test_what_goes_wrong_with_it_is_logged_and_does_not_cost_the_job(heard: World, broken: str) -> None:
    job = heard.jobs.submit(sync()).job
    if broken == "the queue is away":
        heard.publisher.away = True
    else:
        heard.redis.hset("nbr:webhooks", "wh_broken", "{")

    with structlog.testing.capture_logs() as logs:
        ended = Bench(heard, lambda control: {"caught_up": True}).run(job.id)

    assert ended.state is State.SUCCEEDED
    assert [entry["job_id"] for entry in logs if entry["event"] == "end of a job not sent"] == [job.id]
