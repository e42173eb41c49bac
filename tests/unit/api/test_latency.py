"""What is counted of each request, and that callers cannot make more of it than there are routes."""

from __future__ import annotations

import pytest

from api.latency import METHODS
from tests.unit.api.metrics.scraped import scrape
from tests.unit.api.world import World, settings

COUNT = "nbr_api_request_duration_seconds_count"
TOKEN = "a-token-of-sixteen-characters"


def counted(world: World, **options: object) -> dict[tuple[str, ...], float]:
    """(method, route, status) -> requests."""
    return scrape(world.client, **options)[COUNT]


def test_requests_are_told_by_their_route_and_not_by_their_address(world: World) -> None:
    for name in ("primary", "replica1", "nowhere"):
        world.client.get(f"/api/nodes/{name}")

    assert counted(world) == {("GET", "/api/nodes/<name>", "2xx"): 2, ("GET", "/api/nodes/<name>", "4xx"): 1}


def test_whatever_strangers_ask_for_is_a_handful_of_series(world: World) -> None:
    for number in range(300):
        world.client.get(f"/no/such/place/{number}")
        world.client.open("/api/jobs", method=f"METHOD{number}")

    assert counted(world) == {("GET", "other", "4xx"): 300, ("other", "other", "4xx"): 300}


@pytest.mark.parametrize("method", sorted(METHODS - {"HEAD", "GET"}))
def test_a_method_that_an_address_does_not_take_is_no_route(world: World, method: str) -> None:
    world.client.open("/api/health", method=method)

    assert counted(world) == {(method, "other", "4xx"): 1}


def test_those_that_are_refused_before_any_route_count_too() -> None:
    world = World(settings=settings(api_tokens=TOKEN))
    world.client.get("/api/jobs")
    world.client.get("/api/jobs", headers={"Host": "elsewhere.example"})

    found = counted(world, headers={"Authorization": f"Bearer {TOKEN}"})

    assert found == {("GET", "/api/jobs", "4xx"): 2}


def test_a_defect_of_ours_counts_as_one(world: World) -> None:
    world.redis.set("nbr:seen:sweep", "no JSON")
    world.client.get("/api/nodes")
    world.redis.delete("nbr:seen:sweep")

    assert counted(world) == {("GET", "/api/nodes", "5xx"): 1}


def test_seconds_add_up_below_their_bounds(world: World) -> None:
    world.client.get("/api/nodes")

    found = scrape(world.client)

    (seconds,) = found["nbr_api_request_duration_seconds_sum"].values()
    assert 0 < seconds < 60
    assert found["nbr_api_request_duration_seconds_bucket"][("60.0", "GET", "/api/nodes", "2xx")] == 1


def test_two_apps_count_apart() -> None:
    one, other = World(), World()
    one.client.get("/api/nodes")

    assert COUNT not in scrape(other.client)
