"""The job store, on fakeredis and on a real redis-server: who runs what, and what is kept for how long.

Time is an argument; where a lease has to run out, its key is deleted, as Redis does it.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import redis

from embedded.waiting import wait_until
from tasks.jobs import ENDED, TRANSITIONS, Job, JobError, Kind, Progress, Request, State, fingerprint
from tasks.observations import Observations
from tasks.store import GIVEN_UP_AFTER, UNCONFIRMED_TTL, Filter, JobStore

pytestmark = pytest.mark.contract

NOW = 1_795_446_000.0
TTL = 3_600
ATTEMPTS = 3


@pytest.fixture
def store(store_redis: redis.Redis) -> JobStore:
    return JobStore(store_redis, result_ttl=TTL, lease_seconds=15, max_attempts=ATTEMPTS)


def sync(database: str = "pdfs", **more: Any) -> Request:
    return Request(Kind.SYNC, database, {"database": database, "create_missing": True, **more})


@dataclass(frozen=True)
class Another(Request):
    """Needs its database for itself, as a sync does, but is equal to no other."""

    @property
    def dedupe(self) -> str:
        return f"another:{fingerprint(self.params)}"


NUMBERS = itertools.count()


def another(database: str = "pdfs") -> Request:
    return Another(Kind.SYNC, database, {"database": database, "number": next(NUMBERS)})


SETUP = Request(Kind.SETUP, None, {"databases": None, "bidirectional": True})


def queued(store: JobStore, request: Request | None = None, now: float = NOW) -> str:
    """A job as the API leaves it: written and confirmed."""
    created = store.create(request or sync(), now)
    assert created.what == "created"
    store.confirm(created.id, now)
    return created.id


def running(store: JobStore, request: Request | None = None, nonce: str = "worker-1") -> tuple[str, int]:
    job_id = queued(store, request)
    claim = store.claim(job_id, nonce, NOW)
    assert claim.what == "claimed"
    return job_id, claim.token


def expire_lease(store_redis: redis.Redis, job_id: str, lock: str = "database:pdfs") -> None:
    """What Redis does when a worker is silent for too long."""
    assert store_redis.delete(f"nbr:lease:{job_id}", f"nbr:lock:{lock}") == 2


def reap(store: JobStore, now: float, most: int = 500) -> list[str]:
    """With ten seconds of patience for a queued job that nobody claims."""
    return store.reap(now, dict.fromkeys(Kind, 10.0), most)


def job(store: JobStore, job_id: str) -> Job:
    found = store.get(job_id)
    assert found is not None
    return found


def ids(store: JobStore, **wanted: Any) -> list[str]:
    return [one.id for one in store.list(Filter(**wanted)).jobs]


# --- asking for work


def test_a_new_job_is_queued_with_what_was_asked(store: JobStore) -> None:
    found = job(store, queued(store))

    assert (found.kind, found.state, found.database, found.attempts) == (Kind.SYNC, State.QUEUED, "pdfs", 0)
    assert found.params == {"database": "pdfs", "create_missing": True}
    assert (found.created_at, found.started_at, found.finished_at) == (NOW, None, None)
    assert (found.progress, found.result, found.error, found.cancel_requested) == (None, None, None, False)


def test_an_unknown_id_is_no_job(store: JobStore) -> None:
    assert store.get("01234567-0000-7000-8000-000000000000") is None
    assert store.claim("01234567-0000-7000-8000-000000000000", "n", NOW).what == "gone"
    assert store.cancel("01234567-0000-7000-8000-000000000000", NOW) == ("gone", [])


def test_an_equal_request_gets_the_job_that_is_queued(store: JobStore) -> None:
    first = queued(store)

    again = store.create(sync(), NOW + 1)

    assert (again.what, again.id) == ("deduplicated", first)
    assert ids(store) == [first]


@pytest.mark.parametrize("other", [sync("other"), another(), SETUP])
def test_another_request_gets_a_job_of_its_own(store: JobStore, other: Request) -> None:
    first = queued(store)

    second = store.create(other, NOW)

    assert second.what == "created"
    assert second.id != first


def test_a_job_that_runs_already_is_no_answer_to_a_new_request(store: JobStore) -> None:
    first, _ = running(store)

    second = store.create(sync(), NOW)

    assert second.what == "created"
    assert second.id != first


def test_the_wider_of_two_equal_requests_is_carried_out(store: JobStore) -> None:
    narrow, wide = sync(create_missing=False), sync()
    first = queued(store, narrow)

    assert store.create(wide, NOW + 1).id == first
    assert job(store, first).params == wide.params
    assert store.create(narrow, NOW + 2).id == first
    assert job(store, first).params == wide.params
    assert job(store, first).created_at == NOW


def test_an_equal_request_brings_a_waiting_retry_forward(store: JobStore) -> None:
    first, token = running(store)
    store.release(first, token, NOW, not_before=NOW + 300, failed=True)

    again = store.create(sync(), NOW + 1)

    assert (again.what, again.id) == ("advanced", first)
    assert store.claim(first, "worker-2", NOW + 1).what == "claimed"


def test_a_job_that_is_to_be_cancelled_is_no_answer_to_a_new_request(store: JobStore) -> None:
    first, token = running(store)
    store.release(first, token, NOW, not_before=NOW + 60)
    assert store.cancel(first, NOW)[0] == "requested"

    assert store.create(sync(), NOW).what == "created"


def test_a_job_that_was_given_back_answers_equal_requests_again(store: JobStore) -> None:
    first, token = running(store)
    store.release(first, token, NOW)

    assert store.create(sync(), NOW).id == first


def test_an_idempotency_key_gets_its_first_job_whatever_became_of_it(store: JobStore) -> None:
    key = ("key-1", "print-1")
    first = store.create(sync(), NOW, idempotency=key)
    store.confirm(first.id, NOW)
    token = store.claim(first.id, "n", NOW).token
    store.finish(first.id, token, State.SUCCEEDED, NOW, result={})

    again = store.create(sync(), NOW + 5, idempotency=key)

    assert (first.what, again.what, again.id) == ("created", "replayed", first.id)


def test_an_idempotency_key_with_another_request_is_a_mismatch(store: JobStore) -> None:
    first = store.create(sync(), NOW, idempotency=("key-1", "print-1"))

    other = store.create(sync("other"), NOW, idempotency=("key-1", "print-2"))

    assert (other.what, other.id) == ("mismatch", first.id)
    assert ids(store, database="other") == []


def test_an_idempotency_key_remembers_a_job_it_was_deduplicated_to(store: JobStore) -> None:
    first = queued(store)
    assert store.create(sync(), NOW, idempotency=("key-1", "p")).what == "deduplicated"

    again = store.create(sync(), NOW, idempotency=("key-1", "p"))

    assert (again.what, again.id) == ("replayed", first)


def test_an_unconfirmed_record_evaporates(store: JobStore, store_redis: redis.Redis) -> None:
    created = store.create(sync(), NOW, idempotency=("key-1", "p"))
    key = f"nbr:job:{created.id}"
    assert 0 < store_redis.ttl(key) <= UNCONFIRMED_TTL
    assert ids(store) == []  # nobody sees it before it is sure to stay

    store_redis.pexpire(key, 1)
    assert wait_until(lambda: store.get(created.id) is None, 5)

    assert store.create(sync(), NOW, idempotency=("key-1", "p")).what == "created"


def test_an_equal_request_on_its_way_is_told_as_such(store: JobStore) -> None:
    """Its record may still vanish, so it is no answer yet."""
    first = store.create(sync(), NOW, idempotency=("key-1", "p"))

    assert store.create(sync(), NOW).what == "making"
    assert store.create(sync(), NOW, idempotency=("key-1", "p")).what == "making"
    store.confirm(first.id, NOW)
    assert store.create(sync(), NOW).what == "deduplicated"
    assert store.create(sync(), NOW, idempotency=("key-1", "p")).what == "replayed"


@pytest.mark.parametrize("key", [None, ("key-1", "p")])
def test_a_record_whose_maker_died_is_given_up_for_an_equal_request(
    store: JobStore, store_redis: redis.Redis, key: tuple[str, str] | None
) -> None:
    dead = store.create(sync(), NOW, idempotency=key)
    store_redis.expire(f"nbr:job:{dead.id}", UNCONFIRMED_TTL - GIVEN_UP_AFTER)

    second = store.create(sync(), NOW, idempotency=key)

    assert second.what == "created"
    assert second.id != dead.id
    assert store.confirm(dead.id, NOW) is False  # its maker lives after all, and hears that it is too late
    assert store.confirm(second.id, NOW) is True
    assert ids(store) == [second.id]
    assert store.claim(dead.id, "n", NOW).what == "gone"


def test_a_confirmed_record_stays(store: JobStore, store_redis: redis.Redis) -> None:
    job_id = queued(store)

    assert store_redis.ttl(f"nbr:job:{job_id}") == -1
    assert ids(store) == [job_id]


def test_a_discarded_record_leaves_nothing(store: JobStore) -> None:
    created = store.create(sync(), NOW)

    store.discard(created.id)

    assert store.get(created.id) is None
    again = store.create(sync(), NOW)
    assert again.what == "created"


def test_a_record_that_a_worker_took_is_not_discarded(store: JobStore) -> None:
    created = store.create(sync(), NOW)
    store.claim(created.id, "n", NOW)

    store.discard(created.id)

    assert job(store, created.id).state is State.RUNNING


def test_a_job_taken_before_it_was_confirmed_is_listed_as_what_it_is(store: JobStore) -> None:
    created = store.create(sync(), NOW)
    store.claim(created.id, "n", NOW)

    store.confirm(created.id, NOW)

    assert ids(store, state=State.RUNNING) == [created.id]
    assert ids(store, state=State.QUEUED) == []
    assert reap(store, NOW + 1_000) == []


def test_a_database_that_no_sweep_has_seen_gets_no_job_where_that_is_asked(
    store: JobStore, store_redis: redis.Redis
) -> None:
    assert store.create(sync(), NOW, only_known=True).what == "unknown"
    assert store_redis.keys("*") == []

    Observations(store_redis).save_sweep({"observed_at": NOW}, {"pdfs": ["a", "b"]})

    assert store.create(sync(), NOW, only_known=True).what == "created"


# --- doing the work


def test_a_claimed_job_runs_and_ends_with_its_result(store: JobStore) -> None:
    job_id, token = running(store)
    assert (job(store, job_id).state, job(store, job_id).attempts, token) == (State.RUNNING, 1, 1)
    assert job(store, job_id).started_at == NOW

    assert store.finish(job_id, token, State.SUCCEEDED, NOW + 5, result={"n": 1}) == (True, [])

    found = job(store, job_id)
    assert (found.state, found.result, found.finished_at) == (State.SUCCEEDED, {"n": 1}, NOW + 5)


def test_of_two_claimers_one_gets_it(store: JobStore) -> None:
    job_id = queued(store)
    gate = threading.Barrier(8)
    found: list[str] = []

    def claim(nonce: str) -> None:
        gate.wait(10)
        found.append(store.claim(job_id, nonce, NOW).what)

    workers = [threading.Thread(target=claim, args=(f"worker-{i}",)) for i in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(10)

    assert sorted(found) == ["claimed"] + ["not-queued"] * 7
    assert job(store, job_id).attempts == 1


def test_a_claim_whose_answer_was_lost_may_be_asked_again(store: JobStore) -> None:
    job_id, token = running(store, nonce="worker-1")

    again = store.claim(job_id, "worker-1", NOW)

    assert (again.what, again.token) == ("claimed", token)
    assert job(store, job_id).attempts == 1


def test_a_beat_extends_the_lease_and_writes_progress(store: JobStore, store_redis: redis.Redis) -> None:
    job_id, token = running(store)
    store_redis.pexpire(f"nbr:lease:{job_id}", 500)
    progress = Progress("gather", 2, 6, "pulls", 4.5)

    assert store.beat(job_id, token, "worker-1", progress) == "ok"

    assert store_redis.pttl(f"nbr:lease:{job_id}") > 10_000
    assert job(store, job_id).progress == progress
    assert store.beat(job_id, token, "worker-1") == "ok"
    assert job(store, job_id).progress == progress  # a beat without news keeps the last


def test_a_lost_lease_is_another_workers_job_and_the_old_token_writes_nothing(
    store: JobStore, store_redis: redis.Redis
) -> None:
    job_id, old = running(store)
    expire_lease(store_redis, job_id)
    assert reap(store, NOW + 20) == [job_id]
    assert store.beat(job_id, old, "worker-1") == "lost"
    assert store.finish(job_id, old, State.SUCCEEDED, NOW, result={"by": "old"}) == (False, [])

    claim = store.claim(job_id, "worker-2", NOW + 20)
    assert (claim.what, claim.token) == ("claimed", 2)

    assert store.beat(job_id, old, "worker-1", Progress("late")) == "lost"
    assert store.finish(job_id, old, State.FAILED, NOW, error=JobError("x", "y", False)) == (False, [])
    assert store.release(job_id, old, NOW) == (False, [])
    found = job(store, job_id)
    assert (found.state, found.attempts, found.result, found.error) == (State.RUNNING, 2, None, None)
    assert found.progress is None or found.progress.phase != "late"
    assert store.beat(job_id, claim.token, "worker-2") == "ok"


def test_a_beat_after_the_lease_ran_out_takes_it_again_while_nobody_has_it(
    store: JobStore, store_redis: redis.Redis
) -> None:
    job_id, token = running(store)
    expire_lease(store_redis, job_id)

    assert store.beat(job_id, token, "worker-1") == "ok"

    assert reap(store, NOW + 20) == []
    assert store.claim(job_id, "worker-2", NOW).what == "not-queued"


def test_a_lease_runs_out_by_itself(store_redis: redis.Redis) -> None:
    store = JobStore(store_redis, result_ttl=TTL, lease_seconds=0.02, max_attempts=ATTEMPTS)
    job_id, _ = running(store)

    assert wait_until(lambda: reap(store, NOW) == [job_id], 5)
    assert job(store, job_id).state is State.QUEUED


def test_two_jobs_on_one_database_run_one_after_the_other(store: JobStore) -> None:
    first, token = running(store)
    second = queued(store, another())

    assert store.claim(second, "worker-2", NOW).what == "busy"
    assert job(store, second).state is State.QUEUED
    assert store.claim(second, "worker-3", NOW).what == "busy"

    assert store.finish(first, token, State.SUCCEEDED, NOW, result={}) == (True, [second])
    claim = store.claim(second, "worker-2", NOW)
    assert claim.what == "claimed"
    assert store.finish(second, claim.token, State.SUCCEEDED, NOW, result={}) == (True, [])  # woken once


def test_jobs_on_different_databases_run_side_by_side(store: JobStore) -> None:
    running(store)

    running(store, sync("other"))
    running(store, SETUP)


def test_a_job_given_back_lets_the_next_one_on_its_database(store: JobStore) -> None:
    first, token = running(store)
    second = queued(store, another())
    store.claim(second, "worker-2", NOW)

    assert store.release(first, token, NOW, not_before=NOW + 60) == (True, [second])

    assert store.claim(second, "worker-2", NOW).what == "claimed"


def test_a_late_beat_does_not_take_the_database_from_the_job_that_has_it_now(
    store: JobStore, store_redis: redis.Redis
) -> None:
    first, token = running(store)
    expire_lease(store_redis, first)
    second = queued(store, another())
    claim = store.claim(second, "worker-2", NOW)
    assert claim.what == "claimed"

    assert store.beat(first, token, "worker-1") == "lost"

    assert store_redis.get("nbr:lock:database:pdfs") == second
    assert store.beat(second, claim.token, "worker-2") == "ok"


def test_a_retry_is_not_started_early(store: JobStore) -> None:
    job_id, token = running(store)
    assert store.release(job_id, token, NOW, not_before=NOW + 60) == (True, [])

    assert store.claim(job_id, "worker-2", NOW + 59).what == "early"
    assert job(store, job_id).state is State.QUEUED
    assert store.claim(job_id, "worker-2", NOW + 60).what == "claimed"


def test_only_failures_use_up_a_jobs_starts(store: JobStore) -> None:
    job_id = queued(store)
    for attempt in range(1, 2 * ATTEMPTS):
        assert store.claim(job_id, f"worker-{attempt}", NOW).token == attempt
        assert store.release(job_id, attempt, NOW) == (True, [job_id])

    assert (job(store, job_id).attempts, job(store, job_id).failures) == (2 * ATTEMPTS - 1, 0)
    for _ in range(ATTEMPTS):
        claim = store.claim(job_id, "worker", NOW)
        store.release(job_id, claim.token, NOW, failed=True)
    assert store.claim(job_id, "worker", NOW).what == "exhausted"


def test_a_cancelled_job_is_claimed_whatever_it_has_used_up(store: JobStore, store_redis: redis.Redis) -> None:
    """What it left running on the nodes has to be stopped."""
    job_id, token = running(store)
    store.cancel(job_id, NOW)
    store_redis.hset(f"nbr:job:{job_id}", "failures", ATTEMPTS)
    assert store.release(job_id, token, NOW, not_before=NOW + 300, failed=True) == (True, [job_id])

    assert store.claim(job_id, "worker-2", NOW).what == "claimed"
    assert job(store, job_id).cancel_requested


def test_an_expedited_job_is_the_reapers_next(store: JobStore) -> None:
    job_id = queued(store)
    store.expedite(job_id)
    store.expedite("01234567-0000-7000-8000-000000000000")

    assert reap(store, NOW + 1) == [job_id]


def test_jobs_that_were_to_be_woken_are_the_reapers_next(store: JobStore) -> None:
    """The list of ids may get lost with the worker that was told."""
    first, token = running(store)
    second = queued(store, another())
    store.claim(second, "worker-2", NOW)
    store.finish(first, token, State.SUCCEEDED, NOW)

    assert reap(store, NOW + 1) == [second]


def test_starts_are_counted_and_run_out(store: JobStore, store_redis: redis.Redis) -> None:
    job_id = queued(store)
    for attempt in range(1, ATTEMPTS + 1):
        assert store.claim(job_id, f"worker-{attempt}", NOW).token == attempt
        expire_lease(store_redis, job_id)
        assert reap(store, NOW) == [job_id]

    assert store.claim(job_id, "worker-x", NOW + 7).what == "exhausted"

    found = job(store, job_id)
    assert (found.state, found.attempts, found.finished_at) == (State.FAILED, ATTEMPTS, NOW + 7)
    assert found.error is not None
    assert (found.error.type, found.error.retryable) == ("worker-lost", True)
    assert reap(store, NOW + 1_000) == []


# --- cancel


def test_cancelling_a_queued_job_ends_it(store: JobStore) -> None:
    job_id = queued(store)

    assert store.cancel(job_id, NOW + 1)[0] == "cancelled"

    assert (job(store, job_id).state, job(store, job_id).finished_at) == (State.CANCELLED, NOW + 1)
    assert store.claim(job_id, "n", NOW).what == "not-queued"
    assert store.create(sync(), NOW).what == "created"


def test_cancelling_a_running_job_is_told_to_its_worker(store: JobStore) -> None:
    job_id, token = running(store)

    assert store.cancel(job_id, NOW) == ("requested", [])

    assert job(store, job_id).cancel_requested
    assert job(store, job_id).state is State.RUNNING
    assert store.beat(job_id, token, "worker-1") == "cancel"
    assert store.finish(job_id, token, State.CANCELLED, NOW)[0]
    assert job(store, job_id).state is State.CANCELLED


def test_cancelling_a_job_that_waits_for_a_retry_lets_a_worker_clean_up_at_once(store: JobStore) -> None:
    job_id, token = running(store)
    store.release(job_id, token, NOW, not_before=NOW + 300)

    assert store.cancel(job_id, NOW)[0] == "requested"

    assert store.claim(job_id, "worker-2", NOW).what == "claimed"
    assert job(store, job_id).cancel_requested


@pytest.mark.parametrize("state", sorted(ENDED))
def test_cancelling_what_has_ended_changes_nothing(store: JobStore, state: State) -> None:
    job_id, token = running(store)
    store.finish(job_id, token, state, NOW)
    before = job(store, job_id)

    assert store.cancel(job_id, NOW + 9) == ("ended", [])
    assert job(store, job_id) == before


def test_cancelling_a_waiting_job_lets_nobody_else_wait_for_ever(store: JobStore) -> None:
    first, token = running(store)
    second, third = queued(store, another()), queued(store, another())
    for waiting in (second, third):
        assert store.claim(waiting, "n", NOW).what == "busy"

    _, woken = store.cancel(second, NOW)
    for one in woken:  # what was woken too early waits again
        store.claim(one, "n", NOW)

    assert third in store.finish(first, token, State.SUCCEEDED, NOW)[1]


# --- the reaper


def test_a_queued_job_whose_message_was_lost_is_put_on_the_queue_again(store: JobStore) -> None:
    job_id = queued(store)

    assert reap(store, NOW + 9) == []
    assert reap(store, NOW + 10) == [job_id]
    assert reap(store, NOW + 11) == []  # it was just put there
    assert reap(store, NOW + 20) == [job_id]


def test_each_kind_has_a_patience_of_its_own(store: JobStore) -> None:
    one, other = queued(store), queued(store, SETUP)
    bounds = dict.fromkeys(Kind, 600.0) | {Kind.SETUP: 10.0}

    assert store.reap(NOW + 10, bounds) == [other]
    assert store.reap(NOW + 599, bounds) == [other]
    assert set(store.reap(NOW + 609, bounds)) == {one, other}


def test_a_retry_is_put_on_the_queue_when_it_is_due(store: JobStore) -> None:
    job_id, token = running(store)
    store.release(job_id, token, NOW, not_before=NOW + 60)

    assert reap(store, NOW + 59) == []
    assert reap(store, NOW + 60) == [job_id]
    assert reap(store, NOW + 61) == []


def test_running_jobs_with_a_lease_are_left_alone(store: JobStore) -> None:
    running(store)

    assert reap(store, NOW + 1_000) == []


def test_an_ended_job_is_forgotten_with_all_its_index_entries(store: JobStore, store_redis: redis.Redis) -> None:
    for end in sorted(ENDED):
        job_id, token = running(store, sync(end.value))
        store.finish(job_id, token, end, NOW, result={})
    setup, token = running(store, SETUP)
    store.finish(setup, token, State.SUCCEEDED, NOW)
    assert len(ids(store)) == 4

    reap(store, NOW + TTL - 1)
    assert len(ids(store)) == 4
    reap(store, NOW + TTL)

    assert store.get(setup) is None
    assert ids(store) == []
    assert store.counts() == dict.fromkeys([state.value for state in State], 0)
    assert [key for key in store_redis.keys("*") if not key.startswith("nbr:idempotency:")] == []


def test_an_ended_job_is_kept_until_it_is_forgotten_with_its_entries(store: JobStore, store_redis: redis.Redis) -> None:
    """A record that went by itself would leave its id in the lists."""
    created = store.create(sync(), NOW)
    token = store.claim(created.id, "n", NOW).token
    store.finish(created.id, token, State.SUCCEEDED, NOW)

    assert store_redis.ttl(f"nbr:job:{created.id}") == -1
    assert ids(store) == [created.id]  # although its confirmation got lost


def test_what_redis_lost_is_cleared_from_the_indexes(store: JobStore, store_redis: redis.Redis) -> None:
    first, (second, _) = queued(store), running(store, sync("other"))
    store_redis.delete(f"nbr:job:{first}", f"nbr:job:{second}", f"nbr:lease:{second}")

    assert reap(store, NOW + 100) == []

    assert store_redis.zcard("nbr:due:queued") == 0
    assert store_redis.zcard("nbr:jobs:state:running") == 0


def test_retries_far_away_do_not_keep_lost_messages_from_being_found(store: JobStore) -> None:
    for i in range(3):
        job_id, token = running(store, sync(f"far-{i}"))
        store.release(job_id, token, NOW, not_before=NOW + 10_000)
    lost = queued(store, now=NOW + 1)

    assert reap(store, NOW + 100, most=3) == [lost]


# --- looking


def test_jobs_are_listed_newest_first_page_by_page(store: JobStore) -> None:
    made = [queued(store, sync(f"db-{i}"), NOW + i) for i in range(7)]
    found: list[str] = []
    cursor = None
    for _ in range(3):
        page = store.list(Filter(), cursor=cursor, limit=3)
        found += [one.id for one in page.jobs]
        cursor = page.next_cursor

    assert found == made[::-1]
    assert cursor is None


def test_a_page_that_is_just_full_is_the_last(store: JobStore) -> None:
    for i in range(3):
        queued(store, sync(f"db-{i}"), NOW + i)

    assert store.list(Filter(), limit=3).next_cursor is None


def test_each_filter_and_all_at_once(store: JobStore) -> None:
    done, token = running(store, sync("one"))
    store.finish(done, token, State.SUCCEEDED, NOW)
    waiting = queued(store, another("one"), NOW + 1)
    other = queued(store, sync("two"), NOW + 2)
    setup = queued(store, SETUP, NOW + 3)

    assert ids(store) == [setup, other, waiting, done]
    assert ids(store, kind=Kind.SETUP) == [setup]
    assert ids(store, kind=Kind.SYNC) == [other, waiting, done]
    assert ids(store, state=State.QUEUED) == [setup, other, waiting]
    assert ids(store, database="one") == [waiting, done]
    assert ids(store, database="one", state=State.SUCCEEDED, kind=Kind.SYNC) == [done]
    assert ids(store, database="one", kind=Kind.SETUP) == []
    assert ids(store, database="nobody") == []


def test_a_filter_that_passes_few_still_fills_its_pages(store: JobStore) -> None:
    wanted = []
    for i in range(12):
        job_id = queued(store, another("one"), NOW + i)
        if i % 4 == 0:
            wanted.append(job_id)
            assert store.cancel(job_id, NOW)[0] == "cancelled"

    first = store.list(Filter(database="one", state=State.CANCELLED), limit=2)
    second = store.list(Filter(database="one", state=State.CANCELLED), limit=2, cursor=first.next_cursor)

    assert [one.id for one in [*first.jobs, *second.jobs]] == wanted[::-1]
    assert second.next_cursor is None


def test_counts_follow_the_states(store: JobStore) -> None:
    queued(store)
    running(store, sync("other"))

    assert store.counts() == {"queued": 1, "running": 1, "succeeded": 0, "failed": 0, "cancelled": 0}


def test_watching_tells_every_state_until_the_end(store: JobStore) -> None:
    job_id = queued(store)
    watch = store.watch(job_id, 0.01)

    def until(state: State) -> Job:
        found = next(one for one in itertools.islice(watch, 1_000) if one is not None and one.state is state)
        assert found is not None
        return found

    until(State.QUEUED)
    token = store.claim(job_id, "n", NOW).token
    until(State.RUNNING)
    store.beat(job_id, token, "n", Progress("gather", 1, 2))
    found = next(one for one in itertools.islice(watch, 1_000) if one is not None and one.progress)
    assert found is not None
    store.finish(job_id, token, State.SUCCEEDED, NOW, result={"n": 1})
    assert until(State.SUCCEEDED).result == {"n": 1}
    assert list(watch) == []


def test_watching_a_quiet_job_gives_the_caller_a_chance_to_leave(store: JobStore) -> None:
    watch = store.watch(queued(store), 0.01)

    assert next(watch) is not None
    assert next(watch) is None
    watch.close()


def test_watching_nothing_ends_at_once(store: JobStore) -> None:
    assert list(store.watch("01234567-0000-7000-8000-000000000000", 0.01)) == []


def test_watching_sees_an_end_whose_event_was_lost(store: JobStore, store_redis: redis.Redis) -> None:
    """Redis' messages are lost while a connection is re-made: the record is the truth."""
    job_id, _ = running(store)
    watch = store.watch(job_id, 0.01)
    assert next(watch) is not None
    store_redis.hset(f"nbr:job:{job_id}", "state", "succeeded")

    found = list(itertools.islice(watch, 50))

    assert found[-1] is not None
    assert found[-1].state is State.SUCCEEDED


# --- the table of transitions


def reach(store: JobStore, state: State) -> tuple[str, int]:
    """A job in this state, and the token of its last attempt."""
    job_id = queued(store)
    if state is State.QUEUED:
        return job_id, 0
    token = store.claim(job_id, "worker-1", NOW).token
    if state is not State.RUNNING:
        assert store.finish(job_id, token, state, NOW)[0]
    return job_id, token


def attempts_to_move(
    store: JobStore, store_redis: redis.Redis, job_id: str, token: int
) -> dict[State, list[Callable[[], Any]]]:
    """Every way the store has to bring a job into a state."""

    def exhaust() -> None:
        store_redis.hset(f"nbr:job:{job_id}", "failures", ATTEMPTS)
        store.claim(job_id, "worker-2", NOW)

    def lose() -> None:
        store_redis.delete(f"nbr:lease:{job_id}")
        reap(store, NOW)

    return {
        State.QUEUED: [lambda: store.release(job_id, token, NOW), lose, lambda: store.confirm(job_id, NOW)],
        State.RUNNING: [lambda: store.claim(job_id, "worker-2", NOW)],
        State.SUCCEEDED: [lambda: store.finish(job_id, token, State.SUCCEEDED, NOW)],
        State.FAILED: [lambda: store.finish(job_id, token, State.FAILED, NOW), exhaust],
        State.CANCELLED: [
            lambda: store.cancel(job_id, NOW),
            lambda: store.finish(job_id, token, State.CANCELLED, NOW),
        ],
    }


@pytest.mark.parametrize(("start", "end"), list(itertools.product(State, State)))
def test_the_store_moves_jobs_as_the_table_says(
    store: JobStore, store_redis: redis.Redis, start: State, end: State
) -> None:
    reached = set()
    for way in range(len(attempts_to_move(store, store_redis, "", 0)[end])):
        store_redis.flushall()
        job_id, token = reach(store, start)
        attempts_to_move(store, store_redis, job_id, token)[end][way]()
        reached.add(job(store, job_id).state)

    if start is end:
        assert reached == {start}
    elif end in TRANSITIONS[start]:
        assert end in reached
    else:
        assert reached == {start}


# --- an answer that was lost is asked for again


def test_a_step_taken_twice_changes_nothing_the_second_time(store: JobStore, store_redis: redis.Redis) -> None:
    def dump() -> dict[str, Any]:
        keys = sorted(store_redis.keys("*"))
        values = {
            "hash": store_redis.hgetall,
            "string": store_redis.get,
            "list": lambda key: store_redis.lrange(key, 0, -1),
        }
        scores = {"zset": lambda key: store_redis.zrange(key, 0, -1, withscores=True)}
        return {key: {**values, **scores}[store_redis.type(key)](key) for key in keys}

    def twice(step: Callable[[], Any]) -> None:
        step()
        once = dump()
        step()
        assert dump() == once

    job_id = store.create(sync(), NOW).id
    twice(lambda: store.confirm(job_id, NOW))
    twice(lambda: store.claim(job_id, "worker-1", NOW))
    twice(lambda: store.beat(job_id, 1, "worker-1", Progress("gather")))
    twice(lambda: store.cancel(job_id, NOW))
    twice(lambda: store.release(job_id, 1, NOW, not_before=NOW + 5))
    twice(lambda: reap(store, NOW + 5))
    twice(lambda: store.claim(job_id, "worker-2", NOW + 5))
    twice(lambda: store.finish(job_id, 2, State.SUCCEEDED, NOW + 6, result={"n": 1}))
    twice(lambda: reap(store, NOW + 6 + TTL))
    other = store.create(sync("other"), NOW).id
    twice(lambda: store.discard(other))


def test_creating_with_an_id_that_is_there_makes_no_second_record(store: JobStore, store_redis: redis.Redis) -> None:
    """What redis-py's retry does after the answer to the first call was lost: the same arguments again."""
    sent: list[list[Any]] = []
    script = store._scripts["CREATE"]

    def twice(args: list[Any]) -> Any:
        sent.append(args)
        script(args=args)
        return script(args=args)

    store._scripts["CREATE"] = twice  # type: ignore[assignment]
    created = store.create(sync(), NOW, idempotency=("key", fingerprint({})))

    assert created.what == "created"
    assert list(store_redis.keys("nbr:job:*")) == [f"nbr:job:{created.id}"]


# --- kinds with a schedule of their own

WEBHOOK = Request(
    Kind.WEBHOOK, None, {"event": {"type": "node.state"}, "receiver": "https://hook.test", "mark": "0123"}
)


def test_a_job_that_waits_for_hours_is_kept_and_comes_back(store: JobStore, store_redis: redis.Redis) -> None:
    """Far longer than results are kept."""
    job_id, token = running(store, WEBHOOK)
    due = NOW + 20 * TTL

    store.release(job_id, token, NOW, not_before=due, failed=True)

    assert store_redis.ttl(f"nbr:job:{job_id}") == -1
    assert reap(store, due - 1) == []
    assert store.claim(job_id, "worker-2", due - 1).what == "early"
    assert job(store, job_id).state is State.QUEUED
    assert reap(store, due) == [job_id]
    assert store.claim(job_id, "worker-2", due).what == "claimed"


def test_it_has_as_many_starts_as_its_schedule(store: JobStore) -> None:
    job_id = queued(store, WEBHOOK)
    for number in range(10):
        claim = store.claim(job_id, f"worker-{number}", NOW)
        assert claim.what == "claimed"
        store.release(job_id, claim.token, NOW, failed=True)

    assert store.claim(job_id, "worker", NOW).what == "exhausted"
    found = job(store, job_id)
    assert found.error is not None
    assert (found.error.type, found.error.context) == ("worker-lost", {})
    assert found.error.detail.startswith("10 workers in a row")


# --- what is not over yet


def test_what_waits_and_runs_is_told_by_kind(store: JobStore) -> None:
    oldest = queued(store, sync("a"), NOW)
    queued(store, sync("b"), NOW + 5)
    running = queued(store, sync("c"), NOW - 60)
    store.claim(running, "nonce", NOW + 6)
    queued(store, SETUP, NOW + 7)

    found = store.backlog()

    assert found.keys() == {*Kind}
    syncs, setups, backups = (found[kind] for kind in (Kind.SYNC, Kind.SETUP, Kind.BACKUP))
    assert (syncs.queued, syncs.running, syncs.oldest_at) == (2, 1, NOW)
    assert (setups.queued, setups.running, setups.oldest_at) == (1, 0, NOW + 7)
    assert (backups.queued, backups.running, backups.oldest_at) == (0, 0, None)
    store.cancel(oldest, NOW + 8)
    assert store.backlog()[Kind.SYNC].oldest_at == NOW + 5


def test_what_is_not_over_is_followed_through_all_of_a_jobs_life(store: JobStore) -> None:
    def counted() -> tuple[int, int]:
        found = store.backlog()[Kind.SYNC]
        return found.queued, found.running

    job_id, token = running(store)
    assert counted() == (0, 1)
    store.release(job_id, token, NOW)
    assert counted() == (1, 0)
    token = store.claim(job_id, "worker-2", NOW).token
    store.finish(job_id, token, State.SUCCEEDED, NOW)
    assert counted() == (0, 0)
    store.confirm(job_id, NOW)  # the API's word may come after the worker's
    assert counted() == (0, 0)


def test_a_running_job_whose_record_is_gone_is_not_counted_for_ever(store: JobStore, store_redis: redis.Redis) -> None:
    job_id, _ = running(store)
    store_redis.delete(f"nbr:job:{job_id}", f"nbr:lease:{job_id}")

    store.reap(NOW, dict.fromkeys(Kind, 30.0))

    assert store.backlog()[Kind.SYNC].running == 0
