"""`nbr token new`."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner, Result

from cli.__main__ import nbr
from config.tokens import Role, digest_of, parse_tokens


def run(*arguments: str) -> Result:
    return CliRunner().invoke(nbr, ["token", "new", *arguments])


def test_the_token_is_printed_and_its_line_told() -> None:
    done = run("ci", "--role", "operate")
    assert done.exit_code == 0
    token = done.stdout.strip()
    assert f"ci=operate:sha256:{digest_of(token)}" in done.stderr
    assert token not in done.stderr


def test_the_line_is_added_to_a_file_that_others_cannot_read(tmp_path: Path) -> None:
    path = tmp_path / "tokens"
    first, second = (run(name, "--role", "view", "--file", str(path)).stdout.strip() for name in ("a", "b"))
    found = parse_tokens(path.read_text())
    assert [(one.name, one.role, one.digest) for one in found] == [
        ("a", Role.VIEW, digest_of(first)),
        ("b", Role.VIEW, digest_of(second)),
    ]
    assert path.stat().st_mode & 0o777 == 0o600
    assert [one.name for one in tmp_path.iterdir()] == ["tokens"]


def test_what_is_in_the_file_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "tokens"
    path.write_text("# who\nadmin:a-token-that-was-there-before # me\n")
    path.chmod(0o640)
    assert run("ci", "--role", "view", "--file", str(path)).exit_code == 0
    assert path.read_text().startswith("# who\nadmin:a-token-that-was-there-before # me\nci=view:sha256:")
    assert path.stat().st_mode & 0o777 == 0o640


def test_what_cannot_be_is_refused_and_nothing_written(tmp_path: Path) -> None:
    path = tmp_path / "tokens"
    assert run("ci", "--role", "view", "--file", str(path)).exit_code == 0
    before = path.read_text()
    twice = run("ci", "--role", "admin", "--file", str(path))
    assert twice.exit_code == 2
    assert "the same name" in twice.stderr
    assert "nbr_" not in twice.output
    assert path.read_text() == before
    assert "is no name" in run("No Name", "--role", "view").stderr
    assert run("ci", "--role", "boss").exit_code == 2
    assert run("ci", "--role", "view", "--file", str(tmp_path)).exit_code == 2
    (tmp_path / "file").write_text("")
    assert run("ci", "--role", "view", "--file", str(tmp_path / "file" / "below")).exit_code == 1


def test_a_folder_that_is_not_there_yet_is_made_for_us_alone(tmp_path: Path) -> None:
    path = tmp_path / "secrets" / "tokens"
    assert run("ci", "--role", "view", "--file", str(path)).exit_code == 0
    assert path.parent.stat().st_mode & 0o777 == 0o700
