"""docs/cli.md has every command with its options, every setting, every exit code; help is quick and says the same."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from cli import access
from cli.__main__ import COMMANDS, nbr
from cli.errors import EXIT_CODES, Exit
from cli.groups import LazyGroup

GUIDE = (Path(__file__).parents[3] / "docs" / "cli.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| `(nbr [^`]+)` \|", GUIDE, re.MULTILINE)
EVERYWHERE = {"--url", "--json", "--help", "--wait", "--no-wait"}


def commands(group: click.Group, path: tuple[str, ...] = ("nbr",)) -> Iterator[tuple[str, click.Command]]:
    ctx = click.Context(group)
    for name in group.list_commands(ctx):
        command = group.get_command(ctx, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield " ".join((*path, name)), command


ALL = dict(commands(nbr))


def row_of(path: str) -> str:
    found = [row for row in ROWS if re.match(rf"{re.escape(path)}( [^a-z]|$)", row)]
    assert len(found) == 1, f"{path} has {len(found)} rows in docs/cli.md"
    return found[0]


@pytest.mark.parametrize("path", ALL)
def test_every_command_is_in_the_guide_with_its_options(path: str) -> None:
    row = row_of(path)
    for parameter in ALL[path].params:
        names = {name for name in (*parameter.opts, *parameter.secondary_opts) if name.startswith("--")}
        if not names & EVERYWHERE and parameter.param_type_name == "option":
            assert any(re.search(rf"{name}\b", row) for name in names), f"{names} of {path}"
    options = set(re.findall(r"--[a-z-]+", row))
    known = {name for one in ALL[path].params for name in (*one.opts, *one.secondary_opts)}
    assert options <= known


def test_the_guide_has_no_other_commands() -> None:
    short = {"nbr nodes", "nbr jobs"}  # for what their groups do by themselves
    paths = {" ".join(re.match(r"nbr( [a-z]+)+", row).group().split()) for row in ROWS}  # type: ignore[union-attr]
    assert paths == set(ALL) | short


@pytest.mark.parametrize("path", [path for path in ALL if path not in {"nbr token new", "nbr completion"}])
def test_every_command_speaks_json_and_takes_an_address_and_no_token(path: str) -> None:
    names = {name for one in ALL[path].params for name in one.opts}
    assert {"--json", "--url"} <= names
    assert not [name for name in names if "token" in name or "password" in name]


@pytest.mark.parametrize("name", COMMANDS)
def test_short_helps_are_those_of_the_commands(name: str) -> None:
    command = nbr.get_command(click.Context(nbr), name)
    assert command is not None
    assert (command.help or "").partition("\n")[0] == COMMANDS[name][1]


def test_exit_codes_are_in_the_guide_and_in_the_help() -> None:
    listed = re.findall(r"^\| (\d+) \| (.+) \|$", GUIDE, re.MULTILINE)
    assert [(int(code), meaning.replace("\\|", "|")) for code, meaning in listed] == [
        (int(code), text) for code, text in EXIT_CODES.items()
    ]
    assert set(EXIT_CODES) == set(Exit)
    shown = nbr.get_help(click.Context(nbr))
    assert all(f"{code}  {text}" in shown for code, text in EXIT_CODES.items())


def test_exit_codes_never_change() -> None:
    assert {code.name: int(code) for code in Exit} == {
        "WELL": 0,
        "FAILED": 1,
        "USAGE": 2,
        "NOT_WELL": 3,
        "REFUSED": 4,
        "UNAVAILABLE": 5,
        "NOT_FOUND": 6,
        "CANCELLED": 7,
        "INTERRUPTED": 130,
        "UNREAD": 141,
    }


def test_settings_are_in_the_guide_and_in_the_help() -> None:
    listed = set(re.findall(r"^\| `(NBR_[A-Z_]+)` \|", GUIDE, re.MULTILINE))
    assert listed == {name for name in access._NAMES if name.startswith("NBR_")}
    shown = nbr.get_help(click.Context(nbr))
    assert all(name in shown for name in listed)


def test_help_imports_nothing_that_it_does_not_need() -> None:
    script = (
        "import sys\n"
        "from cli.__main__ import nbr\n"
        "nbr(['--help'], prog_name='nbr', standalone_mode=False)\n"
        "print(*{'requests', 'rich', 'dotenv', 'pydantic', 'config.settings'} & set(sys.modules), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr.strip() == ""
    assert isinstance(nbr, LazyGroup)


def test_help_fits_eighty_columns() -> None:
    for path, command in ALL.items():
        ctx = click.Context(command, info_name=path, terminal_width=80)
        assert max(map(len, command.get_help(ctx).splitlines())) <= 80
