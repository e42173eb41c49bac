"""Events reach their receivers, signed, whatever those do; and no URL or secret is left behind."""

from __future__ import annotations

import base64
import secrets
import time
from collections.abc import Iterator
from typing import Any

import pytest
from standardwebhooks import Webhook

from tests.system.couch import Couch
from tests.system.harness import System, kill_dash_nine, wait_until
from tests.system.receiver import HANG, Receiver, receiving
from tests.system.test_secrets import in_redis, text_of
from worker.core.events import Event

pytestmark = pytest.mark.system

SECRET = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
OLD_SECRET = "whsec_" + base64.b64encode(secrets.token_bytes(24)).decode()
TOKEN = f"url-token-{secrets.token_hex(8)}"
PASSWORD = f"url-password-{secrets.token_hex(8)}"


@pytest.fixture(scope="module")
def pager() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture(scope="module")
def chat() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture(scope="module")
def own(
    nodes: list[Couch], pager: Receiver, chat: Receiver, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[System]:
    settings = {
        "WEBHOOK_URLS": f"{pager.url(f'/?key={TOKEN}')},{chat.url(f'/services/{TOKEN}', f'me:{PASSWORD}@')}",
        "WEBHOOK_SECRET": f"{SECRET} {OLD_SECRET}",
        "JOB_MAX_ATTEMPTS": "1",
    }
    with System(nodes, tmp_path_factory.mktemp("webhooks"), settings) as made:
        made.start("worker", "control", "beat", "api")
        yield made


def record(system: System, node: str = "replica1") -> Event:
    changed = {"from": "suspect", "to": "down", "failure": "refused"}
    return system.parts.events.record(
        "node.state", at=time.time(), detail=f"{node} is down", severity="error", node=node, **changed
    )


def job_of(system: System, event: Event, receiver: Receiver) -> dict[str, Any]:
    found = system.api.get("/api/jobs?kind=webhook&limit=200").json()["jobs"]
    (job,) = [
        job
        for job in found
        if job["params"]["event"]["id"] == event.id and job["params"]["receiver"] == receiver.url("")
    ]
    return dict(job)


def test_an_event_reaches_every_receiver_with_a_signature_that_can_be_checked(
    own: System, pager: Receiver, chat: Receiver
) -> None:
    event = record(own)

    wait_until(lambda: pager.of(event.id) and chat.of(event.id), "both have it", 10)

    for receiver in (pager, chat):
        (delivery,) = receiver.of(event.id)
        for secret in (SECRET, OLD_SECRET):
            told = Webhook(secret).verify(delivery.body, dict(delivery.headers))
        assert told["type"] == "node.state"
        assert (told["data"]["node"], told["data"]["from"], told["data"]["to"]) == ("replica1", "suspect", "down")
        job = own.api.wait_succeeded(job_of(own, event, receiver)["id"])
        assert job["result"] == {"receiver": receiver.url(""), "webhook_id": delivery.id, "status": 204}
    assert (pager.of(event.id)[0].path, chat.of(event.id)[0].path) == (f"/?key={TOKEN}", f"/services/{TOKEN}")
    answered = own.api.get("/api/events?type=node.state&limit=1").json()["events"]
    assert [each["id"] for each in answered] == [event.id]


def test_a_receiver_that_fails_gets_the_same_event_again(own: System, pager: Receiver) -> None:
    pager.answers += [500]
    event = record(own)

    wait_until(lambda: len(pager.of(event.id)) == 2, "it was tried again after five seconds")

    first, second = pager.of(event.id)
    assert first.id == second.id
    assert first.body == second.body
    Webhook(SECRET).verify(second.body, dict(second.headers))
    job = own.api.wait_succeeded(job_of(own, event, pager)["id"])
    assert job["attempts"] == 2  # although JOB_MAX_ATTEMPTS is 1
    events = own.api.get("/api/events?limit=200").json()["events"]
    assert event.id in {one["id"] for one in events}
    assert not [one for one in events if job["id"] in str(one)], "that it failed is no event"


def test_after_a_second_failure_it_waits_for_minutes_and_is_kept(own: System, pager: Receiver) -> None:
    pager.answers += [500, 503]
    event = record(own)
    job_id = job_of(own, event, pager)["id"]

    def waits() -> bool:
        job = own.api.job(job_id)
        return job["state"] == "queued" and job["attempts"] == 2

    wait_until(waits, "it has failed twice")
    with own.store() as store:
        due = float(store.hget(f"nbr:job:{job_id}", "not_before") or 0)
        assert 240 < due - time.time() < 400
        assert store.ttl(f"nbr:job:{job_id}") == -1
        # what five minutes would do
        store.hset(f"nbr:job:{job_id}", "not_before", str(time.time()))

    own.api.wait_succeeded(job_id)
    assert len({delivery.id for delivery in pager.of(event.id)}) == 1
    assert len(pager.of(event.id)) == 3


def test_a_receiver_that_is_gone_is_not_asked_again(own: System, pager: Receiver) -> None:
    pager.answers += [410]
    event = record(own)

    job = own.api.wait_state(job_of(own, event, pager)["id"], "failed")

    assert (job["error"]["type"], job["error"]["retryable"], job["attempts"]) == ("webhook-gone", False, 1)


def test_a_receiver_that_hangs_is_given_up_and_holds_nobody_else(own: System, pager: Receiver, chat: Receiver) -> None:
    """Not the other receiver, and no more than one thread however many events wait for it."""
    pager.answers += [HANG]
    events = [record(own) for _ in range(5)]

    wait_until(lambda: all(chat.of(event.id) for event in events), "the other receiver has them all", 10)
    held = [event for event in events if pager.of(event.id)]
    assert len(held) == 1, "one delivery at a time"

    wait_until(lambda: all(pager.of(event.id) for event in events), "it was given up and the others went", 60)
    wait_until(lambda: len(pager.of(held[0].id)) == 2, "the one that hung was tried again", 60)
    for event in events:
        own.api.wait_succeeded(job_of(own, event, pager)["id"])


def test_a_worker_that_dies_loses_no_event(own: System, pager: Receiver) -> None:
    pager.answers += [HANG]
    event = record(own)
    wait_until(lambda: pager.of(event.id), "it is on its way")

    kill_dash_nine(own.processes["worker"])
    own.start("worker")

    wait_until(lambda: len(pager.of(event.id)) == 2, "the next worker sends it")
    assert len({delivery.id for delivery in pager.of(event.id)}) == 1


def test_no_url_and_no_secret_is_left_anywhere(own: System) -> None:
    """Last, after all the trouble above."""
    places = {f"log of {name}": text_of(own.folder / f"{name}.log") for name in own.processes}
    places |= {f"answer: {text.splitlines()[0]}": text for text in own.api.answers}
    places |= in_redis(own)
    wanted = {TOKEN, PASSWORD, *(secret.removeprefix("whsec_") for secret in (SECRET, OLD_SECRET))}

    found = [f"{secret} in {where}" for where, text in places.items() for secret in wanted if secret in text]

    assert found == []
    assert any("nbr:events" in where for where in places)
    assert any("node.state" in text for where, text in places.items() if where.startswith("Redis key nbr:job:"))
    assert own.logged("job ended", state="succeeded")
