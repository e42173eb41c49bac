from __future__ import annotations

from typing import Any

import pytest

from tasks.jobs import Request
from tests.unit.api.world import World

VERIFY = "/api/replication/verify"


def ask(world: World, **body: Any) -> Any:
    return world.client.post(VERIFY, json={"database": "pdfs", **body})


def test_a_verify_is_queued_and_says_where_to_look(world: World) -> None:
    world.databases("pdfs")

    answer = ask(world)

    body = answer.get_json()
    assert (answer.status_code, answer.headers["Location"]) == (202, f"/api/jobs/{body['id']}")
    assert (body["kind"], body["database"], body["state"]) == ("verify", "pdfs", "queued")
    assert body["params"] == {"database": "pdfs", "nodes": None, "repair": False}
    assert world.published == [body["id"]]


def test_nodes_and_repair_reach_the_job(world: World) -> None:
    world.databases("pdfs")

    body = ask(world, nodes=["replica1", "primary"], repair=True).get_json()

    assert body["params"] == {"database": "pdfs", "nodes": ["primary", "replica1"], "repair": True}


def test_waiting_answers_with_the_result(world: World) -> None:
    world.databases("pdfs")

    def end(job_id: str, _request: Request) -> None:
        world.finish(job_id, {"equal": True})

    world.on_publish = end

    answer = ask(world, wait=True)

    assert (answer.status_code, answer.get_json()["result"]) == (200, {"equal": True})


def test_an_equal_verify_that_is_queued_is_not_queued_twice_and_another_is(world: World) -> None:
    world.databases("pdfs")
    first = ask(world, nodes=["primary", "replica1"]).get_json()

    again = ask(world, nodes=["replica1", "primary"]).get_json()
    other = ask(world, nodes=["primary", "replica1"], repair=True).get_json()

    assert (again["id"], again["deduplicated"]) == (first["id"], True)
    assert other["id"] != first["id"]


def test_a_verify_does_not_stand_in_for_a_sync(world: World) -> None:
    first = world.sync().get_json()

    assert ask(world).get_json()["id"] != first["id"]


def test_an_unknown_database_is_404_with_the_nearest_names(world: World) -> None:
    world.databases("pdfs", "categories")

    answer = ask(world, database="pdf")

    assert (answer.status_code, answer.get_json()["nearest"]) == (404, ["pdfs"])
    assert world.published == []


def test_unknown_nodes_are_422_with_the_known_ones(world: World) -> None:
    world.databases("pdfs")

    answer = ask(world, nodes=["primary", "replica9", "backup"])

    known = ", ".join(node.name for node in world.settings.nodes)
    message = f"not configured: 'backup', 'replica9'; known: {known}"
    assert answer.status_code == 422
    assert answer.get_json()["errors"] == [{"field": "nodes", "message": message}]
    assert world.published == []


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ("primary", "must be a list of node names"),
        (None, "must be a list of node names"),
        ([1, 2], "must be a list of node names"),
        ([], "needs two or more different nodes; leave the field out for all"),
        (["primary"], "needs two or more different nodes; leave the field out for all"),
        (["primary", "primary"], "needs two or more different nodes; leave the field out for all"),
    ],
)
def test_nodes_that_make_no_sense_are_422(world: World, nodes: Any, message: str) -> None:
    answer = ask(world, nodes=nodes)

    assert answer.status_code == 422
    assert answer.get_json()["errors"] == [{"field": "nodes", "message": message}]


def test_a_repeated_request_gets_the_first_job(world: World) -> None:
    world.databases("pdfs")
    first, again = (
        world.client.post(VERIFY, json={"database": "pdfs"}, headers={"Idempotency-Key": "k"}).get_json()
        for _ in range(2)
    )

    assert again["id"] == first["id"]
