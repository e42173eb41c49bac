"""A sweep ends in time, whatever nodes do, and hung ones cost one thread each, however many sweeps there are."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from embedded.ports import any_free
from embedded.waiting import wait_until
from tests import builders
from tests.builders import fake_cluster
from tests.fakes.couchdb import FakeCouch
from tests.unit.worker.couch.http_server import head, serving
from worker.core.health import Failure
from worker.couch.cluster import Cluster
from worker.couch.transport import RequestsTransport
from worker.ops.sweep import GRACE, SLACK, sweep

SOON = 0.2  # seconds a node has, where one hangs
ROOM = 1.0  # seconds for a busy machine


@pytest.fixture
def hung() -> Iterator[tuple[FakeCouch, Cluster]]:
    couch, cluster = fake_cluster("a", "b")
    yield couch, cluster
    for node in couch.nodes.values():
        node.heal()


def looks(name: str) -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == f"node-call {name}"]


def test_a_sweep_ends_in_time_and_hung_nodes_get_one_thread_however_many_sweeps(
    hung: tuple[FakeCouch, Cluster],
) -> None:
    couch, cluster = hung
    couch["a"].hang()

    for words in ("no answer within the time-out", "an earlier look at it has not ended yet", "an earlier look"):
        began = time.monotonic()
        seen = sweep(cluster, SOON)
        assert time.monotonic() - began < SOON + GRACE + SLACK + ROOM
        assert (seen["a"].look.ok, seen["a"].look.failure) == (False, Failure.TIMED_OUT)
        assert words in (seen["a"].look.reason or "")
        assert seen["b"].look.ok
        assert len(looks("a")) == 1

    couch["a"].heal()
    assert wait_until(lambda: not looks("a"), 5.0)
    assert sweep(cluster, SOON)["a"].look.ok


def test_a_node_whose_details_hang_is_well(hung: tuple[FakeCouch, Cluster]) -> None:
    couch, cluster = hung
    couch["a"].hang(path="_all_dbs")

    seen = sweep(cluster, SOON)["a"]

    assert (seen.look.ok, seen.look.uuid, seen.databases) == (True, "uuid-of-a", None)
    assert seen.errors == ("details: no answer within the time-out",)


def test_a_node_is_looked_at_as_soon_as_its_earlier_look_has_ended(hung: tuple[FakeCouch, Cluster]) -> None:
    couch, cluster = hung
    couch["a"].hang(path="_all_dbs")
    sweep(cluster, SOON)
    asked = threading.Event()

    def heal_when_b_is_asked(request: object) -> None:
        if not asked.is_set():
            asked.set()
            couch["a"].heal()

    couch.on_request = heal_when_b_is_asked

    seen = sweep(cluster, 5.0)["a"]

    assert (seen.look.ok, seen.databases) == (True, ["_users"])


# --- the same with real connections


def test_every_way_of_hanging_costs_one_time_out() -> None:
    over = threading.Event()

    def silent(connection: socket.socket) -> None:
        over.wait(10)

    def dripping(first: bytes) -> Callable[[socket.socket], None]:
        def behave(connection: socket.socket) -> None:
            head(connection)
            connection.sendall(first)
            while not over.wait(0.05):
                connection.sendall(b"x")

        return behave

    with (
        serving(silent) as mute,
        serving(dripping(b"HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n")) as body,
        serving(dripping(b"HTTP/1.1 200 OK\r\nX-Header: ")) as header,
    ):
        urls = {"mute": mute.url(), "body": body.url(), "header": header.url()}
        urls |= {"away": f"http://127.0.0.1:{any_free()}", "nameless": "http://no-such-host.invalid:5984"}
        cluster = builders.cluster(RequestsTransport(), [builders.node(name, url) for name, url in urls.items()])
        for _ in range(2):
            began = time.monotonic()
            seen = {name: one.look.failure for name, one in sweep(cluster, SOON).items()}
            assert time.monotonic() - began < SOON + GRACE + SLACK + ROOM
            hangs = dict.fromkeys(("mute", "body", "header"), Failure.TIMED_OUT)
            assert seen == hangs | {"away": Failure.REFUSED, "nameless": Failure.DNS}
            assert all(len(looks(name)) <= 1 for name in urls)
        over.set()
