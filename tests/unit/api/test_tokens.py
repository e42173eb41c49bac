"""Tokens that change while the API runs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import structlog

from api.tokens import LOOK_EVERY, Tokens
from config.settings import Settings, load
from config.tokens import Role, digest_of

FIRST, SECOND = "the-first-token-there-is", "the-second-token-there-is"


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tokens"


@pytest.fixture
def told() -> list[str]:
    """What could not be used."""
    return []


@pytest.fixture
def tokens(path: Path, clock: Clock, told: list[str]) -> Tokens:
    write(path, FIRST)
    return Tokens(settings_of(path), told.append, clock)


def settings_of(path: Path) -> Settings:
    return load(environ={"API_TOKENS_FILE": str(path)}, env_file=path.with_name("none"))


def write(path: Path, text: str) -> None:
    """As an editor does: another file in its place."""
    beside = path.with_suffix(".new")
    beside.write_text(text)
    os.replace(beside, path)


def role(tokens: Tokens, token: str) -> Role | None:
    found = tokens.find(digest_of(token))
    return found.role if found else None


def test_a_token_is_given_out_and_taken_back_without_a_restart(tokens: Tokens, path: Path, clock: Clock) -> None:
    assert role(tokens, FIRST) is Role.ADMIN
    write(path, f"{FIRST}\nci=view:{SECOND}\n")
    assert role(tokens, SECOND) is None, "not looked at for every request"
    clock.now += LOOK_EVERY
    assert role(tokens, SECOND) is Role.VIEW
    write(path, f"ci=view:{SECOND}\n")
    clock.now += LOOK_EVERY
    assert role(tokens, FIRST) is None
    assert role(tokens, SECOND) is Role.VIEW


@pytest.mark.parametrize("text", ["", "short", "# nothing\n", None], ids=["empty", "short", "comment", "gone"])
def test_what_cannot_be_used_changes_nothing_and_is_told_once(
    tokens: Tokens, path: Path, clock: Clock, told: list[str], text: str | None
) -> None:
    path.unlink()
    if text is not None:
        write(path, text)
    with structlog.testing.capture_logs() as logged:
        for _ in range(3):
            clock.now += LOOK_EVERY
            assert role(tokens, FIRST) is Role.ADMIN
    assert [line["log_level"] for line in logged] == ["error"]
    assert len(told) == 1
    write(path, SECOND)
    clock.now += LOOK_EVERY
    assert (role(tokens, FIRST), role(tokens, SECOND)) == (None, Role.ADMIN)


def test_a_line_of_dot_env_is_read_again_too(tmp_path: Path, clock: Clock) -> None:
    env_file = tmp_path / ".env"
    env_file.write_text(f"API_TOKENS={FIRST}\n")
    tokens = Tokens(load(environ={}, env_file=env_file), clock=clock)
    write(env_file, f"OTHER=1\nAPI_TOKENS=operate:{SECOND}\n")
    clock.now += LOOK_EVERY
    assert (role(tokens, FIRST), role(tokens, SECOND)) == (None, Role.OPERATE)


def test_what_came_by_environment_stays(clock: Clock, tmp_path: Path) -> None:
    tokens = Tokens(load(environ={"API_TOKENS": FIRST}, env_file=tmp_path / "none"), clock=clock)
    clock.now += LOOK_EVERY
    assert role(tokens, FIRST) is Role.ADMIN


def test_a_process_that_starts_later_does_not_believe_what_was_read_before(path: Path, clock: Clock) -> None:
    """gunicorn starts a new worker with the settings that it read itself, long ago."""
    write(path, FIRST)
    settings = settings_of(path)
    write(path, SECOND)
    later = Tokens(settings, clock=clock)
    assert (role(later, FIRST), role(later, SECOND)) == (None, Role.ADMIN)


def test_a_file_that_can_be_read_again_is_read(tokens: Tokens, path: Path, clock: Clock, told: list[str]) -> None:
    write(path, SECOND)
    path.chmod(0o000)
    if os.access(path, os.R_OK):
        pytest.skip("root reads everything")
    clock.now += LOOK_EVERY
    assert role(tokens, FIRST) is Role.ADMIN
    path.chmod(0o600)
    clock.now += LOOK_EVERY
    assert (role(tokens, FIRST), role(tokens, SECOND)) == (None, Role.ADMIN)


def test_who_may_read_it_is_a_change_too(path: Path) -> None:
    write(path, FIRST)
    source = settings_of(path).source("api_tokens")
    assert source is not None
    before = source.state()
    path.chmod(0o640)
    assert source.state() != before


def test_a_line_that_is_gone_from_dot_env_takes_no_token_back(tmp_path: Path, clock: Clock, told: list[str]) -> None:
    env_file = tmp_path / ".env"
    env_file.write_text(f"API_TOKENS={FIRST}\n")
    tokens = Tokens(load(environ={}, env_file=env_file), told.append, clock)
    write(env_file, "OTHER=1\n")
    clock.now += LOOK_EVERY
    assert role(tokens, FIRST) is Role.ADMIN
    assert told == [f"API_TOKENS: {env_file} has no such line any more, or an empty one"]
