"""Pulls that run for long: stopping them, leaving them, and giving up nodes that fell silent."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from embedded.waiting import wait_until
from tests import builders
from tests.builders import Listener, fake_cluster
from tests.fakes.couchdb import FakeCouch
from worker.core.errors import Cancelled, HandedBack, Interrupted, LeaseLost, TimedOut, Unreachable
from worker.core.model import Link
from worker.couch.cluster import Cluster
from worker.ops import pulls
from worker.ops.sync import cancel_sync, sync

AB, AC, CA = Link("pdfs", "a", "b"), Link("pdfs", "a", "c"), Link("pdfs", "c", "a")
PATIENCE = 10.0


@pytest.fixture
def held(quick: None) -> Iterator[tuple[FakeCouch, Cluster]]:
    """Three nodes with documents on `a`; nothing is pulled to `b` and `c` before they are let go."""
    couch, cluster = fake_cluster("a", "b", "c")
    builders.databases(cluster, "pdfs")["a"].bulk([{"_id": f"doc-{i}"} for i in range(5)])
    for name in ("b", "c"):
        couch[name].hold_pulls()
    yield couch, cluster
    for name in "abc":
        couch[name].let_pulls_go()


def stop_when_all_run(couch: FakeCouch, error: Interrupted) -> Listener:
    return Listener(lambda listener: error if couch["b"].jobs and couch["c"].jobs else None)


def test_cancelled_pulls_are_stopped_on_their_nodes(held: tuple[FakeCouch, Cluster]) -> None:
    couch, cluster = held

    with pytest.raises(Cancelled):
        pulls.run(cluster, [AB, AC], "scatter", stop_when_all_run(couch, Cancelled()))

    assert couch["b"].jobs == couch["c"].jobs == {}
    for name in ("b", "c"):
        couch[name].let_pulls_go()
    assert couch["b"].databases["pdfs"].documents == {}


@pytest.mark.parametrize("error", [HandedBack(), LeaseLost()])
def test_pulls_run_on_where_somebody_else_goes_on(held: tuple[FakeCouch, Cluster], error: Interrupted) -> None:
    couch, cluster = held

    with pytest.raises(type(error)):
        pulls.run(cluster, [AB, AC], "scatter", stop_when_all_run(couch, error))

    assert len(couch["b"].jobs) == len(couch["c"].jobs) == 1
    for name in ("b", "c"):
        couch[name].let_pulls_go()
    assert wait_until(lambda: len(couch["b"].databases["pdfs"].documents) == 5, PATIENCE)


def test_who_goes_on_joins_what_still_runs(held: tuple[FakeCouch, Cluster]) -> None:
    couch, cluster = held
    with pytest.raises(HandedBack):
        pulls.run(cluster, [AB, AC], "scatter", stop_when_all_run(couch, HandedBack()))
    first = [job for name in ("b", "c") for job in couch[name].jobs.values()]
    earlier = [job.callers for job in first]

    def let_go_when_joined(listener: Listener) -> None:
        if all(job.callers > before for job, before in zip(first, earlier, strict=True)):
            couch["b"].let_pulls_go()
            couch["c"].let_pulls_go()

    outcomes = pulls.run(cluster, [AB, AC], "scatter", Listener(let_go_when_joined))

    assert set(outcomes.done) == {AB, AC}
    assert outcomes.done[AB].stats.docs_written == 5
    assert all(job.done.is_set() for job in first)


def test_what_an_earlier_attempt_left_running_can_be_cancelled(held: tuple[FakeCouch, Cluster]) -> None:
    couch, cluster = held
    with pytest.raises(HandedBack):
        pulls.run(cluster, [AB, AC], "scatter", stop_when_all_run(couch, HandedBack()))

    cancel_sync(cluster, "pdfs")

    assert couch["b"].jobs == couch["c"].jobs == {}


def test_cancelling_does_not_fail_for_a_node_that_is_away(held: tuple[FakeCouch, Cluster]) -> None:
    couch, cluster = held
    with pytest.raises(HandedBack):
        pulls.run(cluster, [AB, AC], "scatter", stop_when_all_run(couch, HandedBack()))
    couch["c"].fail("refused")

    cancel_sync(cluster, "pdfs")

    assert couch["b"].jobs == {}


@pytest.mark.parametrize("how", ["timeout", "refused"])
def test_a_target_that_falls_silent_is_given_up(held: tuple[FakeCouch, Cluster], how: str) -> None:
    couch, cluster = held
    couch["c"].let_pulls_go()

    def fall_silent(listener: Listener) -> None:
        if couch["b"].jobs and not couch["b"]._faults:
            couch["b"].fail(how)

    outcomes = pulls.run(cluster, [AB, AC], "scatter", Listener(fall_silent))  # type: ignore[arg-type]

    assert set(outcomes.done) == {AC}
    assert set(outcomes.lost) == {"b"}
    assert isinstance(outcomes.lost["b"], TimedOut | Unreachable)
    assert outcomes.failed == {}


@pytest.mark.parametrize(("how", "stopped"), [("refused", True), ("timeout", False)])
def test_a_source_that_falls_silent_is_given_up_and_its_pulls_are_stopped_where_that_is_quick(
    held: tuple[FakeCouch, Cluster], how: str, stopped: bool
) -> None:
    """To cancel a pull whose source hangs, CouchDB's scheduler stands still for up to 30 s: that one is left."""
    couch, cluster = held

    def fall_silent(listener: Listener) -> None:
        if couch["b"].jobs and couch["c"].jobs and not couch["a"]._faults:
            couch["a"].fail(how)

    outcomes = pulls.run(cluster, [AB, AC], "scatter", Listener(fall_silent))  # type: ignore[arg-type]

    assert set(outcomes.lost) == {"a"}
    assert outcomes.done == {}
    assert (couch["b"].jobs == couch["c"].jobs == {}) is stopped


def test_a_short_silence_is_forgiven(held: tuple[FakeCouch, Cluster]) -> None:
    couch, cluster = held
    looks: list[int] = []

    def doze(listener: Listener) -> None:
        looks.append(1)
        if couch["b"].jobs and not couch["a"]._faults:
            couch["a"].fail("refused", times=2)
        answered = couch["a"]._faults and couch["a"]._faults[0].times == 0
        if answered and len(listener.told) > 3:
            couch["b"].let_pulls_go()
            couch["c"].let_pulls_go()

    outcomes = pulls.run(cluster, [AB, AC], "scatter", Listener(doze))  # type: ignore[arg-type]

    assert outcomes.lost == {}
    assert set(outcomes.done) == {AB, AC}


def test_progress_is_told_in_changes_while_a_pull_runs(held: tuple[FakeCouch, Cluster]) -> None:
    couch, cluster = held

    def let_go_when_told(listener: Listener) -> None:
        if any(unit == "changes" for *_, unit in listener.told):
            couch["b"].let_pulls_go()
            couch["c"].let_pulls_go()

    listener = Listener(let_go_when_told)  # type: ignore[arg-type]
    pulls.run(cluster, [AB, AC], "scatter", listener)

    done, total = next((done, total) for _, done, total, unit in listener.told if unit == "changes")
    assert done == 0
    assert total == 10  # five on each of two links


def test_the_end_of_one_pull_does_not_wait_for_the_watcher() -> None:
    """With the real constants: what is done at once is over at once, without a look at the nodes."""
    couch, cluster = fake_cluster("a", "b", "c")
    builders.databases(cluster, "pdfs")
    for server in cluster.servers.values():
        server.capabilities()
    couch.requests.clear()

    pulls.run(cluster, [AB, AC], "scatter", Listener())

    assert [request.path for request in couch.requests] == [("_replicate",)] * 2


def test_a_node_that_cannot_say_what_it_can_do_does_not_break_the_watching(held: tuple[FakeCouch, Cluster]) -> None:
    """Another job, or a sweep, may have made a shared server forget its capabilities."""
    couch, cluster = held

    def disturb(listener: Listener) -> None:
        if couch["b"].jobs and couch["c"].jobs and not couch["b"]._faults:
            couch["b"].fail("500", path="_scheduler", times=9)
            cluster["b"].forget()
        elif couch["b"]._faults and couch["b"]._faults[0].times < 4:
            couch["b"].let_pulls_go()
            couch["c"].let_pulls_go()

    outcomes = pulls.run(cluster, [AB, AC], "scatter", Listener(disturb))  # type: ignore[arg-type]

    assert set(outcomes.done) == {AB, AC}


def test_a_cancelled_sync_leaves_nothing_running(held: tuple[FakeCouch, Cluster]) -> None:
    couch, cluster = held

    with pytest.raises(Cancelled):
        sync(cluster, "pdfs", stop_when_all_run(couch, Cancelled()))

    assert couch["a"].jobs == couch["b"].jobs == couch["c"].jobs == {}
