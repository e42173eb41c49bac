"""The job that changes passwords: what it waits for, what it leaves, and what stands still meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tasks import on_change, rotation
from tasks.events import EventFilter
from tasks.jobs import Job, Kind, Request, State
from tasks.locks import alone
from tasks.reconcile import run_setup
from tasks.rotation import run_rotation
from tasks.runner import Runner, Work
from tests.builders import Listener
from tests.fakes.couchdb import FakeCouch
from tests.fakes.request import Request as FakeRequest
from tests.unit.tasks.world import PASSWORD, World, job, settings, sync
from worker.core.errors import Cancelled, HalfChanged, NotQuiet, ProcessUnaware, Unreachable, Unsupported
from worker.core.logins import Which
from worker.couch.cluster import Cluster
from worker.couch.database import Database

NEW = "the-next-password-1"
NAMES = ("a", "b", "c")
FORTH, BACK = (Request(Kind.ROTATE, None, {"to": which.value}) for which in Which)


@pytest.fixture
def world() -> World:
    return World(settings(couchdb_password=NEW, couchdb_password_previous=PASSWORD))


@pytest.fixture
def process(world: World, couch: FakeCouch) -> Cluster:
    return Cluster.from_settings(world.settings, couch)


def change(world: World, cluster: Cluster, asked: Request = FORTH, control: Listener | None = None) -> dict[str, Any]:
    """While a worker carries out what set-ups it asks for."""
    world.publisher.on_job = lambda job_id: carry_out(world, cluster, job_id)
    world.in_force.settle(cluster)
    return run_rotation(world.parts, cluster, job(asked), control or Listener())


def carry_out(world: World, cluster: Cluster, job_id: str) -> None:
    claim = world.store.claim(job_id, "nonce", time.time())
    found = world.job(job_id)
    if claim.what == "claimed" and found.kind is Kind.SETUP:
        world.in_force.settle(cluster)
        result = run_setup(world.parts, cluster, found, Listener())
        world.store.finish(job_id, claim.token, State.SUCCEEDED, time.time(), result=result)


def events(world: World) -> list[str]:
    return [event.type.value for event in world.events.list(EventFilter()).events]


def has(couch: FakeCouch, password: str) -> list[str]:
    return [name for name in NAMES if couch[name].logins.accepts(couch[name].user, password)]


def test_all_nodes_have_the_new_one_links_are_made_again_and_people_are_told(
    world: World, couch: FakeCouch, process: Cluster
) -> None:
    for name in NAMES:
        couch[name].create("pdfs")

    told = change(world, process)

    assert has(couch, NEW) == list(NAMES)
    assert [entry["node"] for entry in told["changed"]] == list(NAMES)
    assert (told["to"], told["links"]["state"]) == ("current", "succeeded")
    links = [row for node in couch.nodes.values() for row in node.databases["_replicator"].documents]
    assert len([identity for identity in links if identity.endswith(":pdfs")]) == 6
    assert events(world) == ["passwords.changed"]
    assert "reconcile" in world.publisher.wanted_soon
    assert not world.in_force.paused()
    again = change(world, process)
    assert (again["changed"], events(world)) == ([], ["passwords.changed"])
    assert change(world, process, BACK)["to"] == "previous"
    assert has(couch, PASSWORD) == list(NAMES)


def test_where_no_links_are_wanted_none_are_made(couch: FakeCouch) -> None:
    world = World(settings(couchdb_password=NEW, couchdb_password_previous=PASSWORD, continuous_replication=False))
    assert change(world, Cluster.from_settings(world.settings, couch))["links"] is None
    assert all(not node.databases["_replicator"].documents for node in couch.nodes.values())


def test_a_worker_that_knows_one_alone_names_itself_and_not_all_others(couch: FakeCouch, cluster: Cluster) -> None:
    world = World()
    now = time.time()
    for name in ("worker-7@here", "worker-8@here"):
        world.seen.worker_alive(name, now)
    world.in_force.aware("worker-8@here", now)
    with pytest.raises(ProcessUnaware, match=r"^worker-8@here: knows one password alone\. Set COUCHDB_PASS") as refused:
        change(world, cluster)
    assert "worker-7@here" not in str(refused.value)


def test_where_each_node_has_a_password_of_its_own_it_says_what_to_set(couch: FakeCouch) -> None:
    more = {
        "couchdb_url": f"http://admin:{PASSWORD}@a.test:5984",
        "replication_nodes": ",".join(f"{name}=http://admin:{PASSWORD}@{name}.test:5984" for name in "bc"),
    }
    world = World(settings(couchdb_password=NEW, couchdb_password_previous=PASSWORD, **more))
    with pytest.raises(Unsupported, match="COUCHDB_PASSWORD_PREVIOUS"):
        change(world, Cluster.from_settings(world.settings, couch))


def test_a_node_with_credentials_of_its_own_is_left_alone_and_told(couch: FakeCouch) -> None:
    more = {"replication_nodes": f"b=http://admin:{PASSWORD}@b.test:5984,c=http://c.test:5984"}
    world = World(settings(couchdb_password=NEW, couchdb_password_previous=PASSWORD, **more))
    told = change(world, Cluster.from_settings(world.settings, couch))
    assert told["own_passwords"] == ["b"]
    assert has(couch, NEW) == ["a", "c"]
    assert has(couch, PASSWORD) == ["b"]


def test_a_process_that_does_not_know_both_stops_it(world: World, couch: FakeCouch, process: Cluster) -> None:
    world.seen.worker_alive("worker-7@here", time.time())
    world.replication.watcher_alive("watcher-8@here", {"at": time.time(), "leads": True, "feeds": {}})
    with pytest.raises(
        ProcessUnaware, match=r"watcher-8@here, worker-7@here: started before both.*, or with others than this process"
    ):
        change(world, process)
    assert has(couch, NEW) == []
    for name in ("worker-7@here", "watcher-8@here"):
        world.in_force.aware(name, time.time())
    change(world, process)
    assert has(couch, NEW) == list(NAMES)


@contextmanager
def running_job(world: World) -> Iterator[None]:
    identity = world.queued(sync("busy"))
    token = world.store.claim(identity, "nonce", time.time()).token
    yield
    world.store.finish(identity, token, State.SUCCEEDED, time.time(), result={})


@contextmanager
def running_task(world: World) -> Iterator[None]:
    with alone(world.redis, "sweep"):
        yield


@contextmanager
def syncing_what_changed(world: World) -> Iterator[None]:
    world.dirty.mark(["busy"], 0)
    (taken,) = world.dirty.take(time.time(), 0, 1)
    yield
    world.dirty.done(taken.database, taken.token)


@pytest.mark.parametrize("busy", [running_job, running_task, syncing_what_changed], ids=["job", "task", "change"])
def test_it_waits_for_what_runs_and_nothing_begins_meanwhile(
    world: World, couch: FakeCouch, process: Cluster, busy: Any
) -> None:
    paused = threading.Event()

    class Watching(Listener):
        def check(self) -> None:
            if world.in_force.paused():
                paused.set()

    world.in_force.settle(process)
    world.publisher.on_job = lambda job_id: carry_out(world, process, job_id)
    done = threading.Thread(target=run_rotation, args=(world.parts, process, job(FORTH), Watching()))
    with busy(world):
        done.start()
        assert paused.wait(10)
        assert has(couch, NEW) == []
    done.join(10)
    assert has(couch, NEW) == list(NAMES)


def test_what_does_not_end_stops_it_by_name(
    world: World, couch: FakeCouch, process: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rotation, "QUIET_PATIENCE", 0.0)
    with running_job(world), pytest.raises(NotQuiet, match=r"job .* \(sync\) did not end"):
        change(world, process)
    assert has(couch, NEW) == []
    assert not world.in_force.paused()


def test_a_node_that_is_down_stops_it_before_anything_is_changed(
    world: World, couch: FakeCouch, process: Cluster
) -> None:
    couch["b"].fail("refused")
    with pytest.raises(Unreachable):
        change(world, process)
    couch["b"].heal()
    assert has(couch, NEW) == []


def test_half_done_is_told_goes_on_working_and_is_finished_by_asking_again(
    world: World, couch: FakeCouch, process: Cluster
) -> None:
    for name in NAMES:
        couch[name].create("pdfs")

    def go_down(request: FakeRequest) -> None:
        if request.method == "PUT" and request.path[-2:-1] == ("admins",) and has(couch, NEW) == ["a"]:
            couch["b"].fail("refused")

    couch.on_request = go_down
    for tries in (1, 2):
        with pytest.raises(HalfChanged, match=r"is on a \(ours\)"):
            change(world, process)
        assert events(world) == ["passwords.half-changed"] * tries
    couch.on_request = lambda request: None
    assert has(couch, NEW) == ["a"]
    couch["b"].heal()
    world.redis.delete(*world.redis.keys("nbr:passwords:*:rest:*"))  # it has rested

    # another process works with all of them, and asks b which it has
    later = Cluster.from_settings(world.settings, couch)
    world.in_force.settle(later)
    for name in NAMES:
        assert Database(later[name], "pdfs").info() is not None
    change(world, later)
    assert has(couch, NEW) == list(NAMES)
    assert all(count < 5 for node in couch.nodes.values() for count in node.logins.wrong.values())


def test_who_stops_it_in_the_middle_is_told_where_it_stands(world: World, couch: FakeCouch, process: Cluster) -> None:
    control = Listener()
    control.stop_when = lambda told: Cancelled() if has(couch, NEW) == ["a"] else None
    with pytest.raises(Cancelled):
        change(world, process, control=control)
    (event,) = world.events.list(EventFilter()).events
    assert (event.type.value, event.detail) == (
        "passwords.half-changed",
        "it was stopped; a (ours) has the new one",
    )
    assert "reconcile" in world.publisher.wanted_soon, "links are made again"
    change(world, process)
    assert has(couch, NEW) == list(NAMES)


def test_jobs_wait_while_passwords_change(world: World, couch: FakeCouch, process: Cluster) -> None:
    ran: list[Kind] = []

    def run(parts: Any, cluster: Cluster, job: Job, control: Any) -> dict[str, Any]:
        ran.append(job.kind)
        return {}

    works = {kind: Work(run, lambda parts, cluster, job: []) for kind in Kind}
    runner = Runner(world.parts, process, works, threading.Event())
    identity = world.queued()
    with alone(world.redis, "rotation"):
        runner.run(identity)
        assert world.job(identity).state is State.QUEUED
        assert world.job(identity).failures == 0
        other = world.queued(FORTH)
        runner.run(other)
    assert ran == [Kind.ROTATE]
    world.store.expedite(identity)
    world.redis.hset(f"nbr:job:{identity}", "not_before", 0)
    runner.run(identity)
    assert ran == [Kind.ROTATE, Kind.SYNC]


def test_what_changed_waits_too(world: World, couch: FakeCouch, process: Cluster) -> None:
    world.dirty.mark(["pdfs"], 0)
    (taken,) = world.dirty.take(time.time(), 0, 1)
    with alone(world.redis, "rotation"):
        on_change.run_on_change(world.parts, process, "pdfs", taken.token, threading.Event())
    assert world.dirty.counts() == {"dirty": 1, "busy": 0}
    assert not [request for request in couch.requests if "pdfs" in request.path]
