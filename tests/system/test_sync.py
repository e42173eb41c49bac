"""Sync, from the POST to the same leaves on every node."""

from __future__ import annotations

import secrets
import threading
from typing import Any

import pytest

from tests.system.conftest import Fresh
from tests.system.couch import Couch
from tests.system.harness import Api, System, wait_until

pytestmark = pytest.mark.system

PDF = b"%PDF-1.7\n" + bytes(range(256)) * 700  # no valid text in any encoding


def diverge(database: str, nodes: list[Couch]) -> None:
    """Different documents, conflicts, deletions and attachments on the first two nodes; nothing on the third."""
    one, two = nodes[0], nodes[1]
    for node in (one, two):
        node.create(database)
        node.fill(database, 20, start=0 if node is one else 20)
    rev = one.put(database, {"_id": "paper", "title": "with bytes"})
    rev = one.attach(database, "paper", rev, "paper.pdf", PDF, "application/pdf")
    one.attach(database, "paper", rev, "note.txt", "Grüße\n".encode(), "text/plain")
    one.force(database, {"_id": "conflict", "_rev": f"1-{'a' * 32}", "on": "one"})
    two.force(database, {"_id": "conflict", "_rev": f"1-{'b' * 32}", "on": "two"})
    for node in (one, two):  # deleted on both, by different revisions, and once deleted on one alone
        node.delete(database, "gone", node.put(database, {"_id": "gone", "on": node.name}))
    two.delete(database, "doc-000020", two.call("GET", f"{database}/doc-000020")["_rev"])
    one.put(database, {"_id": "_design/views", "views": {"all": {"map": "function (doc) { emit(doc._id); }"}}})


def assert_same(database: str, nodes: list[Couch]) -> None:
    first = nodes[0].leaves(database)
    digests = nodes[0].attachment_digests(database)
    for node in nodes[1:]:
        assert node.leaves(database) == first
        assert node.attachment_digests(database) == digests


def test_a_waited_sync_brings_every_leaf_and_attachment_to_all_nodes(
    api: Api, nodes: list[Couch], fresh: Fresh
) -> None:
    database = fresh()
    diverge(database, nodes)

    answer = api.sync(database, wait=True)

    assert answer.status_code == 200
    job = answer.json()
    assert job["state"] == "succeeded"
    assert job["attempts"] == 1
    result = job["result"]
    assert result["caught_up"] is True
    assert result["created_on"] == ["replica2"]
    assert result["skipped"] == []
    leaves = nodes[2].leaves(database)
    assert leaves["conflict"] == [f"1-{'a' * 32}", f"1-{'b' * 32}"]
    assert len(leaves["gone"]) == 2
    assert {"paper", "doc-000000", "doc-000039", "doc-000020", "_design/views"} <= leaves.keys()
    assert nodes[2].attachment_digests(database).keys() == {"paper/paper.pdf", "paper/note.txt"}
    assert_same(database, nodes)


def test_what_is_known_of_a_database_follows_what_happens_in_it(
    system: System, api: Api, nodes: list[Couch], fresh: Fresh
) -> None:
    database = fresh()
    diverge(database, nodes)
    assert api.sync(database, wait=True).json()["state"] == "succeeded"
    looked_at: set[str] = set()

    def told(conflicts: int, documents: int) -> bool:
        found = api.get(f"/api/databases/{database}")
        said = found.json()
        if found.status_code == 200 and said["observed_at"] and said["observed_at"] not in looked_at:
            looked_at.add(said["observed_at"])
            system.parts.publisher.soon("conflicts")  # not only when a minute is over
        if found.status_code != 200 or said["conflicts"] is None:
            return False
        known = {copy["documents"] for copy in said["by_node"]}
        return bool(said["conflicts"]["count"] == conflicts and known == {documents})

    documents = 20 + 20 - 1 + len(("paper", "conflict", "_design/views"))
    wait_until(lambda: told(1, documents), "the conflict is counted")
    assert api.get(f"/api/databases/{database}").json()["conflicted"] == ["conflict"]
    assert database in {row["name"] for row in api.get("/api/databases?only=conflicts").json()["databases"]}

    for node in nodes:
        node.delete(database, "conflict", f"1-{'a' * 32}")
    nodes[0].put(database, {"_id": "one-more"})
    assert api.sync(database, wait=True).json()["state"] == "succeeded"

    wait_until(lambda: told(0, documents + 1), "the conflict is resolved")
    assert api.get(f"/api/databases/{database}").json()["conflicted"] == []
    history = api.get("/api/nodes/primary/history").json()
    assert history["points"][-1]["latency_ms"] > 0
    assert history["points"][-1]["state"] == "healthy"


def test_a_second_sync_writes_nothing(api: Api, nodes: list[Couch], fresh: Fresh) -> None:
    database = fresh()
    diverge(database, nodes)
    assert api.sync(database, wait=True).json()["state"] == "succeeded"
    before = [node.update_seq(database) for node in nodes]

    result = api.sync(database, wait=True).json()["result"]

    assert sum(pull["docs_written"] for pull in result["pulls"]) == 0
    assert result["created_on"] == []
    assert [node.update_seq(database) for node in nodes] == before


def test_without_wait_the_answer_says_where_to_look_until_the_job_ends(
    api: Api, nodes: list[Couch], fresh: Fresh
) -> None:
    database = fresh(on=nodes)
    nodes[1].fill(database, 5)

    answer = api.sync(database)

    assert answer.status_code == 202
    job_id = answer.json()["id"]
    assert answer.headers["Location"] == f"/api/jobs/{job_id}"
    assert int(answer.headers["Retry-After"]) >= 1
    assert answer.json()["state"] in {"queued", "running"}
    job = wait_until(lambda: ended(api, answer.headers["Location"]), "the job ends")
    assert job["state"] == "succeeded"
    assert job["started_at"] >= job["created_at"]
    assert job["finished_at"] >= job["started_at"]
    assert_same(database, nodes)


def ended(api: Api, location: str) -> dict[str, Any] | None:
    job = api.get(location).json()
    return job if job["finished_at"] else None


def test_prefer_wait_bounds_how_long_an_answer_is_held(system: System, nodes: list[Couch], fresh: Fresh) -> None:
    database, api = fresh(on=nodes), system.api
    with system.held("replica1"):
        at_once = api.sync(database, headers={"Prefer": "wait=0"}, wait=True)
        assert at_once.status_code == 202
        assert at_once.elapsed.total_seconds() < 1
        api.wait_state(at_once.json()["id"], "running")

        a_second = api.sync(database, headers={"Prefer": "wait=1"})
        assert a_second.status_code == 202
        assert a_second.headers["Preference-Applied"] == "wait=1"
        assert 1 <= a_second.elapsed.total_seconds() < 3

    assert api.wait_succeeded(a_second.json()["id"])["attempts"] == 1


def test_events_tell_of_each_state_and_then_end(system: System, nodes: list[Couch], fresh: Fresh) -> None:
    database, api = fresh(on=nodes), system.api
    with system.held("replica1") as road:
        system.start_held_sync(database, road)
        job_id = api.start_sync(database)  # queued behind the first, so that its whole life can be watched
        states: list[str] = []
        first = threading.Event()

        def follow() -> None:
            for job in api.events(job_id):
                if job["state"] not in states[-1:]:
                    states.append(job["state"])
                first.set()

        follower = threading.Thread(target=follow)
        follower.start()
        assert first.wait(10)
        assert states == ["queued"]

    follower.join(30)
    assert not follower.is_alive(), "the stream did not end"
    assert states == ["queued", "running", "succeeded"]


def test_two_jobs_for_one_database_never_overlap(system: System, nodes: list[Couch], fresh: Fresh) -> None:
    database, api = fresh(on=nodes), system.api
    with system.held("replica1") as road, system.store() as store:
        first = system.start_held_sync(database, road)
        second = api.start_sync(database)
        assert second != first
        # a worker has looked at the second one and put it aside
        wait_until(lambda: second in store.lrange(f"nbr:waiting:database:{database}", 0, -1), "the second waits")
        assert api.job(second)["state"] == "queued"
        assert api.job(first)["state"] == "running"

    assert api.wait_succeeded(first)["attempts"] == 1
    assert api.wait_succeeded(second)["attempts"] == 1
    ends = system.logged("job ended", job_id=first)
    starts = system.logged("job started", job_id=second)
    assert len(ends) == len(starts) == 1
    assert ends[0]["timestamp"] <= starts[0]["timestamp"]


def test_progress_names_the_phase_while_a_job_runs(system: System, nodes: list[Couch], fresh: Fresh) -> None:
    database = fresh(on=nodes)
    with system.held("replica1") as road:
        job_id = system.start_held_sync(database, road)
        job = wait_until(lambda: gathering(system.api, job_id), "progress is told")
        assert job["progress"]["unit"] in {"pulls", "changes"}
    system.api.wait_succeeded(job_id)


def gathering(api: Api, job_id: str) -> dict[str, Any] | None:
    job = api.job(job_id)
    return job if job["progress"] and job["progress"]["phase"] == "gather" else None


def test_a_database_made_a_second_ago_is_found(api: Api, nodes: list[Couch], fresh: Fresh) -> None:
    database = fresh()
    nodes[2].create(database)

    answer = api.sync(database, wait=True)

    assert answer.status_code == 200, answer.text
    assert sorted(answer.json()["result"]["created_on"]) == ["primary", "replica1"]


def test_a_name_with_every_permitted_character_is_synced(api: Api, nodes: list[Couch], fresh: Fresh) -> None:
    slash = "/" if nodes[0].schedules else "-"  # the stand-in takes no slash
    database = fresh(prefix=f"a0_$()+-{slash}x")
    nodes[0].create(database)
    nodes[0].fill(database, 2)

    assert api.sync(database, wait=True).json()["state"] == "succeeded"

    assert_same(database, nodes)


def test_many_databases_at_once_all_end_in_step(api: Api, nodes: list[Couch], fresh: Fresh) -> None:
    databases = [fresh(on=nodes) for _ in range(8)]
    for number, database in enumerate(databases):
        nodes[number % 3].put(database, {"_id": secrets.token_hex(4)})

    jobs = [api.start_sync(database) for database in databases]

    for job_id, database in zip(jobs, databases, strict=True):
        assert api.wait_succeeded(job_id)["result"]["caught_up"] is True
        assert_same(database, nodes)
