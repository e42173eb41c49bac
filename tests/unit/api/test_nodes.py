"""Readiness, maintenance, rejoin: what proxies and people ask of a node."""

from __future__ import annotations

from typing import Any

import pytest

from tasks.events import EventFilter
from tests.unit.api.world import World, settings

TOKEN = "a-token-of-sixteen-characters"


def stand(world: World, name: str = "replica1", *, age: float = 1.0, lag_age: float = 1.0, **more: Any) -> None:
    said = {"state": "healthy", "reason": None, "lag": 0, "way": "ready", "way_reason": None, **more}
    said |= {"observed_at": world.now - age, "lag_observed_at": world.now - lag_age}
    world.seen.save_standings({name: said})


def ready(world: World, query: str = "", name: str = "replica1") -> tuple[int, str | None]:
    answer = world.client.get(f"/api/nodes/{name}/ready{query}")
    body = answer.get_json()
    assert body["ready"] == (answer.status_code == 200)
    return answer.status_code, body["reason"]


@pytest.mark.parametrize(
    ("said", "query", "wanted"),
    [
        ({}, "", (200, None)),
        ({"lag": None}, "", (200, None)),
        ({"lag": 5}, "?max_lag=5", (200, None)),
        ({"lag": 6}, "?max_lag=5", (503, "it lags by 6 changes, more than 5")),
        ({"lag": None}, "?max_lag=5", (503, "its lag is not known")),
        ({"lag_age": 200}, "?max_lag=5", (503, "its lag is not known")),
        ({"age": 33}, "", (200, None)),
        ({"age": 34}, "", (503, "it was seen 34 s ago, and not within 33 s")),
        ({"age": 3}, "?max_age=2.5", (503, "it was seen 3 s ago, and not within 2.5 s")),
        ({"age": 50}, "?max_age=60", (200, None)),
        ({"way": "down", "way_reason": "recovering: 3 of 9"}, "", (503, "recovering: 3 of 9")),
        ({"way": "drain", "way_reason": "lags by 2000 changes"}, "", (503, "lags by 2000 changes")),
        ({"state": "suspect", "reason": "timed-out"}, "", (503, "timed-out")),
        ({"state": "recovering", "way_reason": "no better node is left"}, "", (200, None)),
        (
            {"state": "down", "way_reason": "no better node is left; refused"},
            "",
            (503, "no better node is left; refused"),
        ),
    ],
)
def test_whether_clients_may_be_sent_there(
    world: World, said: dict[str, Any], query: str, wanted: tuple[int, str | None]
) -> None:
    stand(world, **said)

    assert ready(world, query) == wanted


def test_before_the_first_sweep_nobody_is_ready(world: World) -> None:
    answer = world.client.get("/api/nodes/primary/ready")

    assert answer.status_code == 503
    body = answer.get_json()
    assert body == {
        "ready": False,
        "node": "primary",
        "state": "unknown",
        "reason": "no sweep has seen it yet",
        "lag": None,
        "observed_at": None,
    }


@pytest.mark.parametrize(
    "query", ["?max_lag=-1", "?max_lag=x", "?max_lag=1.5", "?max_age=0", "?max_age=nan", "?max_age=inf", "?lag=1"]
)
def test_a_wrong_bound_is_an_error_and_not_ready(world: World, query: str) -> None:
    stand(world)

    answer = world.client.get(f"/api/nodes/replica1/ready{query}")

    assert answer.status_code == 422, answer.text


def test_without_a_token_a_proxy_is_told_yes_or_no_and_no_more() -> None:
    world = World(settings=settings(api_tokens=TOKEN))
    stand(world, way="down", way_reason="down: timed-out: 10.0.0.7")

    answer = world.client.get("/api/nodes/replica1/ready")
    assert (answer.status_code, answer.get_json()) == (503, {"ready": False})
    told = world.client.get("/api/nodes/replica1/ready", headers={"Authorization": f"Bearer {TOKEN}"})
    assert told.get_json()["reason"] == "down: timed-out: 10.0.0.7"
    assert world.client.get("/api/nodes/replica1").status_code == 401


@pytest.mark.parametrize("call", [("GET", ""), ("GET", "/ready"), ("POST", "/rejoin"), ("POST", "/maintenance")])
def test_a_node_that_is_not_configured_is_404_with_names_that_look_alike(world: World, call: tuple[str, str]) -> None:
    method, path = call
    body = {"json": {"on": True}} if path == "/maintenance" else {}

    answer = world.client.open(f"/api/nodes/replca1{path}", method=method, **body)

    assert answer.status_code == 404
    problem = answer.get_json()
    assert problem["type"].endswith(":unknown-node")
    assert "replica1" in problem["nearest"]


def test_a_person_takes_a_node_out_at_once_and_lets_it_in_again(world: World) -> None:
    stand(world)

    answer = world.client.post("/api/nodes/replica1/maintenance", json={"on": True, "reason": "new disk"})

    assert answer.get_json() == {
        "node": "replica1",
        "on": True,
        "reason": "new disk",
        "since": "2026-11-23T15:00:00.123Z",
    }
    assert ready(world)[0] == 503, "whether or not anybody sweeps"
    assert world.wanted_soon == ["sweep"]
    world.client.post("/api/nodes/replica1/maintenance", json={"on": False})
    assert ready(world) == (200, None)
    told = world.events.list(EventFilter(), after="0-0").events
    assert [(event.type.value, event.node, event.data["on"]) for event in told] == [
        ("node.maintenance", "replica1", True),
        ("node.maintenance", "replica1", False),
    ]
    assert told[0].detail == "replica1 was taken out by anonymous: new disk"


@pytest.mark.parametrize("body", [{}, {"on": "true"}, {"on": 1}, {"on": True, "reason": ""}, {"on": True, "why": "x"}])
def test_maintenance_takes_no_half_word(world: World, body: dict[str, Any]) -> None:
    assert world.client.post("/api/nodes/replica1/maintenance", json=body).status_code == 422
    assert world.seen.maintenance() == {}


def test_a_rejoin_is_a_job_and_needs_no_body(world: World) -> None:
    answer = world.client.post("/api/nodes/replica1/rejoin")

    body = answer.get_json()
    assert answer.status_code == 202
    assert answer.headers["Location"] == f"/api/jobs/{body['id']}"
    assert (body["kind"], body["params"]) == ("rejoin", {"node": "replica1", "asked": True})
    again = world.client.post("/api/nodes/replica1/rejoin", json={}).get_json()
    assert (again["id"], again["deduplicated"]) == (body["id"], True)


def test_the_acting_primary_is_told(world: World) -> None:
    world.save_sweep()
    assert world.client.get("/api/nodes").get_json()["primary"] is None
    world.seen.save_primary("replica1")

    assert world.client.get("/api/nodes").get_json()["primary"] == "replica1"
