"""When a link is called stalled, which links are started anew and how often, and what is known of a node's lag."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from worker.core.lag import (
    BROKEN,
    FIRST_KICK_AFTER,
    FORGIVEN_AFTER,
    HOPELESS,
    KICK_PAUSE,
    KICK_PAUSE_WHEN_BACK,
    LONGEST_PAUSE,
    Ends,
    Kicks,
    LinkLook,
    LinkState,
    LinkStatus,
    forgiven,
    judge,
    summarise,
    to_kick,
)

NOW = 1_000_000.0
STALL = 300.0
KEY = "nbr:a:b:pdfs"


def look(state: LinkState = LinkState.RUNNING, lag: int | None = 0, **more: Any) -> LinkLook:
    return LinkLook(state, replication_id="id", lag=lag, **more)


def watched(*looks: tuple[float, LinkLook]) -> LinkStatus:
    """The status after all of them; each at so many seconds after NOW."""
    status: LinkStatus | None = None
    for after, one in looks:
        status = judge(status, one, NOW + after, STALL)
    assert status is not None
    return status


# --- states


def test_a_link_that_lags_and_carries_nothing_is_stalled_after_its_time() -> None:
    behind = look(lag=5, through="7-x")

    assert watched((0, behind), (STALL - 1, behind)).state is LinkState.RUNNING
    stalled = watched((0, behind), (STALL, behind))
    assert (stalled.state, stalled.since, stalled.behind_since) == (LinkState.STALLED, NOW + STALL, NOW)


def test_a_link_that_carries_something_is_not_stalled_however_far_behind() -> None:
    moving = [(at, look(lag=1_000, through=f"{at}-x")) for at in range(0, 2_000, 200)]

    status = watched(*moving)

    assert (status.state, status.moved_at, status.behind_since) == (LinkState.RUNNING, NOW + 1_800, NOW)


def test_what_was_written_is_a_move_also_where_the_sequence_is_not_told() -> None:
    status = watched((0, look(lag=5, done=10)), (STALL, look(lag=5, done=11)))

    assert (status.state, status.moved_at) == (LinkState.RUNNING, NOW + STALL)


def test_a_link_that_moved_before_stalls_from_its_last_move() -> None:
    moved = [(0, look(lag=5, through="1-x")), (100, look(lag=5, through="2-x"))]

    assert watched(*moved, (STALL + 99, look(lag=5, through="2-x"))).state is LinkState.RUNNING
    assert watched(*moved, (STALL + 100, look(lag=5, through="2-x"))).state is LinkState.STALLED


def test_a_stalled_link_is_running_again_once_it_moves_or_has_nothing_left() -> None:
    behind = look(lag=5, through="1-x")
    stalled = [(0, behind), (STALL, behind)]

    assert watched(*stalled, (STALL + 10, look(lag=4, through="2-x"))).state is LinkState.RUNNING
    caught_up = watched(*stalled, (STALL + 10, look(lag=0, through="1-x")))
    assert (caught_up.state, caught_up.behind_since) == (LinkState.RUNNING, None)


def test_an_idle_link_is_never_stalled() -> None:
    assert watched(*((at, look(lag=0)) for at in range(0, 10_000, 1_000))).state is LinkState.RUNNING


def test_a_look_that_could_not_tell_the_lag_does_not_begin_the_wait_anew() -> None:
    """A source that is too busy to tell is just the one that stalls."""
    behind = look(lag=5, through="1-x")

    status = watched((0, behind), (STALL - 1, look(lag=None)), (STALL, behind))

    assert (status.state, status.behind_since) == (LinkState.STALLED, NOW)


@pytest.mark.parametrize("state", [LinkState.PENDING, LinkState.CRASHING, LinkState.UNKNOWN])
def test_only_a_running_link_stalls(state: LinkState) -> None:
    behind = look(state, lag=5)

    assert watched((0, behind), (10 * STALL, behind)).state is state


def test_since_is_when_it_came_into_its_state() -> None:
    status = watched((0, look()), (10, look(LinkState.CRASHING)), (20, look(LinkState.CRASHING)))

    assert status.since == NOW + 10


def test_figures_of_another_replication_are_no_move() -> None:
    """A rewritten link begins anew: its counters are smaller or larger for no reason of its own."""
    before, after = look(through="1-x", done=1), replace(look(through="2-x", done=5), replication_id="other")

    assert watched((0, before), (10, after)).moved_at is None


# --- kicks


def status(state: LinkState, since: float = NOW) -> LinkStatus:
    return LinkStatus(look(state), state, since)


def kicked(
    state: LinkState,
    after: float,
    *,
    healthy: bool = True,
    trouble: str | None = None,
    just_back: bool = False,
    kicks: Kicks | None = None,
) -> bool:
    history = {KEY: kicks} if kicks else {}
    return to_kick({KEY: status(state)}, {KEY: Ends(healthy, trouble, just_back)}, history, NOW + after) == [KEY]


@pytest.mark.parametrize("state", [LinkState.CRASHING, LinkState.ERROR])
def test_a_broken_link_is_first_left_to_couchdbs_own_retries(state: LinkState) -> None:
    assert not kicked(state, FIRST_KICK_AFTER - 1)
    assert kicked(state, FIRST_KICK_AFTER)


def test_a_link_of_a_node_that_has_just_come_back_is_started_anew_at_once() -> None:
    """It used a connection from before; CouchDB would let it wait for half a minute, with what was written since."""
    assert kicked(LinkState.CRASHING, 0, just_back=True)
    assert not kicked(LinkState.CRASHING, 0, just_back=True, healthy=False)
    assert not kicked(LinkState.CRASHING, 0, just_back=True, trouble="unauthorized")
    for count, pause in ((1, KICK_PAUSE_WHEN_BACK), (3, 4 * KICK_PAUSE_WHEN_BACK)):
        assert not kicked(LinkState.CRASHING, pause - 1, just_back=True, kicks=Kicks(count, NOW))
        assert kicked(LinkState.CRASHING, pause, just_back=True, kicks=Kicks(count, NOW))


def test_a_stalled_link_has_waited_long_enough() -> None:
    assert kicked(LinkState.STALLED, 0)


@pytest.mark.parametrize("state", sorted(set(LinkState) - BROKEN | {LinkState.FAILED}))
def test_links_that_are_well_or_wait_or_are_rewritten_anyway_are_not_kicked(state: LinkState) -> None:
    assert not kicked(state, 10 * LONGEST_PAUSE)


def test_a_link_whose_node_is_away_is_not_kicked() -> None:
    assert not kicked(LinkState.CRASHING, FIRST_KICK_AFTER, healthy=False)


@pytest.mark.parametrize("trouble", sorted(HOPELESS))
def test_trouble_that_starting_anew_cannot_mend_is_left_alone(trouble: str) -> None:
    """A refused password above all: each try would bring the lock-out nearer."""
    assert not kicked(LinkState.CRASHING, 10 * LONGEST_PAUSE, trouble=trouble)
    assert kicked(LinkState.CRASHING, FIRST_KICK_AFTER, trouble="unreachable-from-node")


@pytest.mark.parametrize(
    ("count", "pause"),
    [(1, KICK_PAUSE), (2, 2 * KICK_PAUSE), (4, 8 * KICK_PAUSE), (10, LONGEST_PAUSE), (10_000, LONGEST_PAUSE)],
)
def test_kicks_that_do_not_help_come_at_ever_longer_intervals(count: int, pause: float) -> None:
    last = Kicks(count, NOW + 100)

    assert not kicked(LinkState.STALLED, 100 + pause - 1, kicks=last)
    assert kicked(LinkState.STALLED, 100 + pause, kicks=last)


def test_kicks_are_forgotten_once_the_link_was_well_for_long_or_is_gone() -> None:
    history = {KEY: Kicks(3, NOW), "gone": Kicks(1, NOW)}

    def left(state: LinkState, after: float, since: float = NOW) -> set[str]:
        return history.keys() - set(forgiven({KEY: status(state, since)}, history, NOW + after))

    assert left(LinkState.RUNNING, FORGIVEN_AFTER - 1) == {KEY}
    assert left(LinkState.RUNNING, FORGIVEN_AFTER) == set()
    assert left(LinkState.RUNNING, FORGIVEN_AFTER, since=NOW + 1) == {KEY}
    assert left(LinkState.CRASHING, 10 * FORGIVEN_AFTER) == {KEY}


# --- many links


def test_a_nodes_lag_is_the_sum_of_its_links_and_unknown_where_one_is() -> None:
    def behind(lag: int | None, state: LinkState = LinkState.RUNNING) -> LinkStatus:
        return LinkStatus(look(state, lag), state, NOW)

    found = summarise(
        {
            ("x", "a", "b"): behind(2),
            ("y", "a", "b"): behind(3),
            ("x", "b", "a"): behind(0),
            ("x", "a", "c"): behind(7),
            ("y", "a", "c"): behind(None, LinkState.CRASHING),
            ("z", "a", "c"): behind(1, LinkState.STALLED),
        }
    )

    assert found.lag == {"a": 0, "b": 5, "c": None}
    assert found.states == {"running": 4, "crashing": 1, "stalled": 1}
    assert found.broken == 2
    assert summarise({}).broken == 0
