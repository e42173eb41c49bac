"""What should be is made to be, by itself: nodes that come and go, links that vanish or hang, databases deleted.

The nodes are those of the whole run; each test has a system of its own over them, for the databases of its own prefix.
Links exist only on nodes with a scheduler: on a stand-in those tests are skipped, and the others are kept in step by
the periodic pass.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.system.conftest import Fresh
from tests.system.couch import Couch
from tests.system.harness import System, wait_until

pytestmark = pytest.mark.system

QUICKLY = {
    "CONTINUOUS_REPLICATION": "true",
    "REPLICATION_RETRY_SECONDS": "2",
    "CANARY_SECONDS": "0",
    "REPLICATION_STALL_SECONDS": "5",
}
PROCESSES = ("worker", "control", "beat", "watcher", "api")

Made = Callable[..., System]


@pytest.fixture
def prefix() -> str:
    return f"rec-{secrets.token_hex(4)}-"


@pytest.fixture
def make(nodes: list[Couch], prefix: str, tmp_path: Path) -> Iterator[Made]:
    """A running system over all nodes, or with the `settings` given."""
    made: list[System] = []

    def start(*names: str, **settings: str) -> System:
        system = System(nodes, tmp_path / "system", {**QUICKLY, "REPLICATION_INCLUDE": f"{prefix}*", **settings})
        made.append(system)
        system.__enter__()
        if names:
            system.settings.update(system.written(*names))
        system.start(*PROCESSES)
        return system

    yield start
    for system in made:
        system.__exit__(None)


@pytest.fixture
def scheduled(nodes: list[Couch]) -> None:
    if not nodes[0].schedules:
        pytest.skip("these nodes have no replication scheduler, so there are no links")


def same(nodes: list[Couch], database: str) -> Callable[[], bool]:
    def look() -> bool:
        leaves = [node.leaves(database) for node in nodes]
        return bool(leaves[0]) and all(one == leaves[0] for one in leaves)

    return look


def link_ids(nodes: list[Couch], database: str) -> set[str]:
    return {document for node in nodes for document in node.links(database)}


def test_a_node_added_gets_all_databases_by_itself(make: Made, nodes: list[Couch], fresh: Fresh, prefix: str) -> None:
    names = [fresh(prefix=prefix, on=nodes[:1]) for _ in range(5)]
    for name in names:
        nodes[0].fill(name, 20)
    system = make("primary", "replica1")
    for name in names:
        wait_until(lambda name=name: name in nodes[1].databases(), f"{name} is on replica1")
        wait_until(same(nodes[:2], name), f"{name} is the same on two nodes")
    assert not set(names) & nodes[2].databases()

    system.restart(**system.written("primary", "replica1", "replica2"))

    for name in names:
        wait_until(lambda name=name: name in nodes[2].databases(), f"{name} is on replica2")
        wait_until(same(nodes, name), f"{name} is the same on three nodes", 60)


@pytest.mark.usefixtures("scheduled")
def test_a_node_removed_loses_its_links(make: Made, nodes: list[Couch], fresh: Fresh, prefix: str) -> None:
    name = fresh(prefix=prefix, on=nodes[:1])
    system = make()
    wait_until(lambda: len(link_ids(nodes, name)) == 6, "all six links")

    system.restart(**system.written("primary", "replica1"))

    left = {f"nbr:primary:replica1:{name}", f"nbr:replica1:primary:{name}"}
    wait_until(lambda: link_ids(nodes[:2], name) == left, "only the two nodes' links are left on them")
    assert name in nodes[2].databases(), "its data is its own"


@pytest.mark.usefixtures("scheduled")
def test_a_link_deleted_behind_our_back_is_made_again(
    make: Made, nodes: list[Couch], fresh: Fresh, prefix: str
) -> None:
    name = fresh(prefix=prefix, on=nodes[:1])
    make()
    wait_until(lambda: len(link_ids(nodes, name)) == 6, "all six links")
    document = f"nbr:primary:replica1:{name}"
    found = nodes[1].links(name)[document]

    nodes[1].call("DELETE", f"_replicator/{document.replace(':', '%3A')}", rev=found["_rev"])

    wait_until(lambda: document in nodes[1].links(name), "the link is there again")
    nodes[0].put(name, {"_id": "after"})
    wait_until(lambda: nodes[1].has(name, "after"), "and carries what is written", 60)


@pytest.mark.usefixtures("scheduled")
def test_changed_credentials_are_written_into_the_links(
    make: Made, nodes: list[Couch], fresh: Fresh, prefix: str
) -> None:
    name, user, password = fresh(prefix=prefix, on=nodes[:1]), f"peer-{secrets.token_hex(4)}", secrets.token_hex(12)
    system = make()
    wait_until(lambda: len(link_ids(nodes, name)) == 6, "all six links")
    for node in nodes:
        node.call("PUT", f"_node/_local/_config/admins/{user}", password)
    try:
        system.restart(REPLICATION_USER=user, REPLICATION_PASSWORD=password)

        def users() -> set[str]:
            documents = [document for node in nodes for document in node.links(name).values()]
            return {
                document[side]["auth"]["basic"]["username"] for document in documents for side in ("source", "target")
            }

        wait_until(lambda: users() == {user}, "every link uses the new user")
        nodes[2].put(name, {"_id": "after"})
        wait_until(lambda: nodes[0].has(name, "after"), "and carries what is written", 60)
    finally:
        for node in nodes:
            node.call("DELETE", f"_node/_local/_config/admins/{user}")


@pytest.mark.usefixtures("scheduled")
def test_a_stalled_link_is_seen_explained_and_started_anew(
    make: Made, nodes: list[Couch], fresh: Fresh, prefix: str
) -> None:
    name = fresh(prefix=prefix, on=nodes[:1])
    system = make()
    nodes[0].put(name, {"_id": "before"})
    wait_until(lambda: name in nodes[1].databases() and nodes[1].has(name, "before"), "the link works", 60)
    first = nodes[1].links(name)[f"nbr:primary:replica1:{name}"]

    def link() -> dict[str, Any]:
        links = system.api.get(f"/api/replication/status?database={name}").json()["links"]
        return next((one for one in links if (one["source"], one["target"]) == ("primary", "replica1")), {})

    wait_until(lambda: link().get("state") == "running", "it is seen running")
    with system.held("primary"):
        nodes[0].put(name, {"_id": "held back"})
        stalled = wait_until(
            lambda: found if (found := link()).get("state") == "stalled" else None, "it is seen stalled", 60
        )
        assert stalled["lag"] >= 1
        assert "started anew" in stalled["remedy"]
        again = f"nbr:primary:replica1:{name}"
        wait_until(lambda: nodes[1].links(name).get(again, first)["_rev"] != first["_rev"], "it is started anew", 60)
    wait_until(lambda: nodes[1].has(name, "held back"), "what was held back arrives", 90)
    wait_until(lambda: link().get("lag") == 0, "and the lag is gone", 60)


def test_conflicts_deletions_and_attachments_travel_by_themselves(
    make: Made, nodes: list[Couch], fresh: Fresh, prefix: str
) -> None:
    name = fresh(prefix=prefix, on=nodes[:1])
    make()
    wait_until(lambda: all(name in node.databases() for node in nodes), "the database is everywhere")
    nodes[0].force(name, {"_id": "torn", "_rev": f"1-{'a' * 32}", "from": "primary"})
    nodes[1].force(name, {"_id": "torn", "_rev": f"1-{'b' * 32}", "from": "replica1"})
    gone = nodes[2].put(name, {"_id": "gone"})
    nodes[2].delete(name, "gone", gone)
    rev = nodes[1].put(name, {"_id": "paper"})
    nodes[1].attach(name, "paper", rev, "scan.pdf", b"%PDF-1.4 \x00\xff" * 4_000, "application/pdf")

    def everywhere() -> bool:
        leaves = [node.leaves(name) for node in nodes]
        return all(one == leaves[0] for one in leaves) and set(leaves[0]) >= {"torn", "gone", "paper"}

    wait_until(everywhere, "all leaves are on all nodes", 90)
    assert nodes[2].leaves(name)["torn"] == [f"1-{'a' * 32}", f"1-{'b' * 32}"]
    assert not any(node.has(name, "gone") for node in nodes)
    digests = [node.attachment_digests(name) for node in nodes]
    assert digests[0] == digests[1] == digests[2]
    assert len(digests[0]) == 1


def test_a_database_deleted_on_one_node_is_told_and_made_again_only_by_setup(
    make: Made, nodes: list[Couch], fresh: Fresh, prefix: str
) -> None:
    name = fresh(prefix=prefix, on=nodes[:1])
    nodes[0].fill(name, 5)
    system = make()
    api = system.api
    wait_until(lambda: all(name in node.databases() for node in nodes), "the database is everywhere")
    wait_until(same(nodes, name), "and the same", 60)

    def removed() -> dict[str, list[str]]:
        answer = api.get(f"/api/replication/status?database={name}")
        return dict(answer.json().get("removed", {}))

    # once the ledger has it everywhere, or this would look like a node that never had it
    wait_until(lambda: all(noted(node, name) for node in nodes), "every node has noted that it has it")
    # what was under way would go on as if it were there, and a node that was just added is still being filled
    wait_until(lambda: at_rest(system, name), "nothing is on its way", 60)
    nodes[1].drop(name)

    wait_until(lambda: removed() == {name: ["replica1"]}, "it is told where it was deleted")
    nodes[0].put(name, {"_id": "still"})
    wait_until(lambda: nodes[2].has(name, "still"), "the others go on", 60)
    assert name not in nodes[1].databases()

    assert api.setup(database=name, wait=True).json()["state"] == "succeeded"

    assert name in nodes[1].databases()
    wait_until(same(nodes, name), "it is the same everywhere again", 60)
    wait_until(lambda: removed() == {}, "and nothing is told any more")


def at_rest(system: System, name: str) -> bool:
    """No sync of it is under way or to come, nor a job: a node that was just added is being brought up to date."""
    links = system.api.get(f"/api/replication/status?database={name}").json()["links"]
    open_jobs = [system.api.get(f"/api/jobs?state={state}").json()["jobs"] for state in ("queued", "running")]
    return bool(links) and {link["state"] for link in links} <= {"in-step", "running"} and not any(open_jobs)


def noted(node: Couch, name: str) -> bool:
    buckets = [f"ledger-{number:02}" for number in range(16)]
    return any(name in local(node, bucket).get("databases", []) for bucket in buckets)


def local(node: Couch, name: str) -> dict[str, Any]:
    try:
        return dict(node.call("GET", f"notebook-replication/_local/{name}"))
    except OSError:  # no such document
        return {}


def test_what_somebody_set_up_one_way_stays_one_way(make: Made, nodes: list[Couch], fresh: Fresh, prefix: str) -> None:
    name = fresh(prefix=prefix)
    system = make()
    assert system.api.setup(database=name, bidirectional=False, wait=True).json()["state"] == "succeeded"
    nodes[1].put(name, {"_id": "stays"})
    nodes[0].put(name, {"_id": "travels"})

    wait_until(lambda: nodes[1].has(name, "travels") and nodes[2].has(name, "travels"), "the primary's goes out", 60)

    # one more write after it, seen everywhere: whatever was to come back had its turn
    nodes[0].put(name, {"_id": "travels too"})
    wait_until(lambda: nodes[2].has(name, "travels too"), "the next one as well", 60)
    assert not nodes[0].has(name, "stays")
    assert not nodes[2].has(name, "stays")
    assert system.api.sync(name, wait=True).json()["result"]["caught_up"] is True
    assert not nodes[0].has(name, "stays"), "a sync goes the same way"
