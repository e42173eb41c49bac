"""The first hour: before anybody has looked, before there is anything, and the first set-up by clicks."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from config.tokens import Role
from tests.browser.looks import axe, shot
from tests.browser.people import TOKENS, settings, sign_in
from tests.system.conftest import running_nodes
from tests.system.couch import Couch
from tests.system.harness import Api, System
from tests.system.situations import QUICKLY

pytestmark = [pytest.mark.system, pytest.mark.browser]

SLOW = 90_000  # milliseconds
BEFORE = {
    "/": "Nobody has looked at the nodes lately",
    "/databases": "Nobody has looked at the nodes yet",
    "/jobs": "No job has been asked for yet.",
    "/backups": "The store has not been read yet",
    "/events": "Nothing has happened yet.",
    "/nodes/primary": "Nothing is known of it yet.",
}
EMPTY = {
    "/": "Nothing travels between the nodes yet.",
    "/jobs": "No job has been asked for yet.",
    "/nodes/primary": "Nothing travels to it or from it yet.",
    "/databases": "No node has a database yet.",
}


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Couch]]:
    with running_nodes(tmp_path_factory.mktemp("new-nodes")) as made:
        yield made


@pytest.fixture(scope="module")
def system(nodes: list[Couch], tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """Nobody looks at the nodes so far."""
    folder = tmp_path_factory.mktemp("nothing-yet")
    known = {**settings(folder), **QUICKLY, "BACKUP_URL": (folder / "backups").as_uri(), "BACKUP_SCHEDULE": "off"}
    with System(nodes, folder, known) as made:
        made.api = Api(made.api.url, TOKENS[Role.ADMIN])
        made.start("worker", "api")
        yield made


def test_from_nothing_to_the_first_database(page: Page, system: System) -> None:
    """One story: each part goes on from the one before."""
    sign_in(page, Role.OPERATE, "/")
    for path, words in BEFORE.items():
        says(page, path, words)
        expect(page.get_by_role("main")).not_to_contain_text("Nothing travels")
        # of our own processes those are told that were started
        well = page.locator("main .badge.ok:not([aria-labelledby=processes] *)")
        assert well.count() == 0, f"{path} calls something well that nobody looked at"
        axe(page)
        shot(page, f"before-the-first-sweep-{_name(path)}")
    page.goto("/")
    expect(page.get_by_role("heading", level=1)).to_have_text("Act now.")
    expect(page.locator("#finding-nodes")).to_have_class("unknown")
    expect(page.locator("a.node[data-state=unknown]")).to_have_count(3)
    system.start("control", "beat", "watcher")
    expect(page.locator("a.node[data-state=healthy]")).to_have_count(3, timeout=SLOW)
    for path, words in EMPTY.items():
        says(page, path, words)
        axe(page)
        shot(page, f"empty-{_name(path)}")
    page.goto("/backups")
    expect(page.get_by_text("There is no backup yet.")).to_be_visible(timeout=SLOW)
    shot(page, "empty-backups")
    first_set_up(page)


def first_set_up(page: Page) -> None:
    page.goto("/databases")
    page.get_by_role("main").get_by_role("button", name="Set up replication").click()
    dialog = page.get_by_role("dialog", name="Set up replication")
    dialog.get_by_label("Databases").fill("papers")
    dialog.get_by_role("button", name="Set up").click()
    expect(dialog.get_by_role("status")).to_contain_text("succeeded", timeout=SLOW)
    dialog.get_by_role("button", name="Close").click()
    expect(page.locator("#row-papers")).to_contain_text("in-step", timeout=SLOW)
    page.get_by_role("link", name="Overview").click()
    expect(page.locator("g.link")).to_have_count(6, timeout=SLOW)


def says(page: Page, path: str, words: str) -> None:
    page.goto(path)
    expect(page.get_by_role("main")).to_contain_text(words)


def _name(path: str) -> str:
    return re.sub(r"\W+", "-", path.strip("/")) or "overview"
