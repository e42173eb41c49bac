"""Which of two passwords each node has by now: noted by one process, known to all."""

from __future__ import annotations

import threading

import pytest

from tasks.in_force import PREFIX, InForce
from tasks.locks import alone
from tests.fakes.couchdb import FakeCouch
from tests.unit.tasks.world import PASSWORD, World, settings
from worker.core.errors import LockedOut, Unauthorized
from worker.core.logins import Which, Whose
from worker.couch.cluster import Cluster

NEW = "the-next-password-1"
NAMES = ("a", "b", "c")


@pytest.fixture
def world() -> World:
    return World(settings(couchdb_password=NEW, couchdb_password_previous=PASSWORD))


@pytest.fixture
def process(world: World, couch: FakeCouch) -> Cluster:
    return another(world, couch)


def another(world: World, couch: FakeCouch) -> Cluster:
    return Cluster.from_settings(world.settings, couch)


def wrong(couch: FakeCouch) -> int:
    return sum(sum(node.logins.wrong.values()) for node in couch.nodes.values())


def works(cluster: Cluster) -> list[str]:
    return [name for name in cluster.names if cluster[name].databases() is not None]


def test_without_a_previous_password_nothing_is_asked_or_kept(couch: FakeCouch) -> None:
    plain = World()
    cluster = another(plain, couch)
    couch.requests.clear()
    plain.in_force.settle(cluster)
    plain.in_force.aware("worker-1", 0)
    assert not plain.in_force.paused()
    assert (couch.requests, cluster.logins, plain.redis.keys(f"{PREFIX}*")) == ([], {}, [])


def test_each_node_is_asked_once_and_all_processes_know(world: World, couch: FakeCouch, process: Cluster) -> None:
    couch["b"].password = NEW
    world.in_force.settle(process)
    assert world.in_force.noted(process) == {
        ("a", Whose.OURS): Which.PREVIOUS,
        ("b", Whose.OURS): Which.CURRENT,
        ("c", Whose.OURS): Which.PREVIOUS,
    }
    assert works(process) == list(NAMES)
    assert wrong(couch) == 1, "of the one that was changed"
    for _ in range(5):
        other = another(world, couch)
        InForce(world.settings, world.redis).settle(other)
        assert works(other) == list(NAMES)
    assert wrong(couch) == 1


def test_what_peers_use_is_that_of_the_node_too(world: World, couch: FakeCouch, process: Cluster) -> None:
    world.in_force.settle(process)
    for server in process.servers.values():
        assert server.node.peer_credentials == server.node.credentials
        assert server.node.credentials is not None
        assert server.node.credentials.password == PASSWORD


def test_one_that_is_just_being_changed_is_asked_again(world: World, couch: FakeCouch, process: Cluster) -> None:
    world.in_force.settle(process)
    world.in_force.note("a", Whose.OURS, None)
    couch["a"].password = NEW
    later = another(world, couch)
    InForce(world.settings, world.redis).settle(later)
    assert works(later) == list(NAMES)
    assert world.in_force.noted(process)[("a", Whose.OURS)] is Which.CURRENT


def test_a_node_that_is_away_is_asked_when_it_is_back_and_not_at_every_turn(
    world: World, couch: FakeCouch, process: Cluster
) -> None:
    couch["c"].fail("refused")
    for _ in range(3):
        world.in_force.settle(process)
    asked = [request for request in couch.requests if request.path == ("_session",)]
    assert len(asked) <= len(NAMES) + 1
    assert world.in_force.noted(process)[("c", Whose.OURS)] is None
    couch["c"].heal()
    later = another(world, couch)
    InForce(world.settings, world.redis).settle(later)
    assert works(later) == list(NAMES)


def test_a_node_that_takes_neither_is_left_alone(world: World, couch: FakeCouch, process: Cluster) -> None:
    couch["a"].password = "somebody-elses-1"
    for _ in range(10):
        world.in_force.settle(process)
    assert sum(couch["a"].logins.wrong.values()) == 2
    with pytest.raises(Unauthorized):
        process["a"].databases()


def test_a_locked_node_is_not_asked_for_its_other_password(world: World, couch: FakeCouch, process: Cluster) -> None:
    couch["a"].fail("locked")
    world.in_force.settle(process)
    assert world.in_force.noted(process)[("a", Whose.OURS)] is None
    with pytest.raises(LockedOut):
        process["a"].databases()


def test_while_one_process_asks_the_others_wait_for_what_it_finds(world: World, couch: FakeCouch) -> None:
    processes = [(InForce(world.settings, world.redis), another(world, couch)) for _ in range(6)]
    threads = [threading.Thread(target=known.settle, args=(cluster,)) for known, cluster in processes]
    for name in NAMES:
        couch[name].password = NEW  # so that the likelier one is wrong
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert [works(cluster) for _, cluster in processes] == [list(NAMES)] * 6
    assert wrong(couch) == len(NAMES), "one wrong try a node, by whoever was first"


def test_another_pair_of_passwords_is_another_matter(world: World, couch: FakeCouch, process: Cluster) -> None:
    world.in_force.settle(process)
    next_pair = World(settings(couchdb_password="the-one-after-1", couchdb_password_previous=NEW))
    known = InForce(next_pair.settings, world.redis)
    assert set(known.noted(another(next_pair, couch)).values()) == {None}


def test_redis_holds_no_password(world: World, couch: FakeCouch, process: Cluster) -> None:
    world.in_force.settle(process)
    world.in_force.aware("worker-1", 0)
    kept = " ".join(f"{key} {world.redis.hgetall(key)}" for key in world.redis.keys(f"{PREFIX}*"))
    for secret in (PASSWORD, NEW):
        assert secret not in kept


def test_who_knows_both_is_told_by_its_heartbeat(world: World) -> None:
    world.in_force.aware("worker-1@here", 0)
    assert world.in_force.unaware(["worker-1@here", "control-2@here"]) == ["control-2@here"]
    with_others = World(settings(couchdb_password="another-1", couchdb_password_previous=PASSWORD))
    assert InForce(with_others.settings, world.redis).unaware(["worker-1@here"]) == ["worker-1@here"]


def test_it_is_paused_while_somebody_changes_them(world: World) -> None:
    assert not world.in_force.paused()
    with alone(world.redis, "rotation") as mine:
        assert mine
        assert world.in_force.paused()
    assert not world.in_force.paused()
