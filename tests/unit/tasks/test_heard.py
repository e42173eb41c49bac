"""Since when a kind of process is silent is known after the last of them has gone."""

from __future__ import annotations

import threading
import time

from tasks.app import _heartbeat
from tests.unit.tasks.world import NOW, World


def test_the_last_of_each_kind_counts(world: World) -> None:
    world.seen.heard.note("worker-1@one", NOW)
    world.seen.heard.note("worker-2@other", NOW + 5)
    world.seen.heard.note("control-3@one", NOW - 60)

    assert world.seen.heard.last() == {"worker": NOW + 5, "control": NOW - 60}


def test_who_says_farewell_is_remembered(world: World) -> None:
    leaving = threading.Event()
    leaving.set()
    before = time.time()

    _heartbeat(world.parts, "control-1@here", leaving)

    assert world.seen.workers(time.time()) == {}
    assert before <= world.seen.heard.last()["control"] <= time.time()
