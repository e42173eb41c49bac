"""All databases as rows, and one of them: what is told, what is left out, in which order, page by page."""

from __future__ import annotations

import base64
import json
from typing import Any

import fakeredis
import pytest

from tasks.fresh import longest_pass
from tests.unit.api.world import World, link, settings
from worker.core.conflicts import Counter
from worker.core.figures import Asked, Figures
from worker.core.health import NodeState

NODES = ["primary", "replica1"]
MIB = 1024 * 1024
SEEN_AT = "2026-11-23T14:59:59.123Z"
NOTHING = {"documents": None, "deleted": None, "file_bytes": None, "active_bytes": None, "fragmentation": None}


def figures(name: str, documents: int = 3, file: int | None = 1_000, active: int | None = 600) -> Figures:
    return Figures(name, documents, 1, file, active, "m")


def kept(world: World, node: str, *found: Figures, age: float = 5.0) -> None:
    names = tuple(one.name for one in found)
    known = [*names, *world.seen.figures.of(node)]
    world.seen.figures.save(node, Asked(names, found, last=False), known, world.now - age)


def conflicts(world: World, name: str, *ids: str, through: str = "m", age: float = 30.0, more: bool = False) -> None:
    counter = Counter("primary", "u", None, None, "9-x", frozenset(ids), more, through, world.now - age)
    world.seen.conflicts.save(name, counter, whole=True)


def backup(identity: str, started_at: float, **more: Any) -> dict[str, Any]:
    return {"id": identity, "readable": True, "started_at": started_at, "damage": None, **more}


def ask(world: World, query: str = "") -> dict[str, Any]:
    answer = world.client.get(f"/api/databases{query}")
    assert answer.status_code == 200, answer.text
    return dict(answer.get_json())


def names(world: World, query: str = "") -> list[str]:
    return [row["name"] for row in ask(world, query)["databases"]]


def in_step(world: World, *databases: str) -> None:
    world.save_links(*(link(world.now, name, lag=0) for name in databases))


# --- a row


def test_before_the_first_sweep_there_is_nothing(world: World) -> None:
    assert ask(world) == {"databases": [], "total": 0, "matching": 0, "next": None, "observed_at": None}


def test_what_is_not_known_is_null(world: World) -> None:
    world.databases("pdfs")

    assert ask(world)["databases"] == [
        {
            **NOTHING,
            "observed_at": None,
            "name": "pdfs",
            "nodes": NODES,
            "conflicts": None,
            "lag": None,
            "state": "unknown",
            "mode": None,
            "last_backup": None,
        }
    ]


def test_a_row_is_of_the_fullest_and_the_largest_copy(world: World) -> None:
    world.databases("pdfs")
    kept(world, "primary", figures("pdfs", 7, 1_000, 900), age=5)
    kept(world, "replica1", figures("pdfs", 6, 4_000, 1_000), age=9)
    kept(world, "replica2", figures("pdfs", 99, 9_999, 1), age=1)  # it was there, and the last sweep saw it no more
    in_step(world, "pdfs")
    conflicts(world, "pdfs", "one", "two", through="earlier")
    world.backups.save([backup("b1", world.now - 60)], {"b1": [{"database": "pdfs"}]}, world.now)

    (row,) = ask(world)["databases"]

    assert row == {
        "name": "pdfs",
        "nodes": NODES,
        "documents": 7,
        "deleted": 1,
        "file_bytes": 4_000,
        "active_bytes": 1_000,
        "fragmentation": 0.75,
        "observed_at": "2026-11-23T14:59:51.123Z",
        "conflicts": {"count": 2, "at_least": False, "observed_at": "2026-11-23T14:59:30.123Z"},
        "lag": 0,
        "state": "in-step",
        "mode": "continuous",
        "last_backup": {"id": "b1", "at": "2026-11-23T14:59:00.123Z", "good": True},
    }


def test_a_count_is_as_young_as_the_look_that_found_nothing_changed(world: World) -> None:
    world.databases("pdfs")
    conflicts(world, "pdfs", "one", through="m", age=3_600, more=True)
    kept(world, "primary", figures("pdfs"), age=5)

    (row,) = ask(world)["databases"]

    assert row["conflicts"] == {"count": 1, "at_least": True, "observed_at": "2026-11-23T14:59:55.123Z"}


def test_a_stand_ins_sizes_are_null(world: World) -> None:
    world.databases("pdfs")
    kept(world, "primary", Figures("pdfs", 4, None, None, None, "m"))

    (row,) = ask(world)["databases"]

    assert {key: row[key] for key in NOTHING} == {**NOTHING, "documents": 4}
    assert row["observed_at"] is not None


def test_a_database_on_change_stands_as_the_last_pass_found_it(world: World) -> None:
    world.save_reconcile(automatic="on-change", mode="on-change")
    world.databases("behind", "failing", "new", "still")
    for name in ("behind", "failing", "still"):
        world.seen.record_sync(name, {"primary": "1-a"}, world.now)
    world.save_pass(changed={"behind": NODES}, lag={"behind": {"primary": 4, "replica1": 0}})
    world.replication.on_change_failed("failing", "unreachable", "no", world.now)

    found = {row["name"]: (row["state"], row["lag"], row["mode"]) for row in ask(world)["databases"]}
    sorted_anyhow = {row["name"]: (row["state"], row["lag"]) for row in ask(world, "?sort=lag")["databases"]}

    assert found == {
        "behind": ("behind", 4, "on-change"),
        "failing": ("broken", None, "on-change"),
        "new": ("unknown", None, "on-change"),
        "still": ("in-step", 0, "on-change"),
    }
    assert sorted_anyhow == {name: told[:2] for name, told in found.items()}
    assert (names(world, "?only=behind"), names(world, "?only=broken")) == (["behind"], ["failing"])


def test_what_is_not_replicated_has_no_state(world: World) -> None:
    world = World(settings(replication_exclude="private*"))
    world.save_reconcile()
    world.databases("private", "public")

    found = {row["name"]: (row["mode"], row["state"]) for row in ask(world)["databases"]}

    assert found == {"private": ("off", None), "public": (None, "unknown")}


# --- which rows


@pytest.mark.parametrize(
    ("search", "found"),
    [
        ("note", ["my-notes", "notes", "notes-2026"]),
        ("NOTES", ["my-notes", "notes", "notes-2026"]),
        ("notes*", ["notes", "notes-2026"]),
        ("????", ["pdfs"]),
        ("[a-z]", []),
        ("nothing", []),
    ],
    ids=["part", "capitals", "glob", "question-marks", "no-other-signs", "none"],
)
def test_search(world: World, search: str, found: list[str]) -> None:
    world.databases("my-notes", "notes", "notes-2026", "pdfs")

    told = ask(world, f"?search={search}")

    assert [row["name"] for row in told["databases"]] == found
    assert (told["total"], told["matching"]) == (4, len(found))


def test_only_those_with_conflicts_behind_broken_or_fragmented(world: World) -> None:
    world.databases("behind", "broken", "conflicts", "fragmented", "small", "well")
    world.save_links(
        link(world.now, "behind", lag=2),
        link(world.now, "broken", state="crashing", lag=None),
        *(link(world.now, name, lag=0) for name in ("conflicts", "fragmented", "small", "well")),
    )
    conflicts(world, "conflicts", "one")
    conflicts(world, "well")
    kept(
        world,
        "primary",
        figures("fragmented", 1, 2 * MIB, MIB),
        figures("small", 1, 10_000, 100),
        figures("well", 1, 100 * MIB, 60 * MIB),
    )

    for only in ("behind", "broken", "conflicts", "fragmented"):
        told = ask(world, f"?only={only}")
        assert [row["name"] for row in told["databases"]] == [only]
        assert (told["total"], told["matching"]) == (6, 1)
    assert names(world, "?only=conflicts&search=well") == []


def test_only_those_whose_lag_or_state_nobody_can_tell() -> None:
    world = World(settings(replication_exclude="private*"))
    world.save_reconcile()
    world.databases("behind", "broken", "new", "no-lag", "private", "well")
    world.save_links(
        link(world.now, "behind", lag=2),
        link(world.now, "broken", state="crashing", lag=None),
        link(world.now, "no-lag", lag=None),
        link(world.now, "well", lag=0),
    )

    assert names(world, "?only=unknown") == ["broken", "new", "no-lag"]
    world.now += longest_pass(world.settings) + 1
    assert names(world, "?only=unknown") == ["behind", "broken", "new", "no-lag", "well"], "the look is too old"


def test_on_change_nothing_is_known_of_what_no_pass_looked_at_lately(world: World) -> None:
    world.save_reconcile(automatic="on-change", mode="on-change")
    world.databases("new", "still")
    world.seen.record_sync("still", {"primary": "1-a"}, world.now)
    assert names(world, "?only=unknown") == ["new", "still"]
    world.save_pass()

    assert names(world, "?only=unknown") == ["new"]
    world.now += longest_pass(world.settings) + 1
    assert names(world, "?only=unknown") == ["new", "still"]


def test_only_those_that_are_not_backed_up() -> None:
    world = World(settings(backup_exclude="scratch*", backup_stale_hours=30))
    hour = 3_600
    world.databases("damaged", "fresh", "never", "scratch", "stale", "was-good-before")
    world.backups.save(
        [
            backup("b3", world.now - hour, damage={"on": True}),
            backup("b2", world.now - 29 * hour),
            backup("b1", world.now - 31 * hour),
            {"id": "b0", "readable": False, "why": "no"},
        ],
        {
            "b3": [{"database": "damaged"}, {"database": "was-good-before"}],
            "b2": [{"database": "fresh"}, {"database": "was-good-before"}],
            "b1": [{"database": "stale"}],
            "b0": [{"database": "never"}],
        },
        world.now,
    )

    assert names(world, "?only=not-backed-up") == ["damaged", "never", "stale"]
    found = {row["name"]: row["last_backup"] for row in ask(world)["databases"]}
    assert (found["never"], found["scratch"]) == (None, None)
    assert {name: told["good"] for name, told in found.items() if told} == {
        "damaged": False,
        "fresh": True,
        "stale": True,
        "was-good-before": False,
    }
    assert names(world, "?sort=backup") == ["damaged", "never", "scratch", "stale", "fresh", "was-good-before"]


# --- in which order


def test_the_most_comes_first_and_what_is_not_known_last(world: World) -> None:
    world.databases("a", "b", "c", "unknown")
    kept(world, "primary", figures("a", 1, 300, 300), figures("b", 9, 100, 10), figures("c", 9, 200, 100))
    world.save_links(link(world.now, "a", lag=5), link(world.now, "b", lag=0), link(world.now, "c", lag=7))
    conflicts(world, "b", "one")
    conflicts(world, "c")

    assert names(world, "?sort=name") == ["a", "b", "c", "unknown"]
    assert names(world, "?sort=size") == ["a", "c", "b", "unknown"]
    assert names(world, "?sort=documents") == ["b", "c", "a", "unknown"]
    assert names(world, "?sort=fragmentation") == ["b", "c", "a", "unknown"]
    assert names(world, "?sort=lag") == ["c", "a", "b", "unknown"]
    assert names(world, "?sort=conflicts") == ["b", "c", "a", "unknown"]


@pytest.mark.parametrize("sort", ["name", "size", "documents", "conflicts", "lag", "fragmentation", "backup"])
def test_pages_have_every_row_once(world: World, sort: str) -> None:
    every = [f"db-{number:02}" for number in range(11)]
    world.databases(*every)
    kept(world, "primary", *(figures(name, number % 3, 100 * (number % 4)) for number, name in enumerate(every[:8])))
    found: list[str] = []
    cursor = ""
    while True:
        told = ask(world, f"?sort={sort}&limit=3{cursor}")
        found += [row["name"] for row in told["databases"]]
        assert (told["total"], told["matching"]) == (11, 11)
        if told["next"] is None:
            break
        cursor = f"&cursor={told['next']}"

    assert sorted(found) == every
    assert found == names(world, f"?sort={sort}")


def test_a_page_goes_on_where_the_last_one_ended_although_that_row_has_gone_or_moved(world: World) -> None:
    world.databases("a", "b", "c", "d")
    kept(
        world, "primary", *(figures(name, documents) for name, documents in zip("abcd", (40, 30, 20, 10), strict=True))
    )
    first = ask(world, "?sort=documents&limit=2")
    assert [row["name"] for row in first["databases"]] == ["a", "b"]

    world.databases("a", "c", "d")  # b is gone
    kept(world, "primary", figures("a", 1))  # and a comes last now

    assert names(world, f"?sort=documents&cursor={first['next']}") == ["c", "d", "a"]


def _written(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode()


@pytest.mark.parametrize(
    "cursor",
    ["nonsense", "%C3%BC", "W10", "bnVsbA", _written(["name", 0, "x", "a"]), _written(["name", 1e999, 0, "a"])],
    ids=["text", "umlaut", "empty-list", "null", "a-word-for-a-number", "endless"],
)
def test_a_cursor_that_is_none_is_refused(world: World, cursor: str) -> None:
    answer = world.client.get(f"/api/databases?cursor={cursor}")

    assert answer.status_code == 422
    assert answer.get_json()["errors"][0]["field"] == "cursor"


def test_a_cursor_of_another_order_is_refused(world: World) -> None:
    world.databases("a", "b")
    cursor = ask(world, "?limit=1")["next"]

    answer = world.client.get(f"/api/databases?sort=size&cursor={cursor}")

    assert answer.status_code == 422
    assert "sorted by size" in answer.get_json()["detail"]


@pytest.mark.parametrize("query", ["only=lost", "sort=colour", "limit=0", "limit=201", "search=", "order=name"])
def test_a_query_that_makes_no_sense_is_refused(world: World, query: str) -> None:
    answer = world.client.get(f"/api/databases?{query}")

    assert answer.status_code == 422
    assert answer.get_json()["errors"][0]["field"] == query.partition("=")[0]


# --- one database


def test_one_database_is_told_node_by_node(world: World) -> None:
    world.save_sweep({"pdfs": ["primary"]})
    kept(world, "primary", figures("pdfs", 7, 1_000, 900), age=1)
    kept(world, "replica1", figures("pdfs", 9), age=60)  # the node answered the last sweep, and has it no more
    kept(world, "replica2", figures("pdfs", 6, 500, 500), age=3_600)  # the node is down
    in_step(world, "pdfs")
    conflicts(world, "pdfs", *(f"doc-{number:03}" for number in range(130)))

    told = world.client.get("/api/databases/pdfs").get_json()

    assert told["by_node"] == [
        {
            "node": "primary",
            "has": True,
            "documents": 7,
            "deleted": 1,
            "file_bytes": 1_000,
            "active_bytes": 900,
            "fragmentation": 0.1,
            "observed_at": "2026-11-23T14:59:59.123Z",
        },
        {"node": "replica1", "has": False, **NOTHING, "observed_at": None},
        {
            "node": "replica2",
            "has": None,
            "documents": 6,
            "deleted": 1,
            "file_bytes": 500,
            "active_bytes": 500,
            "fragmentation": 0.0,
            "observed_at": "2026-11-23T14:00:00.123Z",
        },
    ]
    assert (told["nodes"], told["documents"]) == (["primary"], 7)
    assert [one["target"] for one in told["links"]] == ["replica1"]
    assert told["conflicts"]["count"] == 130
    assert told["conflicted"] == [f"doc-{number:03}" for number in range(100)]


def test_one_database_has_its_newest_backups(world: World) -> None:
    world.databases("pdfs", "notes")
    made = [backup(f"b{number:02}", world.now - 1_000 + number) for number in range(12)]
    world.backups.save(made, {one["id"]: [{"database": "pdfs"}] for one in made}, world.now)

    told = world.client.get("/api/databases/pdfs").get_json()

    assert [one["id"] for one in told["backups"]] == [f"b{number:02}" for number in range(11, 1, -1)]
    assert told["last_backup"] == told["backups"][0]
    assert world.client.get("/api/databases/notes").get_json()["backups"] == []


def test_a_name_with_a_slash_is_found(world: World) -> None:
    world.databases("a/b+c")

    assert world.client.get("/api/databases/a%2Fb%2Bc").get_json()["name"] == "a/b+c"


def test_an_unknown_name_is_told_with_the_nearest(world: World) -> None:
    world.databases("pdfs")

    answer = world.client.get("/api/databases/pdf")

    assert (answer.status_code, answer.get_json()["nearest"]) == (404, ["pdfs"])
    assert answer.get_json()["type"].endswith(":unknown-database")
    assert "did you mean pdfs?" in answer.get_json()["detail"]


class Counting(fakeredis.FakeRedis):
    """Remembers how many fields of a hash were asked for at once, and which hashes were read whole."""

    def __init__(self) -> None:
        super().__init__(server=fakeredis.FakeServer(), decode_responses=True)
        self.fields: list[int] = []
        self.whole: list[str] = []

    def hmget(self, name: str, keys: Any, *args: Any) -> Any:
        self.fields.append(len(keys))
        return super().hmget(name, keys, *args)

    def hgetall(self, name: str) -> Any:
        self.whole.append(name)
        return super().hgetall(name)


def test_a_page_by_name_reads_its_own_rows_alone() -> None:
    """However many databases there are: names, and then fifty rows of each column."""
    redis = Counting()
    world = World(redis=redis)
    world.databases(*(f"db-{number:04}" for number in range(300)))
    redis.fields.clear()
    redis.whole.clear()

    assert len(names(world)) == 50
    assert len(redis.fields) > 3
    assert max(redis.fields) == 50
    assert redis.whole == ["nbr:seen:on-change-failures"], "of which there are few"


def test_without_redis_nothing_is_told(world: World) -> None:
    client = world.without_redis()

    for path in ("", "/pdfs"):
        assert client.get(f"/api/databases{path}").get_json()["type"].endswith(":store-unavailable")


# --- a node's history


def test_a_nodes_history_has_the_minutes_in_which_it_was_looked_at(world: World) -> None:
    world.save_sweep()
    note = world.seen.history.note
    note("replica1", world.now - 7_200, 1.0, 0, NodeState.HEALTHY)
    note("replica1", world.now - 180, 2.5, 4, NodeState.SUSPECT)
    note("replica1", world.now, None, None, NodeState.DOWN)

    told = world.client.get("/api/nodes/replica1/history?hours=1").get_json()

    down = {"latency_ms": None, "latency_max_ms": None, "lag": None, "state": "down"}
    assert told == {
        "node": "replica1",
        "observed_at": SEEN_AT,
        "step_seconds": 60,
        "points": [
            {"at": "2026-11-23T14:57:00.000Z", "latency_ms": 2.5, "latency_max_ms": 2.5, "lag": 4, "state": "suspect"},
            {"at": "2026-11-23T15:00:00.000Z", **down},
        ],
    }
    assert len(world.client.get("/api/nodes/replica1/history").get_json()["points"]) == 3


def test_a_history_of_nobody_and_of_too_long(world: World) -> None:
    assert world.client.get("/api/nodes/replica2/history").get_json()["points"] == []
    assert world.client.get("/api/nodes/replika1/history").get_json()["nearest"][0] == "replica1"
    for hours in ("0", "25", "x"):
        assert world.client.get(f"/api/nodes/replica1/history?hours={hours}").status_code == 422


def test_before_the_store_was_read_nothing_is_known_to_lack_a_backup() -> None:
    """After Redis was lost, say: all of them would be called unsaved."""
    world = World(settings(backup_url="memory://"))
    world.databases("pdfs")
    assert world.client.get("/api/databases?only=not-backed-up").get_json()["matching"] == 0
    world.backups.save([], {}, world.now)
    assert world.client.get("/api/databases?only=not-backed-up").get_json()["matching"] == 1
