"""The picture of the whole: what travels between each two nodes, in one row."""

from __future__ import annotations

from typing import Any

import pytest

from api.topology import merged, of_links, of_passes, state_of
from api.topology_schemas import PairBody, PairState
from tasks.fresh import LONGEST_CANARY
from tests.unit.api.world import World, settings

NODES = ["primary", "replica1", "replica2"]
IN_STEP: dict[str, Any] = {"changed": {}, "lag": {}, "unseen": [], "in_step_count": 5}


def pairs(found: Any) -> dict[tuple[str, str], PairBody]:
    return {(one.source, one.target): one for one in found}


@pytest.mark.parametrize(
    ("states", "lag", "state"),
    [
        ({"running": 3}, 0, "well"),
        ({"running": 2, "initializing": 1}, 0, "well"),
        ({"running": 3}, 5, "behind"),
        ({"running": 3}, None, "unknown"),
        ({"running": 2, "unknown": 1}, 0, "unknown"),
        ({"in-step": 2, "behind": 1}, None, "behind"),
        ({"running": 2, "crashing": 1}, None, "broken"),
        ({"stalled": 1}, 7, "broken"),
        ({"in-step": 9, "behind": 1}, 0, "behind"),
        ({"in-step": 9, "failing": 1}, 0, "broken"),
    ],
    ids=str,
)
def test_the_worst_of_a_pair_is_its_state(states: dict[str, int], lag: int | None, state: str) -> None:
    assert state_of(states, lag) == state


def test_links_are_counted_by_pair() -> None:
    summary = {"pairs": {"replica1": {"primary": {"running": 2, "stalled": 1}}}, "behind": {"replica1": {"primary": 4}}}
    (found,) = of_links(summary, {("primary", "replica1"): {"seconds": 0.06}})
    assert found == PairBody(
        source="primary",
        target="replica1",
        state=PairState.BROKEN,
        databases=3,
        states={"running": 2, "stalled": 1},
        lag=4,
        seconds=0.06,
    )


def test_before_any_pass_nothing_is_known_of_what_travels_on_change() -> None:
    found = pairs(of_passes(NODES, 5, None, {}, {}))
    assert len(found) == 6
    assert {(one.state, one.lag, one.databases) for one in found.values()} == {("unknown", None, 5)}


def test_what_lacks_on_one_node_is_behind_from_the_others_that_have_it() -> None:
    last = {
        **IN_STEP,
        "changed": {"pdfs": ["primary"], "notes": ["primary"]},
        "lag": {"pdfs": {"primary": 3}, "notes": {"primary": 0}},
    }
    found = pairs(of_passes(NODES, 5, {**last, "in_step_count": 3}, {}, {}))
    for target in ("replica1", "replica2"):
        assert (found["primary", target].state, found["primary", target].lag) == ("behind", 3)
        assert found["primary", target].states == {"behind": 1, "in-step": 4}
    assert found["replica1", "primary"].state == "well"


def test_what_the_pass_could_not_compare_is_not_in_step() -> None:
    """It is on one node alone, or was made since."""
    found = pairs(of_passes(NODES, 6, IN_STEP, {}, {}))["primary", "replica1"]
    assert (found.state, found.lag, found.states) == ("unknown", None, {"in-step": 5, "unknown": 1})


def test_what_somebody_deleted_on_a_node_is_expected_on_the_others_alone() -> None:
    assert pairs(of_passes(NODES, 6, IN_STEP, {}, {}, 1))["primary", "replica1"].state == "well"


def test_lag_that_is_not_known_is_not_zero() -> None:
    last = {**IN_STEP, "changed": {"pdfs": ["primary"]}}
    found = pairs(of_passes(NODES, 5, last, {}, {}))
    assert (found["primary", "replica1"].state, found["primary", "replica1"].lag) == ("behind", None)


def test_a_node_that_was_not_seen_is_unknown_and_the_others_are_not() -> None:
    found = pairs(of_passes(NODES, 5, {**IN_STEP, "unseen": ["replica2"]}, {}, {}))
    unknown = {pair for pair, one in found.items() if one.state is PairState.UNKNOWN}
    assert unknown == {pair for pair in found if "replica2" in pair}


def test_a_database_whose_sync_fails_breaks_all_pairs() -> None:
    found = pairs(of_passes(NODES, 5, IN_STEP, {"pdfs": {"type": "forbidden"}}, {}))
    assert {one.state for one in found.values()} == {PairState.BROKEN}
    assert found["primary", "replica1"].states == {"failing": 1, "in-step": 4}


def test_links_and_what_travels_on_change_are_one_row() -> None:
    one = next(of_links({"pairs": {"replica1": {"primary": {"running": 2}}}, "behind": {}}, {}))
    other = pairs(of_passes(NODES, 3, {**IN_STEP, "in_step_count": 3}, {}, {}))["primary", "replica1"]
    (found,) = merged([one, other])
    assert (found.databases, found.states, found.lag) == (5, {"running": 2, "in-step": 3}, 0)


def test_nothing_is_known_before_the_first_sweep(world: World) -> None:
    told = world.client.get("/api/replication/topology").get_json()
    assert (told["observed_at"], told["status"], told["primary"], told["links"]) == (None, "unknown", None, [])
    assert [(node["name"], node["state"], node["role"]) for node in told["nodes"]] == [
        ("primary", "unknown", "primary"),
        ("replica1", "unknown", "replica"),
        ("replica2", "unknown", "replica"),
    ]


def test_the_acting_primary_is_marked_and_where_clients_go_is_told(world: World) -> None:
    world.save_sweep()
    world.seen.save_primary("replica1")
    standings = {"primary": {"state": "suspect", "way": "drain"}, "replica1": {"state": "healthy", "way": "ready"}}
    world.seen.save_standings(standings)
    nodes = {node["name"]: node for node in world.client.get("/api/replication/topology").get_json()["nodes"]}
    assert [name for name, node in nodes.items() if node["acting"]] == ["replica1"]
    ways = {name: node["clients"] for name, node in nodes.items()}
    assert ways == {"primary": "drain", "replica1": "ready", "replica2": None}


@pytest.mark.parametrize(("age", "seconds"), [(5, 0.06), (2 * 60 + LONGEST_CANARY + 1, None)])
def test_what_a_canary_took_long_ago_is_no_figure_of_now(age: float, seconds: float | None) -> None:
    world = World(settings=settings(canary_seconds=60))
    world.save_sweep()
    summary = {"states": {}, "lag": {}, "broken": 0, "behind": {}, "observed_at": world.now}
    world.replication.save_links({}, {**summary, "pairs": {"replica1": {"primary": {"running": 1}}}})
    arrival = {"source": "primary", "target": "replica1", "seconds": 0.06, "overdue": None, "error": None}
    world.replication.save_canary({"arrivals": [arrival], "observed_at": world.now - age})
    (link,) = world.client.get("/api/replication/topology").get_json()["links"]
    assert link["seconds"] == seconds


def test_a_node_that_is_configured_no_more_has_no_pair(world: World) -> None:
    sweep = world.save_sweep() or world.seen.sweep() or {}
    sweep["nodes"].append({**sweep["nodes"][0], "name": "gone"})  # as before the settings were changed
    world.seen.save_sweep(sweep, None)
    summary = {"states": {}, "lag": {}, "broken": 0, "behind": {}, "observed_at": world.now}
    summary["pairs"] = {"gone": {"primary": {"running": 1}}, "replica1": {"primary": {"running": 1}}}
    world.replication.save_links({}, summary)
    told = world.client.get("/api/replication/topology").get_json()
    assert [(link["source"], link["target"]) for link in told["links"]] == [("primary", "replica1")]
    assert world.client.get("/", headers={"Accept": "text/html"}).status_code == 200
