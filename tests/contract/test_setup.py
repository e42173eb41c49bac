"""Setup: databases, security and continuous links on every node, and nothing the second time."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from itertools import permutations
from typing import Any

import pytest

from embedded.waiting import wait_until
from tests import builders
from tests.contract.conftest import DEADLINE, Site, fake_site
from tests.fakes.couchdb import FakeCouch
from worker.core.model import Credentials
from worker.core.names import replication_document_id
from worker.core.rules import Direction, Mode, Rule, Rules
from worker.core.topology import Topology
from worker.couch.database import Database
from worker.couch.replicator import DATABASE as REPLICATOR
from worker.couch.replicator import Replicator
from worker.ops import choices, ledger, tuning
from worker.ops.choices import Choice
from worker.ops.control import Unattended
from worker.ops.own import ensure_own_database
from worker.ops.setup import Wanted, setup
from worker.ops.setup_result import SetupResult
from worker.ops.sync import sync

pytestmark = pytest.mark.contract


def run(site: Site, *names: str, **wanted: Any) -> SetupResult:
    """With links, however many databases of other people the nodes have: auto counts them all."""
    rules = Rules(default=Rule(mode=Mode.CONTINUOUS))
    return setup(site.cluster, Wanted(databases=names, **{"rules": rules, **wanted}), Unattended())


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


def test_a_dry_run_says_what_would_be_done_and_does_nothing(site: Site) -> None:
    name = site.name()
    builders.databases(site.cluster, name, ["b"])

    dry = run(site, name, dry_run=True, bidirectional=False).as_json()

    assert (dry["dry_run"], dry["changed"]) == (True, False)
    assert dry["databases"][name]["turned"] == "one way, from the primary"
    assert dry["steps"][0] == f"from now on {name} goes one way, from the primary"
    assert sorted(dry["databases"][name]["created_on"]) == ["a", "c"]
    assert Database(site.cluster["a"], name).info() is None
    if site.scheduler:
        assert sorted(dry["databases"][name]["links"]["created"]) == ["a -> b", "a -> c"]
        assert identity_of_links(site, name, "b") == set()
    assert not choices.is_one_way(site.cluster, site.cluster.names, name)
    done = run(site, name).as_json()
    assert done["counts"]["databases_created"] == dry["counts"]["databases_created"]
    again = run(site, name, dry_run=True).as_json()
    assert {key: count for key, count in again["counts"].items() if count and key.endswith("ed")} == (
        {"links_unchanged": len(pairs(site))} if site.scheduler else {}
    )


def test_a_database_deleted_on_one_node_is_made_again_only_for_who_asks(site: Site) -> None:
    name = site.name()
    run(site, name)
    site.cluster["b"].client.delete(name)

    seen = run(site, name, asked=False)

    assert seen.plan.removed == {name: ["b"]}
    assert seen.databases[name].removed_on == ["b"]
    assert Database(site.cluster["b"], name).info() is None
    if site.scheduler:
        assert sorted(seen.databases[name].links["deleted"]) == ["a -> b", "b -> a", "b -> c", "c -> b"]
        assert identity_of_links(site, name, "b") == set()
        assert sorted(seen.databases[name].links["unchanged"]) == ["a -> c", "c -> a"]

    asked = run(site, name)

    assert asked.databases[name].created_on == ["b"]
    assert Database(site.cluster["b"], name).info() is not None
    assert run(site, name, asked=False).as_json()["changed"] is False


def test_a_made_database_is_like_the_one_it_is_a_copy_of(scheduled: Site) -> None:
    name = scheduled.name()
    Database(scheduled.cluster["b"], name).create(partitioned=True, shards=3)

    run(scheduled, name)

    infos = [Database(server, name).info() for server in scheduled.cluster.servers.values()]
    assert {(info.partitioned, info.shards) for info in infos if info} == {(True, 3)}


def test_a_link_with_a_selector_carries_what_matches(scheduled: Site) -> None:
    name = scheduled.name()
    rules = Rules((Rule((name,), selector={"type": "note"}, mode=Mode.CONTINUOUS),))
    run(scheduled, name, rules=rules)
    databases = builders.databases(scheduled.cluster, name)

    databases["a"].bulk([{"_id": "other", "type": "draft"}, {"_id": "one", "type": "note"}])

    wait_for(scheduled, name, lambda: all(database.get("one") is not None for database in databases.values()))
    assert databases["b"].get("other") is None
    assert run(scheduled, name, rules=rules).as_json()["changed"] is False
    assert sorted(run(scheduled, name).databases[name].links["updated"]) == pairs(scheduled)


def test_links_follow_a_changed_rule(scheduled: Site) -> None:
    name = scheduled.name()
    run(scheduled, name)

    on_change = run(scheduled, name, rules=Rules(default=Rule(mode=Mode.ON_CHANGE)))
    assert sorted(on_change.databases[name].links["deleted"]) == pairs(scheduled)
    assert all(identity_of_links(scheduled, name, node) == set() for node in scheduled.cluster.names)

    star = run(scheduled, name, rules=Rules(default=Rule(topology=Topology.STAR, mode=Mode.CONTINUOUS)))
    assert sorted(star.databases[name].links["created"]) == ["a -> b", "a -> c", "b -> a", "c -> a"]


def test_a_kicked_link_is_made_anew_and_goes_on_where_it_was(scheduled: Site) -> None:
    name = scheduled.name()
    run(scheduled, name)
    replicator, identity = link(scheduled, name, "a", "b")
    before = replicator.get(identity)
    databases = builders.databases(scheduled.cluster, name)

    report = run(scheduled, name, kicks=frozenset({identity})).databases[name]

    assert report.links["kicked"] == ["a -> b"]
    after = replicator.get(identity)
    assert before is not None
    assert after is not None
    assert after["_rev"] != before["_rev"]
    databases["a"].put({"_id": "one"})
    wait_for(scheduled, name, lambda: databases["b"].get("one") is not None)


@pytest.fixture
def stock(scheduled: Site) -> Iterator[Site]:
    """Nodes as CouchDB comes, for as long as the test runs."""
    servers = scheduled.cluster.servers.values()
    before = {server.node.name: server.configuration("replicator") for server in servers}
    for server in servers:
        for key in tuning.VALUES:
            server.configure("replicator", key, tuning.DEFAULTS[key])
    yield scheduled
    for server in servers:
        for key in tuning.VALUES:
            server.configure("replicator", key, before[server.node.name].get(key, tuning.DEFAULTS[key]))


def test_nodes_are_tuned_where_that_is_asked_for_and_never_else(stock: Site) -> None:
    name = stock.name()
    untouched = run(stock, name)
    assert untouched.tuned == []
    for server in stock.cluster.servers.values():
        assert tuning.in_force(server.configuration("replicator"))["startup_jitter"] == "5000"

    told = run(stock, name, tune=True).tuned

    assert "b: [replicator] startup_jitter 5000 -> 0" in told
    assert len(told) == len(tuning.VALUES) * len(stock.cluster.names)
    for server in stock.cluster.servers.values():
        assert tuning.in_force(server.configuration("replicator"))["startup_jitter"] == "0"
    assert run(stock, name, tune=True).tuned == []


def test_a_stand_in_is_not_tuned(site: Site) -> None:
    if site.scheduler:
        pytest.skip("has options")
    assert run(site, site.name(), tune=True).tuned == []


# --- what is remembered on the nodes


def test_each_node_remembers_what_it_has_had(site: Site) -> None:
    name, other = site.name(), site.name()
    builders.databases(site.cluster, other, ["a"])

    run(site, name)

    for server in site.cluster.servers.values():
        assert name in ledger.read(server)
        assert other not in ledger.read(server) or server.node.name == "a"


def test_a_ledger_is_written_in_parts_and_read_whole(site: Site) -> None:
    server = site.cluster["a"]
    ensure_own_database(server)
    before = ledger.read(server)
    names = frozenset(site.name() for _ in range(40))

    ledger.write(server, before | names, before)
    assert ledger.read(server) == before | names
    ledger.write(server, before, before | names)
    assert ledger.read(server) == before


def test_a_direction_is_remembered_until_it_is_said_otherwise(site: Site) -> None:
    name = site.name()

    assert turned(run(site, name, bidirectional=False), name) == (1, "one way, from the primary", True)
    assert turned(run(site, name, bidirectional=False), name) == (0, None, False)
    for node in site.cluster.names:
        assert choices.is_one_way(site.cluster, [node], name)
        assert choices.read(site.cluster[node])[name].one_way
    later = run(site, name, asked=False).databases[name]
    if site.scheduler:
        assert sorted(later.links["unchanged"]) == ["a -> b", "a -> c"]

    assert turned(run(site, name), name) == (1, "as the rules say", True)
    assert turned(run(site, name), name) == (0, None, False)
    assert not any(choices.is_one_way(site.cluster, [node], name) for node in site.cluster.names)


def test_what_goes_one_way_by_rule_is_not_turned_by_who_says_so_too(site: Site) -> None:
    name = site.name()
    rules = Rules(default=Rule(mode=Mode.CONTINUOUS, direction=Direction.ONE_WAY))
    run(site, name, rules=rules)
    assert turned(run(site, name, rules=rules, bidirectional=False), name) == (0, None, False)
    assert turned(run(site, name, rules=rules), name) == (0, None, False)


def test_a_direction_that_no_node_noted_was_not_turned() -> None:
    site = fake_site(couch := FakeCouch("a", "b", "c"))
    name = site.name()
    run(site, name)
    for node in couch.nodes.values():
        node.fail("403", path="_bulk_docs")
    refused = run(site, name, bidirectional=False)
    assert turned(refused, name)[:2] == (0, None)
    assert len([line for line in refused.applied.failures if "the direction could not be noted" in line]) == 3
    couch["b"].heal()
    assert turned(run(site, name, bidirectional=False), name)[:2] == (1, "one way, from the primary")


def turned(result: SetupResult, name: str) -> tuple[int, str | None, bool]:
    told = result.as_json()
    return told["counts"]["databases_turned"], told["databases"][name]["turned"], told["changed"]


def test_a_node_that_missed_a_choice_is_told_by_the_next_reconcile_and_the_newest_counts(site: Site) -> None:
    name = site.name()
    run(site, name)
    for node in site.cluster.names:
        ensure_own_database(site.cluster[node])
    choices.write(site.cluster["b"], {name: Choice(1_000.0, one_way=True)})  # made while the others were away

    assert choices.is_one_way(site.cluster, site.cluster.names, name)
    run(site, name, asked=False)
    assert choices.is_one_way(site.cluster, ["a"], name)

    choices.write(site.cluster["c"], {name: Choice(2_000.0, one_way=False)})  # and taken back, while those were
    assert not choices.is_one_way(site.cluster, site.cluster.names, name)
    run(site, name, asked=False)
    assert not choices.is_one_way(site.cluster, ["b"], name)


def test_a_direction_is_noted_for_many_databases_and_twice_changes_nothing(site: Site) -> None:
    server, names = site.cluster["a"], [site.name() for _ in range(5)]
    ensure_own_database(server)

    for _ in range(2):
        choices.write(server, dict.fromkeys(names, Choice(1.0, one_way=True)))
        assert {name: choices.read(server)[name].one_way for name in names} == dict.fromkeys(names, True)
    for _ in range(2):
        choices.write(server, dict.fromkeys(names, Choice(2.0, one_way=False)))
        assert {name: choices.read(server)[name].one_way for name in names} == dict.fromkeys(names, False)


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

    def rewritten() -> bool:
        """A set-up that looked before CouchDB wrote into the document, that it has ended, is told of a conflict."""
        links = run(scheduled, name).databases[name].links
        return links.get("updated") == ["a -> b"] and len(links["unchanged"]) == len(pairs(scheduled)) - 1

    assert wait_until(rewritten, DEADLINE)
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
    found = {str(document["_id"]) for document in Replicator(site.cluster[target]).stored("nbr:")}
    return {identity for identity in found if identity.endswith(f":{name}")}


def test_the_scheduler_lists_our_links(scheduled: Site) -> None:
    name = scheduled.name()
    run(scheduled, name)
    wanted = {replication_document_id(name, source, "c") for source in scheduled.cluster.names if source != "c"}

    def listed() -> bool:
        rows = Replicator(scheduled.cluster["c"]).documents()
        return wanted <= {str(row["doc_id"]) for row in rows if row["state"] == "running"}

    wait_for(scheduled, name, listed)
