"""The set of changed databases and the lock of who leads, on fakeredis and on a real redis-server."""

from __future__ import annotations

import threading

import pytest
import redis

from embedded.waiting import wait_until
from tasks import leader as leader_module
from tasks.dirty import START_LEASE, DirtySet, Keeper, Taken
from tasks.leader import Leader
from tasks.redis import StoreUnavailable, connect

pytestmark = pytest.mark.contract

NOW = 1_795_446_000.0
LEASE = 15.0


@pytest.fixture
def dirty(store_redis: redis.Redis) -> DirtySet:
    return DirtySet(store_redis, LEASE)


def take(dirty: DirtySet, after: float = 0.0, *, quiet: float = 0.0, at_once: int = 10) -> dict[str, str]:
    """Database -> token, of what is taken so many seconds after NOW."""
    return {taken.database: taken.token for taken in dirty.take(NOW + after, quiet, at_once)}


# --- marking and taking


def test_what_is_marked_is_taken_once(dirty: DirtySet) -> None:
    assert dirty.mark(["pdfs", "x"], NOW) == 2
    assert dirty.mark(["pdfs"], NOW + 1) == 0
    assert dirty.counts() == {"dirty": 2, "busy": 0}

    assert set(take(dirty)) == {"pdfs", "x"}
    assert take(dirty) == {}
    assert dirty.counts() == {"dirty": 0, "busy": 2}


def test_nothing_at_all_is_nothing(dirty: DirtySet) -> None:
    assert dirty.mark([], NOW) == 0
    assert take(dirty) == {}
    assert not dirty.outstanding("pdfs")


def test_more_databases_than_one_call_takes(dirty: DirtySet) -> None:
    names = [f"db-{number:05}" for number in range(2_500)]

    assert dirty.mark(names, NOW) == 2_500
    assert len(take(dirty, at_once=3_000)) == 2_500


def test_a_database_waits_until_it_has_been_marked_for_a_while(dirty: DirtySet) -> None:
    dirty.mark(["pdfs"], NOW)

    assert take(dirty, 0.09, quiet=0.1) == {}
    # counted from the first mark: one that is written to all the time is not put off for ever
    dirty.mark(["pdfs"], NOW + 0.09)
    assert set(take(dirty, 0.1, quiet=0.1)) == {"pdfs"}


def test_the_one_that_has_waited_longest_comes_first(dirty: DirtySet) -> None:
    for place, name in enumerate(["c", "a", "b"]):
        dirty.mark([name], NOW + place)

    assert [set(take(dirty, 10, at_once=most)) for most in (1, 2, 3)] == [{"c"}, {"a"}, {"b"}]


def test_no_more_are_under_way_than_may_be(dirty: DirtySet) -> None:
    dirty.mark([f"db-{number}" for number in range(10)], NOW)

    first = take(dirty, at_once=3)
    assert len(first) == 3
    assert take(dirty, at_once=3) == {}
    assert take(dirty, at_once=2) == {}, "a smaller bound than what is under way"
    dirty.done(*next(iter(first.items())))
    assert len(take(dirty, at_once=3)) == 1


def test_those_under_way_do_not_stand_in_the_way_of_others(dirty: DirtySet) -> None:
    """However many of the first in line cannot be taken."""
    names = [f"a-{number:03}" for number in range(250)]
    dirty.mark(names, NOW)
    take(dirty, at_once=250)
    dirty.mark([*names, "z"], NOW)

    assert set(take(dirty, at_once=251)) == {"z"}


def test_takers_at_the_same_time_share_what_there_is(dirty: DirtySet) -> None:
    names = {f"db-{number}" for number in range(100)}
    dirty.mark(names, NOW)
    found: list[Taken] = []

    def work() -> None:
        for _ in range(10):
            found.extend(dirty.take(NOW, 0, 1_000)[:])

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(taken.database for taken in found) == sorted(names)
    assert len({taken.token for taken in found}) == 100


# --- while it is being synced


def test_one_that_is_marked_while_it_is_synced_is_synced_once_more(dirty: DirtySet) -> None:
    dirty.mark(["pdfs"], NOW)
    token = take(dirty)["pdfs"]
    dirty.mark(["pdfs"], NOW + 1)
    dirty.mark(["pdfs"], NOW + 2)

    assert take(dirty, 3) == {}, "never twice at once"
    assert dirty.done("pdfs", token) == 0
    assert set(take(dirty, 3)) == {"pdfs"}
    assert take(dirty, 3) == {}


def test_a_sync_that_is_kept_is_not_given_to_another(dirty: DirtySet) -> None:
    dirty.mark(["pdfs"], NOW)
    token = take(dirty)["pdfs"]
    for after in range(0, 100, 10):
        assert dirty.keep("pdfs", token, NOW + after)
        assert take(dirty, after) == {}

    assert set(take(dirty, 90 + LEASE)) == {"pdfs"}


def test_one_that_nobody_began_goes_back(dirty: DirtySet) -> None:
    dirty.mark(["pdfs"], NOW)
    take(dirty)

    assert take(dirty, START_LEASE - 1) == {}
    assert set(take(dirty, START_LEASE)) == {"pdfs"}


def test_a_worker_that_lost_its_lease_writes_nothing_any_more(dirty: DirtySet) -> None:
    dirty.mark(["pdfs"], NOW)
    old = take(dirty)["pdfs"]
    new = take(dirty, START_LEASE)["pdfs"]

    assert not dirty.keep("pdfs", old, NOW + START_LEASE)
    assert dirty.done("pdfs", old, again_at=NOW, failed=True) == -1
    assert dirty.counts() == {"dirty": 0, "busy": 1}
    assert dirty.failures("pdfs") == 0
    assert dirty.keep("pdfs", new, NOW + START_LEASE)
    assert dirty.done("pdfs", new) == 0
    assert dirty.done("pdfs", new) == -1


def test_what_is_outstanding_waits_or_is_under_way(dirty: DirtySet) -> None:
    assert not dirty.outstanding("pdfs")
    dirty.mark(["pdfs"], NOW)
    assert dirty.outstanding("pdfs")
    token = take(dirty)["pdfs"]
    assert dirty.outstanding("pdfs")
    dirty.done("pdfs", token)
    assert not dirty.outstanding("pdfs")


# --- how it ended


def test_failures_in_a_row_are_counted_and_a_success_ends_the_row(dirty: DirtySet) -> None:
    counts = []
    for failed in (True, True, False, True):
        dirty.mark(["pdfs"], NOW)
        counts.append(dirty.done("pdfs", take(dirty)["pdfs"], failed=failed))

    assert counts == [1, 2, 0, 1]
    assert dirty.failures("pdfs") == 1
    assert dirty.failures("other") == 0


def test_one_that_failed_is_tried_again_at_its_time_and_not_sooner(dirty: DirtySet) -> None:
    dirty.mark(["pdfs"], NOW)
    token = take(dirty)["pdfs"]
    dirty.done("pdfs", token, again_at=NOW + 60, failed=True)
    dirty.mark(["pdfs"], NOW + 1)

    assert take(dirty, 59) == {}
    assert set(take(dirty, 60)) == {"pdfs"}


def test_a_keeper_keeps_the_lease_as_a_jobs_is_kept(dirty: DirtySet) -> None:
    dirty.mark(["pdfs"], NOW)
    token = take(dirty)["pdfs"]
    keeper = Keeper(dirty, lambda: NOW + START_LEASE - 1)

    assert keeper.beat("pdfs", 0, token) == "ok"
    assert take(dirty, START_LEASE) == {}
    assert keeper.beat("pdfs", 0, "another token") == "lost"


def test_a_redis_that_is_away_is_told_as_such() -> None:
    dirty = DirtySet(connect("redis://127.0.0.1:1/0"), LEASE)
    leader = Leader(connect("redis://127.0.0.1:1/0"), "watcher", "me")

    for call in (
        lambda: dirty.mark(["pdfs"], NOW),
        lambda: dirty.take(NOW, 0, 1),
        lambda: dirty.keep("pdfs", "t", NOW),
        lambda: dirty.done("pdfs", "t"),
        lambda: dirty.failures("pdfs"),
        dirty.counts,
        lambda: dirty.outstanding("pdfs"),
        leader.take,
        leader.keep,
        leader.leave,
    ):
        with pytest.raises(StoreUnavailable):
            call()


# --- who leads


def test_one_leads(store_redis: redis.Redis) -> None:
    first, second, elsewhere = (
        Leader(store_redis, name, nonce) for name, nonce in (("w", "one"), ("w", "two"), ("v", "two"))
    )

    assert first.take()
    assert not second.take()
    assert elsewhere.take()
    assert first.take()
    assert first.may_be_ours()
    assert not second.may_be_ours()


def test_who_leaves_lets_the_next_one_lead_and_others_cannot_leave_for_it(store_redis: redis.Redis) -> None:
    first, second = Leader(store_redis, "w", "one"), Leader(store_redis, "w", "two")
    assert first.take()

    second.leave()
    assert not second.take()
    first.leave()
    assert second.take()


def test_a_lead_that_nobody_renews_runs_out(store_redis: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leader_module, "LEASE", 0.1)
    first, second = Leader(store_redis, "w", "one"), Leader(store_redis, "w", "two")
    assert first.take()

    assert wait_until(second.take, 5)
    assert not first.may_be_ours()
    assert not first.take()


def test_a_lead_is_renewed_when_that_is_due_and_not_at_every_question(
    store_redis: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = Leader(store_redis, "w", "one"), Leader(store_redis, "w", "two")
    assert first.take()
    store_redis.delete("nbr:leader:w")
    assert second.take()
    assert first.keep(), "believed until it is due"

    monkeypatch.setattr(leader_module, "RENEW_EVERY", 0.0)
    assert second.take()
    second.leave()
    assert first.take()
    assert not second.keep()


# --- since when a change waits


def test_what_waits_does_so_since_its_first_change(dirty: DirtySet) -> None:
    assert dirty.oldest() is None
    dirty.mark(["pdfs"], NOW)
    dirty.mark(["pdfs", "x"], NOW + 5)

    assert dirty.oldest() == NOW
    taken = take(dirty, 10)
    assert (dirty.carrying_since("pdfs"), dirty.carrying_since("x")) == (NOW, NOW + 5)
    dirty.done("pdfs", taken["pdfs"])
    assert (dirty.oldest(), dirty.carrying_since("pdfs")) == (NOW + 5, None)
    dirty.done("x", taken["x"])
    assert dirty.oldest() is None


def test_a_change_that_comes_during_the_sync_waits_for_itself(dirty: DirtySet) -> None:
    dirty.mark(["pdfs"], NOW)
    token = take(dirty, 1)["pdfs"]
    dirty.mark(["pdfs"], NOW + 2)

    assert (dirty.carrying_since("pdfs"), dirty.oldest()) == (NOW, NOW)
    dirty.done("pdfs", token)
    assert dirty.oldest() == NOW + 2


@pytest.mark.parametrize("meanwhile", [False, True], ids=["alone", "changed again"])
def test_one_that_failed_waits_since_its_first_change(dirty: DirtySet, meanwhile: bool) -> None:
    dirty.mark(["pdfs"], NOW)
    token = take(dirty, 1)["pdfs"]
    if meanwhile:
        dirty.mark(["pdfs"], NOW + 2)
    dirty.done("pdfs", token, again_at=NOW + 60, failed=True)

    assert dirty.oldest() == NOW
    take(dirty, 61)
    assert dirty.carrying_since("pdfs") == NOW


def test_one_whose_worker_was_lost_waits_since_its_first_change(dirty: DirtySet) -> None:
    dirty.mark(["pdfs"], NOW)
    take(dirty, 1)

    take(dirty, START_LEASE + 2, at_once=0)
    assert dirty.oldest() == NOW
    assert dirty.carrying_since("pdfs") is None
    take(dirty, START_LEASE + 2)
    assert dirty.carrying_since("pdfs") == NOW
