"""Setup: databases, security and continuous links on every node, and nothing the second time."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from itertools import permutations
from typing import Any

import pytest

from embedded.waiting import wait_until
from tests import builders
from tests.contract.conftest import DEADLINE, Site
from worker.core.model import Credentials
from worker.core.names import replication_document_id
from worker.couch.database import Database
from worker.couch.replicator import DATABASE as REPLICATOR
from worker.couch.replicator import Replicator
from worker.ops.control import Unattended
from worker.ops.setup import Wanted, setup
from worker.ops.setup_result import SetupResult
from worker.ops.sync import sync

pytestmark = pytest.mark.contract


def run(site: Site, *names: str, **wanted: Any) -> SetupResult:
    return setup(site.cluster, Wanted(databases=names, **wanted), Unattended())


def pairs(site: Site) -> list[str]:
    return sorted(f"{source} -> {target}" for source, target in permutations(site.cluster.names, 2))


def link(site: Site, name: str, source: str, target: str) -> tuple[Database, str]:
    return Database(site.cluster[target], REPLICATOR), replication_document_id(name, source, target)


def wait_for(site: Site, name: str, arrived: Callable[[], bool]) -> None:
    """Links whose first start fails are tried again after half a minute: be patient, and tell how they fare."""
    if not wait_until(arrived, 3 * DEADLINE, every=0.05):
        rows = {node: Replicator(server).documents() for node, server in site.cluster.servers.items()}
        pytest.fail(str([(node, row) for node, found in rows.items() for row in found if name in row["doc_id"]]))


def test_setup_makes_databases_and_links_and_twice_changes_nothing(site: Site) -> None:
    name = site.name()

    first = run(site, name)
    second = run(site, name)

    assert first.databases[name].created_on == site.cluster.names
    assert first.as_json()["changed"] is True
    assert second.databases[name].already_on == site.cluster.names
    assert second.as_json()["changed"] is False
    if site.scheduler:
        assert first.mode == "continuous"
        assert sorted(first.databases[name].links["created"]) == pairs(site)
        assert sorted(second.databases[name].links["unchanged"]) == pairs(site)
    else:
        assert first.mode == "on-change"
        assert first.databases[name].links == {}


def test_setup_makes_what_is_missing_and_says_where(site: Site) -> None:
    name = site.name()
    builders.databases(site.cluster, name, ["b"])

    report = run(site, name).databases[name]

    assert report.already_on == ["b"]
    assert sorted(report.created_on) == ["a", "c"]
    assert all(Database(server, name).info() for server in site.cluster.servers.values())


def test_security_is_that_of_the_first_node_that_had_the_database(site: Site) -> None:
    name = site.name()
    wanted = {"admins": {"names": ["ann"], "roles": []}, "members": {"names": [], "roles": ["readers"]}}
    builders.databases(site.cluster, name, ["b"])["b"].set_security(wanted)

    first, second = run(site, name).databases[name], run(site, name).databases[name]

    assert sorted(first.security.copied_to) == ["a", "c"]
    for server in site.cluster.servers.values():
        assert Database(server, name).security()["members"]["roles"] == ["readers"]
    assert second.security.copied_to == []


def test_several_databases_at_once(site: Site) -> None:
    names = [site.name() for _ in range(10)]

    result = run(site, *names)

    assert sorted(result.databases) == sorted(names)
    assert all(set(names) <= set(server.databases()) for server in site.cluster.servers.values())


def test_links_carry_a_write_to_every_node(scheduled: Site) -> None:
    name = scheduled.name()
    run(scheduled, name)
    databases = builders.databases(scheduled.cluster, name)

    for node, database in databases.items():
        database.put({"_id": f"from-{node}", "_attachments": {"f": builders.attachment(b"\x00\xff" * 5_000)}})

    def arrived() -> bool:
        return all(database.get(f"from-{node}") for database in databases.values() for node in databases)

    wait_for(scheduled, name, arrived)


def test_one_way_links_carry_writes_one_way(scheduled: Site) -> None:
    name = scheduled.name()

    report = run(scheduled, name, bidirectional=False).databases[name]

    assert sorted(report.links["created"]) == [f"a -> {target}" for target in scheduled.cluster.names[1:]]
    databases = builders.databases(scheduled.cluster, name)
    databases["b"].put({"_id": "stays"})
    databases["a"].put({"_id": "travels"})
    wait_for(scheduled, name, lambda: databases["b"].get("travels") is not None)
    assert databases["a"].get("stays") is None


def test_a_sync_beside_running_links_ends_well(scheduled: Site) -> None:
    name = scheduled.name()
    run(scheduled, name)
    databases = builders.databases(scheduled.cluster, name)
    databases["b"].bulk([{"_id": f"doc-{i}"} for i in range(50)])

    result = sync(scheduled.cluster, name, Unattended())

    assert result.caught_up
    assert {len(dict(database.leaves())) for database in databases.values()} == {50}


def test_a_link_that_says_something_else_is_rewritten(scheduled: Site) -> None:
    name = scheduled.name()
    run(scheduled, name)
    replicator, identity = link(scheduled, name, "a", "b")

    found = replicator.get(identity)
    assert found is not None
    replicator.put({**found, "continuous": False})

    report = run(scheduled, name).databases[name]

    assert report.links["updated"] == ["a -> b"]
    assert len(report.links["unchanged"]) == len(pairs(scheduled)) - 1
    found = replicator.get(identity)
    assert found is not None
    assert found["continuous"] is True


def test_a_new_password_for_peers_is_written_into_the_links(scheduled: Site) -> None:
    name = scheduled.name()
    run(scheduled, name)
    # somebody nobody knows: wrong passwords of the real user would lock it out
    renamed = [
        dataclasses.replace(node, peer_credentials=Credentials(f"{name}-peer", "new")) for node in scheduled.nodes
    ]
    changed = Site(scheduled.kind, renamed, scheduled.transport)

    assert sorted(run(changed, name).databases[name].links["updated"]) == pairs(scheduled)
    assert sorted(run(scheduled, name).databases[name].links["updated"]) == pairs(scheduled)
    assert sorted(run(scheduled, name).databases[name].links["unchanged"]) == pairs(scheduled)


def test_a_deleted_link_is_made_again(scheduled: Site) -> None:
    name = scheduled.name()
    run(scheduled, name)
    replicator, identity = link(scheduled, name, "b", "a")
    found = replicator.get(identity)
    assert found is not None
    replicator.delete(identity, found["_rev"])

    assert run(scheduled, name).databases[name].links["created"] == ["b -> a"]


def test_documents_of_other_people_are_left_alone(scheduled: Site) -> None:
    name = scheduled.name()
    replicator = Database(scheduled.cluster["b"], REPLICATOR)
    url = scheduled.nodes[0].url
    theirs = f"somebody-elses:{name}"
    replicator.create()
    revision = replicator.put({"_id": theirs, "source": f"{url}/{name}-x", "target": f"{url}/{name}-y"})
    before = replicator.get(theirs)

    run(scheduled, name)
    run(scheduled, name)

    after = replicator.get(theirs)
    assert before is not None
    assert after is not None
    assert {key: after[key] for key in ("source", "target")} == {key: before[key] for key in ("source", "target")}
    assert after["_rev"] == revision or "_replication_state" in after  # CouchDB itself writes how it fared
    assert identity_of_links(scheduled, name, "b") == {
        replication_document_id(name, source, "b") for source in scheduled.cluster.names if source != "b"
    }


def identity_of_links(site: Site, name: str, target: str) -> set[str]:
    found = Database(site.cluster[target], REPLICATOR).leaves()
    return {identity for identity, _ in found if identity.startswith("nbr:") and identity.endswith(f":{name}")}


def test_the_scheduler_lists_our_links(scheduled: Site) -> None:
    name = scheduled.name()
    run(scheduled, name)
    wanted = {replication_document_id(name, source, "c") for source in scheduled.cluster.names if source != "c"}

    def listed() -> bool:
        rows = Replicator(scheduled.cluster["c"]).documents()
        return wanted <= {str(row["doc_id"]) for row in rows if row["state"] == "running"}

    wait_for(scheduled, name, listed)
