"""How often, and how often wrongly."""

from __future__ import annotations

import datetime
from collections.abc import Iterator

import pytest
import time_machine

from api.limits import LOCKED_MINUTES, Limits
from tests.unit.api.world import BEARER, TOKEN, World, settings

HERE, THERE = "192.0.2.1", "192.0.2.2"
SOME_MINUTE = datetime.datetime(2026, 11, 28, 9, 40, 10, tzinfo=datetime.UTC)


@pytest.fixture(autouse=True)
def clock() -> Iterator[time_machine.Traveller]:
    """It is counted in whole minutes, and none of them may end within a test."""
    with time_machine.travel(SOME_MINUTE, tick=False) as made:
        yield made


def test_each_caller_has_its_own_count(clock: time_machine.Traveller) -> None:
    limits = Limits(3, 0)
    assert [limits.seconds_until_allowed("a", HERE) for _ in range(3)] == [None] * 3
    wait = limits.seconds_until_allowed("a", THERE)
    assert wait == 60 - SOME_MINUTE.second
    assert limits.seconds_until_allowed("b", HERE) is None
    # who shows no token is an address, or the network in which he may choose one
    assert [limits.seconds_until_allowed(None, f"2001:db8::{place}") for place in range(3)] == [None] * 3
    assert limits.seconds_until_allowed(None, "2001:db8::99") is not None
    assert limits.seconds_until_allowed(None, HERE) is None
    assert limits.seconds_until_allowed(HERE, HERE) is None, "a token may be called like an address"
    clock.shift(wait)
    assert limits.seconds_until_allowed("a", HERE) == 1, "all of the minute before still counts"
    clock.shift(1)
    assert limits.seconds_until_allowed("a", HERE) is None


def test_an_address_is_locked_out_by_the_last_wrong_token_and_no_other_is(clock: time_machine.Traveller) -> None:
    limits = Limits(0, 3)
    assert [limits.failed(HERE, f"digest-{number}") for number in range(3)] == [False, False, True]
    wait = limits.seconds_locked(HERE)
    assert wait == LOCKED_MINUTES * 60
    assert limits.seconds_locked(THERE) is None
    assert limits.failed(HERE, "digest-9") is False, "told once"
    clock.shift(wait)
    assert limits.seconds_locked(HERE) is None


def test_a_program_that_was_not_told_of_its_new_token_locks_nobody_out() -> None:
    limits = Limits(0, 3)
    assert not any(limits.failed(HERE, "the same") for _ in range(100))
    assert limits.seconds_locked(HERE) is None


def test_zero_turns_either_off() -> None:
    limits = Limits(0, 0)
    assert not any(limits.failed(HERE, str(n)) or limits.seconds_until_allowed("a", HERE) for n in range(100))
    assert limits.seconds_locked(HERE) is None


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8::1", "2001:db8::ffff:2", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:192.0.2.1", HERE, True),
        (HERE, THERE, False),
        ("unknown", "unknown", True),
    ],
)
def test_addresses_that_one_may_choose_freely_count_as_one(one: str, other: str, same: bool) -> None:
    limits = Limits(0, 1)
    assert limits.failed(one, "digest")
    assert (limits.seconds_locked(other) is not None) is same


def test_a_thousand_wrong_tokens_lock_their_address_out_and_are_told_once() -> None:
    world = World(settings(api_tokens=TOKEN))
    statuses = [world.client.get("/api/jobs", headers=bearer(f"guess-{n}")).status_code for n in range(1_000)]
    assert statuses == [401] * 10 + [429] * 990

    locked = world.client.get("/api/jobs", headers=BEARER)
    assert locked.status_code == 429, "right ones too: who guesses learns nothing"
    assert locked.get_json()["type"].endswith(":locked-out")
    assert 0 < int(locked.headers["Retry-After"]) <= LOCKED_MINUTES * 60
    elsewhere = world.client.get("/api/jobs", headers=BEARER, environ_base={"REMOTE_ADDR": THERE})
    assert elsewhere.status_code == 200
    events = world.client.get("/api/events", headers=BEARER, environ_base={"REMOTE_ADDR": THERE}).get_json()["events"]
    assert [(event["type"], event["data"]) for event in events] == [("access.locked-out", {"address": "127.0.0.1"})]
    assert world.client.get("/api/health").status_code == 503, "who shows no token is not held up"


def test_who_asks_too_often_is_told_to_wait() -> None:
    world = World(settings(api_tokens=TOKEN, api_rate_per_minute=5))
    statuses = [world.client.get("/api/jobs", headers=BEARER).status_code for _ in range(7)]
    assert statuses == [200] * 5 + [429] * 2
    refused = world.client.get("/api/jobs", headers=BEARER)
    assert refused.get_json()["type"].endswith(":too-many-requests")
    assert int(refused.headers["Retry-After"]) >= 1
    strangers = [world.client.get("/api/jobs").status_code for _ in range(7)]
    assert strangers == [401] * 5 + [429] * 2


@pytest.mark.parametrize("path", ["/api/health", "/api/nodes/primary/ready"])
def test_a_proxy_is_never_told_to_wait(path: str) -> None:
    world = World(settings(api_tokens=TOKEN, api_rate_per_minute=2))
    assert {world.client.get(path).status_code for _ in range(5)} == {503}


def test_what_is_refused_counts_as_well() -> None:
    world = World(settings(api_tokens=TOKEN, api_rate_per_minute=5))
    headers = {"Authorization": "Basic x"}
    assert [world.client.get("/api/jobs", headers=headers).status_code for _ in range(7)] == [401] * 5 + [429] * 2


def test_who_needs_no_token_is_counted_by_address() -> None:
    world = World(settings(api_allow_anonymous="view", api_rate_per_minute=2))
    ask = [world.client.get("/api/jobs", environ_base={"REMOTE_ADDR": where}) for where in (HERE, HERE, HERE, THERE)]
    assert [answer.status_code for answer in ask] == [200, 200, 429, 200]


def test_behind_a_proxy_callers_are_told_apart_by_what_it_says() -> None:
    world = World(settings(api_tokens=TOKEN, api_proxies=1, api_lockout_failures=1))

    def ask(token: str, came_from: str) -> int:
        headers = {**bearer(token), "X-Forwarded-For": came_from}
        return world.client.get("/api/jobs", headers=headers).status_code

    # what stands before the proxy's own word is anybody's: it is not believed
    assert ask("wrong", f"{THERE}, {HERE}") == 401
    assert ask(TOKEN, HERE) == 429
    assert ask(TOKEN, THERE) == 200


def test_without_proxies_nobody_chooses_his_address() -> None:
    world = World(settings(api_tokens=TOKEN, api_lockout_failures=1))
    headers = {**bearer("wrong"), "X-Forwarded-For": THERE}
    assert world.client.get("/api/jobs", headers=headers).status_code == 401
    assert world.client.get("/api/jobs", headers={**BEARER, "X-Forwarded-For": HERE}).status_code == 429


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}
