"""Every page of the dashboard: it says nothing on the console, shuts nobody out, and fits a phone."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from config.tokens import Role
from tests.browser.faults import Faults
from tests.browser.filling import Filled
from tests.browser.keyboard import all_reachable
from tests.browser.looks import axe, shot
from tests.browser.people import sign_in

pytestmark = [pytest.mark.system, pytest.mark.browser]

PAGES = {
    "overview": ("/", "Your data|Not everything"),
    "databases": ("/databases", "Databases"),
    "database": ("/databases/papers", "papers"),
    "jobs": ("/jobs", "Jobs"),
    "job": ("/jobs/{sync}", "sync of papers"),
    "failed-job": ("/jobs/{failed}", "restore of papers"),
    "backups": ("/backups", "Backups"),
    "backup": ("/backups/{backup}", "{backup}"),
    "events": ("/events", "Events"),
    "node": ("/nodes/primary", "primary"),
}


@pytest.mark.parametrize("name", PAGES)
def test_each_page_is_for_everybody(page: Page, filled: Filled, name: str) -> None:
    path, heading = (text.format(**vars(filled)) for text in PAGES[name])
    sign_in(page, Role.ADMIN, path)
    expect(page.get_by_role("heading", level=1)).to_have_text(re.compile(heading))
    expect(page.get_by_role("navigation", name="Pages").locator("[aria-current=page]")).to_have_count(1)
    axe(page)
    all_reachable(page)
    shot(page, name)


@pytest.mark.parametrize("path", ["/no/such/page", "/databases/papier", "/jobs/nobody-knows-it", "/nodes/papier"])
def test_what_is_not_there_is_told_on_a_page(page: Page, filled: Filled, faults: Faults, path: str) -> None:
    faults.allow(rf"GET .*{path} \(404\)")
    sign_in(page, Role.VIEW)
    page.goto(path)
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    axe(page)
    all_reachable(page)
    shot(page, f"missing{path.replace('/', '-')}")
