"""The feed of changed databases, on nodes that have one."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import pytest

from embedded.waiting import wait_until
from tests import builders
from tests.builders import fake_cluster
from tests.contract.conftest import DEADLINE, Site
from tests.unit.worker.couch.http_server import head, serving
from worker.core.errors import BadAnswer, NotFound, ReplicationError, ServerFault, TimedOut, Unauthorized, Unreachable
from worker.couch import feed as module
from worker.couch.database import Database
from worker.couch.feed import Feed, Update
from worker.couch.server import Server
from worker.couch.transport import RequestsTransport

pytestmark = pytest.mark.contract


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Heartbeats often: the first one says that the feed is open."""
    monkeypatch.setattr(module, "HEARTBEAT", 0.2)


@contextmanager
def reading(server: Server, feed: Feed | None = None) -> Iterator[list[Update]]:
    """What the feed tells, as long as it is open."""
    heard: list[Update] = []
    opened, over = threading.Event(), threading.Event()

    def read() -> None:
        with closing((feed or Feed(server)).updates()) as updates:
            for update in updates:
                opened.set()
                if update is not None:
                    heard.append(update)
                if over.is_set():
                    return

    Database(server, module.DATABASE).create()
    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    assert opened.wait(DEADLINE)
    try:
        yield heard
    finally:
        over.set()
        thread.join(DEADLINE)
        assert not thread.is_alive()


def hears(heard: list[Update], database: str, kind: str | None = None) -> bool:
    def told() -> bool:
        return any(one.database == database and kind in {None, one.kind} for one in list(heard))

    return wait_until(told, DEADLINE)


def test_couchdb_has_a_feed_and_a_stand_in_has_none(site: Site) -> None:
    assert site.cluster["a"].capabilities().feed is site.scheduler


def test_what_happens_to_a_database_is_told(scheduled: Site) -> None:
    name = scheduled.name()
    server = scheduled.cluster["a"]
    with reading(server) as heard:
        Database(server, name).create()
        assert hears(heard, name, "created")
        Database(server, name).put({"_id": "one"})
        assert hears(heard, name, "updated")
        server.client.delete(name)
        assert hears(heard, name, "deleted")


def test_what_happened_before_is_not_told(scheduled: Site) -> None:
    before, after = scheduled.name(), scheduled.name()
    server = scheduled.cluster["a"]
    with reading(server) as heard:
        Database(server, before).create()
        assert hears(heard, before)
    with reading(server) as heard:
        Database(server, after).create()
        assert hears(heard, after)

    assert before not in {update.database for update in heard}


def test_a_feed_goes_on_where_it_was_left(scheduled: Site) -> None:
    first, meanwhile = scheduled.name(), scheduled.name()
    server = scheduled.cluster["a"]
    feed = Feed(server)
    with reading(server, feed) as heard:
        Database(server, first).create()
        assert hears(heard, first)
    Database(server, meanwhile).create()

    with reading(server, feed) as heard:
        assert hears(heard, meanwhile)


def test_each_node_tells_of_its_own_databases(scheduled: Site) -> None:
    here, there = scheduled.name(), scheduled.name()
    with reading(scheduled.cluster["a"]) as heard:
        Database(scheduled.cluster["b"], there).create()
        Database(scheduled.cluster["a"], here).create()
        assert hears(heard, here)

    assert there not in {update.database for update in heard}


def test_a_feed_that_was_never_there_is_made(scheduled: Site) -> None:
    """Nodes of one node each come without its database. It may be in use, so it is only looked at where it is ours."""
    server = scheduled.cluster["c"]
    if Database(server, module.DATABASE).info() is None:
        with pytest.raises(NotFound):
            next(Feed(server).updates())
    assert wait_until(lambda: Database(server, module.DATABASE).info() is not None, DEADLINE)
    with closing(Feed(server).updates()) as updates:
        next(updates)


# --- what only a misbehaving server can show


def at(url: str) -> Server:
    return builders.server(RequestsTransport(), builders.node("a", url))


def saying(*pieces: bytes, ends: bool = True) -> Callable[[socket.socket], None]:
    """A server that answers with these chunks, and then ends or falls silent."""

    def behave(connection: socket.socket) -> None:
        head(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for piece in pieces:
            connection.sendall(b"%x\r\n%b\r\n" % (len(piece), piece))
        if ends:
            connection.sendall(b"0\r\n\r\n")
        else:
            connection.recv(1)  # until the other side leaves

    return behave


def test_a_feed_that_is_refused_is_told_as_any_other_call() -> None:
    couch, cluster = fake_cluster("a")
    for how, kind in (("401", Unauthorized), ("500", ServerFault), ("refused", Unreachable)):
        couch["a"].fail(how)
        with pytest.raises(kind) as error:
            next(Feed(cluster["a"]).updates())
        assert isinstance(error.value, ReplicationError)
        assert error.value.node == "a"
        couch["a"].heal()


@pytest.mark.parametrize("line", [b"<html>", b'{"db_name": "x"}', b"[1]"])
def test_a_line_that_is_no_event_is_a_bad_answer(line: bytes) -> None:
    with serving(saying(line + b"\n")) as server, pytest.raises(BadAnswer):
        list(Feed(at(server.url())).updates())


def test_a_feed_that_falls_silent_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SILENCE", 0.1)
    with serving(saying(b"\n", ends=False)) as server:
        updates = Feed(at(server.url())).updates()
        assert next(updates) is None
        with pytest.raises(TimedOut):
            next(updates)


def test_an_event_in_pieces_is_put_together_and_a_cut_off_one_dropped() -> None:
    pieces = [b'{"db_name":"pd', b'fs","type":"updated","seq":"1-x"}\n\n{"db_name"', b':"cut']
    with serving(saying(*pieces)) as server:
        assert list(Feed(at(server.url())).updates()) == [Update("pdfs", "updated", "1-x"), None]
