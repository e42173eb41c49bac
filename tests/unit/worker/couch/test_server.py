"""Capabilities are asked once, again after a node was away, and a failing server is not an incapable one."""

from __future__ import annotations

import pytest

from tests import builders
from tests.builders import fake_cluster
from tests.fakes.couchdb import FakeCouch
from worker.core.errors import BadAnswer, LockedOut, ServerFault, TimedOut, Unauthorized, Unreachable
from worker.core.model import NodeKind
from worker.couch.server import DBS_INFO_BATCH, Server


@pytest.fixture
def couch() -> FakeCouch:
    return FakeCouch("a")


@pytest.fixture
def server(couch: FakeCouch) -> Server:
    return builders.server(couch, builders.node("a"))


def test_capabilities_are_asked_once(couch: FakeCouch, server: Server) -> None:
    first = server.capabilities()
    asked = len(couch.requests)

    assert server.capabilities() is first
    assert len(couch.requests) == asked


def test_a_node_that_came_back_as_another_is_asked_again(couch: FakeCouch, server: Server) -> None:
    assert server.capabilities().kind is NodeKind.COUCHDB
    couch["a"].standin = True
    assert server.capabilities().kind is NodeKind.COUCHDB

    server.forget()

    assert server.capabilities().kind is NodeKind.STANDIN
    assert not server.capabilities().scheduler


@pytest.mark.parametrize(
    ("how", "error"),
    [
        ("500", ServerFault),
        ("refused", Unreachable),
        ("401", Unauthorized),
        ("locked", LockedOut),
        ("html", BadAnswer),
    ],
)
@pytest.mark.parametrize("path", ["_scheduler", "_dbs_info"])
def test_a_failing_node_does_not_look_incapable(
    couch: FakeCouch, server: Server, path: str, how: str, error: type[Exception]
) -> None:
    couch["a"].fail(how, path=path)
    with pytest.raises(error):
        server.capabilities()

    couch["a"].heal()
    again = builders.server(couch, server.node)  # this one rests for a while where its password was refused
    assert again.capabilities().scheduler
    assert again.capabilities().dbs_info


@pytest.mark.parametrize(("how", "error"), [("401", Unauthorized), ("locked", LockedOut)])
def test_a_refused_password_is_not_sent_again_for_a_while(
    couch: FakeCouch, server: Server, how: str, error: type[Exception]
) -> None:
    couch["a"].fail(how)
    with pytest.raises(error) as first:
        server.capabilities()
    asked = len(couch.requests)

    server.forget()  # what a job does with a node that failed it
    for _ in range(3):
        with pytest.raises(error) as again:
            server.capabilities()
        assert again.value is not first.value
        assert str(again.value) == str(first.value)

    assert len(couch.requests) == asked


def test_a_slow_up_is_no_missing_up(couch: FakeCouch, server: Server) -> None:
    """Else a node in maintenance would take part: its 404 would pass for a server without /_up."""
    couch["a"].fail("timeout", path="_up", times=1)
    with pytest.raises(TimedOut):
        server.capabilities()


def test_a_time_out_is_shared_for_a_moment(couch: FakeCouch, server: Server) -> None:
    """Twenty jobs that ask a hung node wait for one time-out, not for one after the other."""
    couch["a"].fail("timeout")
    with pytest.raises(TimedOut):
        server.capabilities()
    asked = len(couch.requests)

    with pytest.raises(TimedOut):
        server.capabilities()

    assert len(couch.requests) == asked


@pytest.mark.parametrize("path", ["_scheduler", "_dbs_info"])
def test_a_clear_no_is_a_no(couch: FakeCouch, server: Server, path: str) -> None:
    couch["a"].fail("404", path=path)

    found = server.capabilities()

    assert found.scheduler is (path != "_scheduler")
    assert found.dbs_info is (path != "_dbs_info")


def test_maintenance_mode_is_not_up(couch: FakeCouch, server: Server) -> None:
    assert server.is_up()
    couch["a"].fail("maintenance", path="_up")
    assert not server.is_up()

    server.forget()
    assert server.capabilities().up
    assert not server.is_up()


def test_a_server_without_up_is_up_when_it_answers(couch: FakeCouch, server: Server) -> None:
    couch["a"].fail("404", path="_up")

    assert not server.capabilities().up
    assert server.is_up()


def test_something_that_is_no_couchdb_is_told_apart(couch: FakeCouch, server: Server) -> None:
    couch["a"].fail("html")

    with pytest.raises(BadAnswer) as error:
        server.welcome()
    assert error.value.node == "a"


def test_sequences_take_as_few_calls_as_allowed(couch: FakeCouch, server: Server) -> None:
    names = [f"db-{i:03}" for i in range(DBS_INFO_BATCH + 1)]
    for name in names:
        couch["a"].create(name)
    server.capabilities()
    couch.requests.clear()

    assert set(server.sequences(names)) == set(names)

    assert [len(request.body["keys"]) for request in couch.requests] == [DBS_INFO_BATCH, 1]


def test_sequences_without_the_call_for_many_are_asked_one_by_one() -> None:
    couch, cluster = fake_cluster("a", standin=True)
    couch["a"].create("one")

    assert cluster["a"].sequences(["one", "missing"]) == {"one": "0"}
