"""Registered receivers outlast Redis: copied to the nodes, and read back from them."""

from __future__ import annotations

import json

import pytest

from config.webhooks import receiver
from tasks.receivers import COPIES
from tasks.receivers_kept import run_receivers
from tests.builders import fake_cluster
from tests.fakes.couchdb import FakeCouch
from tests.unit.tasks.world import NOW, World, settings
from worker.core.names import OWN_DATABASE
from worker.core.registrations import Registration
from worker.couch.cluster import Cluster

COPY = "_local/webhooks"
NODES = ("a", "b", "c")


class Kept:
    """Three nodes with our own database, and a system over them."""

    def __init__(self) -> None:
        self.couch, self.cluster = self._nodes()
        self.world = World(settings(secret_key="k" * 32))
        self.answer(*NODES)

    def _nodes(self) -> tuple[FakeCouch, Cluster]:
        couch, cluster = fake_cluster(*NODES)
        for name in NODES:
            couch[name].create(OWN_DATABASE)
        return couch, cluster

    def answer(self, *names: str) -> None:
        """These are seen to answer."""
        nodes = [{"name": name, "failures": 0, "state": "healthy"} for name in names]
        self.world.seen.save_sweep({"observed_at": NOW, "cluster": "healthy", "nodes": nodes}, None)

    def add(self, url: str = "https://hook.test/token-token") -> Registration:
        return self.world.receivers.add(receiver(url), NOW, events=None, description=None)[0]

    def run(self) -> None:
        run_receivers(self.world.parts, self.cluster)

    def lose_redis(self) -> None:
        self.world.redis.flushall()
        self.answer(*NODES)

    def ids_on(self, name: str) -> set[str]:
        copy = self.couch[name].databases[OWN_DATABASE].local.get(COPY)
        return set(copy["webhooks"]["living"]) if copy else set()

    def ids(self) -> set[str]:
        return {one.id for one in self.world.receivers.living()}


@pytest.fixture
def kept() -> Kept:
    return Kept()


def test_every_node_gets_a_copy_with_nothing_readable_in_it(kept: Kept) -> None:
    made = kept.add()
    kept.run()

    assert {name: kept.ids_on(name) for name in NODES} == {name: {made.id} for name in NODES}
    assert kept.world.receivers.copied_to() == list(NODES)
    assert "token-token" not in json.dumps(kept.couch["a"].databases[OWN_DATABASE].local)


def test_redis_is_lost_and_they_come_back(kept: Kept) -> None:
    made = kept.add()
    kept.run()
    kept.lose_redis()
    assert kept.ids() == set()

    kept.run()

    assert kept.world.receivers.living() == [made]
    assert kept.world.receivers.opened(made).url == "https://hook.test/token-token"


def test_one_that_was_registered_after_the_loss_is_kept_beside_them(kept: Kept) -> None:
    first = kept.add()
    kept.run()
    kept.lose_redis()
    second = kept.add("https://other.test/")

    kept.run()

    assert kept.ids() == kept.ids_on("b") == {first.id, second.id}


def test_a_deletion_wins_over_the_older_copy_of_a_node_that_was_away(kept: Kept) -> None:
    made = kept.add()
    kept.run()
    kept.answer("a", "b")
    kept.world.receivers.remove(made.id, NOW)
    kept.run()
    assert kept.ids_on("c") == {made.id}

    kept.lose_redis()
    kept.answer("c")
    kept.run()
    assert kept.ids() == {made.id}, "nobody who knows better has answered yet"
    kept.answer(*NODES)
    kept.run()

    assert kept.ids() == set()
    assert [kept.ids_on(name) for name in NODES] == [set()] * 3


def test_what_a_late_node_alone_knows_is_not_overwritten(kept: Kept) -> None:
    kept.answer("c")
    alone = kept.add()
    kept.run()
    kept.lose_redis()
    kept.answer("a", "b")
    other = kept.add("https://other.test/")
    kept.run()
    kept.answer(*NODES)
    kept.run()

    assert kept.ids() == kept.ids_on("a") == kept.ids_on("c") == {alone.id, other.id}


def test_a_node_that_cannot_be_read_is_not_written_to(kept: Kept) -> None:
    kept.add()
    kept.couch["b"].fail("refused", path=COPY.partition("/")[2], times=1)  # a write would find it well again
    kept.run()

    assert kept.ids_on("b") == set()
    assert kept.world.receivers.copied_to() == ["a", "c"]
    kept.run()
    assert kept.ids_on("b") == kept.ids()


def test_a_copy_that_was_lost_is_written_again_when_all_are_read_anew(kept: Kept) -> None:
    kept.add()
    kept.run()
    kept.couch["b"].databases[OWN_DATABASE].local.clear()
    kept.world.redis.delete(COPIES)

    kept.run()

    assert kept.ids_on("b") == kept.ids()


def test_nothing_is_written_where_nothing_changed(kept: Kept) -> None:
    kept.run()
    assert all(COPY not in kept.couch[name].databases[OWN_DATABASE].local for name in NODES)
    kept.add()
    kept.run()
    before = [kept.couch[name].databases[OWN_DATABASE].local[COPY] for name in NODES]

    kept.run()

    after = [kept.couch[name].databases[OWN_DATABASE].local[COPY] for name in NODES]
    assert all(one is other for one, other in zip(before, after, strict=True))


def test_where_our_own_database_is_not_there_they_live_in_redis_and_that_is_told(kept: Kept) -> None:
    for name in NODES:
        kept.couch[name].drop(OWN_DATABASE)
    made = kept.add()

    kept.run()

    assert kept.ids() == {made.id}
    assert kept.world.receivers.copied_to() == []
    assert all(OWN_DATABASE not in kept.couch[name].databases for name in NODES)


def test_before_the_first_sweep_nobody_is_asked(kept: Kept) -> None:
    kept.add()
    kept.world.redis.delete("nbr:seen:sweep")
    kept.run()
    assert kept.ids_on("a") == set()
