"""Something to look at: what a small installation holds after a day."""

from __future__ import annotations

from dataclasses import dataclass

import requests

from tests.system.harness import System, wait_until

DATABASES = ("papers", "notes", "categories")


@dataclass(frozen=True)
class Filled:
    """Ids of jobs, and of a backup of everything."""

    sync: str
    failed: str
    backup: str


def fill(system: System) -> Filled:
    primary = system.nodes["primary"]
    for name in DATABASES:
        primary.create(name)
        primary.fill(name, 50)
    for rev in ("1-a", "1-b"):
        primary.force("papers", {"_id": "both", "_rev": rev, "by": rev})
    api = system.api
    api.wait_succeeded(_id(api.setup()))
    sync = _id(api.sync("papers"))
    api.wait_succeeded(sync)
    backup = str(api.wait_succeeded(_id(api.call("POST", "/api/backups", json={})))["result"]["backup_id"])
    answer = api.call("POST", f"/api/backups/{backup}/restore", json={"database": "papers", "as": "notes"})
    failed = _id(answer)
    api.wait_state(failed, "failed")
    wait_until(lambda: _pictured(system), "the dashboard knows of the backup and of the databases")
    return Filled(sync, failed, backup)


def _pictured(system: System) -> bool:
    known = {row["name"] for row in system.api.get("/api/databases").json()["databases"]}
    backups = system.api.get("/api/backups").json()["backups"]
    return known >= set(DATABASES) and bool(backups)


def _id(answer: requests.Response) -> str:
    assert answer.status_code in {200, 202}, answer.text
    return str(answer.json()["id"])
