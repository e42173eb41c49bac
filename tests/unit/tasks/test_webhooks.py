"""From an event to its receivers: a job each, signed, repeated under the same name, no secret in any record."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from standardwebhooks import Webhook

from tasks.deliver import deliver, run_webhook
from tasks.events import EventFilter
from tasks.jobs import Job, Kind, State
from tasks.policy import PAUSES
from tasks.redis import StoreUnavailable
from tasks.runner import Runner, Work
from tasks.store import Filter
from tasks.works import WORKS
from tests.builders import fake_cluster
from tests.unit.tasks.world import NOW, World, settings
from worker.core.addresses import Allowed
from worker.core.errors import Cancelled, DeliveryFailed, WebhookUnknown
from worker.core.events import Event
from worker.ops.control import Unattended

CHAT = "https://chat.test/services/chat-token-token"
PAGER = "http://me:pager-password@pager.test:8080/?key=pager-token"
TOKENS = ("chat-token", "pager-password", "pager-token")
SECRET = "whsec_" + base64.b64encode(b"webhook-secret-of-24-bytes").decode()
NEW_SECRET = "whsec_" + base64.b64encode(b"another-secret-of-24-bytes").decode()


def configured(*urls: str, secret: str = SECRET) -> World:
    return World(settings(webhook_urls=",".join(urls), webhook_secret=secret))


def record(world: World) -> Event:
    changed = {"from": "suspect", "to": "down", "failure": "refused"}
    return world.events.record("node.state", at=NOW, detail="refused", severity="error", node="a", **changed)


def jobs(world: World) -> list[Job]:
    return world.store.list(Filter(kind=Kind.WEBHOOK)).jobs


@dataclass
class FakeReceivers:
    """Takes everything, until `fails` is set."""

    fails: Exception | None = None
    taken: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    allowed: list[Allowed | None] = field(default_factory=list)

    def post(self, url: str, host: str, headers: Mapping[str, str], body: bytes, allowed: Allowed | None = None) -> int:
        self.allowed.append(allowed)
        self.taken.append((url, dict(headers), body))
        if self.fails:
            raise self.fails
        return 204


def test_nobody_is_sent_anything_where_nobody_is_configured(world: World) -> None:
    record(world)
    assert jobs(world) == []


def test_a_job_for_each_receiver_names_it_by_its_host_alone() -> None:
    world = configured(CHAT, PAGER)
    event = record(world)

    made = jobs(world)

    assert {job.params["receiver"] for job in made} == {"https://chat.test", "http://pager.test:8080"}
    assert {job.params["event"]["id"] for job in made} == {event.id}
    assert sorted(job.id for job in made) == sorted(world.publisher.sent)
    everything = f"{made}{[world.redis.hgetall(f'nbr:job:{job.id}') for job in made]}"
    for secret in (*TOKENS, *world.settings.secrets):
        assert secret not in everything


def test_what_a_receiver_gets_can_be_checked_and_is_the_same_at_every_attempt() -> None:
    world, receivers = configured(CHAT), FakeReceivers()
    event = record(world)
    (job,) = jobs(world)

    now = time.time()
    results = [deliver(world.settings, world.receivers, job, moment, receivers.post) for moment in (now - 9, now)]

    (url, first, body), (_, second, again) = receivers.taken
    assert url == CHAT
    told = Webhook(SECRET).verify(body, second)
    assert (told["type"], told["data"]["id"], told["data"]["to"]) == ("node.state", event.id, "down")
    assert first["webhook-id"] == second["webhook-id"] == f"{event.id}-{job.params['mark']}"
    assert first["webhook-timestamp"] < second["webhook-timestamp"], "of the attempt: receivers refuse what is old"
    assert body == again
    assert "." not in first["webhook-id"], "it would make what is signed ambiguous"
    receipt = {"receiver": "https://chat.test", "webhook_id": first["webhook-id"], "status": 204}
    assert results == [receipt, receipt]


def test_two_receivers_know_one_event_by_different_names() -> None:
    world, receivers = configured(CHAT, PAGER), FakeReceivers()
    record(world)
    for job in jobs(world):
        deliver(world.settings, world.receivers, job, NOW, receivers.post)

    assert len({headers["webhook-id"] for _, headers, _ in receivers.taken}) == 2
    assert {url for url, _, _ in receivers.taken} == {CHAT, PAGER}


@pytest.mark.parametrize(
    ("urls", "secret", "found"),
    [
        ((PAGER, CHAT), SECRET, True),  # another order
        ((CHAT,), f"{NEW_SECRET} {SECRET}", True),  # the secret is being changed
        ((PAGER,), SECRET, False),
        ((CHAT + "s",), SECRET, False),
        ((), SECRET, False),
        ((CHAT,), NEW_SECRET, False),
    ],
)
def test_settings_may_change_while_a_job_waits(urls: tuple[str, ...], secret: str, found: bool) -> None:
    world, receivers = configured(CHAT), FakeReceivers()
    record(world)
    (job,) = jobs(world)
    later = configured(*urls, secret=secret).settings

    if found:
        deliver(later, world.receivers, job, NOW, receivers.post)
        assert [url for url, _, _ in receivers.taken] == [CHAT]
    else:
        with pytest.raises(WebhookUnknown, match=r"https://chat\.test: .* is not in WEBHOOK_URLS any more") as error:
            deliver(later, world.receivers, job, NOW, receivers.post)
        assert "token" not in str(error.value)
        assert receivers.taken == []


def test_a_delivery_that_fails_is_no_event() -> None:
    world, receivers = configured(CHAT), FakeReceivers(DeliveryFailed("https://chat.test answered 500"))
    event = record(world)

    with pytest.raises(DeliveryFailed):
        deliver(world.settings, world.receivers, jobs(world)[0], NOW, receivers.post)

    assert world.events.list(EventFilter()).events == [event]
    assert len(jobs(world)) == 1


def test_an_event_that_cannot_be_sent_to_all_is_kept_and_told_as_trouble() -> None:
    """So that whoever recorded it does so again: a page too many is better than one too few."""
    world = configured(CHAT, PAGER)
    world.publisher.away = True

    record(world)

    assert len(world.events.list(EventFilter()).events) == 1
    assert jobs(world) == []


def test_a_receiver_that_cannot_be_submitted_does_not_keep_the_others_from_it() -> None:
    world = configured(CHAT, PAGER)

    def away_after_the_first(job_id: str) -> None:
        world.publisher.on_job = lambda job_id: None
        raise StoreUnavailable("the queue does not take messages")

    world.publisher.on_job = away_after_the_first
    record(world)

    assert [job.params["receiver"] for job in jobs(world)] == ["http://pager.test:8080"]


def test_a_delivery_that_fails_waits_by_its_own_schedule() -> None:
    """And not as often as JOB_MAX_ATTEMPTS says."""
    world = World(settings(webhook_urls=CHAT, webhook_secret=SECRET, job_max_attempts=1), max_attempts=1)
    record(world)
    (job,) = jobs(world)

    def fail(*_: Any) -> dict[str, Any]:
        raise DeliveryFailed("https://chat.test answered 500")

    work = {Kind.WEBHOOK: Work(fail, WORKS[Kind.WEBHOOK].abandon)}
    runner = Runner(world.parts, fake_cluster("a", "b")[1], work, threading.Event())
    for pause in PAUSES[Kind.WEBHOOK]:
        began = time.time()
        runner.run(job.id)
        assert world.job(job.id).state is State.QUEUED
        due = float(world.redis.hget(f"nbr:job:{job.id}", "not_before") or 0)
        assert pause <= due - began <= pause * 1.2 + 1
        world.redis.hset(f"nbr:job:{job.id}", "not_before", "0")
    runner.run(job.id)

    ended = world.job(job.id)
    assert ended.error is not None
    assert (ended.state, ended.attempts, ended.error.type) == (State.FAILED, 10, "delivery-failed")
    assert ended.error.retryable


def test_a_job_that_has_to_stop_sends_nothing() -> None:
    class Stopped(Unattended):
        def check(self) -> None:
            raise Cancelled

    world = configured("http://127.0.0.1:1/")
    record(world)
    (job,) = jobs(world)
    with pytest.raises(Cancelled):
        run_webhook(world.parts, fake_cluster("a", "b")[1], job, Stopped())


def test_a_cancelled_delivery_leaves_nothing_behind() -> None:
    world = configured(CHAT)
    record(world)
    (job,) = jobs(world)

    assert WORKS[Kind.WEBHOOK].abandon(world.parts, fake_cluster("a", "b")[1], job) == []
    cancelled = world.jobs.cancel(job.id)
    assert cancelled is not None
    assert cancelled.state is State.CANCELLED


def test_the_record_of_a_job_is_json_that_holds_the_whole_event() -> None:
    """The list of events forgets, and a job may wait for three days."""
    world = configured(CHAT)
    event = record(world)
    world.redis.delete("nbr:events")
    receivers = FakeReceivers()

    deliver(world.settings, world.receivers, jobs(world)[0], NOW, receivers.post)

    told: Any = json.loads(receivers.taken[0][2])
    assert told["data"]["detail"] == event.detail
