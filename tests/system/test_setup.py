"""Setup, and what status, info and health then say is in force: links on CouchDB, the periodic pass elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.system.conftest import AUTO, NAMES, Fresh
from tests.system.couch import Couch
from tests.system.harness import Api, System, wait_until

pytestmark = pytest.mark.system

PAIRS = {f"{source} -> {target}" for source in NAMES for target in NAMES if source != target}
LOOKS = ("/api/health", "/api/nodes", *(f"/api/replication/{what}" for what in ("status", "health", "info")))


@pytest.fixture
def mode(nodes: list[Couch]) -> str:
    """What must be in force on these nodes."""
    return "continuous" if nodes[0].schedules else "on-change"


def test_setup_makes_databases_and_links_and_says_what_was_so(
    api: Api, nodes: list[Couch], fresh: Fresh, mode: str
) -> None:
    database = fresh(prefix=AUTO)  # nobody has it: else the system makes it everywhere before we ask

    job = api.setup(database=database, bidirectional=True, wait=True).json()

    assert job["state"] == "succeeded", job
    assert job["result"]["mode"] == mode
    assert job["result"]["changed"] is True
    report = job["result"]["databases"][database]
    assert report["already_on"] == []
    assert sorted(report["created_on"]) == sorted(NAMES)
    assert set(report["links"].get("created", [])) == (PAIRS if mode == "continuous" else set())
    for node in nodes:
        assert database in node.databases()


def test_a_database_that_somebody_makes_is_made_everywhere_by_itself_with_its_security(
    nodes: list[Couch], fresh: Fresh, api: Api, mode: str
) -> None:
    if mode != "continuous":
        pytest.skip("a stand-in keeps no _security")
    database = fresh(prefix=AUTO)
    # secured before anybody else can have seen it: the next look comes within a second
    nodes[0].create(database)
    nodes[0].call("PUT", f"{database}/_security", {"members": {"names": ["reader"], "roles": []}})

    wait_until(lambda: all(database in node.databases() for node in nodes), "it is on all nodes")

    def told() -> set[str]:
        # 404 until a sweep has seen the database
        said = api.get(f"/api/replication/status?database={database}").json()
        return set(said.get("security_differs", {}).get(database, []))

    # as the others were made after it was secured, or before: they have it too, or it is told that they differ
    wait_until(lambda: members(nodes, database) == {"reader"} or told(), "it is the same everywhere, or told")


def members(nodes: list[Couch], database: str) -> set[str]:
    found = [node.call("GET", f"{database}/_security").get("members", {}).get("names", []) for node in nodes]
    return set.intersection(*map(set, found)) if all(found) else set()


def test_setup_twice_changes_nothing_the_second_time(api: Api, fresh: Fresh, mode: str) -> None:
    database = fresh(prefix=AUTO)
    assert api.setup(database=database, wait=True).json()["result"]["changed"] is True

    result = api.setup(database=database, wait=True).json()["result"]

    assert result["changed"] is False
    report = result["databases"][database]
    assert sorted(report["already_on"]) == sorted(NAMES)
    assert report["created_on"] == []
    if mode == "continuous":
        assert set(report["links"]["unchanged"]) == PAIRS
        assert not {"created", "updated", "deleted"} & report["links"].keys()


def test_after_setup_a_write_on_any_node_reaches_the_others_by_itself(
    api: Api, nodes: list[Couch], fresh: Fresh
) -> None:
    database = fresh(prefix=AUTO, on=nodes[:1])
    assert api.setup(database=database, wait=True).json()["state"] == "succeeded"

    for writer in nodes:
        writer.put(database, {"_id": f"from-{writer.name}"})

    for reader in nodes:
        for writer in nodes:
            wait_until(there(reader, database, f"from-{writer.name}"), f"{reader.name} has what {writer.name} wrote")


def there(node: Couch, database: str, document_id: str) -> Callable[[], bool]:
    return lambda: node.has(database, document_id)


def test_the_periodic_pass_is_still_when_nothing_changes(
    system: System, nodes: list[Couch], fresh: Fresh, mode: str
) -> None:
    api = system.api
    if mode == "continuous":
        pytest.skip("continuous links are in force on these nodes")
    database = fresh(prefix=AUTO, on=nodes)
    nodes[0].put(database, {"_id": "one"})
    wait_until(lambda: states(api, database) == {"in-step"}, "the pass has found the database in step")
    synced = synced_at(system, database)
    observed = api.get("/api/replication/status").json()["links"][0]["observed_at"]

    # three more passes
    for _ in range(3):
        observed = wait_until(lambda was=observed: newer(api, database, was), "another pass")

    assert synced_at(system, database) == synced
    assert api.jobs(database) == [], "what travels by itself makes no jobs"


def synced_at(system: System, database: str) -> str:
    with system.store() as store:
        found = store.hget("nbr:seen:synced", database)
    assert found is not None
    return found


def states(api: Api, database: str) -> set[str]:
    answer = api.get(f"/api/replication/status?database={database}")
    return {link["state"] for link in answer.json().get("links", [])}


def newer(api: Api, database: str, than: str) -> str | None:
    links = api.get(f"/api/replication/status?database={database}").json()["links"]
    observed = links[0]["observed_at"]
    return observed if observed > than else None


def test_status_info_and_health_show_what_is_in_force(api: Api, nodes: list[Couch], fresh: Fresh, mode: str) -> None:
    database = fresh(prefix=AUTO, on=nodes[:1])
    assert api.setup(database=database, wait=True).json()["state"] == "succeeded"
    good = {"running", "pending"} if mode == "continuous" else {"in-step"}

    links = wait_until(lambda: all_links(api, database, good), "status shows all six links at work", 60)
    info = api.get("/api/replication/info").json()
    health = wait_until(lambda: healthy(api), "the cluster is healthy")

    assert {f"{link['source']} -> {link['target']}" for link in links} == PAIRS
    assert all(link["observed_at"] for link in links)
    assert all(link["last_error"] is None for link in links)
    assert info["mode"] == mode
    assert info["mode_reason"]
    assert info["topology"] == "mesh"
    assert [(node["name"], node["role"]) for node in info["nodes"]] == [
        ("primary", "primary"),
        ("replica1", "replica"),
        ("replica2", "replica"),
    ]
    assert info["settings"]["JOB_LEASE_SECONDS"] == 15
    assert {node["name"]: node["state"] for node in health["nodes"]} == dict.fromkeys(NAMES, "healthy")
    assert all(node["version"] and node["latency_ms"] > 0 for node in health["nodes"])


def all_links(api: Api, database: str, good: set[str]) -> list[dict[str, Any]] | None:
    links = api.get(f"/api/replication/status?database={database}").json().get("links", [])
    return links if len(links) == len(PAIRS) and {link["state"] for link in links} <= good else None


def healthy(api: Api) -> dict[str, Any] | None:
    said: dict[str, Any] = api.get("/api/replication/health").json()
    return said if said["status"] == "healthy" else None


def test_nothing_that_is_told_has_a_credential_in_it(api: Api, nodes: list[Couch]) -> None:
    for path in LOOKS:
        text = api.get(path).text
        for node in nodes:
            assert node.password not in text
            assert "@" not in text


def test_the_service_says_that_it_can_take_jobs(system: System) -> None:
    def ok() -> dict[str, Any] | None:
        answer = system.api.get("/api/health")
        return answer.json() if answer.json()["status"] == "ok" else None

    said = wait_until(ok, "everything is well")

    assert said["redis"] == {"ok": True, "detail": None}
    assert said["workers"]["count"] == 1
    assert said["beat"]["ok"] is True
    assert {node["state"] for node in said["nodes"]} == {"healthy"}
