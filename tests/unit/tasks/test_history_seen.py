"""How a node was over the last day: one point a minute, and no more of them than a day has."""

from __future__ import annotations

from tasks.history_seen import PREFIX
from tests.unit.tasks.world import NOW, World
from worker.core.health import NodeState
from worker.core.history import MINUTE, MOST_POINTS, Point

FIRST = int(NOW // MINUTE) * MINUTE


def test_looks_become_points_a_minute(world: World) -> None:
    history = world.seen.history
    history.note("a", FIRST + 5, 2.0, 0, NodeState.HEALTHY)
    history.note("a", FIRST + 15, 7.0, 3, NodeState.SUSPECT)
    history.note("a", FIRST + 3 * MINUTE, 1.0, None, NodeState.HEALTHY)
    history.note("b", FIRST, None, None, NodeState.DOWN)

    assert history.of("a", 0) == [
        Point(FIRST, 7.0, 7.0, 3, NodeState.SUSPECT),
        Point(FIRST + 3 * MINUTE, 1.0, 1.0, None, NodeState.HEALTHY),
    ], "minutes without a look are absent"
    assert history.of("a", FIRST + 1) == history.of("a", 0)[1:]
    assert [point.state for point in history.of("b", 0)] == [NodeState.DOWN]
    assert history.of("nobody", 0) == []


def test_a_day_is_kept_and_a_node_that_nobody_looks_at_is_forgotten(world: World) -> None:
    for minute in range(MOST_POINTS + 3):
        world.seen.history.note("a", FIRST + minute * MINUTE, 1.0, 0, NodeState.HEALTHY)

    points = world.seen.history.of("a", 0)
    assert len(points) == MOST_POINTS
    assert points[0].at == FIRST + 3 * MINUTE
    assert 0 < world.redis.ttl(f"{PREFIX}a") <= 2 * 86_400


def test_what_another_version_wrote_is_left_out(world: World) -> None:
    world.redis.rpush(f"{PREFIX}a", "[1, 2]", "no JSON", f'[{FIRST}, 1.0, 1.0, 0, "splendid"]')

    assert world.seen.history.of("a", 0) == []
    world.seen.history.note("a", FIRST, 1.0, 0, NodeState.HEALTHY)
    assert len(world.seen.history.of("a", 0)) == 1
