"""The shipped haproxy.cfg in a real HAProxy, before nodes that echo (real ones: test_haproxy_failures.py)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from config.settings import build
from embedded.haproxy import MISSING, EmbeddedHaproxy, find_haproxy
from embedded.ports import LOOPBACK, any_free
from tasks.agent import Agent
from tests.fakes.agent import Knowledge, serving
from tests.fakes.echo import UP, EchoNode
from tests.system.harness import wait_until

pytestmark = [pytest.mark.system, pytest.mark.skipif(find_haproxy() is None, reason=MISSING)]

NAMES = ("primary", "replica1", "replica2")
DATABASES = [f"db{number}" for number in range(40)]
SETTINGS = build(
    {"couchdb_url": "primary=http://a.test", "replication_nodes": "replica1=http://b.test,replica2=http://c.test"}
)

Start = Callable[..., EmbeddedHaproxy]


@pytest.fixture
def nodes() -> Iterator[dict[str, EchoNode]]:
    made = {name: EchoNode(name) for name in NAMES}
    yield made
    for node in made.values():
        node.stop()


@pytest.fixture
def knowledge() -> Iterator[tuple[Knowledge, int]]:
    known = Knowledge(NAMES)
    with serving(Agent(SETTINGS, known.read)) as port:
        yield known, port


@pytest.fixture
def start(nodes: dict[str, EchoNode], tmp_path: Path) -> Iterator[Start]:
    """Starts a HAProxy before the nodes. Without `helper_port` there is no agent."""
    running: list[EmbeddedHaproxy] = []

    def make(helper_port: int | None = None, **options: Any) -> EmbeddedHaproxy:
        ports = {name: node.port for name, node in nodes.items()}
        running.append(EmbeddedHaproxy(tmp_path / "haproxy", ports, helper_port or any_free(), **options))
        running[-1].start()
        return running[-1]

    yield make
    for proxy in running:
        proxy.stop()


def served_by(proxy: EmbeddedHaproxy, path: str) -> str:
    answer = requests.get(proxy.url + path, timeout=10)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["node"])


def homes(proxy: EmbeddedHaproxy) -> dict[str, str]:
    return {name: served_by(proxy, f"/{name}") for name in DATABASES}


def wait_state(proxy: EmbeddedHaproxy, node: str, state: str, backend: str = "couchdb", deadline: float = 30) -> None:
    wait_until(lambda: proxy.states(backend)[node].startswith(state), f"{node} is {state} in {backend}", deadline)


# --- homes


def test_every_database_has_one_home_whatever_is_asked_of_it(start: Start, knowledge: tuple[Knowledge, int]) -> None:
    proxy = start(knowledge[1])
    found = homes(proxy)
    assert set(found.values()) == set(NAMES)
    for name in DATABASES[:10]:
        for path in (
            f"/{name}/",
            f"/{name}/doc?rev=1-a",
            f"/{name}?x=1",
            f"/{name}/_changes?since=now",
            f"/{name}/a/b",
        ):
            assert served_by(proxy, path) == found[name]


def test_homes_are_the_same_without_an_agent_and_after_a_restart(
    start: Start, knowledge: tuple[Knowledge, int], nodes: dict[str, EchoNode]
) -> None:
    found = homes(start(knowledge[1]))
    assert homes(start()) == found, "the list of last resort has the same homes"


# --- what our agent says


def test_a_node_that_the_agent_holds_back_gets_no_client_and_then_its_databases_again(
    start: Start, knowledge: tuple[Knowledge, int]
) -> None:
    known, port = knowledge
    proxy = start(port)
    before = homes(proxy)
    known.say("replica1", "down", "recovering")
    wait_state(proxy, "replica1", "DOWN (agent)", deadline=10)
    during = homes(proxy)
    assert "replica1" not in during.values()
    assert {name: home for name, home in during.items() if before[name] != "replica1"} == {
        name: home for name, home in before.items() if home != "replica1"
    }, "nobody else's databases move"
    known.say("replica1", "ready")
    wait_state(proxy, "replica1", "UP", deadline=10)
    assert homes(proxy) == before


def test_a_drained_node_gets_nothing_new_and_may_end_what_it_has(
    start: Start, knowledge: tuple[Knowledge, int]
) -> None:
    known, port = knowledge
    proxy = start(port)
    before = homes(proxy)
    known.say("primary", "drain", "maintenance")
    for backend in ("couchdb", "last-resort"):
        wait_state(proxy, "primary", "DRAIN", backend, deadline=10)
    assert "primary" not in homes(proxy).values()
    known.say("primary", "ready")
    wait_until(lambda: homes(proxy) == before, "it has its databases again", 10)


def test_old_knowledge_keeps_nobody_out_but_whom_a_person_has_taken_out(
    start: Start, knowledge: tuple[Knowledge, int]
) -> None:
    known, port = knowledge
    known.say("replica1", "down", "recovering", ago=SETTINGS.stale_after + 60)
    known.say("replica2", "drain", "maintenance", ago=SETTINGS.stale_after + 60)
    proxy = start(port)
    wait_state(proxy, "replica2", "DRAIN", deadline=10)
    assert set(homes(proxy).values()) == {"primary", "replica1"}


def test_where_no_node_is_left_those_that_live_are_used_but_for_an_emptied_one(
    start: Start, knowledge: tuple[Knowledge, int]
) -> None:
    known, port = knowledge
    for name in NAMES:
        known.say(name, "down", "recovering")
    known.say("primary", "down", "replaced")
    proxy = start(port)
    for name in NAMES:
        wait_state(proxy, name, "DOWN (agent)", deadline=10)
    wait_state(proxy, "primary", "DOWN (agent)", "last-resort", deadline=10)
    assert set(homes(proxy).values()) == {"replica1", "replica2"}


def test_an_agents_last_word_does_not_outlive_it(start: Start, nodes: dict[str, EchoNode], tmp_path: Path) -> None:
    """HAProxy itself would keep it for ever."""
    known = Knowledge(NAMES)
    known.say("replica1", "down", "recovering")
    with serving(Agent(SETTINGS, known.read)) as port:
        proxy = start(port)
        wait_state(proxy, "replica1", "DOWN (agent)", deadline=10)
        assert "replica1" not in homes(proxy).values()
    wait_until(lambda: set(homes(proxy).values()) == set(NAMES), "every live node has clients", 20)
    assert proxy.states()["replica1"] == "DOWN (agent)", "which is why there is another list"
    with serving(Agent(SETTINGS, known.read), port):
        wait_until(lambda: "replica1" not in homes(proxy).values(), "the agent is heard again", 10)


# --- what the nodes say themselves


@pytest.mark.parametrize(
    ("up", "state"),
    [
        ((200, '{"status":"ok","seeds":{}}'), "UP"),
        ((404, '{"error":"not_found","reason":"missing"}'), "UP"),  # a server that does not know /_up
        ((400, '{"error":"illegal_database_name","reason":"_up"}'), "UP"),  # another one
        ((401, '{"error":"unauthorized","reason":"Authentication required."}'), "UP"),  # require_valid_user
        ((404, '{"status":"maintenance_mode"}'), "DOWN"),
        ((404, '{"status":"nolb"}'), "DOWN"),
        ((404, '{"status":"seeding","seeds":{}}'), "DOWN"),
        ((500, '{"error":"unknown"}'), "DOWN"),
        ((503, "nobody"), "DOWN"),
    ],
)
def test_a_node_is_believed_about_itself(
    start: Start, nodes: dict[str, EchoNode], up: tuple[int, str], state: str
) -> None:
    nodes["replica2"].answers["/_up"] = up
    nodes["replica1"].answers["/_up"] = (500, "")  # once this one is out, the first checks are over
    proxy = start()
    wait_state(proxy, "replica1", "DOWN", deadline=10)
    wait_state(proxy, "replica2", state, deadline=10)


def test_without_any_node_clients_get_a_plain_503(start: Start, nodes: dict[str, EchoNode]) -> None:
    proxy = start()
    for node in nodes.values():
        node.answers["/_up"] = (404, '{"status":"maintenance_mode"}')
    for name in NAMES:
        wait_state(proxy, name, "DOWN", deadline=10)
        wait_state(proxy, name, "DOWN", "last-resort", deadline=10)
    answer = requests.get(f"{proxy.url}/db", timeout=10)
    assert answer.status_code == 503
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Retry-After"] == "10"
    assert answer.json()["error"] == "service_unavailable"
    nodes["primary"].answers["/_up"] = UP
    wait_until(lambda: requests.get(f"{proxy.url}/db", timeout=10).ok, "a node that is back is used at once", 8)


# --- requests


def test_nodes_are_told_who_asks_and_what_a_client_says_of_itself_is_replaced(start: Start) -> None:
    proxy = start()
    lies = {"X-Forwarded-For": "192.0.2.1", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "elsewhere.test"}
    answer = requests.get(f"{proxy.url}/db", headers={**lies, "Host": "couch.example.com"}, timeout=10)
    headers = {name.lower(): value for name, value in answer.json()["headers"].items()}
    assert headers["x-forwarded-for"] == LOOPBACK
    assert headers["x-forwarded-proto"] == "http"
    assert headers["x-forwarded-host"] == headers["host"] == "couch.example.com"


def test_only_a_request_that_is_safe_is_sent_twice(start: Start, nodes: dict[str, EchoNode]) -> None:
    proxy = start()
    home = nodes[served_by(proxy, "/db7")]
    home.cut = 1
    assert requests.get(f"{proxy.url}/db7/doc", timeout=10).status_code == 200
    home.requests.clear()
    home.cut = 1
    assert requests.post(f"{proxy.url}/db7", json={"a": 1}, timeout=10).status_code == 502
    everywhere = [request for node in nodes.values() for request in node.requests if request[0] == "POST"]
    assert everywhere == [("POST", "/db7")], "it may have been carried out: nobody sends it again but the client"


def test_a_body_that_says_it_is_too_large_is_refused_before_it_is_sent(start: Start) -> None:
    url = f"{start().url}/db/doc/attachment"
    request = requests.Request("PUT", url, data=b"begun").prepare()
    request.headers["Content-Length"] = str(2**30 + 1)
    refused = requests.Session().send(request, timeout=10)
    assert (refused.status_code, refused.json()["error"]) == (413, "too_large")
    assert requests.put(url, data=b"0123456789", timeout=10).status_code == 200


def test_an_address_that_asks_too_much_is_told_to_wait(start: Start) -> None:
    proxy = start(other={"gt 30000": "gt 25"})
    with requests.Session() as session:
        answers = [session.get(f"{proxy.url}/db", timeout=10) for _ in range(30)]
    assert [answer.status_code for answer in answers] == [200] * 25 + [429] * 5
    assert answers[-1].headers["Retry-After"] == "10"
    assert answers[-1].json()["error"] == "too_many_requests"


def test_long_urls_and_headers_pass(start: Start) -> None:
    """CouchDB's replicator asks for many revisions in one URL."""
    assert served_by(start(), f"/db/doc?open_revs={'a' * 20_000}")


# --- the variants


def test_one_primary_has_all_clients_while_it_may(
    start: Start, knowledge: tuple[Knowledge, int], nodes: dict[str, EchoNode]
) -> None:
    known, port = knowledge
    proxy = start(port, file="one-primary.cfg")
    assert set(homes(proxy).values()) == {"primary"}
    known.say("primary", "down", "recovering")
    wait_state(proxy, "primary", "DOWN (agent)", deadline=10)
    assert set(homes(proxy).values()) == {"replica1"}
    nodes["replica1"].stop()
    wait_state(proxy, "replica1", "DOWN", deadline=10)
    assert set(homes(proxy).values()) == {"replica2"}
    known.say("primary", "ready")
    wait_state(proxy, "primary", "UP", deadline=10)
    assert set(homes(proxy).values()) == {"primary"}


def test_without_an_agent_our_api_is_asked_and_keeps_nobody_out_when_it_is_away(
    start: Start, nodes: dict[str, EchoNode]
) -> None:
    api = EchoNode("api")
    api.answers["/api/nodes/replica1/ready?max_age=600"] = (503, '{"ready":false}')
    try:
        proxy = start(api.port, file="ready-url.cfg")
        wait_state(proxy, "replica1", "DOWN", deadline=15)
        assert set(homes(proxy).values()) == {"primary", "replica2"}
        api.answers["/api/health"] = (503, "{}")
        wait_state(proxy, "replica1", "UP", deadline=40)
    finally:
        api.stop()
    wait_until(lambda: proxy.states("api") == {"api": "DOWN"}, "HAProxy knows that the API is away", 10)
    assert all(state.startswith("UP") for state in proxy.states().values())
