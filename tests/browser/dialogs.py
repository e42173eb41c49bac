"""A person at a dialog of the dashboard: opens it, reads what it says, and follows the job that comes of it."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Locator, Page, expect

from tests.system.harness import System


def opened(where: Page | Locator, button: str) -> Locator:
    """The dialog that the button there opens; of several with that name the first. It shows its curl line."""
    page = where if isinstance(where, Page) else where.page
    page.wait_for_load_state()  # before its scripts run, a page has buttons that do nothing
    where.get_by_role("button", name=button, exact=True).first.click()
    dialog = page.get_by_role("dialog")
    expect(dialog.locator("[data-curl]")).to_have_text(re.compile("^curl -X"))
    return dialog


def submit(dialog: Locator) -> None:
    dialog.locator("[data-submit]").click()


def outcome(dialog: Locator) -> Locator:
    return dialog.get_by_role("status")


def confirm(dialog: Locator, word: str) -> None:
    """The button waits for the whole word."""
    button, field = dialog.locator("[data-submit]"), dialog.get_by_label("To go on, type")
    expect(dialog.locator("[data-word]")).to_have_text(word)
    expect(button).to_be_disabled()
    field.fill(word[:-1])
    expect(button).to_be_disabled()
    field.fill(word)
    expect(button).to_be_enabled()


def job_of(dialog: Locator) -> str:
    """The id of the job that came of it, from the link to it."""
    link = outcome(dialog).get_by_role("link", name="See the job")
    expect(link).to_be_visible()
    return urlsplit(link.get_attribute("href") or "").path.rpartition("/")[2]


def succeeded(dialog: Locator, system: System, kind: str) -> dict[str, Any]:
    """The job: the dialog says that it went well, and so does the API."""
    expect(outcome(dialog)).to_contain_text(": succeeded.")
    job = system.api.job(job_of(dialog))
    assert (job["kind"], job["state"]) == (kind, "succeeded"), job
    return job
