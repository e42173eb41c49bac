"""The supervisor's decisions and words; what it does to real processes is in tests/system/test_embedded.py."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from config.settings import Settings
from embedded.folders import FolderInUseError, FolderLock, keep_secret, private
from embedded.nodes import find_couchdb
from embedded.output import Terminal
from embedded.process import StartError
from embedded.processes import SYSTEM, system_commands, without_settings
from embedded.supervisor import describe_exit, pause_before_restart


def test_the_pause_doubles_up_to_its_limit() -> None:
    assert [pause_before_restart(crashes) for crashes in range(1, 8)] == [1, 2, 4, 8, 16, 30, 30]


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (0, "ended with exit code 0"),
        (3, "ended with exit code 3"),
        (-9, "was ended by SIGKILL"),
        (-250, "was ended by signal 250"),
    ],
)
def test_an_exit_is_told_in_words(code: int, words: str) -> None:
    assert describe_exit(code) == words


def test_lines_carry_the_name_of_their_process_and_no_colour_in_a_file() -> None:
    stream = io.StringIO()
    terminal = Terminal(stream)

    terminal.sink("api")("listening")
    terminal.sink("worker")("ready")

    assert stream.getvalue() == "api      | listening\nworker   | ready\n"


def test_a_closed_terminal_ends_nothing() -> None:
    Terminal(_Closed()).write("nobody reads this")


class _Closed(io.StringIO):
    def write(self, text: str) -> int:
        raise BrokenPipeError


def test_every_process_gets_its_environment_and_no_secret_in_its_arguments() -> None:
    commands = system_commands({"COUCHDB_PASSWORD": "s3cret-word", "PATH": "/bin"})

    assert [command.name for command in commands] == list(SYSTEM)
    for command in commands:
        assert command.env is not None
        assert command.env["COUCHDB_PASSWORD"] == "s3cret-word"
        assert not any("s3cret-word" in argument for argument in command.argv)
        assert "s3cret-word" not in repr(command)


def test_the_demo_sees_nothing_of_the_users_own_settings() -> None:
    mine = {"COUCHDB_URL": "http://production:5984", "COUCHDB_PASSWORD_FILE": "/secret", "PATH": "/bin"}

    assert without_settings(mine, tuple(Settings.model_fields)) == {"PATH": "/bin", "NBR_ENV_FILE": os.devnull}


def test_couchdb_bin_must_be_a_program(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="COUCHDB_BIN="):
        find_couchdb({"COUCHDB_BIN": str(tmp_path / "nothing")})


def test_couchdb_is_found_on_the_path(tmp_path: Path) -> None:
    program = tmp_path / "couchdb"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)

    assert find_couchdb({"PATH": str(tmp_path)}) == program


def test_a_folder_is_used_by_one_run_at_a_time(tmp_path: Path) -> None:
    with FolderLock(tmp_path), pytest.raises(FolderInUseError, match=f"in use by process {os.getpid()}"):
        FolderLock(tmp_path).acquire()
    with FolderLock(tmp_path):
        pass


def test_secrets_and_folders_are_ours_alone(tmp_path: Path) -> None:
    folder = private(tmp_path / "run")
    first = keep_secret(folder / "password")

    assert keep_secret(folder / "password") == first
    assert len(first) >= 24
    assert (folder / "password").stat().st_mode & 0o777 == 0o600
    assert folder.stat().st_mode & 0o777 == 0o700
