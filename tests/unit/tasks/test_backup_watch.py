"""The watch over the backups: what it asks for, when it keeps quiet, and what it tells."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tasks.backup_watch import SCHEDULED, drill_request, run_watch
from tasks.catalogue import EVERY
from tasks.jobs import Job, Kind, Request, State
from tasks.redis import StoreUnavailable as RedisUnavailable
from tasks.store import Filter
from tests.fakes.couchdb import FakeCouch
from tests.unit.tasks.backing import DAY, HOUR, back_up, backing, blobs, fill, told
from tests.unit.tasks.world import World
from worker.blobs.seal import Keys, new_identity
from worker.core.backup_due import RETRY
from worker.core.errors import StoreUnavailable
from worker.couch.cluster import Cluster

YEARLY = "0 0 1 1 *"  # so that whatever the time is, nothing becomes due while a test runs
OLD = 400 * DAY
IDENTITY = new_identity()
RECIPIENT = str(Keys.parse(IDENTITY).recipients[0])


def watching(**more: Any) -> World:
    return backing(**{"backup_schedule": YEARLY, "backup_drill_schedule": "off", **more})


@pytest.fixture
def world() -> World:
    return watching()


def seen(world: World, *backups: dict[str, Any], ago: float = 0) -> None:
    """As if the store had just been read, or so many seconds ago."""
    world.backups.save(backups, {}, time.time() - ago)


def backup(ago: float, *, good: bool = True, scope: str = "*", drilled: float | None = None) -> dict[str, Any]:
    """`ago`, `drilled`: seconds."""
    now = time.time()
    return {
        "id": f"{now - ago:017.3f}",
        "readable": True,
        "why": None,
        "started_at": now - ago,
        "good": good,
        "scope": [scope],
        "drill": None if drilled is None else {"at": now - drilled, "ok": True},
    }


def asked(world: World, kind: Kind = Kind.BACKUP) -> list[Job]:
    return world.store.list(Filter(kind=kind)).jobs


def end(world: World, job: Job, state: State = State.FAILED) -> None:
    token = world.store.claim(job.id, "nonce", time.time()).token
    world.store.finish(job.id, token, state, time.time())


# backups


def test_a_backup_is_asked_for_when_it_is_due_and_once(world: World, cluster: Cluster) -> None:
    for _ in range(3):
        run_watch(world.parts, cluster)

    (job,) = asked(world)
    assert (job.database, job.params) == (None, SCHEDULED)
    assert world.publisher.sent == [job.id]


def test_not_again_while_it_runs(world: World, cluster: Cluster) -> None:
    run_watch(world.parts, cluster)
    world.store.claim(asked(world)[0].id, "nonce", time.time())
    world.backups.note("tried_at", time.time() - 2 * RETRY)

    run_watch(world.parts, cluster)

    assert len(asked(world)) == 1


def test_a_backup_that_somebody_has_asked_for_is_waited_for(world: World, cluster: Cluster) -> None:
    by_hand = world.queued(Request(Kind.BACKUP, None, {**SCHEDULED, "databases": ["pdfs"], "scheduled": False}))
    run_watch(world.parts, cluster)
    assert [job.id for job in asked(world)] == [by_hand]

    end(world, world.job(by_hand), State.SUCCEEDED)
    run_watch(world.parts, cluster)
    assert len(asked(world)) == 2, "of everything there is still none"


def test_a_check_keeps_no_backup_away(world: World, cluster: Cluster) -> None:
    world.queued(drill_request("20261125T030000Z-1e7a90"))

    run_watch(world.parts, cluster)

    assert len(asked(world)) == 1


def test_after_a_failure_it_is_asked_for_again_an_hour_later(world: World, cluster: Cluster) -> None:
    run_watch(world.parts, cluster)
    end(world, asked(world)[0])

    run_watch(world.parts, cluster)
    assert len(asked(world)) == 1

    world.backups.note("tried_at", time.time() - RETRY - 1)
    run_watch(world.parts, cluster)
    assert len(asked(world)) == 2


def test_a_night_that_was_missed_is_made_up_for(world: World, cluster: Cluster) -> None:
    fill(cluster, "pdfs")
    back_up(world, cluster, ago=OLD, scheduled=True)

    run_watch(world.parts, cluster)

    assert len(asked(world)) == 1


@pytest.mark.parametrize("scheduled", [True, False])
def test_a_backup_of_everything_is_one_whoever_asked_for_it(world: World, cluster: Cluster, scheduled: bool) -> None:
    fill(cluster, "pdfs")
    back_up(world, cluster, scheduled=scheduled)

    run_watch(world.parts, cluster)

    assert asked(world) == []


def test_a_backup_of_some_databases_is_none_of_everything(world: World, cluster: Cluster) -> None:
    seen(world, backup(OLD), backup(0, scope="pdfs"))

    run_watch(world.parts, cluster)

    assert len(asked(world)) == 1


def test_what_cannot_be_read_is_not_counted_on(world: World, cluster: Cluster) -> None:
    seen(world, {"id": "x", "readable": False, "why": "damaged"})

    run_watch(world.parts, cluster)

    assert len(asked(world)) == 1


@pytest.mark.parametrize("more", [{"backup_url": ""}, {"backup_schedule": "off"}])
def test_where_nothing_is_wanted_nothing_is_asked_for(cluster: Cluster, more: dict[str, str]) -> None:
    world = watching(**more)

    run_watch(world.parts, cluster)

    assert asked(world) == []
    assert told(world, "backup.stale") == []


def test_nothing_begins_in_a_blackout(cluster: Cluster) -> None:
    hour = time.gmtime().tm_hour
    world = watching(backup_blackout=f"{hour:02}:00-{(hour + 2) % 24:02}:00")

    run_watch(world.parts, cluster)

    assert asked(world) == []


def test_a_queue_that_does_not_take_it_is_no_try(world: World, cluster: Cluster) -> None:
    world.publisher.away = True
    with pytest.raises(RedisUnavailable, match="the queue does not take messages"):
        run_watch(world.parts, cluster)

    world.publisher.away = False
    run_watch(world.parts, cluster)

    assert len(asked(world)) == 1


# the store


def test_while_the_store_does_not_answer_nothing_is_asked_for(world: World, cluster: Cluster) -> None:
    """It would fail, and what is due may have been done."""
    blobs(world, cluster).fail(StoreUnavailable("s3://bucket: no answer"))

    run_watch(world.parts, cluster)

    assert asked(world) == []
    trouble = world.backups.noted("trouble")
    assert (trouble["error"], trouble["detail"]) == ("backup-store-unavailable", "s3://bucket: no answer")

    blobs(world, cluster).heal()
    run_watch(world.parts, cluster)
    assert len(asked(world)) == 1
    assert world.backups.noted("trouble") is None


def test_the_store_is_read_once_in_a_while(world: World, cluster: Cluster) -> None:
    seen(world, backup(0), ago=EVERY - 5)
    run_watch(world.parts, cluster)
    assert len(world.backups.all()) == 1

    seen(world, backup(0), ago=EVERY + 5)
    run_watch(world.parts, cluster)
    assert world.backups.all() == []


def test_no_node_is_asked_anything(world: World, couch: FakeCouch, cluster: Cluster) -> None:
    run_watch(world.parts, cluster)

    assert couch.requests == []


# Redis emptied in between


def test_what_is_in_the_store_is_found_again(world: World, cluster: Cluster) -> None:
    fill(cluster, "pdfs")
    made = back_up(world, cluster)["backup_id"]
    run_watch(world.parts, cluster)
    world.redis.flushall()

    run_watch(world.parts, cluster)

    assert [one["id"] for one in world.backups.all()] == [made]
    assert asked(world) == []
    assert told(world, "backup.stale") == []


def test_with_the_job_gone_it_is_asked_for_once_more(world: World, cluster: Cluster) -> None:
    run_watch(world.parts, cluster)
    world.redis.flushall()

    run_watch(world.parts, cluster)
    run_watch(world.parts, cluster)

    assert len(asked(world)) == 1


# staleness


def test_that_the_backups_are_too_old_is_told_once_and_so_is_its_end(world: World, cluster: Cluster) -> None:
    for _ in range(3):
        seen(world, backup(31 * HOUR), backup(HOUR, good=False))
        run_watch(world.parts, cluster)

    (event,) = told(world, "backup.stale")
    assert event.detail == "there has been no good backup of everything for 31 hours"
    assert (event.severity.value, event.data["hours"]) == ("error", 31.0)

    fresh = backup(0)
    for _ in range(3):
        seen(world, backup(31 * HOUR), fresh)
        run_watch(world.parts, cluster)

    (event,) = told(world, "backup.fresh")
    assert (event.severity.value, event.data["backup"]) == ("info", fresh["id"])
    assert len(told(world, "backup.stale")) == 1


def test_it_is_told_again_when_it_comes_again(world: World, cluster: Cluster) -> None:
    for ago in (31 * HOUR, 0, 31 * HOUR, 0):
        seen(world, backup(ago))
        run_watch(world.parts, cluster)

    assert len(told(world, "backup.stale")) == len(told(world, "backup.fresh")) == 2


def test_a_new_system_is_not_late(world: World, cluster: Cluster) -> None:
    seen(world)
    run_watch(world.parts, cluster)
    assert told(world, "backup.stale") == []

    world.backups.note("watched_since", time.time() - 31 * HOUR)
    run_watch(world.parts, cluster)
    assert len(told(world, "backup.stale")) == 1


def test_a_start_with_a_clock_that_was_ahead_is_forgotten(world: World, cluster: Cluster) -> None:
    world.backups.note("watched_since", time.time() + OLD)
    seen(world, backup(-OLD))

    run_watch(world.parts, cluster)

    assert world.backups.noted("watched_since") == pytest.approx(time.time(), abs=60)


def test_the_reason_is_told_and_told_while_the_store_does_not_answer(world: World, cluster: Cluster) -> None:
    seen(world, backup(31 * HOUR), ago=EVERY + 5)
    blobs(world, cluster).fail(StoreUnavailable("s3://bucket: no answer"))

    for _ in range(2):
        run_watch(world.parts, cluster)

    (event,) = told(world, "backup.stale")
    assert event.detail == "there has been no good backup of everything for 31 hours: s3://bucket: no answer"


def test_without_a_schedule_nobody_is_late(cluster: Cluster) -> None:
    world = watching(backup_schedule="off")
    seen(world, backup(31 * HOUR))

    run_watch(world.parts, cluster)

    assert told(world, "backup.stale") == []


# drills


def drilling(**more: Any) -> World:
    return watching(backup_drill_schedule=YEARLY, **more)


def test_a_drill_of_the_newest_good_backup_is_asked_for_once(cluster: Cluster) -> None:
    world = drilling()
    newest = backup(HOUR)
    for _ in range(3):
        seen(world, backup(OLD), newest, backup(0, good=False))
        run_watch(world.parts, cluster)

    (job,) = asked(world, Kind.CHECK)
    assert job.params == {"backup": newest["id"], "drill": True, "node": None}
    end(world, job)
    run_watch(world.parts, cluster)
    assert len(asked(world, Kind.CHECK)) == 1, "one that failed waits for its next time"


def test_a_backup_goes_before_a_drill(cluster: Cluster) -> None:
    world = drilling()
    seen(world, backup(OLD))

    run_watch(world.parts, cluster)

    assert (len(asked(world)), asked(world, Kind.CHECK)) == (1, [])


def test_what_was_drilled_lately_is_not_drilled_again(cluster: Cluster) -> None:
    world = drilling()
    seen(world, backup(OLD, drilled=0), backup(0))

    run_watch(world.parts, cluster)

    assert asked(world, Kind.CHECK) == []


@pytest.mark.parametrize(("key", "drills"), [(IDENTITY, 1), (RECIPIENT, 0), ("", 1)], ids=["both", "to", "none"])
def test_only_who_can_read_a_backup_can_restore_it(cluster: Cluster, key: str, drills: int) -> None:
    world = drilling(backup_key=key)
    seen(world, backup(OLD), backup(0))

    run_watch(world.parts, cluster)

    assert len(asked(world, Kind.CHECK)) == drills
