"""Rules for single databases, by a file: direction, mode and a selector; users; and a file that is wrong.

Selectors and `_users` need CouchDB: on a stand-in those tests are skipped.
"""

from __future__ import annotations

import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.conftest import Fresh
from tests.system.couch import Couch
from tests.system.harness import System, wait_until

pytestmark = pytest.mark.system

PREFIX = f"rul-{secrets.token_hex(4)}-"
SETTINGS = {"CONTINUOUS_REPLICATION": "true", "REPLICATION_RETRY_SECONDS": "2", "CANARY_SECONDS": "0"}
PROCESSES = ("worker", "control", "beat", "watcher", "api")


def rules(folder: Path, *, selector: bool) -> Path:
    path = folder / "rules.yml"
    lines = ["rules:", f'  - databases: "{PREFIX}out-*"', "    direction: one-way"]
    if selector:
        lines += [f'  - databases: "{PREFIX}some-*"', '    selector: {"type": "note"}', "    mode: on-change"]
        lines += [f'  - databases: "{PREFIX}few-*"', '    selector: {"type": "note"}', "    mode: continuous"]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def system(nodes: list[Couch], tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    folder = tmp_path_factory.mktemp("rules")
    file = str(rules(folder, selector=nodes[0].schedules))
    settings = {**SETTINGS, "REPLICATION_INCLUDE": f"{PREFIX}*", "REPLICATION_RULES": file}
    with System(nodes, folder / "system", settings) as made:
        made.start(*PROCESSES)
        yield made


def test_a_database_goes_out_from_the_primary_alone(system: System, nodes: list[Couch], fresh: Fresh) -> None:
    name = fresh(prefix=f"{PREFIX}out-", on=nodes)
    nodes[1].put(name, {"_id": "stays"})
    nodes[0].put(name, {"_id": "travels"})

    wait_until(lambda: all(node.has(name, "travels") for node in nodes), "the primary's document is everywhere", 60)
    job = system.api.sync(name, wait=True).json()

    assert job["result"]["caught_up"] is True
    assert {pull["source"] for pull in job["result"]["pulls"]} == {"primary"}
    assert not nodes[0].has(name, "stays")


@pytest.mark.parametrize("how", ["some", "few"])
def test_only_what_a_selector_matches_travels(system: System, nodes: list[Couch], fresh: Fresh, how: str) -> None:
    if not nodes[0].schedules:
        pytest.skip("a stand-in takes no selectors")
    name = fresh(prefix=f"{PREFIX}{how}-", on=nodes)
    nodes[2].put(name, {"_id": "draft", "type": "draft"})
    nodes[2].put(name, {"_id": "note", "type": "note"})

    wait_until(lambda: all(node.has(name, "note") for node in nodes), "the note is everywhere", 60)
    job = system.api.sync(name, wait=True).json()
    verified = system.api.call("POST", "/api/replication/verify", json={"database": name, "wait": True}).json()

    assert job["result"]["caught_up"] is True
    assert not nodes[0].has(name, "draft")
    assert verified["result"]["equal"] is True, "of what matches"
    mode = "on-change" if how == "some" else "continuous"

    def told() -> set[tuple[str, int | None]]:
        links = system.api.get(f"/api/replication/status?database={name}").json()["links"]
        return {(link["mode"], link["lag"]) for link in links}

    wait_until(lambda: told() == {(mode, 0)}, "no lag: what does not match is nothing to carry")


def test_users_travel_where_that_is_asked_for(mortals: list[Couch], tmp_path: Path) -> None:
    if not mortals[0].schedules:
        pytest.skip("a stand-in has users of its own kind")
    user = f"ann-{secrets.token_hex(4)}"
    settings = {**SETTINGS, "REPLICATION_INCLUDE": f"{PREFIX}*", "REPLICATE_USERS": "true"}
    with System(mortals, tmp_path / "system", settings) as made:
        made.start(*PROCESSES)
        document = {"name": user, "type": "user", "roles": [], "password": secrets.token_hex(8)}
        mortals[0].call("PUT", f"_users/org.couchdb.user%3A{user}", document)

        wait_until(lambda: all(node.has("_users", f"org.couchdb.user:{user}") for node in mortals), "all know her", 90)


def test_a_wrong_file_stops_the_start_with_its_lines(tmp_path: Path, system: System) -> None:
    path = tmp_path / "rules.yml"
    path.write_text(
        'rules:\n  - databases: "pdfs"\n    topology: circle\n    selector: {"$foo": 1}\n', encoding="utf-8"
    )
    environ = {**system.environ, "REPLICATION_RULES": str(path)}

    for process in (["-m", "api"], ["-m", "tasks", "control"], ["-m", "tasks", "watcher"]):
        ended = subprocess.run(
            [sys.executable, *process],
            env=environ,
            capture_output=True,
            text=True,
            timeout=60,
            cwd=tmp_path,
            check=False,
        )
        assert ended.returncode == 2
        assert "REPLICATION_RULES" in ended.stderr
        assert f"{path}:3:" in ended.stderr, "the topology"
        assert f"{path}:4:" in ended.stderr, "and the selector"
