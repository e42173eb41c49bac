"""One-shot pulls: their figures, their progress, and how they are stopped."""

from __future__ import annotations

import dataclasses
import threading
import uuid

import pytest

from embedded.ports import any_free
from embedded.waiting import wait_until
from tests import builders
from tests.builders import Listener
from tests.contract.conftest import DEADLINE, Site
from worker.core.errors import Cancelled, NotFound, ReplicationError, Transient, Unauthorized
from worker.core.model import Credentials, Link, PullStats
from worker.core.replication import database_url, pull_body
from worker.couch.database import Database
from worker.couch.replicator import Orders, Replicator
from worker.ops import pulls

pytestmark = pytest.mark.contract


def go_on() -> Orders:
    return Orders.GO


def pull(site: Site, name: str, source: str = "a", target: str = "b") -> PullStats:
    body = pulls.body_of(site.cluster, Link(name, source, target))
    return Replicator(site.cluster[target]).pull(body, orders=go_on)


def test_a_pull_tells_what_it_did_itself(site: Site) -> None:
    name = site.name()
    databases = builders.databases(site.cluster, name, ["a", "b"])

    databases["a"].bulk([{"_id": f"first-{i}"} for i in range(6)])
    assert pull(site, name).docs_written == 6
    databases["a"].bulk([{"_id": f"second-{i}"} for i in range(2)])
    assert pull(site, name).docs_written == 2

    again = pull(site, name)
    assert (again.docs_read, again.docs_written, again.doc_write_failures) == (0, 0, 0)


def test_a_pulls_checkpoint_is_its_sources_sequence(site: Site) -> None:
    name = site.name()
    databases = builders.databases(site.cluster, name, ["a", "b"])
    databases["a"].bulk([{"_id": f"doc-{i}"} for i in range(3)])

    stats = pull(site, name)

    assert databases["a"].changes_after(stats.source_last_seq) == 0
    databases["a"].put({"_id": "later"})
    assert databases["a"].changes_after(stats.source_last_seq) == 1


def test_a_pull_of_what_the_target_has_already_writes_nothing(site: Site) -> None:
    name = site.name()
    databases = builders.databases(site.cluster, name, ["a", "b"])
    databases["a"].bulk([{"_id": f"doc-{i}"} for i in range(3)])
    pull(site, name)

    back = pull(site, name, source="b", target="a")

    assert back.docs_written == 0
    assert databases["b"].changes_after(back.source_last_seq) == 0


def test_a_pull_without_its_databases_is_not_found_and_makes_none(site: Site) -> None:
    name = site.name()

    with pytest.raises(NotFound):
        pull(site, name)
    assert Database(site.cluster["a"], name).info() is None
    builders.databases(site.cluster, name, ["a"])
    with pytest.raises(NotFound):
        pull(site, name)
    assert Database(site.cluster["b"], name).info() is None


def test_a_pull_with_credentials_the_source_does_not_take(scheduled: Site) -> None:
    name = scheduled.name()
    builders.databases(scheduled.cluster, name, ["a", "b"])
    source, target = scheduled.nodes[:2]
    stranger = dataclasses.replace(source, peer_credentials=Credentials(f"nobody-{uuid.uuid4().hex[:8]}", "wrong-one"))

    with pytest.raises(Unauthorized) as error:
        Replicator(scheduled.cluster["b"]).pull(pull_body(name, stranger, target, tuned=True), orders=go_on)

    assert "wrong-one" not in str(error.value)


def test_a_pull_from_a_source_that_is_away_may_be_tried_again(scheduled: Site) -> None:
    name = scheduled.name()
    builders.databases(scheduled.cluster, name, ["a", "b"])
    source, target = scheduled.nodes[:2]
    away = dataclasses.replace(source, peer_url=f"http://127.0.0.1:{any_free()}")

    with pytest.raises(ReplicationError) as error:
        Replicator(scheduled.cluster["b"]).pull(pull_body(name, away, target, tuned=True), orders=go_on)

    assert isinstance(error.value, Transient)


def test_cancelling_a_pull_that_does_not_run_says_so(scheduled: Site) -> None:
    name = scheduled.name()
    builders.databases(scheduled.cluster, name, ["a", "b"])

    assert Replicator(scheduled.cluster["b"]).cancel(pulls.body_of(scheduled.cluster, Link(name, "a", "b"))) is False


def test_a_cancelled_pull_stops_on_its_node(scheduled: Site) -> None:
    name = scheduled.slow_database("a", "b")
    replicator = Replicator(scheduled.cluster["b"])
    urls = (database_url(scheduled.nodes[0], name), database_url(scheduled.nodes[1], name))
    seen_running = threading.Event()

    def stop_when_running(listener: Listener) -> Exception | None:
        if urls in replicator.progress():
            seen_running.set()
            return Cancelled()
        return None

    with pytest.raises(Cancelled):
        pulls.run(scheduled.cluster, [Link(name, "a", "b")], "gather", Listener(stop_when_running))

    assert seen_running.is_set()
    assert urls not in replicator.progress()
    scheduled.let_go()
    source, target = (Database(scheduled.cluster[node], name).info() for node in ("a", "b"))
    assert source is not None
    assert target is not None
    assert target.doc_count < source.doc_count
    assert replicator.cancel(pulls.body_of(scheduled.cluster, Link(name, "a", "b"))) is False


def test_a_pull_is_joined_by_whoever_asks_for_the_same(scheduled: Site) -> None:
    name = scheduled.slow_database("a", "b")
    replicator = Replicator(scheduled.cluster["b"])
    urls = (database_url(scheduled.nodes[0], name), database_url(scheduled.nodes[1], name))
    found: list[PullStats] = []
    callers = [threading.Thread(target=lambda: found.append(pull(scheduled, name)), daemon=True) for _ in range(2)]

    callers[0].start()
    assert wait_until(lambda: urls in replicator.progress(), DEADLINE)
    callers[1].start()
    scheduled.let_go()
    for caller in callers:
        caller.join(DEADLINE)

    source = Database(scheduled.cluster["a"], name).info()
    assert source is not None
    fewer, more = sorted(stats.docs_written for stats in found)  # either may be told first
    assert more == source.doc_count
    assert fewer in {source.doc_count, 0}  # 0 where it came a moment after the end
