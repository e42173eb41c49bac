"""What a person does with lists, and with the frame around every page."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from config.tokens import Role
from tests.browser.filling import Filled
from tests.browser.people import sign_in

pytestmark = [pytest.mark.system, pytest.mark.browser]


def test_lists_are_filtered_and_turned_over(page: Page, filled: Filled) -> None:
    sign_in(page, Role.VIEW, "/jobs")
    page.get_by_label("State").select_option("failed")
    page.get_by_role("button", name="Filter").click()
    expect(page).to_have_url(re.compile("state=failed"))
    expect(page.locator(f"#job-{filled.failed}")).to_be_visible()
    expect(page.locator(f"#job-{filled.sync}")).to_have_count(0)
    for state in page.locator("td[data-state]").all():
        expect(state).to_have_text("failed")
    page.get_by_role("link", name="all", exact=True).click()
    expect(page).to_have_url("/jobs")

    page.goto("/jobs?kind=sync&database=papers&limit=1")
    expect(page.get_by_role("table").locator("tbody tr")).to_have_count(1)
    page.goto("/events?limit=2")
    first = page.locator(".events li").first.get_attribute("id")
    page.get_by_role("link", name="Next page").click()
    expect(page).to_have_url(re.compile("limit=2.*before=|before=.*limit=2"))
    expect(page.locator(f"#{first}")).to_have_count(0)
    page.get_by_role("main").get_by_label("Type").select_option("restore.failed")
    page.get_by_role("button", name="Filter").click()
    expect(page.locator(".events li code").first).to_have_text("restore.failed")

    page.goto("/databases")
    page.get_by_role("searchbox").fill("paper")
    page.keyboard.press("Enter")
    expect(page.get_by_role("link", name="papers", exact=True)).to_be_visible()
    expect(page.get_by_role("link", name="notes", exact=True)).to_have_count(0)
    page.get_by_role("searchbox").fill("nothing-like-that")
    page.get_by_role("button", name="Show").click()
    expect(page.get_by_role("main")).to_contain_text("No database is like that.")
    page.goto("/backups")
    page.get_by_label("With the database").fill("nothing-like-that")
    page.get_by_role("button", name="Show").click()
    expect(page.get_by_role("main")).to_contain_text("No backup is like that.")


def test_colours_once_chosen_are_kept_and_a_person_can_leave(page: Page) -> None:
    sign_in(page, Role.VIEW, "/events")
    page.get_by_role("button", name="Theme: system").click()
    page.get_by_role("button", name="Theme: light").click()
    page.reload()
    expect(page.get_by_role("button", name="Theme: dark")).to_be_visible()
    assert page.evaluate("() => getComputedStyle(document.documentElement).colorScheme") == "dark"
    page.get_by_role("button", name="Sign out").click()
    expect(page).to_have_url("/sign-in")
    assert page.request.get("/api/jobs").status == 401
    page.goto("/jobs")
    expect(page).to_have_url("/sign-in?next=%2Fjobs")
