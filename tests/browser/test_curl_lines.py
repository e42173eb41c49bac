"""What a dialog shows as a curl line is what it does itself, whatever a person has typed."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Locator, Page

from config.tokens import Role
from tests.browser.dialogs import opened
from tests.browser.filling import Filled
from tests.browser.people import TOKENS, sign_in
from tests.system.harness import System, wait_until

pytestmark = [pytest.mark.system, pytest.mark.browser]

ODD = """it's $HOME "x" `id` \\ ü"""
Fill = Callable[[Locator], object]


def test_each_curl_line_does_the_same(page: Page, system: System, filled: Filled) -> None:
    sign_in(page, Role.ADMIN)
    for path, button, fill in _actions(filled):
        page.goto(path)
        dialog = opened(page, button)
        fill(dialog)
        status, body = _run(dialog.locator("[data-curl]").inner_text())
        assert status in {200, 202}, f"{button}: {status} {body}"
        if button in {"Hold…", "Take it out…"}:
            assert body.get("params", body)["reason"] == ODD
        if "kind" in body:
            wait_until(lambda id=body["id"]: system.api.job(id)["finished_at"], f"what {button} asked for is over")
        if button == "Hold…":
            assert system.api.get(f"/api/backups/{filled.backup}").json()["legal_hold"]["reason"] == ODD


def _actions(filled: Filled) -> Iterator[tuple[str, str, Fill]]:
    """Page, button, and what is filled in."""
    backup = f"/backups/{filled.backup}"

    def restore(dialog: Locator) -> None:
        dialog.get_by_label("Database", exact=True).fill("notes")
        dialog.get_by_label("Under the name").fill("notes-by-curl")

    def roll_back(dialog: Locator) -> None:
        dialog.get_by_label("Roll an existing database back").check()
        dialog.get_by_label("Database", exact=True).fill("notes")

    yield "/", "Set up replication…", lambda dialog: dialog.get_by_label("Databases").fill("notes, categories")
    yield "/", "Sync a database…", lambda dialog: dialog.get_by_label("Database").fill("notes")
    yield "/", "Check the security", lambda _: None
    yield "/databases/notes", "Sync now", lambda _: None
    yield "/databases/notes", "Set up", lambda _: None
    yield "/databases/notes", "Back up", lambda _: None
    yield "/databases/notes", "Verify…", lambda dialog: dialog.get_by_label("Repair").check()
    yield "/backups", "Back up now…", lambda dialog: dialog.get_by_label("Databases").fill("note*")
    yield backup, "Check", lambda _: None
    yield backup, "Drill", lambda _: None
    yield backup, "Hold…", lambda dialog: dialog.get_by_label("Why").fill(ODD)
    yield backup, "Take the hold off", lambda _: None
    yield backup, "Restore…", restore
    yield backup, "Restore…", roll_back
    yield f"/jobs/{filled.failed}", "Retry", lambda _: None
    yield "/nodes/replica2", "Take it out…", lambda dialog: dialog.get_by_label("Why").fill(ODD)
    yield "/nodes/replica2", "Let it in again", lambda _: None
    yield "/nodes/replica2", "Bring up to date", lambda _: None


def _run(line: str) -> tuple[int, dict[str, Any]]:
    """As a person who has pasted it."""
    command = f"{line} -s -m 60 -w '\\n%{{http_code}}'"
    environ = {"TOKEN": TOKENS[Role.ADMIN], "PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": "/nowhere"}
    done = subprocess.run(
        ["/bin/sh", "-c", command], capture_output=True, text=True, timeout=70, env=environ, check=False
    )
    assert done.returncode == 0, f"{line}\n{done.stderr}"
    body, _, status = done.stdout.rpartition("\n")
    return int(status), json.loads(body)
