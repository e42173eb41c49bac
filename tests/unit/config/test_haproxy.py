"""`make haproxy-check`: the proxy's servers and the nodes cannot drift apart unnoticed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from config import haproxy
from config.haproxy import FILES, check, differences, timing, unchecked, written
from config.haproxy_nodes import from_compose, from_settings
from config.settings import build

ROOT = Path(__file__).parents[3]
COMPOSE = from_compose(ROOT)
OWN = from_settings(
    build(
        {
            "couchdb_url": "http://10.0.0.1:5984",
            "replication_nodes": "backup=https://couch.example.com,third=http://[fd00::7]:5984",
            "agent_host": "0.0.0.0",  # noqa: S104
            "api_host": "::1",
        }
    )
)


def shipped(file: str = "haproxy.cfg") -> str:
    return (ROOT / "haproxy" / file).read_text(encoding="utf-8")


@pytest.mark.parametrize("file", FILES)
def test_the_shipped_files_have_the_nodes_of_compose(file: str) -> None:
    assert differences(file, shipped(file), COMPOSE) == []
    assert written(file, shipped(file), COMPOSE) == shipped(file)
    assert timing(file, shipped(file), build({})) == unchecked(file, shipped(file)) == []


def test_composes_nodes_include_the_one_whose_profile_is_off() -> None:
    assert [node.name for node in COMPOSE.nodes] == ["primary", "replica1", "replica2", "replica3"]
    assert (COMPOSE.agent, COMPOSE.api) == ("notebook-agent:5989", "notebook-backend:5000")


def test_nodes_chosen_in_env_for_the_containers_count(tmp_path: Path) -> None:
    shutil.copy(ROOT / "docker-compose.yml", tmp_path)
    (tmp_path / ".env").write_text("CONTAINER_COUCHDB_URL=main=http://couchdb-primary:5984\n")
    assert [node.name for node in from_compose(tmp_path).nodes] == ["main", "replica1", "replica2", "replica3"]


@pytest.mark.parametrize("file", FILES)
def test_what_was_written_is_right_and_nothing_else_is_changed(file: str) -> None:
    text = written(file, shipped(file), OWN)
    assert differences(file, text, OWN) == []
    assert "server primary 10.0.0.1:5984" in text
    assert "server third [fd00::7]:5984" in text
    kept = [line for line in shipped(file).splitlines() if not line.strip().startswith("server ")]
    assert [line for line in text.splitlines() if not line.strip().startswith("server ")] == kept


def test_a_node_behind_tls_is_verified_by_its_name() -> None:
    line = next(line for line in written("haproxy.cfg", shipped(), OWN).splitlines() if "server backup" in line)
    assert line.split()[2:] == [
        *("couch.example.com:443", "ssl", "verify", "required", "ca-file", "@system-ca"),
        *("sni", "str(couch.example.com)", "check-sni", "couch.example.com", "agent-send", '"backup\\n"'),
    ]


def test_the_addresses_of_agent_and_api_are_ones_that_can_be_called() -> None:
    assert (OWN.agent, OWN.api) == ("127.0.0.1:5989", "[::1]:5000")


# --- drift


@pytest.mark.parametrize(
    ("right", "drifted", "told"),
    [
        ("server replica2 couchdb-replica2:5984 agent", "server replica2 couchdb-replica9:5984 agent", "haproxy.cfg:"),
        ('    server replica2 couchdb-replica2:5984 agent-send "replica2\\n"\n', "", "has no server replica2"),
        ("server replica1 ", "server replicaX ", "replicaX is no node of ours"),
        ('"replica1\\n"', '"replica2\\n"', 'right: server replica1 couchdb-replica1:5984 agent-send "replica1\\n"'),
        ('"replica1 last-resort\\n"', '"replica1\\n"', 'agent-send "replica1 last-resort\\n"'),
        ("notebook-agent:5989", "notebook-agent:1234", "right: server agent notebook-agent:5989"),
    ],
)
def test_drift_is_named_with_what_would_be_right(right: str, drifted: str, told: str) -> None:
    assert right in shipped()
    found = differences("haproxy.cfg", shipped().replace(right, drifted, 1), COMPOSE)
    assert found
    assert any(told in line for line in found)


def test_another_order_is_drift_because_it_moves_databases() -> None:
    first, second = (f'    server replica{n} couchdb-replica{n}:5984 agent-send "replica{n}\\n"\n' for n in (1, 2))
    assert first + second in shipped()
    (found,) = differences("haproxy.cfg", shipped().replace(first + second, second + first), COMPOSE)
    assert "order" in found


def test_a_check_that_was_taken_away_is_missed() -> None:
    text = shipped().replace("default-server agent-check ", "default-server ", 1)
    assert ["agent-check" in line for line in unchecked("haproxy.cfg", text)] == [True]
    assert (
        len(unchecked("ready-url.cfg", shipped("ready-url.cfg").replace("default-server check ", "default-server ")))
        == 1
    )


def test_a_node_must_not_come_back_before_a_sweep_has_seen_that_it_was_away() -> None:
    assert timing("haproxy.cfg", shipped(), build({"health_interval": 10})) == []
    (told,) = timing("haproxy.cfg", shipped(), build({"health_interval": 30}))
    assert "rise 36 lets a node in after 18 s" in told
    assert "38 s" in told
    assert timing("haproxy.cfg", shipped().replace("fastinter 500ms", "fastinter 100ms"), build({}))


def test_a_url_with_a_path_cannot_be_a_server() -> None:
    nodes = from_settings(build({"couchdb_url": "http://gateway:8080/couch"}))
    with pytest.raises(ValueError, match=r"primary.*/couch"):
        written("haproxy.cfg", shipped(), nodes)


def test_a_file_without_server_lines_is_not_guessed_at() -> None:
    with pytest.raises(ValueError, match="no server line"):
        written("haproxy.cfg", "backend couchdb from nodes\n", COMPOSE)


# --- the command


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(ROOT / "haproxy", tmp_path / "haproxy")
    shutil.copy(ROOT / "docker-compose.yml", tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NBR_ENV_FILE", "/dev/null")
    return tmp_path


def test_the_command_tells_drift_and_mends_it(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert haproxy.main([]) == 0
    file = project / "haproxy" / "one-primary.cfg"
    file.write_text(file.read_text().replace("couchdb-replica1:5984", "couchdb-elsewhere:5984"))
    assert haproxy.main([]) == 1
    told = capsys.readouterr().err
    assert "one-primary.cfg:" in told
    assert "make haproxy-nodes" in told
    assert haproxy.main(["--write"]) == 0
    assert file.read_text() == shipped("one-primary.cfg")


def test_the_commands_list_is_the_settings_where_they_name_nodes(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COUCHDB_URL", "http://10.0.0.1:5984")
    assert haproxy.main([]) == 1
    assert "right: server primary 10.0.0.1:5984" in capsys.readouterr().err
    assert haproxy.main(["--compose"]) == 0


def test_what_haproxy_says_is_told(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    program = project / "haproxy-that-refuses"
    program.write_text("#!/bin/sh\necho unknown keyword >&2\nexit 1\n")
    program.chmod(0o700)
    assert haproxy.main(["--program", str(program)]) == 1
    assert "unknown keyword" in capsys.readouterr().err
    assert check(project / "haproxy", build({}), COMPOSE, str(project / "nothing"))[0].startswith(str(project))
