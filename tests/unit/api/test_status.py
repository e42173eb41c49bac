"""What the status says of each database: rows of links and of syncs on change, their lag, and what else was found."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.api.world import World, link, settings

STATUS = "/api/replication/status"
SEEN_AT = "2026-11-23T14:59:59.123Z"


def rows(world: World, query: str = "") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = world.client.get(f"{STATUS}{query}").get_json()["links"]
    return found


def on_change(world: World, *databases: str, **more: Any) -> None:
    world.save_reconcile(**{"automatic": "on-change", "mode": "on-change", **more})
    world.databases(*databases)


# --- continuous links


def test_a_link_is_told_with_all_that_is_known_of_it(world: World) -> None:
    world.save_sweep()
    world.save_reconcile()
    world.save_links(link(world.now))
    assert world.client.get(STATUS).get_json() == {
        "observed_at": SEEN_AT,
        "mode": "continuous",
        "links": [
            {
                "database": "pdfs",
                "source": "primary",
                "target": "replica1",
                "mode": "continuous",
                "state": "running",
                "since": "2026-11-23T14:59:00.123Z",
                "lag": 3,
                "last_moved_at": "2026-11-23T14:59:58.123Z",
                "doc_write_failures": 0,
                "last_error": None,
                "error_kind": None,
                "remedy": None,
                "observed_at": SEEN_AT,
            }
        ],
        "removed": {},
        "security_differs": {},
        "canary": None,
        "next": None,
    }


def test_what_ails_a_link_and_what_helps_is_told(world: World) -> None:
    world.save_links(link(world.now, state="crashing", last_error="no", error_kind="unauthorized", remedy="do this"))
    (told,) = rows(world)
    assert (told["state"], told["last_error"], told["error_kind"], told["remedy"]) == (
        "crashing",
        "no",
        "unauthorized",
        "do this",
    )


def test_status_of_one_database(world: World) -> None:
    world.databases("pdfs", "categories")
    world.save_reconcile()
    world.save_links(link(world.now))
    assert len(rows(world, "?database=pdfs")) == 1
    assert rows(world, "?database=categories") == []
    answer = world.client.get(f"{STATUS}?database=pdf")
    assert answer.status_code == 404
    assert answer.get_json()["type"].endswith(":unknown-database")
    assert answer.get_json()["nearest"] == ["pdfs"]
    assert "did you mean pdfs?" in answer.get_json()["detail"]


# --- databases that travel on change


def test_a_database_on_change_has_a_row_for_each_way_between_two_nodes(world: World) -> None:
    on_change(world, "pdfs")
    world.save_pass(changed={"pdfs": ["primary", "replica1"]}, lag={"pdfs": {"primary": 4, "replica1": 0}})
    told = {(row["source"], row["target"]): row for row in rows(world)}
    assert set(told) == {("primary", "replica1"), ("replica1", "primary")}
    ahead = told["primary", "replica1"]
    assert (ahead["mode"], ahead["state"], ahead["lag"]) == ("on-change", "behind", 4)
    assert ahead["observed_at"] == SEEN_AT
    assert told["replica1", "primary"]["lag"] == 0


def test_a_database_that_did_not_change_is_in_step_and_one_of_unknown_lag_is_null(world: World) -> None:
    on_change(world, "still", "new")
    world.seen.record_sync("still", {"primary": "1-a"}, world.now)
    world.save_pass(changed={"new": ["primary", "replica1"]})
    told = {(row["database"], row["state"], row["lag"]) for row in rows(world)}
    assert told == {("still", "in-step", 0), ("new", "behind", None)}


def test_before_the_first_pass_and_where_a_node_was_away_nothing_is_claimed(world: World) -> None:
    on_change(world, "pdfs")
    world.seen.record_sync("pdfs", {"primary": "1-a"}, world.now)
    assert {(row["state"], row["lag"]) for row in rows(world)} == {("unknown", None)}
    world.save_pass(unseen=["replica1"])
    assert {(row["state"], row["lag"]) for row in rows(world)} == {("unknown", None)}
    world.save_pass(unseen=["replica2"])
    told = {(row["source"], row["target"]): (row["state"], row["lag"]) for row in rows(world)}
    assert told.pop(("primary", "replica1")) == told.pop(("replica1", "primary")) == ("in-step", 0)
    # it is to have the database too
    assert len(told) == 4
    assert set(told.values()) == {("unknown", None)}


def test_a_database_that_no_pass_has_seen_yet_is_not_called_in_step(world: World) -> None:
    on_change(world, "made-just-now")
    world.save_pass()
    assert {(row["state"], row["lag"]) for row in rows(world)} == {("unknown", None)}


def test_a_sync_that_failed_is_told_with_its_reason(world: World) -> None:
    on_change(world, "pdfs")
    world.save_pass(changed={"pdfs": ["primary", "replica1"]})
    world.replication.on_change_failed("pdfs", "documents-refused", "documents are missing", world.now)
    assert {(row["error_kind"], row["last_error"]) for row in rows(world)} == {
        ("documents-refused", "documents are missing")
    }


def test_a_database_that_goes_one_way_has_rows_one_way(world: World) -> None:
    on_change(world, "pdfs", narrowed=["pdfs"])
    assert [(row["source"], row["target"]) for row in rows(world)] == [("primary", "replica1")]


def test_stand_ins_travel_by_the_pass_whatever_the_mode() -> None:
    world = World(settings(replication_mode="continuous"))
    on_change(world, "pdfs", schedulers=False)
    assert {row["mode"] for row in rows(world)} == {"on-change"}


@pytest.mark.parametrize("more", [{"replication_exclude": "pdfs"}, {"continuous_replication": False}])
def test_a_database_that_does_not_travel_has_no_rows(more: dict[str, Any]) -> None:
    world = World(settings(**more))
    on_change(world, "pdfs")
    assert rows(world, "?database=pdfs") == []


def test_a_database_on_one_node_has_no_rows(world: World) -> None:
    world.save_reconcile(automatic="on-change")
    world.save_sweep(databases={"pdfs": ["primary"]})
    assert rows(world) == []


def test_links_and_databases_on_change_are_listed_together(world: World) -> None:
    on_change(world, "a", "c")
    world.save_links(link(world.now, "b"))
    assert [(row["database"], row["mode"]) for row in rows(world)] == [
        ("a", "on-change"),
        ("a", "on-change"),
        ("b", "continuous"),
        ("c", "on-change"),
        ("c", "on-change"),
    ]


# --- pages


def test_a_long_status_comes_in_pages_of_databases(world: World) -> None:
    names = [f"db-{number:02}" for number in range(5)]
    world.save_links(*(link(world.now, name) for name in names))
    seen, cursor, pages = [], "", 0
    while True:
        page = world.client.get(f"{STATUS}?limit=2{cursor}").get_json()
        seen += [row["database"] for row in page["links"]]
        pages += 1
        if page["next"] is None:
            break
        cursor = f"&cursor={page['next']}"
    assert (seen, pages) == (names, 3)


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "limit=x", "cursor=", "databse=pdfs"])
def test_a_page_that_cannot_be_is_422(world: World, query: str) -> None:
    assert world.client.get(f"{STATUS}?{query}").status_code == 422


# --- what else was found


def test_what_was_deleted_and_whose_security_differs_is_told_also_of_one_database(world: World) -> None:
    world.databases("pdfs")
    world.save_reconcile(removed={"pdfs": ["replica1"], "other": ["primary"]})
    world.replication.save_security({"pdfs": ["replica1"], "third": ["primary"]}, "pdfs", world.now)
    whole = world.client.get(STATUS).get_json()
    assert whole["removed"] == {"pdfs": ["replica1"], "other": ["primary"]}
    assert whole["security_differs"] == {"pdfs": ["replica1"], "third": ["primary"]}
    one = world.client.get(f"{STATUS}?database=pdfs").get_json()
    assert (one["removed"], one["security_differs"]) == ({"pdfs": ["replica1"]}, {"pdfs": ["replica1"]})


def test_what_the_canary_measured_is_told(world: World) -> None:
    arrivals = [
        {"source": "primary", "target": "replica1", "seconds": 0.2, "overdue": None, "error": None},
        {"source": "replica1", "target": "primary", "seconds": None, "overdue": 30.0, "error": None},
    ]
    world.replication.save_canary({"arrivals": arrivals, "observed_at": world.now - 1})
    assert world.client.get(STATUS).get_json()["canary"] == {"observed_at": SEEN_AT, "arrivals": arrivals}


# --- the lag of a node


def lag(world: World) -> dict[str, int | None]:
    return {node["name"]: node["lag"] for node in world.client.get("/api/nodes").get_json()["nodes"]}


def test_a_nodes_lag_is_that_of_its_links(world: World) -> None:
    world.save_links(link(world.now), lag={"replica1": 3, "replica2": None})
    assert lag(world) == {"primary": 0, "replica1": 3, "replica2": None}


def test_a_nodes_lag_is_also_that_of_what_travels_on_change(world: World) -> None:
    world.save_links(link(world.now), lag={"replica1": 3})
    world.save_pass(
        changed={"a": ["primary", "replica1"], "b": ["primary", "replica2"]},
        lag={"a": {"primary": 4, "replica1": 1}, "b": {"primary": 5}},
    )
    # replica2's own changes of b could not be asked for: what the primary lacks is not known
    assert lag(world) == {"primary": None, "replica1": 7, "replica2": 5}


def test_a_node_that_the_pass_did_not_see_has_no_known_lag(world: World) -> None:
    world.save_links(lag={})
    world.save_pass(unseen=["replica2"])
    assert lag(world) == {"primary": 0, "replica1": 0, "replica2": None}


def test_before_anything_was_looked_at_no_lag_is_known(world: World) -> None:
    assert set(lag(world).values()) == {None}
    world.save_pass()
    assert set(lag(world).values()) == {None}
