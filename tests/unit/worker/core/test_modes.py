from __future__ import annotations

import pytest

from worker.core.modes import Load, Wish, automatic
from worker.core.observed import NodeFound, Observed
from worker.core.rules import Mode
from worker.core.topology import Topology

AB, ABC = ("a", "b"), ("a", "b", "c")


def observed(*names: str, **more: int) -> Observed:
    return {name: NodeFound(frozenset(), **more) for name in names}  # type: ignore[arg-type]


def wish(databases: int, mode: Mode = Mode.AUTO, topology: Topology = Topology.MESH, *, both: bool = True) -> Wish:
    return Wish(mode, topology, both, databases)


@pytest.mark.parametrize(("databases", "mode"), [(0, Mode.CONTINUOUS), (250, Mode.CONTINUOUS), (251, Mode.ON_CHANGE)])
def test_links_are_used_while_they_take_no_more_than_half_of_the_slots(databases: int, mode: Mode) -> None:
    assert automatic([wish(databases)], AB, observed(*AB), earlier=None)[0] is mode


@pytest.mark.parametrize(
    ("databases", "earlier", "mode"),
    [
        (226, Mode.CONTINUOUS, Mode.CONTINUOUS),
        (226, None, Mode.CONTINUOUS),
        (226, Mode.ON_CHANGE, Mode.ON_CHANGE),
        (250, Mode.ON_CHANGE, Mode.ON_CHANGE),
        (225, Mode.ON_CHANGE, Mode.CONTINUOUS),
        (251, Mode.CONTINUOUS, Mode.ON_CHANGE),
    ],
)
def test_one_database_more_or_less_does_not_rewrite_every_link(
    databases: int, earlier: Mode | None, mode: Mode
) -> None:
    assert automatic([wish(databases)], AB, observed(*AB), earlier=earlier)[0] is mode


def test_replications_of_other_people_take_slots_too() -> None:
    assert automatic([wish(200)], AB, observed(*AB, foreign_jobs=50), earlier=None)[0] is Mode.CONTINUOUS
    assert automatic([wish(200)], AB, observed(*AB, foreign_jobs=51), earlier=None)[0] is Mode.ON_CHANGE


def test_the_slots_are_those_of_the_node() -> None:
    assert automatic([wish(50)], AB, observed(*AB, max_jobs=100), earlier=None)[0] is Mode.CONTINUOUS
    mixed = {**observed("a"), **observed("b", max_jobs=10)}
    assert automatic([wish(50)], AB, mixed, earlier=None) == (Mode.ON_CHANGE, Load("b", 50, 5))


def test_a_mesh_of_three_takes_two_jobs_a_database_on_each_node() -> None:
    assert automatic([wish(125)], ABC, observed(*ABC), earlier=None)[0] is Mode.CONTINUOUS
    assert automatic([wish(126)], ABC, observed(*ABC), earlier=None)[0] is Mode.ON_CHANGE


def test_the_hub_of_a_star_is_the_fullest_node() -> None:
    nodes = ("a", "b", "c", "d")

    mode, load = automatic([wish(84, topology=Topology.STAR)], nodes, observed(*nodes), earlier=None)

    assert (mode, load) == (Mode.ON_CHANGE, Load("a", 252, 250))
    assert automatic([wish(83, topology=Topology.STAR)], nodes, observed(*nodes), earlier=None)[0] is Mode.CONTINUOUS


def test_one_way_costs_the_primary_nothing() -> None:
    mode, load = automatic([wish(250, both=False)], ABC, observed(*ABC), earlier=None)

    assert mode is Mode.CONTINUOUS
    assert load is not None
    assert (load.node, load.jobs) != ("a", 0)


def test_what_is_always_linked_counts_and_what_never_is_does_not() -> None:
    wishes = [wish(200), wish(50, Mode.CONTINUOUS), wish(1_000, Mode.ON_CHANGE), wish(1_000, Mode.OFF)]

    assert automatic(wishes, AB, observed(*AB), earlier=None) == (Mode.CONTINUOUS, Load("a", 250, 250))
    assert automatic([*wishes, wish(1, Mode.CONTINUOUS)], AB, observed(*AB), earlier=None)[0] is Mode.ON_CHANGE


def test_nodes_that_are_away_count_among_the_links_but_decide_nothing() -> None:
    assert automatic([wish(126)], ABC, observed("a", "b"), earlier=None) == (Mode.ON_CHANGE, Load("a", 252, 250))


@pytest.mark.parametrize("schedulers", [{"a": False, "b": False}, {"a": True, "b": False}, {}])
def test_without_a_scheduler_everywhere_nothing_is_linked(schedulers: dict[str, bool]) -> None:
    found = {name: NodeFound(frozenset(), scheduler=has) for name, has in schedulers.items()}

    assert automatic([wish(1)], AB, found, earlier=Mode.CONTINUOUS) == (Mode.ON_CHANGE, None)
