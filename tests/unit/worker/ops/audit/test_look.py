"""A look at a node: what it asks, what it does not ask, and what it makes of failures."""

from __future__ import annotations

import hashlib

import pytest

from tests import builders
from tests.fakes.couchdb import FakeCouch, FakeNode
from tests.fakes.documents import JsonObject
from worker.core.audit.observed import NodeSeen, Unknown
from worker.core.model import Credentials
from worker.core.passwords import Budget
from worker.couch.server import Server
from worker.ops.audit import admins, databases
from worker.ops.audit.admins import TRY_AGAIN, Tried
from worker.ops.audit.databases import Before, turn
from worker.ops.audit.look import Memory, look
from worker.ops.control import Unattended

NOW = 1_795_446_000.0
OPEN: JsonObject = {"members": {"names": [], "roles": []}}


@pytest.fixture
def couch() -> FakeCouch:
    return FakeCouch("a")


@pytest.fixture
def node(couch: FakeCouch) -> FakeNode:
    return couch["a"]


@pytest.fixture
def server(couch: FakeCouch) -> Server:
    return builders.server(couch, builders.node("a"))


def seen(server: Server, memory: Memory | None = None, now: float = NOW) -> tuple[NodeSeen, Memory]:
    return look(server, (), memory or Memory(), now, Unattended())


def logins(couch: FakeCouch) -> int:
    """Requests with other credentials than ours."""
    mine = builders.server(couch, builders.node("a")).client._headers["Authorization"]
    return sum(request.headers.get("Authorization", mine) != mine for request in couch.requests)


def test_a_closed_node(couch: FakeCouch, server: Server) -> None:
    found, _ = seen(server)

    assert found.version == "3.5.0"
    assert (found.anonymous.admin, found.anonymous.welcomed, found.anonymous.names) == (False, True, False)
    assert (found.configuration, found.admins) == ({}, ())
    assert not isinstance(found.databases, Unknown)
    assert (found.databases.total, found.databases.looked_at, found.databases.open) == (2, 2, ())
    assert logins(couch) == 0, "nothing is tried where the hashes are told"


def test_an_admin_party(node: FakeNode, server: Server) -> None:
    node.party = True

    found, _ = seen(server)

    assert (found.anonymous.admin, found.anonymous.names) == (True, True)


def test_requests_without_credentials_that_are_turned_away(node: FakeNode, server: Server) -> None:
    node.configuration["chttpd"] = {"require_valid_user": "true"}

    found, _ = seen(server)

    assert (found.anonymous.admin, found.anonymous.welcomed, found.anonymous.names) == (False, False, False)


@pytest.mark.parametrize(("required", "anybody"), [("false", True), ("true", False)])
def test_open_databases_are_asked_without_credentials_too(
    node: FakeNode, server: Server, required: str, anybody: bool
) -> None:
    node.configuration["chttpd"] = {"require_valid_user": required}
    node.create("pdfs").security = OPEN
    node.create("closed")

    found, memory = seen(server)

    assert not isinstance(found.databases, Unknown)
    assert [(one.name, one.anybody) for one in found.databases.open] == [("pdfs", anybody)]
    assert memory.before.open == ("pdfs",)


def test_documents_with_credentials_inline_are_found_by_id(node: FakeNode, server: Server) -> None:
    for identity, source in (("by-hand", "http://bob:hunter2@b.test/pdfs"), ("well", "http://b.test/pdfs")):
        node.databases["_replicator"].write({"_id": identity, "source": source, "target": "pdfs"})

    found, _ = seen(server)

    assert not isinstance(found.replications, Unknown)
    assert [(one.database, one.inline) for one in found.replications] == [("_replicator", ("by-hand",))]
    assert "hunter2" not in repr(found)


def test_a_node_that_is_down_is_asked_once(couch: FakeCouch, node: FakeNode, server: Server) -> None:
    node.fail("refused")

    found, memory = seen(server, Memory(Before("m", ("pdfs",))))

    assert isinstance(found.version, Unknown)
    assert "connection refused" in found.version.why
    assert isinstance(found.anonymous.admin, Unknown)
    assert memory.before == Before("m", ("pdfs",)), "kept until it is back"
    assert len(couch.requests) == 1


def test_a_refused_password_is_sent_once_and_strangers_are_still_tried(couch: FakeCouch, node: FakeNode) -> None:
    server = builders.server(couch, builders.node("a", credentials=Credentials("admin", "wrong")))
    node.create("pdfs").security = OPEN

    found, _ = seen(server)

    assert isinstance(found.databases, Unknown)
    assert "COUCHDB_PASSWORD" in found.databases.why
    assert found.anonymous.admin is False
    assert sum("Authorization" in request.headers for request in couch.requests) == 1


@pytest.mark.parametrize("how", ["500", "html", "timeout", "404", "403"])
def test_a_part_that_fails_is_unknown_and_the_rest_is_seen(node: FakeNode, server: Server, how: str) -> None:
    node.fail(how, path="_security")
    node.fail(how, path="_config")

    found, _ = seen(server)

    assert found.version == "3.5.0"
    assert isinstance(found.configuration, Unknown)
    assert isinstance(found.admins, Unknown)
    assert not isinstance(found.databases, Unknown)
    assert found.databases.open == ()
    assert found.databases.looked_at == 0, "and the verdict says so"


def test_where_no_configuration_is_told_two_logins_are_tried_once_a_day(couch: FakeCouch, node: FakeNode) -> None:
    node.user = "boss"
    server = builders.server(couch, builders.node("a", credentials=Credentials("boss", node.password)))
    node.fail("403", path="_config")

    found, memory = seen(server)

    assert (found.default_login, memory.tried) == (None, Tried(NOW, None))
    tried = [request for request in couch.requests if request.path == ("_session",) and len(request.headers) > 2]
    assert len(tried) == 2
    couch.requests.clear()
    assert seen(server, memory, NOW + TRY_AGAIN - 1)[1] == memory
    assert all("YWRtaW46" not in request.headers.get("Authorization", "") for request in couch.requests)
    assert seen(server, memory, NOW + TRY_AGAIN)[1].tried == Tried(NOW + TRY_AGAIN, None)


def test_a_default_login_that_is_taken_is_told_without_its_password(couch: FakeCouch, node: FakeNode) -> None:
    node.user, node.password = "admin", "password"
    server = builders.server(couch, builders.node("a", credentials=None))
    node.party = True  # so that we get in
    node.fail("403", path="_config")

    found, memory = seen(server)

    assert found.default_login == "admin"
    assert memory.tried == Tried(NOW, "admin")


def test_our_own_user_is_never_tried(couch: FakeCouch, node: FakeNode, server: Server) -> None:
    node.fail("403", path="_config")

    found, memory = seen(server)

    assert isinstance(found.default_login, Unknown)
    assert "our own user" in found.default_login.why
    assert (memory.tried, logins(couch)) == (None, 0)


def test_a_locked_out_user_is_unknown_and_is_left_alone_for_a_day(couch: FakeCouch, node: FakeNode) -> None:
    node.user = "boss"
    server = builders.server(couch, builders.node("a", credentials=Credentials("boss", node.password)))
    node.fail("403", path="_config")
    node.fail("locked", path="_session")

    found, memory = seen(server)

    assert isinstance(found.default_login, Unknown)
    assert "temporarily locked" in found.default_login.why
    assert memory.tried == Tried(NOW, None)
    assert sum("YWRtaW46" in request.headers.get("Authorization", "") for request in couch.requests) == 1


def test_a_stand_in_is_tried_with_no_login() -> None:
    couch = FakeCouch("a", standin=True)

    found, _ = seen(builders.server(couch, builders.node("a")))

    assert isinstance(found.default_login, Unknown)
    assert isinstance(found.configuration, Unknown)
    assert logins(couch) == 0


def test_a_password_that_is_refused_in_the_middle_is_not_sent_for_each_database(
    couch: FakeCouch, node: FakeNode, server: Server
) -> None:
    for number in range(20):
        node.create(f"db-{number}")
    node.fail("401", path="_security")

    found, _ = seen(server)

    assert isinstance(found.databases, Unknown)
    assert sum(request.path[-1:] == ("_security",) for request in couch.requests) <= databases.AT_ONCE < 5


# --- whose turn it is


NAMES = ["_users", *(f"db-{number}" for number in range(10))]


def test_all_have_their_turn_one_look_after_the_other() -> None:
    before, seen_names = Before(), set()
    for _ in range(3):
        names = turn(NAMES, before, 5)
        assert names[0] == "_users"
        seen_names |= set(names)
        before = Before(databases._end(names, names, before))
    assert seen_names == set(NAMES)


def test_those_that_were_open_come_first_and_leave_half_of_the_turn_to_others() -> None:
    names = turn(NAMES, Before("db-2", ("db-9", "gone", "db-8", "db-7")), 4)

    assert names == ["_users", "db-9", "db-8", "db-3"]


def test_the_next_look_goes_on_before_what_was_left_out() -> None:
    assert databases._end(["_users", "db-1", "db-2", "db-3"], {"_users", "db-1", "db-3"}, Before("db-0")) == "db-1"
    assert databases._end(["_users", "db-7", "db-1"], {"_users"}, Before("db-0", ("db-7",))) == "db-0"


def test_a_look_that_takes_too_long_ends_and_says_how_far_it_came(
    node: FakeNode, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(databases, "LONGEST", -1.0)
    for number in range(20):
        node.create(f"db-{number}")

    found, _ = seen(server)

    assert not isinstance(found.databases, Unknown)
    assert (found.databases.total, found.databases.looked_at) == (22, 1)


# --- passwords by their hashes


def test_the_hash_of_our_own_user_costs_one_attempt_and_comes_first(
    node: FakeNode, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admins, "Budget", lambda: Budget(left=15))  # for one of ten rounds
    key = hashlib.pbkdf2_hmac("sha256", node.password.encode(), b"5a17", 10).hex()
    node.configuration["admins"] = dict.fromkeys(("aaron", node.user), f"-pbkdf2:sha256-{key},5a17,10")

    found, _ = seen(server)

    assert not isinstance(found.admins, Unknown)
    assert [(one.name, one.default, one.rounds) for one in found.admins] == [
        (node.user, False, 10),
        ("aaron", None, 10),
    ]
