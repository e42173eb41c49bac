"""What Tab offers."""

from __future__ import annotations

import os
from pathlib import Path

import click
import pytest
import requests
from click.shell_completion import ShellComplete
from click.testing import CliRunner

from cli.__main__ import COMMANDS, nbr
from cli.options import Surroundings
from tests.unit.cli.bodies import BACKUP, ID, backup, job, link, node, status
from tests.unit.cli.terminal import URL, FakeApi, problem


@pytest.fixture
def api() -> FakeApi:
    return FakeApi()


def offered(api: FakeApi, typed: str) -> list[str]:
    *words, incomplete = typed.split(" ")
    around = Surroundings(environ={"NBR_URL": URL}, env_file=Path(os.devnull), adapter=api)
    found = ShellComplete(nbr, {"obj": around}, "nbr", "_NBR_COMPLETE").get_completions(words, incomplete)
    return [item.value for item in found]


def test_commands_without_asking_anybody(api: FakeApi) -> None:
    assert offered(api, "") == list(COMMANDS)
    assert offered(api, "st") == ["status"]
    assert offered(api, "backup ") == ["hold", "list", "now", "release", "show", "verify"]
    assert "--dry-run" in offered(api, "setup --")
    assert api.asked == []


def test_names_of_databases(api: FakeApi) -> None:
    api.on("GET /api/databases", {"databases": [{"name": "pdfs"}, {"name": "plans"}], "next": None})
    assert offered(api, "sync p") == ["pdfs", "plans"]
    assert offered(api, "setup pdfs p") == ["plans"]
    assert api.asked[0].query["search"] == ["p"]
    assert max(api.asked[0].options["timeout"]) <= 1


def test_names_of_databases_of_an_api_that_does_not_list_them(api: FakeApi) -> None:
    api.on("GET /api/databases", problem(404, "not-found"))
    api.on("GET /api/replication/status", status(link(), link(target="x"), link(database="a")))
    assert offered(api, "sync ") == ["a", "pdfs"]


def test_names_of_nodes_and_the_commands_beside_them(api: FakeApi) -> None:
    api.on("GET /api/nodes", {"nodes": [node(), node("replica1")]})
    assert offered(api, "nodes rep") == ["replica1"]
    assert offered(api, "nodes ") == ["maintenance", "rejoin", "show", "primary", "replica1"]
    assert offered(api, "nodes rejoin p") == ["primary"]
    assert offered(api, "verify pdfs --nodes r") == ["replica1"]


def test_ids(api: FakeApi) -> None:
    api.on("GET /api/jobs", {"jobs": [job()], "next": None})
    api.on("GET /api/backups", {"backups": [backup()], "next": None})
    assert offered(api, "jobs watch ") == [ID]
    assert offered(api, "restore ") == ["latest", BACKUP]


def test_names_that_a_terminal_would_obey_are_not_offered(api: FakeApi) -> None:
    api.on("GET /api/databases", {"databases": [{"name": "p\x1b[2J"}, {"name": "pdfs"}], "next": None})
    assert offered(api, "sync ") == ["pdfs"]


@pytest.mark.parametrize("name", ["a$(x)", "a(b)", "a b", "a;b", "a`b", "a'b", "a~b", "-a", "a*", "a:b", "a\\b", "ä"])
def test_names_that_a_shell_would_obey_are_not_offered(api: FakeApi, name: str) -> None:
    plain = "Az0_./+-z"
    api.on("GET /api/databases", {"databases": [{"name": name}, {"name": plain}], "next": None})
    assert offered(api, "sync ") == [plain]


@pytest.mark.parametrize(
    "answer",
    [requests.ConnectionError("refused"), requests.ReadTimeout(), problem(401, "unauthorized"), {"nodes": [{}]}, {}],
    ids=["away", "slow", "refused", "no-names", "no-nodes"],
)
def test_silence_where_nobody_answers(api: FakeApi, answer: object) -> None:
    api.on("GET /api/nodes", answer)
    assert offered(api, "nodes rejoin ") == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_scripts(shell: str) -> None:
    done = CliRunner().invoke(nbr, ["completion", shell])
    assert done.exit_code == 0
    assert f"_NBR_COMPLETE={shell}_complete" in done.stdout


def test_a_command_line_that_cannot_be_is_no_error(api: FakeApi) -> None:
    assert offered(api, "sync --url nonsense ") == []
    with pytest.raises(click.UsageError):
        Surroundings(environ={}, env_file=Path(os.devnull)).api("nonsense")
