"""Which of two passwords each node has by now: noted by one process, known to all."""

from __future__ import annotations

import threading

import pytest

from tasks.in_force import AWARE, PREFIX, REST, InForce
from tasks.locks import alone
from tests.fakes.couchdb import FakeCouch
from tests.fakes.request import Request
from tests.unit.tasks.world import PASSWORD, World, settings
from worker.core.errors import PasswordUnknown, Unauthorized
from worker.core.logins import Which, Whose
from worker.core.model import UNKNOWN, Credentials
from worker.core.replication import endpoint
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
    with pytest.raises(PasswordUnknown, match="nobody knows yet"):
        process["c"].databases()
    couch["c"].heal()
    for key in world.redis.keys(f"{PREFIX}*:rest:*"):
        assert 0 < world.redis.pttl(key) <= REST * 1000
        world.redis.delete(key)  # it is over
    InForce(world.settings, world.redis).settle(process)
    assert works(process) == list(NAMES), "the process that knew nothing of it, and not a new one"


def test_a_node_that_takes_neither_is_left_alone(world: World, couch: FakeCouch, process: Cluster) -> None:
    couch["a"].password = "somebody-elses-1"
    for _ in range(5):  # each a process of its own
        cluster = another(world, couch)
        InForce(world.settings, world.redis).settle(cluster)
        with pytest.raises(PasswordUnknown):
            cluster["a"].databases()
    assert sum(couch["a"].logins.wrong.values()) == 2


def test_a_locked_node_is_not_asked_for_its_other_password(world: World, couch: FakeCouch, process: Cluster) -> None:
    couch["a"].fail("locked")
    for _ in range(3):
        world.in_force.settle(process)
    assert world.in_force.noted(process)[("a", Whose.OURS)] is None
    assert len([request for request in couch.requests if request.path == ("_session",)]) == len(NAMES)


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
    world.in_force.aware("worker-1@here", 100)
    assert world.in_force.unaware(["worker-1@here", "control-2@here"], 101) == ["control-2@here"]
    later = 100 + AWARE + 1
    assert world.in_force.unaware(["worker-1@here"], later) == ["worker-1@here"], "another one may have its name"
    with_others = World(settings(couchdb_password="another-1", couchdb_password_previous=PASSWORD))
    assert InForce(with_others.settings, world.redis).unaware(["worker-1@here"], 101) == ["worker-1@here"]


def test_it_is_paused_while_somebody_changes_them(world: World) -> None:
    assert not world.in_force.paused()
    with alone(world.redis, "rotation") as mine:
        assert mine
        assert world.in_force.paused()
    assert not world.in_force.paused()


def test_what_was_noted_and_is_refused_is_asked_again(world: World, couch: FakeCouch, process: Cluster) -> None:
    """Somebody set a node back to an older configuration, or a change was carried out later than was thought."""
    world.in_force.settle(process)
    couch["b"].password = NEW
    with pytest.raises(Unauthorized):
        process["b"].capabilities()
    world.in_force.settle(process)
    assert process["b"].capabilities().uuid == "uuid-of-b", "and that it was refused is forgotten"
    assert world.in_force.noted(process)[("b", Whose.OURS)] is Which.CURRENT
    assert sum(couch["b"].logins.wrong.values()) == 1, "by the call that was refused"


def test_while_it_is_changed_nobody_asks_and_no_note_is_overwritten(
    world: World, couch: FakeCouch, process: Cluster
) -> None:
    world.in_force.settle(process)
    with alone(world.redis, "rotation"):
        world.in_force.note("a", Whose.OURS, None)
        couch.requests.clear()
        world.in_force.settle(process)
        assert couch.requests == []
        with pytest.raises(PasswordUnknown):
            process["a"].databases()
        assert world.in_force.noted(process)[("a", Whose.OURS)] is None
    world.in_force.settle(process)
    assert works(process) == list(NAMES)


def test_who_asked_before_a_change_began_notes_nothing_any_more(
    world: World, couch: FakeCouch, process: Cluster
) -> None:
    """Its answer is of before the change, and comes after."""
    held = alone(world.redis, "rotation")

    def begin(request: Request) -> None:
        if request.path == ("_session",) and not world.in_force.paused():
            held.__enter__()

    couch.on_request = begin
    world.in_force.settle(process)
    couch.on_request = lambda request: None
    held.__exit__(None, None, None)
    assert set(world.in_force.noted(process).values()) == {None}


def test_of_peers_nobody_takes_unknown_for_the_same_as_ours(couch: FakeCouch) -> None:
    """Else the admin's password would get into replication documents."""
    more = {"replication_user": "peer", "replication_password": NEW, "replication_password_previous": "before-1"}
    world = World(settings(**more))
    cluster = another(world, couch)
    world.in_force.settle(cluster)
    node = cluster["a"].node
    assert (node.credentials, node.peer_credentials) == (Credentials("admin", PASSWORD), UNKNOWN)
    assert "auth" not in endpoint(node, "pdfs")
