"""What happened, as the API tells it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.api.world import BEARER, TOKEN, World, settings
from worker.core.events import Event

CURSOR = "must be a cursor from an earlier answer"


def record(world: World, node: str = "replica1", kind: str = "node.state", **data: Any) -> Event:
    return world.events.record(kind, at=world.now, detail="connection refused", severity="error", node=node, **data)


def test_an_event_as_it_is_answered(world: World) -> None:
    event = record(world, to="down", failure="refused")

    assert world.client.get("/api/events").get_json() == {
        "events": [
            {
                "id": event.id,
                "type": "node.state",
                "at": "2026-11-23T15:00:00.123Z",
                "severity": "error",
                "detail": "connection refused",
                "node": "replica1",
                "database": None,
                "data": {"from": None, "to": "down", "failure": "refused"},
            }
        ],
        "next": None,
    }


def test_newest_first_page_by_page_and_followed_oldest_first(world: World) -> None:
    made = [record(world).id for _ in range(3)]

    def get(query: str) -> tuple[list[str], str | None]:
        body = world.client.get(f"/api/events?{query}").get_json()
        return [event["id"] for event in body["events"]], body["next"]

    assert get("limit=2") == (made[:0:-1], made[1])
    assert get(f"limit=2&before={made[1]}") == ([made[0]], None)
    assert get(f"limit=1&after={made[0]}") == ([made[1]], made[1])
    assert get(f"after={made[2]}") == ([], None)


def test_by_type_and_node(world: World) -> None:
    record(world)
    moved = record(world, "primary", "primary.moved")

    for query in ("type=primary.moved", "node=primary", "type=primary.moved&node=primary"):
        body = world.client.get(f"/api/events?{query}").get_json()
        assert [event["id"] for event in body["events"]] == [moved.id]


@pytest.mark.parametrize(
    ("query", "field", "message"),
    [
        ("before=now", "before", CURSOR),
        ("after=1795446000123", "after", CURSOR),
        ("after=-1-0", "after", CURSOR),
        ("after=01-0", "after", CURSOR),
        ("after=1-0%0a", "after", CURSOR),
        ("after=$", "after", CURSOR),
        ("before=99999999999999999999-0", "before", CURSOR),
        ("limit=201", "limit", "Input should be less than or equal to 200"),
        ("node=", "node", "must not be empty"),
        ("database=pdfs", "database", "is unknown here; known: after, before, limit, type, node"),
    ],
)
def test_a_query_that_is_wrong_is_422_and_named(world: World, query: str, field: str, message: str) -> None:
    answer = world.client.get(f"/api/events?{query}")
    assert answer.status_code == 422
    assert answer.get_json()["errors"] == [{"field": field, "message": message}]


def test_an_unknown_type_is_422_with_the_known_ones(world: World) -> None:
    answer = world.client.get("/api/events?type=node.exploded")
    assert answer.status_code == 422
    assert "node.rejoin-failed" in answer.get_json()["detail"]


def test_a_token_is_needed() -> None:
    world = World(settings(api_tokens=TOKEN))
    assert world.client.get("/api/events").status_code == 401
    assert world.client.get("/api/events", headers=BEARER).status_code == 200


def test_without_redis_it_is_503(world: World) -> None:
    answer = world.without_redis().get("/api/events")
    assert answer.status_code == 503
    assert answer.get_json()["type"].endswith(":store-unavailable")
