"""Receivers that are registered while the system runs: sent what they asked for, deleted, and there again after Redis
was wiped; and nothing of their URLs and secrets is left anywhere."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Any

import pytest
from standardwebhooks import Webhook

from tests.system.conftest import Fresh
from tests.system.couch import Couch
from tests.system.harness import System, wait_until
from tests.system.receiver import Delivery, Receiver, receiving
from tests.system.test_secrets import in_redis, text_of
from tests.system.test_webhooks import record
from worker.core.names import OWN_DATABASE
from worker.ops.registrations import ID

pytestmark = pytest.mark.system

SECRET_KEY = f"secret-key-{secrets.token_hex(16)}"
TOKEN = f"url-token-{secrets.token_hex(8)}"
PASSWORD = f"url-password-{secrets.token_hex(8)}"
TOLD: list[str] = []  # secrets of receivers, as callers got them


@pytest.fixture(scope="module")
def hook() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture(scope="module")
def own(nodes: list[Couch], tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    for node in nodes:
        if OWN_DATABASE not in node.databases():
            node.create(OWN_DATABASE)
    settings = {
        "SECRET_KEY": SECRET_KEY,
        # the receiver's address, and a name of ours that stands for one that is not allowed
        "WEBHOOK_ALLOW_PRIVATE": "127.0.0.1",
        "JOB_MAX_ATTEMPTS": "1",
    }
    with System(nodes, tmp_path_factory.mktemp("registered"), settings) as made:
        made.start("worker", "control", "beat", "api")
        yield made
    for node in nodes:  # others that run over these nodes are to know nothing of it
        found = node.call("GET", f"{OWN_DATABASE}/{ID}")
        node.delete(OWN_DATABASE, ID, found["_rev"])


def register(system: System, url: str, **more: Any) -> dict[str, Any]:
    answer = system.api.call("POST", "/api/webhooks", json={"url": url, **more})
    assert answer.status_code == 201, answer.text
    # the one place where a secret may be
    TOLD.append(answer.json()["secret"])
    system.api.answers.pop()
    return dict(answer.json())


def registered(system: System) -> list[str]:
    return [one["id"] for one in system.api.get("/api/webhooks").json()["webhooks"]]


def of_type(hook: Receiver, kind: str, secret: str) -> list[tuple[Delivery, dict[str, Any]]]:
    """What came, checked as a receiver would."""
    told = [(delivery, Webhook(secret).verify(delivery.body, dict(delivery.headers))) for delivery in hook.got]
    return [(delivery, event) for delivery, event in told if event["type"] == kind]


def test_one_is_sent_what_it_asked_for_and_nothing_after_it_was_deleted(
    own: System, hook: Receiver, nodes: list[Couch], fresh: Fresh
) -> None:
    url = hook.url(f"/hook/{TOKEN}", f"me:{PASSWORD}@")
    made = register(own, url, events=["job.finished"], description="for programs")
    secret = made["secret"]
    database = fresh(on=nodes)
    nodes[0].fill(database, 3)

    record(own)
    job = own.api.sync(database, wait=True).json()
    assert job["state"] == "succeeded"

    wait_until(lambda: of_type(hook, "job.finished", secret), "the end of the job is told", 10)
    ((delivery, event),) = of_type(hook, "job.finished", secret)
    assert (event["data"]["job"], event["data"]["kind"], event["data"]["database"]) == (job["id"], "sync", database)
    assert (event["data"]["state"], event["data"]["error"]) == ("succeeded", None)
    assert (delivery.path, delivery.id) == (f"/hook/{TOKEN}", f"job-{job['id']}-{made['id']}")
    assert delivery.headers["host"] == f"127.0.0.1:{hook.port}"
    assert of_type(hook, "node.state", secret) == [], "it did not ask for these"
    assert own.api.get("/api/events?type=job.finished").json()["events"] == []

    test = own.api.call("POST", f"/api/webhooks/{made['id']}/test", json={"wait": True}).json()
    assert (test["state"], test["result"]["status"]) == ("succeeded", 204)
    assert [delivery.id for delivery, _ in of_type(hook, "webhook.test", secret)] == [f"test-{test['id']}-{made['id']}"]

    assert own.api.call("DELETE", f"/api/webhooks/{made['id']}").status_code == 204
    before = len(hook.got)
    assert own.api.sync(database, wait=True).json()["state"] == "succeeded"
    jobs = own.api.get("/api/jobs?kind=webhook").json()["jobs"]
    assert len([job for job in jobs if job["params"]["mark"] == made["id"]]) == 2, "no job for it any more"
    assert len(hook.got) == before


def test_they_come_back_from_the_nodes_after_redis_was_wiped(own: System, hook: Receiver, nodes: list[Couch]) -> None:
    kept = register(own, hook.url(f"/kept/{TOKEN}"))
    gone = register(own, hook.url(f"/gone/{TOKEN}"))
    own.api.call("DELETE", f"/api/webhooks/{gone['id']}")

    def copied() -> bool:
        listed = own.api.get("/api/webhooks").json()
        return listed["copies"] == sorted(node.name for node in nodes) and gone["id"] not in registered(own)

    wait_until(copied, "every node has a copy")
    with own.store() as store:
        store.flushall()
    wait_until(lambda: registered(own) == [kept["id"]], "it is read from the nodes")

    hook.got.clear()
    event = record(own)
    wait_until(lambda: hook.of(event.id), "it is sent to as before", 10)
    (delivery,) = hook.of(event.id)
    Webhook(kept["secret"]).verify(delivery.body, dict(delivery.headers))
    assert delivery.path == f"/kept/{TOKEN}"
    own.api.call("DELETE", f"/api/webhooks/{kept['id']}")


@pytest.mark.parametrize("host", ["127.0.0.2", "localhost", "127.1", "[::1]", "10.0.0.1", "couchdb"])
def test_what_is_not_public_is_refused_at_once(own: System, hook: Receiver, host: str) -> None:
    allowed = {"localhost", "couchdb"}  # what these stand for is looked at when something is sent
    answer = own.api.call("POST", "/api/webhooks", json={"url": f"http://{host}:{hook.port}/{TOKEN}"})
    if host in allowed:
        TOLD.append(answer.json()["secret"])
        own.api.answers.pop()
        own.api.call("DELETE", f"/api/webhooks/{answer.json()['id']}")
    assert answer.status_code == (201 if host in allowed else 422)


def test_what_was_allowed_and_is_not_any_more_is_refused_at_the_delivery(own: System, hook: Receiver) -> None:
    made = register(own, hook.url(f"/later/{TOKEN}"))
    hook.got.clear()
    own.restart(WEBHOOK_ALLOW_PRIVATE="10.0.0.0/8")

    job = own.api.call("POST", f"/api/webhooks/{made['id']}/test", json={"wait": True}).json()

    assert (job["state"], job["error"]["type"], job["error"]["retryable"]) == ("failed", "webhook-forbidden", False)
    assert "WEBHOOK_ALLOW_PRIVATE" in job["error"]["detail"]
    assert hook.got == []
    own.api.call("DELETE", f"/api/webhooks/{made['id']}")


def test_nothing_of_them_is_left_anywhere(own: System, nodes: list[Couch]) -> None:
    """Last, after all of the above."""
    register(own, f"http://me:{PASSWORD}@10.0.0.1/{TOKEN}")
    wait_until(lambda: own.api.get("/api/webhooks").json()["copies"], "it is on the nodes")
    places = {f"log of {path.name}": text_of(path) for path in own.folder.glob("*.log")}
    places |= {f"answer: {text.splitlines()[0]}": text for text in own.api.answers}
    places |= in_redis(own)
    places |= {f"copy on {node.name}": str(node.call("GET", f"{OWN_DATABASE}/{ID}")) for node in nodes}
    wanted = {TOKEN, PASSWORD, SECRET_KEY, *(secret.removeprefix("whsec_") for secret in TOLD)}

    found = [f"{secret} in {where}" for where, text in places.items() for secret in wanted if secret in text]

    assert found == []
    assert len(TOLD) > 4
    shown = [where for where, text in places.items() if "wh_" in text]
    for kind in ("Redis key nbr:webhooks", "Redis key nbr:job:", "answer: GET /api/webhooks", "copy on primary"):
        assert any(where.startswith(kind) for where in shown), f"{kind} was not searched"
