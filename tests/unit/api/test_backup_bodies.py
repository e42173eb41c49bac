"""What is asked of backups and makes no sense is 422, and the field is named."""

from __future__ import annotations

from typing import Any

import pytest

from api.backup_schemas import MOST_DEPTH, MOST_IDS
from tests.unit.api.backing import backing, backup, read
from tests.unit.api.world import World
from worker.core.names import OWN_DATABASE, RULE

BACKUPS = "/api/backups"
GLOB = "must be a database name, or a glob with * and ?"
SYSTEM = f"names that start with _ are CouchDB's own system databases; {RULE}"
IDS = f"must be 1 to {MOST_IDS} document ids, none of them empty"
HALF = "has half of a character in it (a lone \\ud800 to \\udfff)"


@pytest.fixture(scope="module")
def world() -> World:
    world = backing()
    read(world, backup(24, "pdfs"))
    return world


def errors(world: World, path: str, body: dict[str, Any]) -> list[dict[str, str]]:
    before = len(world.published)
    answer = world.client.post(f"{BACKUPS}{path}", json=body)
    assert answer.status_code == 422, answer.text
    assert answer.get_json()["type"].endswith(":invalid-request")
    assert len(world.published) == before
    return list(answer.get_json()["errors"])


def nested(depth: int) -> dict[str, Any]:
    """A selector that sound, and so deep."""
    made: dict[str, Any] = {"n": 1}
    for _ in range(depth - 1):
        made = {"$not": made}
    return made


@pytest.mark.parametrize(
    ("body", "field", "message"),
    [
        ({"databases": "PDFS"}, "databases", f"'PDFS': {GLOB}"),
        ({"databases": ["pdfs", ""]}, "databases", f"'': {GLOB}"),
        ({"databases": ["a b"]}, "databases", f"'a b': {GLOB}"),
        ({"databases": ["a" * 239]}, "databases", f"'{'a' * 239}': {GLOB}"),
        ({"databases": []}, "databases", "a list needs 1 to 1000 entries; leave the field out for all databases"),
        ({"databases": 7}, "databases", "must be a database name, a glob such as notes-*, or a list"),
        ({"databases": ["pdfs", 7]}, "databases", "must be a database name, a glob such as notes-*, or a list"),
        ({"databases": None}, "databases", "must be a database name, a glob such as notes-*, or a list"),
        ({"full": "yes"}, "full", "must be true or false"),
        ({"wait": 1}, "wait", "must be true or false"),
        ({"database": "pdfs"}, "database", "is unknown here; known: databases, full, legal_hold, wait"),
    ],
)
def test_a_backup(world: World, body: dict[str, Any], field: str, message: str) -> None:
    assert errors(world, "", body) == [{"field": field, "message": message}]


@pytest.mark.parametrize(
    ("body", "field", "message"),
    [
        ({"database": "PDFS"}, "database", RULE),
        ({"database": 7}, "database", "must be a string"),
        ({"database": "_replicator"}, "database", SYSTEM),
        ({"as": "PDFS"}, "as", RULE),
        ({"as": ""}, "as", RULE),
        ({"as": "_global_changes"}, "as", SYSTEM),
        ({"as": OWN_DATABASE}, "as", "is a database of this system's own"),
        ({"as": f"{OWN_DATABASE}-scratch-1"}, "as", "is a database of this system's own"),
        ({"node": 7}, "node", "must be a string"),
        (
            {"into": "copy"},
            "into",
            "is unknown here; known: database, as, node, mode, ids, selector, made_since, dry_run, wait",
        ),
        ({"mode": "old"}, "mode", "Input should be 'new', 'cluster' or 'rollback'"),
        ({"ids": []}, "ids", IDS),
        ({"ids": ["a", ""]}, "ids", IDS),
        ({"ids": ["a"] * (MOST_IDS + 1)}, "ids", IDS),
        ({"ids": "a"}, "ids", "Input should be a valid list"),
        ({"ids": ["a", 7]}, "ids.1", "must be a string"),
        ({"ids": ["a\ud800"]}, "ids", HALF),
        ({"made_since": "drop"}, "made_since", "Input should be 'keep' or 'delete'"),
        ({"dry_run": "no"}, "dry_run", "must be true or false"),
        (
            {"to": "x"},
            "to",
            "is unknown here; known: database, as, node, mode, ids, selector, made_since, dry_run, wait",
        ),
    ],
)
def test_a_restore(world: World, body: dict[str, Any], field: str, message: str) -> None:
    assert errors(world, "/latest/restore", {"database": "pdfs", **body}) == [{"field": field, "message": message}]


@pytest.mark.parametrize(
    ("selector", "message"),
    [
        ({}, "an empty selector would select everything: name a field, or leave the selector out"),
        ([], "Input should be a valid dictionary"),
        ("n > 3", "Input should be a valid dictionary"),
        ({"n": {"$gtt": 3}}, "$gtt is no Mango operator; did you mean $gt? (a field of that name: \\$gtt)"),
        ({"$gt": 3}, '$gt stands without a field: write {"field": {"$gt": …}}'),
        ({"a\ud800": 1}, HALF),
        ({"a": ["b", {"c": "\udfff"}]}, HALF),
        ({"a": 10**400}, "has a number that is too large"),
        ({"a": "x" * 2_000, "b" * 2_000: 1}, "has a field whose name is too long: at most 1,000 characters"),
        (nested(MOST_DEPTH + 1), f"is nested more than {MOST_DEPTH} deep"),
        (nested(400), f"is nested more than {MOST_DEPTH} deep"),
    ],
)
def test_a_selector(world: World, selector: Any, message: str) -> None:
    body = {"database": "pdfs", "selector": selector}

    assert errors(world, "/latest/restore", body) == [{"field": "selector", "message": message}]


@pytest.mark.parametrize(
    "selector",
    [
        nested(MOST_DEPTH),
        {"n": {"$gt": 3, "$lte": 1e12}, "tags": {"$all": ["ä", "日本", "😀"]}},
        {"$or": [{"a": None}, {"b": {"$exists": False}}]},
        {"x" * 900: "y" * 100_000},
    ],
)
def test_a_sound_selector_is_taken(world: World, selector: dict[str, Any]) -> None:
    answer = world.client.post(f"{BACKUPS}/latest/restore", json={"database": "pdfs", "selector": selector})

    assert answer.status_code == 202, answer.text
    assert answer.get_json()["params"]["selector"] == selector


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({}, "database is missing: which one of the backup"),
        ({"database": None}, "database is missing: which one of the backup"),
        ({"mode": "rollback"}, "database is missing: which one of the backup"),
        ({"mode": "cluster", "database": "pdfs"}, "mode cluster takes the whole backup, so not database"),
        (
            {"mode": "cluster", "as": "copy", "ids": ["a"], "selector": {"n": 1}},
            "mode cluster takes the whole backup, so not as, ids, selector",
        ),
        ({"database": "pdfs", "dry_run": True}, "dry_run and made_since are for mode rollback"),
        ({"database": "pdfs", "made_since": "delete"}, "dry_run and made_since are for mode rollback"),
        ({"mode": "cluster", "dry_run": True}, "dry_run and made_since are for mode rollback"),
    ],
)
def test_fields_that_do_not_go_together(world: World, body: dict[str, Any], says: str) -> None:
    assert errors(world, "/latest/restore", body) == [{"field": "", "message": says}]


@pytest.mark.parametrize(
    ("path", "body", "field", "message"),
    [
        ("/latest/verify", {"drill": 1}, "drill", "must be true or false"),
        ("/latest/verify", {"node": ["a"]}, "node", "must be a string"),
        ("/latest/hold", {}, "on", "is missing"),
        ("/latest/hold", {"on": "yes"}, "on", "must be true or false"),
        ("/latest/hold", {"on": True, "reason": ""}, "reason", "must not be empty"),
        ("/latest/hold", {"on": True, "reason": "x" * 501}, "reason", "String should have at most 500 characters"),
        ("/prune", {"dry_run": None}, "dry_run", "must be true or false"),
        ("/prune", {"dry": True}, "dry", "is unknown here; known: dry_run, wait"),
    ],
)
def test_checks_holds_and_retention(world: World, path: str, body: dict[str, Any], field: str, message: str) -> None:
    assert errors(world, path, body) == [{"field": field, "message": message}]


def test_a_restore_and_a_hold_need_a_body(world: World) -> None:
    for path in ("/latest/restore", "/latest/hold"):
        assert world.client.post(f"{BACKUPS}{path}").status_code == 415


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("?limit=0", "limit"),
        ("?limit=201", "limit"),
        ("?limit=x", "limit"),
        ("?cursor=", "cursor"),
        ("?database=", "database"),
        ("?before=x", "before"),
        ("/latest?limit=1001", "limit"),
        ("/latest?cursor=", "cursor"),
        ("/latest?database=pdfs", "database"),
    ],
)
def test_a_query(world: World, query: str, field: str) -> None:
    answer = world.client.get(f"{BACKUPS}{query}")

    assert answer.status_code == 422
    assert [error["field"] for error in answer.get_json()["errors"]] == [field]
