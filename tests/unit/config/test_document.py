"""docs/settings.md and .env.example say what config/settings.py says."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from dotenv import dotenv_values

from config import document
from config.settings import Settings, load

ROOT = Path(__file__).parents[3]
HOW = "bring it up to date: python -m config.document --write"


def test_the_page_is_up_to_date() -> None:
    assert (ROOT / "docs" / "settings.md").read_text(encoding="utf-8") == document.page(), HOW


def test_the_example_is_up_to_date() -> None:
    assert (ROOT / ".env.example").read_text(encoding="utf-8").startswith(document.env()), HOW


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_is_on_the_page_with_its_meaning(name: str) -> None:
    field = Settings.model_fields[name]
    assert field.description, "says what it is for"
    (row,) = [line for line in document.page().splitlines() if line.startswith(f"| `{name.upper()}` |")]
    cells = row.replace("\\|", "").split("|")
    assert len(cells) == 6, "a bar in the text must not make another column"


def test_secrets_and_only_secrets_have_a_file_variable() -> None:
    listed = {name for name in Settings.model_fields if f"| `{name.upper()}_FILE` |" in document.page()}
    assert listed == {
        "couchdb_password",
        "replication_password",
        "redis_url",
        "broker_url",
        "api_tokens",
        "secret_key",
        "couchdb_password_previous",
        "replication_password_previous",
        "flower_basic_auth",
        "webhook_urls",
        "webhook_secret",
        "backup_key",
        "backup_options",
        "backup_copy_options",
    }


def test_bounds_and_choices_are_said() -> None:
    page = document.page()
    assert "At least 1, at most 500." in page
    assert "More than 0, at most 60." in page
    assert "One of `mesh`, `star`, `ring`." in page


def test_the_example_has_the_settings_in_their_order_and_changes_nothing() -> None:
    example = ROOT / ".env.example"
    assert list(dotenv_values(example))[: len(Settings.model_fields)] == [
        name.upper() for name in Settings.model_fields
    ]
    assert load(environ={}, env_file=example) == load(environ={}, env_file=Path("/nonexistent"))


def test_every_section_starts_at_a_setting() -> None:
    assert document.SECTIONS.keys() <= Settings.model_fields.keys()
    assert next(iter(Settings.model_fields)) in document.SECTIONS


def test_writing_keeps_what_was_written_by_hand(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    shutil.copy(ROOT / ".env.example", tmp_path)
    example = tmp_path / ".env.example"
    example.write_text(example.read_text().replace("API_PORT=5000", "API_PORT=1") + "BY_HAND=1\n")
    document.write(tmp_path)
    assert example.read_text() == (ROOT / ".env.example").read_text() + "BY_HAND=1\n"
    assert (tmp_path / "docs" / "settings.md").read_text() == document.page()


def test_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert document.main([]) == 0
    assert capsys.readouterr().out == document.page()
    assert document.main(["--env"]) == 0
    assert capsys.readouterr().out == document.env()
    assert document.main(["--what"]) == 2
    assert "--write" in capsys.readouterr().err
