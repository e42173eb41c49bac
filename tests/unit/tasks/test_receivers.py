"""Receivers that callers register: kept sealed, bounded, and gone when they were deleted."""

from __future__ import annotations

from typing import Any

import pytest

from config.webhooks import parse_keys, receiver
from tasks.deliver import deliver
from tasks.jobs import Job, Kind, State
from tasks.receivers import COPIES, NoSecretKey, Receivers, TooManyReceivers
from tasks.redis import StoreUnavailable, connect
from tasks.store import Filter
from tasks.webhooks import request_for_test
from tests.unit.tasks.test_webhooks import FakeReceivers
from tests.unit.tasks.world import NOW, World, settings
from worker.core.addresses import Allowed
from worker.core.errors import WebhookForbidden, WebhookUnknown, WrongSecretKey
from worker.core.registrations import MOST, Registration, Registrations, digest

KEY = "secret-key-of-thirty-two-characters"
URL = "https://hook.test/hook-token-token"


@pytest.fixture
def keyed() -> World:
    return World(settings(secret_key=KEY, webhook_allow_private="10.0.0.0/8, *.lan"))


def add(world: World, url: str = URL, *, events: list[str] | None = None, at: float = NOW) -> tuple[Registration, str]:
    return world.receivers.add(receiver(url), at, events=events, description=None)


def record(world: World, **more: Any) -> None:
    changed = {"from": "suspect", "to": "down", "failure": "refused"}
    world.events.record("node.state", at=NOW, detail="refused", severity="error", node="a", **changed)


def jobs(world: World) -> list[Job]:
    return world.store.list(Filter(kind=Kind.WEBHOOK)).jobs


def in_redis(world: World) -> str:
    read = {"hash": world.redis.hgetall, "string": world.redis.get, "stream": world.redis.xrange}
    return str([read.get(world.redis.type(key), lambda key: key)(key) for key in world.redis.scan_iter()])


def test_one_that_was_registered_is_opened_again(keyed: World) -> None:
    made, secret = add(keyed, events=["node.state"])

    assert keyed.receivers.get(made.id) == made
    opened = keyed.receivers.opened(made)
    assert (opened.url, opened.keys) == (URL, parse_keys(secret))
    assert len(opened.keys[0]) == 32
    assert (made.host, made.events, made.id[:3]) == ("https://hook.test", ("node.state",), "wh_")


def test_nothing_of_it_is_readable_in_redis_nor_in_its_jobs(keyed: World) -> None:
    made, secret = add(keyed)
    record(keyed)

    text = f"{in_redis(keyed)}{jobs(keyed)}{made!r}{keyed.receivers.opened(made)!r}"
    assert made.id in text
    for hidden in ("hook-token", secret.removeprefix("whsec_"), KEY):
        assert hidden not in text


def test_without_a_secret_key_nothing_is_kept(world: World) -> None:
    with pytest.raises(NoSecretKey):
        add(world)
    assert world.receivers.living() == []


def test_there_is_a_bound(keyed: World) -> None:
    for number in range(MOST):
        add(keyed, at=NOW + number)
    with pytest.raises(TooManyReceivers):
        add(keyed)
    found = keyed.receivers.living()
    assert [one.created_at for one in found] == [NOW + number for number in range(MOST)]

    assert keyed.receivers.remove(found[0].id, NOW)
    add(keyed)


def test_a_deleted_one_is_gone_and_is_not_learnt_again(keyed: World) -> None:
    made, _ = add(keyed)
    before = keyed.receivers.known()

    assert keyed.receivers.remove(made.id, NOW)
    assert not keyed.receivers.remove(made.id, NOW)
    keyed.receivers.learn(before)

    assert keyed.receivers.get(made.id) is None
    assert keyed.receivers.known() == Registrations({}, {made.id: NOW})


def test_what_a_node_knows_is_learnt_also_beyond_the_bound(keyed: World) -> None:
    mine, _ = add(keyed)
    theirs = {f"wh_{number}": Registration(f"wh_{number}", "https://a.test", NOW, "sealed") for number in range(MOST)}

    keyed.receivers.learn(Registrations(theirs, {mine.id: NOW}))

    assert keyed.receivers.known() == Registrations(theirs, {mine.id: NOW})


def test_deletions_are_forgotten_when_no_copy_can_be_older(keyed: World) -> None:
    keyed.receivers.learn(Registrations({}, {"wh_old": NOW - 91 * 86_400, "wh_new": NOW - 1}))

    keyed.receivers.forget_gone(NOW)

    assert keyed.receivers.known().gone == {"wh_new": NOW - 1}


def test_who_has_a_copy_is_asked_anew_after_a_while(keyed: World) -> None:
    add(keyed)
    keyed.receivers.save_copies({"a": digest(keyed.receivers.known()), "b": "older"})
    assert keyed.receivers.copied_to() == ["a"]

    first = keyed.redis.ttl(COPIES)
    keyed.redis.expire(COPIES, 10)
    keyed.receivers.save_copies({"b": digest(keyed.receivers.known())})

    assert 0 < first <= 3_600
    assert keyed.redis.ttl(COPIES) <= 10, "its time is not put off for ever"
    assert keyed.receivers.copied_to() == ["a", "b"]


def test_redis_away_is_told() -> None:
    away = Receivers(connect("redis://127.0.0.1:1/0"), [KEY])
    with pytest.raises(StoreUnavailable):
        away.living()
    with pytest.raises(StoreUnavailable):
        away.add(receiver(URL), NOW, events=None, description=None)


# --- what is sent to them


def test_an_event_goes_to_those_that_want_it(keyed: World) -> None:
    everything, _ = add(keyed)
    named, _ = add(keyed, "https://other.test/", events=["node.state"])
    add(keyed, "https://third.test/", events=["primary.moved", "job.finished"])

    record(keyed)

    assert {job.params["mark"] for job in jobs(keyed)} == {everything.id, named.id}
    assert {job.params["receiver"] for job in jobs(keyed)} == {"https://hook.test", "https://other.test"}


def test_it_is_signed_with_the_receivers_own_secret_and_bound_to_what_is_allowed(keyed: World) -> None:
    made, secret = add(keyed)
    record(keyed)
    (job,) = jobs(keyed)
    receivers = FakeReceivers()

    result = deliver(keyed.settings, keyed.receivers, job, NOW, receivers.post)

    (url, headers, _), (allowed,) = receivers.taken[0], receivers.allowed
    assert url == URL
    assert headers["webhook-id"] == result["webhook_id"] == f"{job.params['event']['id']}-{made.id}"
    assert headers["webhook-signature"].startswith("v1,")
    assert " " not in headers["webhook-signature"]
    private = keyed.settings.private_webhooks
    assert allowed == Allowed(private.networks, ("*.lan",))
    assert secret not in str(result)


def test_what_waits_for_one_that_was_deleted_is_not_sent(keyed: World) -> None:
    made, _ = add(keyed)
    record(keyed)
    keyed.receivers.remove(made.id, NOW)
    receivers = FakeReceivers()

    with pytest.raises(WebhookUnknown, match="was deleted"):
        deliver(keyed.settings, keyed.receivers, jobs(keyed)[0], NOW, receivers.post)
    assert receivers.taken == []
    record(keyed)
    assert len(jobs(keyed)) == 1


def test_another_secret_key_is_told_and_nothing_is_sent(keyed: World) -> None:
    add(keyed)
    record(keyed)
    receivers = FakeReceivers()

    with pytest.raises(WrongSecretKey):
        deliver(keyed.settings, Receivers(keyed.redis, ["k" * 32]), jobs(keyed)[0], NOW, receivers.post)
    assert receivers.taken == []


def test_one_that_stands_for_something_inside_is_told_so(keyed: World) -> None:
    add(keyed)
    record(keyed)

    with pytest.raises(WebhookForbidden):
        deliver(keyed.settings, keyed.receivers, jobs(keyed)[0], NOW, FakeReceivers(WebhookForbidden("inside")).post)


def test_a_test_is_of_its_job(keyed: World) -> None:
    made, _ = add(keyed)
    asked = request_for_test(made.host, made.id)
    assert asked == request_for_test(made.host, made.id), "so that an Idempotency-Key knows the second"
    job = Job("job-id", asked.kind, State.RUNNING, None, asked.params, NOW)
    receivers = FakeReceivers()

    result = deliver(keyed.settings, keyed.receivers, job, NOW + 5, receivers.post)

    assert result["webhook_id"] == f"test-job-id-{made.id}"
    assert b'"type":"webhook.test","timestamp":"2026-11-23T15:00:00.000Z"' in receivers.taken[0][2]
