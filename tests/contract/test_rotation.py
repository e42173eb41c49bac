"""Changing a password on nodes of every kind: all have the new one, or it is known which have not."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import pytest

from tasks.policy import LOCK_OUT, Retry, decide
from tests.builders import Listener
from tests.contract.conftest import NAMES, Site, fake_site
from tests.fakes.couchdb import FakeCouch
from tests.fakes.request import Request
from worker.core.errors import (
    Cancelled,
    HalfChanged,
    NotQuiet,
    PasswordsRefused,
    PasswordUnknown,
    ReplicationError,
    Unauthorized,
    Unreachable,
    Unsupported,
)
from worker.core.logins import Login, Which, Whose
from worker.core.model import UNKNOWN, Credentials, Node
from worker.couch.cluster import Cluster
from worker.couch.database import Database
from worker.couch.replicator import DATABASE as REPLICATOR
from worker.couch.replicator import Replicator
from worker.couch.server import Server
from worker.ops import logins
from worker.ops.rotation import Noted, Place, rotate
from worker.ops.setup import Wanted, setup
from worker.ops.sync import sync

pytestmark = pytest.mark.contract


@dataclass
class Change:
    """A password that is being changed on the nodes of a site, and what was noted of it."""

    site: Site
    login: Login
    whose: Whose = Whose.OURS
    noted: dict[Place, Which | None] = field(default_factory=dict)
    ready: Callable[[], None] = lambda: None
    on_note: Callable[[Place, Which | None], None] = lambda task, which: None

    def __post_init__(self) -> None:
        self.cluster = self.fresh()

    def fresh(self) -> Cluster:
        """As another process has it: nothing but the settings."""
        nodes = [self._node(name) for name in self.site.cluster.names]
        servers = [self.site.server(node) for node in nodes]
        return Cluster(servers, {node.name: {self.whose: self.login} for node in nodes})

    def _node(self, name: str) -> Node:
        node = self.site.cluster[name].node
        if self.whose is Whose.PEERS:
            return replace(node, peer_credentials=self.login.current)
        return replace(node, credentials=self.login.current, peer_credentials=self.login.current)

    def note(self, name: str, whose: Whose, which: Which | None) -> None:
        self.noted[(name, whose)] = which
        self.on_note((name, whose), which)

    def to(self, which: Which, known: Noted | None = None, control: Listener | None = None) -> dict[str, object]:
        known = self.noted if known is None else known
        return rotate(self.cluster, which, dict(known), self.note, control or Listener(), self.ready).as_json()

    def has(self, name: str) -> Which | None:
        likely = self.noted.get((name, self.whose)) or Which.CURRENT
        return logins.taken(self.site.server(self._node(name)), self.login, likely)


@pytest.fixture
def change(site: Site) -> Iterator[Change]:
    """Of a server admin: one of its own where the nodes are somebody's, else the one that there is."""
    ours = site.nodes[0].credentials
    assert ours is not None
    user = f"rotation-{secrets.token_hex(4)}" if site.kind == "couchdb" else ours.user
    before = f"before-{secrets.token_hex(8)}" if site.kind == "couchdb" else ours.password
    made = Change(site, Login(Credentials(user, f"after-{secrets.token_hex(8)}"), Credentials(user, before)))
    if site.kind == "couchdb":
        for server in site.cluster.servers.values():
            server.client.put("_node", "_local", "_config", "admins", user, json=hashed(before))
    yield made
    if site.kind == "couchdb":
        for server in site.cluster.servers.values():
            server.client.delete("_node", "_local", "_config", "admins", user)
    else:  # the nodes are the next test's
        made.on_note = lambda task, which: None
        made.cluster = made.fresh()
        made.to(Which.PREVIOUS)


def hashed(password: str) -> str:
    """As CouchDB keeps it, so that it counts at once."""
    salt = secrets.token_hex(16)
    digest = hashlib.pbkdf2_hmac("sha256", password.encode(), salt.encode(), 1_000, 32).hex()
    return f"-pbkdf2:sha256-{digest},{salt},1000"


def linked(change: Change) -> str:
    """A database that the nodes replicate with the password that they have."""
    name = change.site.name("rotated")
    settled(change)
    setup(change.cluster, Wanted([name] if change.site.scheduler else None), Listener())
    Database(change.cluster["a"], name).create()
    return name


def settled(change: Change) -> None:
    for name in change.cluster.names:
        change.cluster.use(name, change.whose, change.has(name) or Which.PREVIOUS)


def links(change: Change, database: str) -> list[str]:
    if not change.site.scheduler:
        return []
    found = []
    for server in change.cluster.servers.values():
        found += [str(row["_id"]) for row in Replicator(server).stored("nbr:") if row["_id"].endswith(f":{database}")]
    return found


def test_all_nodes_have_the_new_one_and_not_the_old_one_any_more(change: Change) -> None:
    database = linked(change)
    there_were = len(links(change, database))

    told = change.to(Which.CURRENT, known={})

    names = change.cluster.names
    assert told["changed"] == [{"node": name, "whose": "ours"} for name in names]
    assert told["unchanged"] == []
    assert change.noted == {(name, Whose.OURS): Which.CURRENT for name in names}
    for name in names:
        assert change.has(name) is Which.CURRENT
        with pytest.raises(Unauthorized):
            change.cluster[name].client.acting_as(change.login.previous).get("_all_dbs")
    # no replicator goes on with the old one; a set-up makes the links again with the new
    assert links(change, database) == []
    assert int(str(told["links_removed"])) >= there_were
    if change.site.scheduler:
        assert there_were == len(names) * (len(names) - 1)
        setup(change.cluster, Wanted([database]), Listener())
        assert len(links(change, database)) == there_were
    Database(change.cluster["a"], database).bulk([{"_id": "after"}])
    assert sync(change.cluster, database, Listener()).caught_up


def test_twice_changes_nothing_and_back_is_the_same_the_other_way(change: Change) -> None:
    change.to(Which.CURRENT)
    again = change.to(Which.CURRENT)
    assert (again["changed"], again["links_removed"]) == ([], 0)
    assert len(list(again["unchanged"])) == len(change.cluster.names)  # type: ignore[call-overload]

    change.to(Which.PREVIOUS)
    assert {change.has(name) for name in change.cluster.names} == {Which.PREVIOUS}


def test_who_dies_between_a_change_and_its_note_is_gone_on_from(change: Change) -> None:
    """As another process would: it knows the settings, and what was noted."""

    class Died(Exception):
        pass

    def die(task: Place, which: Which | None) -> None:
        if which is Which.CURRENT:  # the first one is changed, and this was not noted
            change.noted[task] = None
            raise Died

    change.on_note = die
    with pytest.raises(Died):
        change.to(Which.CURRENT)
    assert sorted(change.noted.values(), key=str) == [None, Which.PREVIOUS, Which.PREVIOUS]
    change.on_note = lambda task, which: None
    change.cluster = change.fresh()

    change.to(Which.CURRENT)

    assert {change.has(name) for name in change.cluster.names} == {Which.CURRENT}


def test_it_can_be_broken_off_between_two_nodes(change: Change) -> None:
    control = Listener()
    control.stop_when = lambda told: Cancelled() if list(change.noted.values()).count(Which.CURRENT) == 1 else None
    with pytest.raises(Cancelled):
        change.to(Which.CURRENT, control=control)
    assert sorted(change.has(name) or "" for name in change.cluster.names) == ["current", "previous", "previous"]


def test_nothing_is_changed_where_a_node_takes_neither(change: Change) -> None:
    known = change.login
    change.login = replace(known, previous=Credentials(known.previous.user, "not-its-password"))
    change.cluster = change.fresh()
    with pytest.raises(PasswordsRefused, match="neither of the two passwords"):
        change.to(Which.CURRENT)
    change.login = known
    assert {change.has(name) for name in change.cluster.names} == {Which.PREVIOUS}


def test_no_credential_is_in_an_error(change: Change) -> None:
    known = change.login
    change.login = replace(known, previous=Credentials(known.previous.user, "not-its-password"))
    change.cluster = change.fresh()
    with pytest.raises(ReplicationError) as refused:
        change.to(Which.CURRENT)
    for secret in (known.current.password, known.previous.password, "not-its-password"):
        assert secret not in f"{refused.value} {refused.value.result}"
    change.login = known


def test_what_peers_use_changes_too_where_it_is_a_user_of_its_own(scheduled: Site) -> None:
    """Of `_users` where the nodes are real, because that is where it would be."""
    user = f"peer-{secrets.token_hex(4)}"
    after, before = (f"{word}-{secrets.token_hex(8)}" for word in ("after", "before"))
    login = Login(Credentials(user, after), Credentials(user, before))
    change = Change(scheduled, login, Whose.PEERS)
    try:
        for name, server in scheduled.cluster.servers.items():
            make_user(scheduled, name, login.previous)
            assert logins.lets_in(server, login.previous)
        change.to(Which.CURRENT)
        assert {change.has(name) for name in change.cluster.names} == {Which.CURRENT}
        assert {server.node.peer_credentials for server in change.cluster.servers.values()} == {login.current}
    finally:
        for server in scheduled.cluster.servers.values():
            forget_user(scheduled, server, user)


def make_user(site: Site, name: str, who: Credentials) -> None:
    if isinstance(site.transport, FakeCouch):
        site.transport[name].logins.set_admin(who.user, who.password)
        return
    users = Database(site.cluster[name], logins.USERS)
    users.create()
    users.put(
        {"_id": f"org.couchdb.user:{who.user}", "name": who.user, "password": who.password, "type": "user", "roles": []}
    )


def forget_user(site: Site, server: Server, user: str) -> None:
    if not isinstance(site.transport, FakeCouch):
        users = Database(server, logins.USERS)
        document = users.get(f"org.couchdb.user:{user}")
        if document:
            users.delete(document["_id"], document["_rev"])


def test_a_user_that_a_node_does_not_know_is_refused_before_anything_is_changed(site: Site) -> None:
    known = site.nodes[0].credentials
    assert known is not None
    nobody = Login(Credentials("nobody-here", "after-secret-1"), Credentials("nobody-here", "before-secret-1"))
    change = Change(site, nobody, Whose.PEERS)
    with pytest.raises(PasswordsRefused):
        change.to(Which.CURRENT)
    with pytest.raises(Unsupported, match="has no user 'nobody-here'"):
        logins.require_changeable(site.cluster["a"], "nobody-here")


# --- on nodes in the test's hands


@pytest.fixture
def fake() -> Change:
    couch = FakeCouch(*NAMES)
    ours = couch["a"]
    login = Login(Credentials(ours.user, "after-secret-1"), Credentials(ours.user, ours.password))
    return Change(fake_site(couch), login)


def nodes_of(change: Change) -> FakeCouch:
    assert isinstance(change.site.transport, FakeCouch)
    return change.site.transport


def test_a_node_that_is_down_before_it_begins_stops_it(fake: Change) -> None:
    nodes_of(fake)["c"].fail("refused")
    with pytest.raises(Unreachable):
        fake.to(Which.CURRENT)
    nodes_of(fake)["c"].heal()
    assert {fake.has(name) for name in fake.cluster.names} == {Which.PREVIOUS}


def test_a_node_that_goes_down_in_the_middle_is_told_and_gone_on_from(fake: Change) -> None:
    couch = nodes_of(fake)

    def go_down(task: Place, which: Which | None) -> None:
        if task[0] == "b" and which is None:
            couch["b"].fail("refused")

    fake.on_note = go_down
    with pytest.raises(HalfChanged) as half:
        fake.to(Which.CURRENT)
    assert "The current password is on a (ours), and not yet on others" in str(half.value)
    assert half.value.node == "b"
    # nobody knows what became of it: until somebody asks, it is not called and its links have no password
    assert fake.cluster["b"].node.credentials == fake.cluster["b"].node.peer_credentials == UNKNOWN
    with pytest.raises(PasswordUnknown):
        fake.cluster["b"].databases()
    assert half.value.result is not None
    assert half.value.result["changed"] == [{"node": "a", "whose": "ours"}]
    couch["b"].heal()
    fake.on_note = lambda task, which: None
    assert [fake.has(name) for name in ("a", "b", "c")] == [Which.CURRENT, Which.PREVIOUS, Which.PREVIOUS]

    fake.cluster = fake.fresh()
    fake.to(Which.CURRENT)

    assert {fake.has(name) for name in fake.cluster.names} == {Which.CURRENT}


def test_a_node_that_stays_down_is_half_changed_however_often_it_is_tried(fake: Change) -> None:
    def go_down(task: Place, which: Which | None) -> None:
        if task[0] == "b" and which is None:
            nodes_of(fake)["b"].fail("refused")

    fake.on_note = go_down
    for _ in range(3):
        with pytest.raises(HalfChanged, match="is on a"):
            fake.to(Which.CURRENT)
        fake.cluster = fake.fresh()


def test_a_lock_out_in_the_middle_is_waited_out(fake: Change) -> None:
    fake.on_note = lambda task, which: nodes_of(fake)["b"].fail("locked") if (task[0], which) == ("b", None) else None
    with pytest.raises(HalfChanged) as half:
        fake.to(Which.CURRENT)
    assert half.value.locked_out
    assert decide(half.value, 1, 3, 0.5) == Retry(LOCK_OUT)


def test_what_was_taken_although_no_answer_came_is_known_by_asking(fake: Change) -> None:
    def go_down(request: Request) -> None:
        if request.method == "PUT" and request.path[-2:-1] == ("admins",):
            nodes_of(fake)["a"].fail("refused")

    nodes_of(fake).on_request = go_down
    with pytest.raises(HalfChanged):
        fake.to(Which.CURRENT)
    nodes_of(fake).on_request = lambda request: None
    nodes_of(fake)["a"].heal()
    assert fake.noted[("a", Whose.OURS)] is None
    fake.cluster = fake.fresh()
    fake.to(Which.CURRENT)
    assert {fake.has(name) for name in fake.cluster.names} == {Which.CURRENT}


def test_it_is_asked_before_each_change_whether_it_may_go_on(fake: Change) -> None:
    asked: list[int] = []

    def once() -> None:
        asked.append(1)
        if len(asked) == 2:
            raise NotQuiet("other work goes on")

    fake.ready = once
    with pytest.raises(HalfChanged, match="other work goes on"):
        fake.to(Which.CURRENT)
    assert [fake.has(name) for name in fake.cluster.names] == [Which.CURRENT, Which.PREVIOUS, Which.PREVIOUS]


def test_a_node_that_is_several_servers_is_refused_before_anything_is_changed(
    fake: Change,
) -> None:
    nodes_of(fake)["b"].members = 3
    with pytest.raises(Unsupported, match="a cluster of 3 CouchDB servers"):
        fake.to(Which.CURRENT)
    assert {fake.has(name) for name in fake.cluster.names} == {Which.PREVIOUS}


def test_hardly_a_wrong_password_is_tried_whatever_happens(fake: Change) -> None:
    """Five of them, and CouchDB takes the right one for minutes no more."""
    fake.to(Which.CURRENT)
    fake.cluster = fake.fresh()
    fake.to(Which.CURRENT)
    fake.to(Which.PREVIOUS)
    fake.to(Which.CURRENT)
    for node in nodes_of(fake).nodes.values():
        assert sum(node.logins.wrong.values()) == 0, "what was noted is tried first"
    fake.cluster = fake.fresh()
    fake.to(Which.CURRENT, known={})
    for node in nodes_of(fake).nodes.values():
        assert sum(node.logins.wrong.values()) == 1


def test_links_of_others_stay(fake: Change) -> None:
    setup(fake.site.cluster, Wanted(["pdfs"]), Listener())
    Database(fake.site.cluster["a"], REPLICATOR).put({"_id": "somebody-elses", "source": "x", "target": "y"})
    fake.to(Which.CURRENT)
    assert Database(fake.cluster["a"], REPLICATOR).get("somebody-elses") is not None
