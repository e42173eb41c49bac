"""What a sweep writes into a node's history: a lag of this minute, or that it is not known."""

from __future__ import annotations

from tasks.fresh import longest_pass
from tasks.sweep_notes import note_history
from tests.unit.tasks.world import NOW, World
from worker.core.health import Look, NodeState, Verdict
from worker.ops.node_look import NodeSeen

LINKS = {"lag": {"a": 3}, "observed_at": NOW - 1}
PASS = {"changed": {"pdfs": ["a", "b"]}, "lag": {"pdfs": {"b": 4}}, "unseen": [], "observed_at": NOW - 1}


def lag_noted(world: World, links: dict[str, object] | None) -> int | None:
    seen = {"a": NodeSeen(Look("a", ok=True, latency_ms=2.5))}
    note_history(world.parts, seen, {"a": Verdict("a", NodeState.HEALTHY)}, links, NOW)
    (point,) = world.seen.history.of("a", 0, NOW)
    assert (point.latency, point.state) == (2.5, NodeState.HEALTHY)
    return point.lag


def test_what_was_seen_just_now_is_the_lag_of_this_minute(world: World) -> None:
    assert lag_noted(world, LINKS) == 3
    world.seen.save_pass(PASS)
    assert lag_noted(world, LINKS) == 7, "what travels on change is added"


def test_a_look_at_the_links_that_is_too_old_is_no_lag(world: World) -> None:
    assert lag_noted(world, LINKS) == 3
    old = {**LINKS, "observed_at": NOW - world.settings.stale_after - 1}

    assert lag_noted(world, old) is None, "the one from before is not kept either"


def test_a_pass_that_is_too_old_is_no_lag(world: World) -> None:
    world.seen.save_pass(PASS)
    assert lag_noted(world, LINKS) == 7
    world.seen.save_pass({**PASS, "observed_at": NOW - longest_pass(world.settings) - 1})

    assert lag_noted(world, LINKS) is None


def test_before_anything_was_looked_at_nothing_is_known(world: World) -> None:
    assert lag_noted(world, None) is None
