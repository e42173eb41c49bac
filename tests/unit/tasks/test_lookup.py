from __future__ import annotations

import threading

import pytest

from tasks import lookup as module
from tasks.lookup import Found
from tasks.redis import StoreUnavailable
from tests.unit.tasks.world import World


def test_a_database_that_the_sweep_saw_exists_and_nobody_is_asked(world: World) -> None:
    world.seen.save_sweep({"observed_at": 1.0}, {"pdfs": ["a"]})

    assert world.lookup.find("pdfs") == Found(True, [], [])
    assert world.publisher.looks == []


def test_a_database_made_a_second_ago_is_found_by_a_worker(world: World) -> None:
    world.seen.save_sweep({"observed_at": 1.0}, {})

    def answer() -> None:
        while not world.publisher.looks:
            threading.Event().wait(0.005)
        database, box = world.publisher.looks[0]
        world.seen.answer_look(box, database, ["b"], [])

    worker = threading.Thread(target=answer, daemon=True)
    worker.start()
    assert world.lookup.find("fresh") == Found(True, [], [])
    worker.join(5)
    assert world.lookup.find("fresh").exists
    assert len(world.publisher.looks) == 1  # the second time it is known


def test_a_slip_gets_the_nearest_names_and_the_nodes_that_did_not_answer(world: World) -> None:
    world.seen.save_sweep({"observed_at": 1.0}, {"pdfs": ["a"], "categories": ["a"]})

    def ask(database: str, box: str) -> None:
        world.seen.answer_look(box, database, [], ["c"])

    found = module.Lookup(world.seen, ask).find("pdsf")

    assert found == Found(False, ["pdfs"], ["c"])


def test_where_no_worker_answers_nobody_knows(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.01)

    assert world.lookup.find("pdfs") == Found(None, [], [])


def test_a_dead_queue_is_told(world: World) -> None:
    world.publisher.away = True

    with pytest.raises(StoreUnavailable):
        world.lookup.find("pdfs")
