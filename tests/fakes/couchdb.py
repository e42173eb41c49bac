"""A cluster of CouchDB nodes in memory, behind `worker.couch.transport.Transport`.

The contract suite (tests/contract) holds it to what real CouchDB 3.5 and the stand-in do. Faults are switched
on per node: `node.fail("refused")`, `node.hold_pulls()`, `node.refuses = lambda document: ...`.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from tests.fakes import calls, strangers
from tests.fakes.documents import FakeDatabase, JsonObject, Refused
from tests.fakes.logins import Logins
from tests.fakes.replication import Job, Replications
from tests.fakes.request import Request, read_body
from worker.core.errors import How, TimedOut, TlsRefused, Unreachable
from worker.couch.transport import Answer, Body, Oversize, Refusal, Timeouts

USER, PASSWORD = "admin", "fake-secret-1"
SYSTEM = ("_replicator", "_users")
PIECE = 65_536  # bytes of an attachment that arrive together
LOCKED = "Account is temporarily locked due to multiple authentication failures"
BROKEN: dict[str, tuple[int, bytes]] = {
    "401": (401, b'{"error":"unauthorized","reason":"Name or password is incorrect."}'),
    "locked": (403, json.dumps({"error": "forbidden", "reason": LOCKED}).encode()),
    "404": (404, b'{"error":"not_found","reason":"missing"}'),
    "409": (409, b'{"error":"conflict","reason":"Document update conflict."}'),
    "full-disk": (500, b'{"error":"error","reason":"internal_server_error"}'),  # as CouchDB 3.5.0 answers a write
    "monitor": (507, b'{"error":"insufficent_storage","reason":"database_dir is too full"}'),  # its own spelling
    "403": (403, b'{"error":"forbidden","reason":"You are not allowed to do that."}'),
    "500": (500, b'{"error":"internal_server_error","reason":"No DB shards could be opened."}'),
    "html": (200, b"<html><body>Welcome to nginx!</body></html>"),
    "maintenance": (404, b'{"status":"maintenance_mode"}'),
    "strange": (200, b'["something", "else"]'),
    "number": (200, b"17"),
}


@dataclass(frozen=True)
class Stopped:
    """A link that carries nothing. `revision`: of its document; None: whichever."""

    state: str
    error: str | None
    revision: str | None


@dataclass
class _Fault:
    how: str
    path: str | None
    times: float


class FakeNode:
    """One node. `standin`: it speaks as express-pouchdb does."""

    def __init__(self, couch: FakeCouch, name: str, *, standin: bool) -> None:
        self.couch, self.name, self.standin = couch, name, standin
        self.address = f"{name}.test:5984"
        self.logins = Logins()
        self._user, self.password = USER, PASSWORD
        self.uuid = f"uuid-of-{name}"
        self.databases: dict[str, FakeDatabase] = {}
        self.jobs: dict[str, Job] = {}
        self.refuses: Callable[[JsonObject], bool] = lambda document: False
        self.configuration: dict[str, dict[str, str]] = {}
        self.stopped: dict[str, Stopped] = {}
        self.crashes: dict[str, str] = {}  # document -> error, as it is found by trying
        self.link_figures: dict[str, JsonObject] = {}
        self.events: list[tuple[str, str]] = []
        self.uptime = 3_600
        self.members = 1  # servers of the cluster that answers here
        self.version = "3.5.0"
        self.party = False  # it has no admin: everybody is one
        self.tasks: list[JsonObject] = []  # in `_active_tasks`, beside its replications
        self._faults: list[_Fault] = []
        self._hanging: list[tuple[str | None, threading.Event]] = []
        self._free = threading.Event()
        self._free.set()
        for system in () if standin else SYSTEM:
            self.create(system)

    @property
    def user(self) -> str:
        """Its first server admin."""
        return self._user

    @user.setter
    def user(self, user: str) -> None:
        self.logins.admins.pop(self._user)
        self._user = user
        self.logins.set_admin(user, self._password)

    @property
    def password(self) -> str:
        return self._password

    @password.setter
    def password(self, password: str) -> None:
        self._password = password
        self.logins.set_admin(self.user, password)

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    def create(self, name: str, *, partitioned: bool = False, shards: int = 2) -> FakeDatabase:
        self.couch.made += 1
        tag, born = f"{self.name}.{self.couch.made}", f"{1_700_000_000 + self.couch.made}"
        made = FakeDatabase(name, tag, partitioned, shards, compresses=not self.standin, born=born)
        made.on_change = lambda: self._happened(name, "updated")
        self.databases[name] = made
        self._happened(name, "created")
        return made

    def drop(self, name: str) -> None:
        del self.databases[name]
        self._happened(name, "deleted")

    def _happened(self, name: str, kind: str) -> None:
        """What `_db_updates` tells, while there is a database to keep it in."""
        with self.couch.news:
            if "_global_changes" in self.databases and name != "_global_changes":
                self.events.append((name, kind))
                self.couch.news.notify_all()

    def updates_after(self, since: str) -> list[JsonObject]:
        first = len(self.events) if since == "now" else int(since.partition("-")[0])
        told = enumerate(self.events[first:], start=first + 1)
        return [{"db_name": name, "type": kind, "seq": f"{at}-{self.name}"} for at, (name, kind) in told]

    def stop_link(self, document: str, state: str = "pending", error: str | None = None, *, anew: bool = True) -> None:
        """Have a link carry nothing, in this state of the scheduler's; until it is started `anew` (its document made
        again) or `start_link`."""
        revision = self.databases["_replicator"].documents[document].leaves()[0] if anew else None
        self.stopped[document] = Stopped(state, error, revision)

    def start_link(self, document: str) -> None:
        del self.stopped[document]

    def give_up_link(self, document: str, why: str) -> None:
        """State failed, which CouchDB writes into the document."""
        replicator = self.databases["_replicator"]
        found = replicator.read(document, None, attachments=False)
        replicator.write({**found, "_replication_state": "failed", "_replication_state_reason": why})

    def fail(self, how: str, *, path: str | None = None, times: float = float("inf")) -> None:
        """`how`: refused, dns, timeout, tls, or a key of BROKEN. `path`: only calls with this segment in their path."""
        self._faults.append(_Fault(how, path, times))

    def hang(self, *, path: str | None = None) -> None:
        """Calls are not answered, and nothing ends them, until `heal`: as with bytes that trickle in."""
        self._hanging.append((path, threading.Event()))

    def heal(self) -> None:
        self._faults.clear()
        for _, over in self._hanging:
            over.set()
        self._hanging.clear()

    def hold_pulls(self) -> None:
        """`_replicate` blocks until `let_pulls_go`."""
        self._free.clear()

    def let_pulls_go(self) -> None:
        self._free.set()

    @property
    def held(self) -> bool:
        return not self._free.is_set()

    def wait_until_free(self) -> None:
        self._free.wait()

    def broken(self, path: tuple[str, ...]) -> Answer | None:
        """The answer of a fault that is switched on, or its error."""
        for over in [over for place, over in self._hanging if place in {None, *path}]:
            over.wait()
        with self.couch.lock:
            fault = next((one for one in self._faults if one.times > 0 and one.path in {None, *path}), None)
            if fault is None:
                return None
            fault.times -= 1
        if fault.how == "refused":
            raise Unreachable("connection refused", how=How.REFUSED)
        if fault.how == "dns":
            raise Unreachable("its host name is not known", how=How.NO_NAME)
        if fault.how == "tls":
            raise TlsRefused("TLS: self-signed certificate")
        if fault.how == "timeout":
            threading.Event().wait(self.couch.patience)
            raise TimedOut("connected, but no answer within the time-out")
        return Answer(BROKEN[fault.how][0], {}, BROKEN[fault.how][1])


class FakeCouch:
    """The transport to all its nodes. `patience`: real seconds until a call without an answer times out, whatever
    its time-outs say. `on_request` is called (without any lock held) before each call is answered."""

    def __init__(self, *names: str, standin: bool = False, patience: float = 0.03) -> None:
        self.lock = threading.RLock()
        self.news = threading.Condition(self.lock)
        self.patience = patience
        self.made = 0
        self.requests: list[Request] = []
        self.on_request: Callable[[Request], None] = lambda request: None
        self.nodes = {name: FakeNode(self, name, standin=standin) for name in names}
        self.replications = Replications(self)

    def __getitem__(self, name: str) -> FakeNode:
        return self.nodes[name]

    def at(self, address: str) -> FakeNode:
        for node in self.nodes.values():
            if node.address == address:
                return node
        raise Unreachable("connection refused")

    def send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        body: bytes | Body | None,
        timeouts: Timeouts,
        most: int | None = None,
    ) -> Answer:
        node, request = self._heard(method, url, headers, body)
        answer = node.broken(request.path) or _encoded(*self._said(node, request))
        if most is not None and len(answer.body) > most:
            raise Oversize
        return answer

    def lines(self, url: str, *, headers: Mapping[str, str], timeouts: Timeouts) -> Iterator[bytes]:
        """`_changes`, or `_db_updates?feed=continuous`. A fault that is switched on meanwhile ends them."""
        node, request, answer = self._streamed(url, headers)
        if request.path[-1] == "_changes":
            lines: Iterator[bytes] = iter(answer.body.split(b"\n"))
        else:
            lines = self._events(node, request.params["since"])
        yield from _unless_broken(node, request, lines)

    def pieces(self, url: str, *, headers: Mapping[str, str], timeouts: Timeouts) -> Iterator[bytes]:
        node, request, answer = self._streamed(url, headers)
        pieces = (answer.body[at : at + PIECE] for at in range(0, len(answer.body), PIECE))
        yield from _unless_broken(node, request, pieces)

    def _streamed(self, url: str, headers: Mapping[str, str]) -> tuple[FakeNode, Request, Answer]:
        node, request = self._heard("GET", url, headers, None)
        answer = node.broken(request.path) or _encoded(*self._said(node, request))
        if answer.status >= 400:
            raise Refusal(answer)
        return node, request, answer

    def _events(self, node: FakeNode, since: str) -> Iterator[bytes]:
        """Events as they happen, and a heartbeat after each moment without one."""
        with self.lock:
            since = f"{len(node.events)}-{node.name}" if since == "now" else since
        while True:
            yield b""
            with self.news:
                rows = node.updates_after(since)
                if not rows:
                    self.news.wait(self.patience)
                    rows = node.updates_after(since)
            for row in rows:
                since = row["seq"]
                yield json.dumps(row).encode()

    def _heard(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | Body | None
    ) -> tuple[FakeNode, Request]:
        parts = urlsplit(url)
        node = self.at(parts.netloc)
        path = tuple(unquote(segment) for segment in parts.path.split("/") if segment)
        request = Request(
            node.name, method, path, dict(parse_qsl(parts.query)), dict(headers), read_body(headers, body)
        )
        self.requests.append(request)
        self.on_request(request)
        return node, request

    def _said(self, node: FakeNode, request: Request) -> tuple[int, Any]:
        try:
            _check_login(node, request)
            if request.path == ("_replicate",):
                return self.replications.one_shot(node, request.body)
            with self.lock:
                said = calls.answer(node, request)
                if request.method != "GET":
                    self.replications.run_links()
                return said
        except Refused as refused:
            return refused.said


def _check_login(node: FakeNode, request: Request) -> None:
    given = request.headers.get("Authorization")
    if given is None and strangers.let_in(node, request.path):
        return
    node.logins.check(given)


def _unless_broken(node: FakeNode, request: Request, parts: Iterator[bytes]) -> Iterator[bytes]:
    for place, part in enumerate(parts):
        if place and node.broken(request.path):
            raise Unreachable("the node closed the connection")
        yield part


def _encoded(status: int, said: Any) -> Answer:
    """Bytes go out as they are."""
    body = said if isinstance(said, bytes) else json.dumps(said).encode()
    return Answer(status, {"Content-Type": "application/json"}, body)
