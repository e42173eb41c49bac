from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.unit.api.world import World, settings
from worker.core.names import RULE

SETUP = "/api/replication/setup"


@pytest.mark.parametrize(
    ("asked", "database", "databases"),
    [
        ({}, None, None),
        ({"database": "pdfs"}, "pdfs", ["pdfs"]),
        ({"database": ["pdfs"]}, "pdfs", ["pdfs"]),
        ({"database": ["pdfs", "categories", "pdfs"]}, None, ["categories", "pdfs"]),
    ],
)
def test_setup_takes_one_database_several_or_all(
    world: World, asked: dict[str, Any], database: str | None, databases: list[str] | None
) -> None:
    answer = world.client.post(SETUP, json=asked)
    assert answer.status_code == 202
    assert answer.get_json()["kind"] == "setup"
    assert answer.get_json()["database"] == database
    assert answer.get_json()["params"] == {
        "databases": databases,
        "bidirectional": True,
        "dry_run": False,
        "asked": True,
    }


def test_a_dry_run_is_a_job_of_its_own(world: World) -> None:
    done = world.client.post(SETUP, json={"database": "pdfs"}).get_json()
    dry = world.client.post(SETUP, json={"database": "pdfs", "dry_run": True}).get_json()
    assert dry["params"]["dry_run"] is True
    assert dry["id"] != done["id"]


@pytest.mark.parametrize("asked", [{"dry_run": "true"}, {"dry_run": 1}, {"asked": False}])
def test_a_dry_run_is_true_or_false_and_who_asks_is_not_for_callers_to_say(world: World, asked: dict[str, Any]) -> None:
    assert world.client.post(SETUP, json=asked).status_code == 422


@pytest.mark.parametrize(
    "more",
    [
        {"replication_exclude": "*-old"},
        {"replication_include": "pdfs"},
    ],
)
def test_a_database_that_is_not_replicated_is_refused(more: dict[str, Any]) -> None:
    """The next reconcile would take away again what such a set-up makes."""
    world = World(settings(**more))
    answer = world.client.post(SETUP, json={"database": ["pdfs", "pdfs-old"]})
    assert answer.status_code == 422
    (error,) = answer.get_json()["errors"]
    assert error["field"] == "database"
    assert error["message"].startswith("pdfs-old: not replicated")
    assert world.published == []
    assert world.client.post(SETUP, json={"database": "pdfs"}).status_code == 202


def test_a_database_that_a_rule_turns_off_is_refused(tmp_path: Path) -> None:
    rules = tmp_path / "rules.yml"
    rules.write_text("rules:\n  - databases: scratch-*\n    mode: off\n")
    world = World(settings(replication_rules=rules))
    assert world.client.post(SETUP, json={"database": "scratch-1"}).status_code == 422
    assert world.client.post(SETUP, json={"database": "pdfs"}).status_code == 202


def test_where_nothing_travels_by_itself_every_database_may_be_set_up() -> None:
    world = World(settings(replication_exclude="*-old", continuous_replication=False))
    assert world.client.post(SETUP, json={"database": "pdfs-old"}).status_code == 202


def test_setup_makes_databases_so_none_has_to_exist(world: World) -> None:
    world.look = lambda database: pytest.fail("nobody has to be asked")
    assert world.client.post(SETUP, json={"database": "brand-new", "bidirectional": False}).status_code == 202


def test_the_same_databases_in_another_order_are_the_same_job(world: World) -> None:
    first = world.client.post(SETUP, json={"database": ["a", "b"]}).get_json()
    again = world.client.post(SETUP, json={"database": ["b", "a"]}).get_json()
    assert (again["id"], again["deduplicated"]) == (first["id"], True)


@pytest.mark.parametrize(
    ("database", "message"),
    [
        ("Pdfs", RULE),
        (["pdfs", "Pdfs"], f"'Pdfs': {RULE}"),
        ([], "a list needs 1 to 1000 names; leave the field out for all databases"),
        (["a"] * 1001, "a list needs 1 to 1000 names; leave the field out for all databases"),
        (None, "must be a database name or a list of them"),
        ([1], "must be a database name or a list of them"),
        ({"a": 1}, "must be a database name or a list of them"),
    ],
)
def test_databases_that_cannot_be_are_422(world: World, database: Any, message: str) -> None:
    answer = world.client.post(SETUP, json={"database": database})
    assert answer.status_code == 422
    assert answer.get_json()["errors"] == [{"field": "database", "message": message}]


def test_setup_waits_like_every_job(world: World) -> None:
    world.on_publish = lambda job_id, request: world.finish(job_id, {"made": 2})
    answer = world.client.post(SETUP, json={"wait": True})
    assert (answer.status_code, answer.get_json()["result"]) == (200, {"made": 2})
