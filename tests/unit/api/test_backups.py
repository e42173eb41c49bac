"""/api/backups: what each route answers, and which job comes of it."""

from __future__ import annotations

from typing import Any

import pytest

from tasks.jobs import Kind, Request
from tests.unit.api.backing import NOW, backing, backup, identity, read, unreadable, without_redis
from tests.unit.api.world import World
from worker.blobs.seal import new_identity
from worker.ops.backup.notes import Drill, Hold

BACKUPS = "/api/backups"
ROUTES = [
    ("POST", "", {}),
    ("GET", "", None),
    ("GET", "/latest", None),
    ("POST", "/latest/restore", {"database": "pdfs"}),
    ("POST", "/latest/verify", {}),
    ("POST", "/latest/hold", {"on": True}),
    ("POST", "/prune", {}),
]
OF_ONE = [route for route in ROUTES if route[1].startswith("/latest")]


@pytest.fixture
def world() -> World:
    """Two backups, the newer one of everything."""
    world = backing()
    read(world, backup(23, "pdfs", scope=["pdfs"]), backup(24, "categories", "pdfs"))
    return world


def call(world: World, method: str, path: str, body: Any = None, **headers: str) -> Any:
    more = {"json": body} if body is not None else {}
    return world.client.open(f"{BACKUPS}{path}", method=method, headers=headers, **more)


def post(world: World, path: str, **body: Any) -> Any:
    return call(world, "POST", path, body)


def asked(world: World, path: str, **body: Any) -> dict[str, Any]:
    """The job's parameters, with its kind and database."""
    answer = post(world, path, **body)
    assert answer.status_code == 202, answer.text
    job = answer.get_json()
    assert answer.headers["Location"] == f"/api/jobs/{job['id']}"
    assert world.published[-1] == job["id"]
    return {"kind": job["kind"], "database": job["database"], **job["params"]}


# --- jobs


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        ({}, {"databases": None, "full": False}),
        ({"databases": "pdfs"}, {"databases": ["pdfs"], "full": False}),
        (
            {"databases": ["pdfs", "notes-*", "pdfs", "_users"]},
            {"databases": ["_users", "notes-*", "pdfs"], "full": False},
        ),
        ({"full": True}, {"databases": None, "full": True}),
        ({"legal_hold": "case 17"}, {"databases": None, "full": False, "legal_hold": "case 17"}),
    ],
)
def test_a_backup_is_queued(world: World, body: dict[str, Any], wanted: dict[str, Any]) -> None:
    rest = {"kind": "backup", "database": None, "legal_hold": None, "scheduled": False}
    assert asked(world, "", **body) == {**rest, **wanted}


@pytest.mark.parametrize(
    ("path", "kind"), [("", "backup"), ("/latest/verify", "check-backup"), ("/prune", "prune-backups")]
)
def test_where_there_is_nothing_to_say_no_body_is_needed(world: World, path: str, kind: str) -> None:
    answer = call(world, "POST", path)

    assert (answer.status_code, answer.get_json()["kind"]) == (202, kind)


def test_a_restore_is_queued_for_the_backup_that_is_meant(world: World) -> None:
    """`latest` is settled now: what is the newest when the job begins may be another."""
    assert asked(world, "/latest/restore", database="pdfs") == {
        "kind": "restore",
        "database": "pdfs",
        "backup": identity(24),
        "as": None,
        "node": None,
        "mode": "new",
        "ids": None,
        "selector": None,
        "made_since": "keep",
        "dry_run": False,
    }


def test_all_that_is_said_of_a_restore_reaches_the_job(world: World) -> None:
    said = {
        "database": "pdfs",
        "as": "pdfs-restored",
        "node": "replica1",
        "mode": "rollback",
        "ids": ["b", "a", "b"],
        "selector": {"type": "note", "n": {"$gt": 3}},
        "made_since": "delete",
        "dry_run": True,
    }

    job = asked(world, f"/{identity(23)}/restore", **said)

    assert job == {"kind": "restore", "backup": identity(23), **said, "ids": ["a", "b"]}


def test_mode_cluster_takes_everything(world: World) -> None:
    job = asked(world, "/latest/restore", mode="cluster", node="replica2")

    assert (job["database"], job["mode"], job["node"]) == (None, "cluster", "replica2")


def test_users_can_be_restored(world: World) -> None:
    read(world, backup(24, "_users", "pdfs"))

    assert asked(world, "/latest/restore", database="_users")["database"] == "_users"


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        ({}, {"drill": False, "node": None}),
        ({"drill": True}, {"drill": True, "node": None}),
        ({"drill": True, "node": "replica1"}, {"drill": True, "node": "replica1"}),
    ],
)
def test_a_check_or_a_drill_is_queued(world: World, body: dict[str, Any], wanted: dict[str, Any]) -> None:
    assert asked(world, f"/{identity(23)}/verify", **body) == {
        "kind": "check-backup",
        "database": None,
        "backup": identity(23),
        **wanted,
    }


def test_a_hold_is_queued(world: World) -> None:
    job = asked(world, "/latest/hold", on=True, reason="case 17")

    assert (job["kind"], job["backup"], job["on"], job["reason"]) == ("hold-backup", identity(24), True, "case 17")


@pytest.mark.parametrize("dry_run", [True, False])
def test_retention_is_queued(world: World, dry_run: bool) -> None:
    assert asked(world, "/prune", dry_run=dry_run) == {"kind": "prune-backups", "database": None, "dry_run": dry_run}


def test_equal_requests_are_one_job_and_others_are_not(world: World) -> None:
    def ids(*bodies: dict[str, Any]) -> list[str]:
        return [post(world, "/latest/restore", **body).get_json()["id"] for body in bodies]

    first, again, other, copy = ids(
        {"database": "pdfs"}, {"database": "pdfs"}, {"database": "categories"}, {"database": "pdfs", "as": "copy"}
    )

    assert first == again
    assert len({first, other, copy}) == 3, "of two databases of one backup both are restored"


def test_a_key_that_came_with_another_database_is_refused(world: World) -> None:
    key = {"Idempotency-Key": "k"}
    first, again = (call(world, "POST", "/latest/restore", {"database": "pdfs"}, **key).get_json() for _ in range(2))
    other = call(world, "POST", "/latest/restore", {"database": "categories"}, **key)

    assert first["id"] == again["id"]
    assert other.status_code == 422
    assert other.get_json()["type"].endswith(":idempotency-key-reused")


@pytest.mark.parametrize(("path", "body"), [(path, body) for method, path, body in ROUTES if method == "POST"])
def test_whoever_waits_gets_the_result(world: World, path: str, body: dict[str, Any]) -> None:
    def end(job_id: str, _request: Request) -> None:
        world.finish(job_id, {"done": True})

    world.on_publish = end

    answer = post(world, path, **body, wait=True)

    assert (answer.status_code, answer.get_json()["result"]) == (200, {"done": True})


# --- the list


def test_backups_are_listed_newest_first(world: World) -> None:
    body = call(world, "GET", "").get_json()

    assert [one["id"] for one in body["backups"]] == [identity(24), identity(23)]
    assert (body["observed_at"], body["trouble"], body["stale"], body["next"]) == (
        "2026-11-23T14:59:56.123Z",
        None,
        False,
        None,
    )
    assert (body["schedule"], body["next_at"]) == ("0 3 * * *", "2026-11-24T03:00:00.000Z")


def test_a_backup_is_told_with_all_that_is_known_of_it() -> None:
    world = backing()
    drill = Drill(ok=True, at=NOW - 60, node="replica1", seconds=1.5, databases=2, detail=None)
    read(world, backup(24, "categories", "pdfs", failed=["drafts"], hold=Hold(True, "case 17", NOW - 5), drill=drill))

    (found,) = call(world, "GET", "").get_json()["backups"]

    assert found == {
        "id": identity(24),
        "readable": True,
        "why": None,
        "started_at": "2026-11-23T14:00:00.000Z",
        "finished_at": "2026-11-23T14:01:30.000Z",
        "seconds": 90.0,
        "age_seconds": 3_600.1,
        "scope": ["*"],
        "scheduled": True,
        "good": False,
        "full": True,
        "sealed": False,
        "parents": [],
        "databases": 2,
        "documents": 20,
        "changed": 14,
        "attachments": 6,
        "attachment_bytes": 0,
        "stored_bytes": 9_422,
        "raw_bytes": 18_000,
        "superseded": 0,
        "lost": 0,
        "failed": [{"database": "drafts", "error": "unreachable", "detail": "b: connection refused"}],
        "verified": True,
        "damage": None,
        "legal_hold": {"reason": "case 17", "at": "2026-11-23T14:59:55.000Z"},
        "drill": {
            "ok": True,
            "at": "2026-11-23T14:59:00.000Z",
            "node": "replica1",
            "seconds": 1.5,
            "databases": 2,
            "detail": None,
        },
    }


@pytest.mark.parametrize(("drill", "verified"), [(None, None), (True, True), (False, False)])
def test_verified_is_what_the_last_drill_found(drill: bool | None, verified: bool | None) -> None:
    world = backing()
    done = None if drill is None else Drill(drill, NOW, "replica1", 1.0, 1, None if drill else "pdfs: 1 documents")
    read(world, backup(24, "pdfs", drill=done))

    assert call(world, "GET", "/latest").get_json()["verified"] is verified


def test_one_that_cannot_be_read_is_listed_with_the_reason(world: World) -> None:
    read(world, backup(23, "pdfs"), unreadable(24))

    first, second = call(world, "GET", "").get_json()["backups"]

    assert (first.pop("id"), first.pop("readable"), first.pop("why")) == (
        identity(24),
        False,
        "its manifest is damaged",
    )
    assert set(first.values()) == {None}
    assert second["readable"] is True


def test_pages_follow_one_another(world: World) -> None:
    read(world, *(backup(number, "pdfs") for number in range(1, 6)))
    found, cursor = [], ""
    for _ in range(3):
        body = call(world, "GET", f"?limit=2{cursor}").get_json()
        found.append([one["id"] for one in body["backups"]])
        cursor = f"&cursor={body['next']}"

    assert found == [[identity(5), identity(4)], [identity(3), identity(2)], [identity(1)]]
    assert cursor == "&cursor=None"


def test_a_page_that_is_just_full_is_the_last(world: World) -> None:
    body = call(world, "GET", "?limit=2").get_json()

    assert (len(body["backups"]), body["next"]) == (2, None)


def test_backups_are_found_by_a_database(world: World) -> None:
    read(
        world, backup(21, "pdfs"), backup(22, "notes"), unreadable(23), backup(24, "notes", "pdfs"), backup(25, "pdfs")
    )

    first = call(world, "GET", "?database=pdfs&limit=2").get_json()
    second = call(world, "GET", f"?database=pdfs&limit=2&cursor={first['next']}").get_json()

    assert [one["id"] for one in first["backups"]] == [identity(25), identity(24)]
    assert [one["id"] for one in second["backups"]] == [identity(21)]
    assert call(world, "GET", "?database=nothing").get_json()["backups"] == []


def test_before_the_store_was_read_nothing_is_claimed() -> None:
    body = call(backing(), "GET", "").get_json()

    assert (body["observed_at"], body["backups"], body["stale"]) == (None, [], False)


def test_what_troubles_the_watch_is_told(world: World) -> None:
    trouble = {"at": NOW, "error": "backup-store-unavailable", "detail": "s3://bucket: no answer"}
    world.backups.note("trouble", trouble)
    world.backups.note("stale", True)

    body = call(world, "GET", "").get_json()

    assert body["trouble"] == {**trouble, "at": "2026-11-23T15:00:00.000Z"}
    assert body["stale"] is True
    assert len(body["backups"]) == 2, "what was there is still told"


def test_without_a_schedule_no_next_one_is_told() -> None:
    body = call(backing(backup_schedule="off"), "GET", "").get_json()

    assert (body["schedule"], body["next_at"]) == (None, None)


# --- one


def test_one_is_told_with_its_databases(world: World) -> None:
    body = call(world, "GET", f"/{identity(24)}").get_json()

    assert (body["id"], body["databases"], body["next"]) == (identity(24), 2, None)
    assert [one["database"] for one in body["entries"]] == ["categories", "pdfs"]
    assert body["entries"][0] == {
        "database": "categories",
        "node": "primary",
        "full": True,
        "unchanged": False,
        "why": None,
        "documents": 10,
        "deleted": 2,
        "changed": 7,
        "leaves": 9,
        "attachments": 3,
        "attachment_bytes": 0,
        "stored_bytes": 4_711,
        "raw_bytes": 9_000,
        "superseded": 0,
        "lost": 0,
    }


def test_its_databases_come_in_pages(world: World) -> None:
    read(world, backup(24, "a", "b", "c", "d", "e"))
    found, cursor = [], ""
    for _ in range(3):
        body = call(world, "GET", f"/latest?limit=2{cursor}").get_json()
        found.append([one["database"] for one in body["entries"]])
        cursor = f"&cursor={body['next']}"

    assert found == [["a", "b"], ["c", "d"], ["e"]]
    assert cursor == "&cursor=None"


def test_latest_is_the_newest_that_can_be_read(world: World) -> None:
    read(world, backup(23, "pdfs"), unreadable(24))

    assert call(world, "GET", "/latest").get_json()["id"] == identity(23)
    assert asked(world, "/latest/verify")["backup"] == identity(23)


def test_a_restore_takes_no_unsealed_backup_for_the_latest() -> None:
    """Whoever can write to the store could say which one that is."""
    world = backing(backup_key=new_identity())
    read(world, backup(22, "notes"), backup(23, "notes", "pdfs", sealed=True), backup(24, "pdfs"))

    problem = post(world, "/latest/restore", database="pdfs").get_json()
    assert (problem["status"], problem["type"].rpartition(":")[2]) == (409, "backup-not-sealed")
    assert identity(24) in problem["detail"]
    assert identity(23) in problem["detail"]
    assert asked(world, f"/{identity(24)}/restore", database="pdfs")["backup"] == identity(24)
    assert asked(world, "/latest/restore", database="notes")["backup"] == identity(23)

    read(world, backup(22, "notes"), backup(24, "pdfs"))
    assert asked(world, "/latest/restore", database="pdfs")["backup"] == identity(24)  # the key is new


def test_one_that_cannot_be_read_can_be_looked_at(world: World) -> None:
    read(world, backup(23, "pdfs"), unreadable(24))

    body = call(world, "GET", f"/{identity(24)}").get_json()

    assert (body["readable"], body["why"], body["entries"]) == (False, "its manifest is damaged", [])


# --- what there is not


@pytest.mark.parametrize(("method", "path", "body"), ROUTES)
def test_without_a_store_all_are_409(method: str, path: str, body: Any) -> None:
    answer = call(backing(backup_url=""), method, path, body)

    assert answer.status_code == 409
    assert answer.get_json()["type"].endswith(":backups-off")
    assert "BACKUP_URL" in answer.get_json()["detail"]


@pytest.mark.parametrize(("method", "path", "body"), OF_ONE)
def test_an_unknown_backup_is_404_with_the_newest(world: World, method: str, path: str, body: Any) -> None:
    answer = call(world, method, path.replace("latest", "20200101T000000Z-000000"), body)

    problem = answer.get_json()
    assert answer.status_code == 404
    assert problem["type"].endswith(":unknown-backup")
    assert problem["nearest"] == [identity(24), identity(23)]
    assert identity(24) in problem["detail"]
    assert world.published == []


@pytest.mark.parametrize(("method", "path", "body"), OF_ONE)
def test_where_there_is_none_there_is_no_latest(method: str, path: str, body: Any) -> None:
    world = backing()
    read(world, unreadable(24))
    assert call(world, method, path, body).status_code == 404

    read(world)
    answer = call(world, method, path, body)
    assert answer.status_code == 404
    assert answer.get_json()["detail"] == "there is no backup 'latest': none has been seen in the store"


def test_an_unknown_database_is_404_with_the_nearest(world: World) -> None:
    answer = post(world, "/latest/restore", database="pdf")
    assert (answer.status_code, answer.get_json()["nearest"]) == (404, ["pdfs"])
    assert answer.get_json()["type"].endswith(":unknown-database")
    assert "did you mean pdfs?" in answer.get_json()["detail"]

    answer = post(world, "/latest/restore", database="something-else")
    assert answer.get_json()["nearest"] == []
    assert answer.get_json()["detail"].endswith("; it has categories, pdfs")
    assert world.published == []


def test_what_the_databases_are_the_job_will_tell_where_it_is_not_known_yet(world: World) -> None:
    world.backups.save([backup(25, "pdfs")[0]], {}, NOW)

    assert asked(world, "/latest/restore", database="pdf")["backup"] == identity(25)


@pytest.mark.parametrize(
    ("path", "body"), [("/latest/restore", {"database": "pdfs"}), ("/latest/verify", {"drill": True})]
)
@pytest.mark.parametrize("node", ["replca1", "no such name"])
def test_an_unknown_node_is_404(world: World, path: str, body: dict[str, Any], node: str) -> None:
    answer = post(world, path, **body, node=node)

    assert answer.status_code == 404
    assert answer.get_json()["type"].endswith(":unknown-node")
    assert "replica1" in answer.get_json()["detail"]
    assert world.published == []


@pytest.mark.parametrize(("method", "path", "body"), ROUTES)
def test_without_redis_all_are_503(method: str, path: str, body: Any) -> None:
    more = {"json": body} if body is not None else {}

    answer = without_redis().open(f"{BACKUPS}{path}", method=method, **more)

    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "2")
    assert answer.get_json()["type"].endswith(":store-unavailable")


@pytest.mark.parametrize("kind", [Kind.BACKUP, Kind.RESTORE, Kind.CHECK, Kind.HOLD, Kind.PRUNE])
def test_jobs_of_backups_can_be_found_by_their_kind(world: World, kind: Kind) -> None:
    for _, path, body in ROUTES:
        if body is not None:
            post(world, path, **body)

    jobs = world.client.get(f"/api/jobs?kind={kind.value}").get_json()["jobs"]

    assert [job["kind"] for job in jobs] == [kind.value]
