"""How a node was over the last day: one point a minute, and no more of them than a day has."""

from __future__ import annotations

from tasks.history_seen import PREFIX
from tests.unit.tasks.world import NOW, World
from worker.core.health import NodeState
from worker.core.history import MINUTE, MOST_POINTS, Point

FIRST = int(NOW // MINUTE) * MINUTE
LATER = FIRST + 10 * 86_400


def test_looks_become_points_a_minute(world: World) -> None:
    history = world.seen.history
    history.note("a", FIRST + 5, 2.0, 0, NodeState.HEALTHY)
    history.note("a", FIRST + 15, 7.0, 3, NodeState.SUSPECT)
    history.note("a", FIRST + 3 * MINUTE, 1.0, None, NodeState.HEALTHY)
    history.note("b", FIRST, None, None, NodeState.DOWN)

    assert history.of("a", 0, LATER) == [
        Point(FIRST, 7.0, 7.0, 3, NodeState.SUSPECT),
        Point(FIRST + 3 * MINUTE, 1.0, 1.0, None, NodeState.HEALTHY),
    ], "minutes without a look are absent"
    assert history.of("a", FIRST + 1, LATER) == history.of("a", 0, LATER)[1:]
    assert [point.state for point in history.of("b", 0, LATER)] == [NodeState.DOWN]
    assert history.of("nobody", 0, LATER) == []


def test_a_day_is_kept_and_a_node_that_nobody_looks_at_is_forgotten(world: World) -> None:
    for minute in range(MOST_POINTS + 3):
        world.seen.history.note("a", FIRST + minute * MINUTE, 1.0, 0, NodeState.HEALTHY)

    points = world.seen.history.of("a", 0, LATER)
    assert len(points) == MOST_POINTS
    assert points[0].at == FIRST + 3 * MINUTE
    assert 0 < world.redis.ttl(f"{PREFIX}a") <= 2 * 86_400


def test_what_another_version_wrote_is_left_out(world: World) -> None:
    world.redis.zadd(f"{PREFIX}a", {"[1, 2]": FIRST, "no JSON": FIRST, f'[{FIRST}, 1.0, 1.0, 0, "splendid"]': FIRST})

    assert world.seen.history.of("a", 0, LATER) == []
    world.seen.history.note("a", FIRST, 1.0, 0, NodeState.HEALTHY)
    assert len(world.seen.history.of("a", 0, LATER)) == 1


def test_a_clock_that_is_set_back_makes_no_minute_twice_and_loses_none(world: World) -> None:
    history = world.seen.history
    for minute in range(5):
        history.note("a", FIRST + minute * MINUTE, float(minute), minute, NodeState.HEALTHY)
    for minute in (2, 3):  # once more
        history.note("a", FIRST + minute * MINUTE + 30, 9.0, 0, NodeState.SUSPECT)

    now = FIRST + 3 * MINUTE + 30
    assert history.of("a", 0, now) == [
        Point(FIRST, 0.0, 0.0, 0, NodeState.HEALTHY),
        Point(FIRST + MINUTE, 1.0, 1.0, 1, NodeState.HEALTHY),
        Point(FIRST + 2 * MINUTE, 9.0, 9.0, 0, NodeState.SUSPECT),
        Point(FIRST + 3 * MINUTE, 9.0, 9.0, 0, NodeState.SUSPECT),
    ], "what lies ahead of the clock is not shown yet"

    assert [point.at for point in history.of("a", 0, now + MINUTE)] == [FIRST + at * MINUTE for at in range(5)]


def test_a_clock_that_is_set_back_by_days_costs_nothing_of_either_time(world: World) -> None:
    history = world.seen.history
    for minute in range(MOST_POINTS):
        history.note("a", FIRST + minute * MINUTE, 1.0, 0, NodeState.HEALTHY)
    back = FIRST - 3 * 86_400
    for minute in range(MOST_POINTS + 3):
        history.note("a", back + minute * MINUTE, 2.0, 0, NodeState.HEALTHY)

    assert len(history.of("a", 0, FIRST - 1)) == MOST_POINTS
    history.note("a", FIRST + MOST_POINTS * MINUTE, 1.0, 0, NodeState.HEALTHY)  # and set right again
    assert len(history.of("a", FIRST, LATER)) == MOST_POINTS, "the day before the clock was wrong is there"
