"""The dialogs as such: who may, what is refused, that they send once, and that a keyboard is enough."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Locator, Page, expect

from config.tokens import Role
from tests.browser.dialogs import confirm, job_of, opened, outcome, submit
from tests.browser.faults import Faults
from tests.browser.filling import Filled
from tests.browser.keyboard import reach
from tests.browser.looks import axe, shot
from tests.browser.people import sign_in
from tests.system.harness import System

pytestmark = [pytest.mark.system, pytest.mark.browser]


def test_who_may_only_look_can_press_nothing(page: Page, filled: Filled) -> None:
    sign_in(page, Role.VIEW)
    for path in (
        "/",
        "/databases/notes",
        "/jobs",
        f"/jobs/{filled.failed}",
        "/backups",
        f"/backups/{filled.backup}",
        "/nodes/primary",
    ):
        page.goto(path)
        acts = page.get_by_role("main").locator("button[data-act], button[data-open]")
        expect(acts).not_to_have_count(0)
        for act in acts.all():
            expect(act).to_be_disabled()
            for_admins = act.inner_text() in {"Restore…", "Hold…"}
            wanted = "This takes the role admin" if for_admins else re.compile("^This takes the role (operate|admin)$")
            expect(act).to_have_attribute("title", wanted)
        expect(page.get_by_role("main")).to_contain_text("With the role view you see everything and change nothing")


def test_what_is_refused_is_told_in_the_words_of_the_api(
    page: Page, system: System, filled: Filled, faults: Faults
) -> None:
    faults.allow(r"POST .*/sync \(422\)")
    faults.allow(r"POST .*/restore \(404\)")
    faults.allow(r"POST .*/rejoin \(403\)")
    faults.allow(r"DELETE .*/jobs/.* \(409\)")
    sign_in(page, Role.ADMIN, "/")
    dialog = opened(page, "Sync a database…")
    dialog.get_by_label("Database").fill("No Such Name")
    _refused(page, dialog, "**/sync")
    expect(dialog.locator("[data-submit]")).to_be_enabled()  # once more, with another name

    page.goto(f"/backups/{filled.backup}")
    dialog = opened(page, "Restore…")
    dialog.get_by_label("Database", exact=True).fill("papier")
    dialog.get_by_label("Under the name").fill("other")
    confirm(dialog, "other")
    _refused(page, dialog, "**/restore")

    page.goto(f"/jobs/{filled.sync}")
    button = page.get_by_role("button", name="Retry")
    # the page is older than the end of the job
    button.evaluate(
        "(each, path) => { each.dataset.method = 'DELETE'; each.dataset.path = path; }", f"/api/jobs/{filled.sync}"
    )
    dialog = opened(page, "Retry")
    _refused(page, dialog, f"**/jobs/{filled.sync}")

    page.context.clear_cookies()
    sign_in(page, Role.VIEW, "/nodes/primary")
    page.get_by_role("button", name="Bring up to date").evaluate("(each) => { each.disabled = false; }")
    _refused(page, opened(page, "Bring up to date"), "**/rejoin")


def _refused(page: Page, dialog: Locator, path: str) -> None:
    """The dialog says the title of the problem, and what is wrong."""
    with page.expect_response(path) as answered:
        submit(dialog)
    problem = answered.value.json()
    expect(outcome(dialog)).to_contain_text(problem["title"])
    for error in problem.get("errors", []):
        expect(outcome(dialog)).to_contain_text(f"{error['field']}: {error['message']}")
    if "errors" not in problem:
        expect(outcome(dialog)).to_contain_text(problem["detail"])


def test_who_was_signed_out_meanwhile_is_led_back(page: Page, filled: Filled, faults: Faults) -> None:
    faults.allow(r"POST .*/sync \(401\)")
    sign_in(page, Role.OPERATE, "/databases/notes")
    dialog = opened(page, "Sync now")
    page.context.clear_cookies()
    submit(dialog)
    expect(outcome(dialog)).to_contain_text("You are signed out.")
    expect(page.locator("#connection")).to_contain_text("You are signed out")  # and what was typed is still there
    outcome(dialog).get_by_role("link", name="Sign in").click()
    expect(page).to_have_url("/sign-in?next=%2Fdatabases%2Fnotes")


def test_what_is_not_answered_may_have_been_done(page: Page, filled: Filled, faults: Faults) -> None:
    faults.allow("no answer: POST .*/sync")
    sign_in(page, Role.OPERATE, "/databases/notes")
    dialog = opened(page, "Sync now")
    page.route("**/api/replication/sync", lambda route: route.abort("connectionreset"))
    submit(dialog)
    expect(outcome(dialog)).to_contain_text("It may have been done all the same")
    page.unroute("**/api/replication/sync")
    page.route("**/api/replication/sync", lambda route: route.fulfill(status=200, body="<html>A proxy's own page"))
    submit(dialog)
    expect(outcome(dialog)).to_contain_text("What answered is not the API.")


def test_a_double_click_asks_once(page: Page, system: System, filled: Filled) -> None:
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url) if request.method == "POST" else None)
    sign_in(page, Role.OPERATE, "/databases/notes")
    dialog = opened(page, "Back up")
    sent.clear()
    button = dialog.locator("[data-submit]")
    with page.expect_response("**/api/backups"):
        button.dblclick()
    # and the slow second click of a person who waited for the answer
    expect(outcome(dialog).get_by_role("link")).to_be_visible()
    button.click(force=True)
    expect(outcome(dialog)).to_contain_text("succeeded")
    assert len(sent) == 1
    # opened again it is another wish
    page.keyboard.press("Escape")
    expect(opened(page, "Back up").locator("[data-submit]")).to_be_enabled()


def test_it_goes_by_keyboard_alone(page: Page, system: System, filled: Filled) -> None:
    sign_in(page, Role.ADMIN, f"/backups/{filled.backup}")
    page.wait_for_load_state()
    button = page.get_by_role("button", name="Restore…").first
    reach(page, button)
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    expect(dialog).to_be_visible()
    reach(page, dialog.get_by_label("Database", exact=True))
    page.keyboard.type("notes")
    reach(page, dialog.get_by_label("Under the name"))
    page.keyboard.type("notes-by-keyboard")
    field = dialog.get_by_label("To go on, type")
    reach(page, field)
    page.keyboard.type("notes-by-keyboar")
    page.keyboard.press("Enter")  # not yet the word: nothing is sent
    expect(outcome(dialog)).to_be_empty()
    page.keyboard.type("d")
    page.keyboard.press("Enter")
    expect(outcome(dialog)).to_contain_text("succeeded")
    assert system.api.job(job_of(dialog))["params"]["as"] == "notes-by-keyboard"
    # the focus did not get lost with the button that went grey: the next stop is the link to the job
    page.keyboard.press("Tab")
    expect(outcome(dialog).get_by_role("link")).to_be_focused()
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(button).to_be_focused()


def test_an_open_dialog_shuts_nobody_out(page: Page, filled: Filled) -> None:
    sign_in(page, Role.ADMIN, f"/backups/{filled.backup}")
    dialog = opened(page, "Restore…")
    dialog.get_by_label("Database", exact=True).fill("papers")
    dialog.get_by_label("Under the name").fill("papers-as-they-were")
    confirm(dialog, "papers-as-they-were")
    axe(page)
    shot(page, "restore-dialog")
    page.keyboard.press("Escape")
    opened(page, "Check")
    axe(page)


def test_the_curl_line_can_be_copied(page: Page, filled: Filled) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    sign_in(page, Role.OPERATE, "/databases/notes")
    dialog = opened(page, "Sync now")
    dialog.get_by_role("button", name="Copy").click()
    expect(dialog.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("() => navigator.clipboard.readText()") == dialog.locator("[data-curl]").inner_text()
    page.keyboard.press("Escape")
    expect(opened(page, "Sync now").get_by_role("button", name="Copy", exact=True)).to_be_visible()
