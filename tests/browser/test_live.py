"""A page stays true while somebody looks at it, and leaves alone what they are about."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, Route, expect

from config.tokens import Role
from tests.browser.dialogs import confirm, job_of, opened, outcome, submit
from tests.browser.filling import Filled
from tests.browser.people import sign_in
from tests.system.harness import System

pytestmark = [pytest.mark.system, pytest.mark.browser]

ASKED_AGAIN = """() => new Promise((done) => {
  new MutationObserver((_, observer) => (observer.disconnect(), done())).observe(
    document.querySelector("title"), {childList: true, characterData: true, subtree: true});
  document.dispatchEvent(new Event("nbr:changed"));
})"""


def refresh(page: Page) -> None:
    """What is shown was asked for again and put in place: the title is set each time."""
    page.evaluate(ASKED_AGAIN)


def counts_changes(system: System) -> bool:
    """Whether a job tells of the changes that its nodes' schedulers count, and not of pulls that are over."""
    return system.nodes["primary"].schedules


def test_a_job_moves_and_ends_before_the_eyes(page: Page, system: System, filled: Filled) -> None:
    sign_in(page, Role.OPERATE, "/jobs")
    page.wait_for_load_state()
    page.evaluate("() => { window.sameDocument = true; }")
    page.get_by_role("heading", level=1).click()  # a click beside everything puts the focus on <main>, in which all is
    with system.held("replica1") as road:
        job_id = system.start_held_sync("notes", road)
        row = page.locator(f"#job-{job_id}")
        expect(row).to_contain_text("running")
        if counts_changes(system):
            expect(row).to_contain_text("gather, 0 %")
        else:  # one of its two pulls is over: how far it is, and how long it takes
            expect(row).to_contain_text(re.compile(r"50 %, [\d.]+ (s|min)( \d+ s)? left"))
            expect(row.get_by_role("progressbar")).to_have_attribute("value", "50")
    expect(row).to_contain_text("succeeded")
    expect(row.get_by_role("progressbar")).to_have_count(0)
    expect(row.get_by_role("button", name="Retry")).to_be_visible()
    assert page.evaluate("() => window.sameDocument")
    system.api.wait_succeeded(job_id)


def test_a_running_job_is_cancelled(page: Page, system: System, filled: Filled) -> None:
    with system.held("replica1") as road:
        job_id = system.start_held_sync("notes", road)
        sign_in(page, Role.OPERATE, f"/jobs/{job_id}")
        dialog = opened(page, "Cancel")
        submit(dialog)
        expect(outcome(dialog)).to_contain_text("sync of notes: cancelled")
        assert system.api.job(job_id)["state"] == "cancelled"
        page.keyboard.press("Escape")
        expect(page.locator("[data-state]")).to_have_text("cancelled")
        # the button that has the focus says what it does now
        expect(page.get_by_role("button", name="Cancel")).to_have_count(0)
        expect(page.get_by_role("button", name="Retry")).to_be_focused()


def test_a_dialog_follows_the_job_that_it_began(page: Page, system: System, filled: Filled) -> None:
    sign_in(page, Role.OPERATE, "/databases/notes")
    with system.held("replica1"):
        dialog = opened(page, "Sync now")
        submit(dialog)
        percent = "0" if counts_changes(system) else "50"
        expect(outcome(dialog)).to_contain_text(f"gather, {percent} %")
        # the page behind has its bar too
        expect(page.locator(f'[data-progress="{job_of(dialog)}"] progress')).to_have_attribute("value", percent)
    expect(outcome(dialog)).to_contain_text("sync of notes: succeeded.")


def test_what_a_person_is_about_is_left_alone(page: Page, system: System, filled: Filled) -> None:
    sign_in(page, Role.ADMIN, f"/backups/{filled.backup}")
    dialog = opened(page, "Restore…")
    dialog.get_by_label("Database", exact=True).fill("papers")
    dialog.get_by_label("Under the name").press_sequentially("half-wr")
    refresh(page)
    expect(dialog.get_by_label("Under the name")).to_be_focused()
    page.keyboard.type("itten")
    expect(dialog.get_by_label("Under the name")).to_have_value("half-written")
    confirm(dialog, "half-written")

    page.goto("/jobs")
    page.wait_for_load_state()
    page.get_by_label("Database").press_sequentially("pap")
    refresh(page)
    page.keyboard.type("ers")
    page.get_by_label("Kind").select_option("sync")
    page.get_by_role("heading", level=1).click()  # the focus is nowhere now
    refresh(page)
    expect(page.get_by_label("Database")).to_have_value("papers")
    expect(page.get_by_label("Kind")).to_have_value("sync")


def test_what_is_open_stays_open_and_where_it_was(page: Page, system: System, filled: Filled) -> None:
    sign_in(page, Role.VIEW, "/jobs")
    page.set_viewport_size({"width": 800, "height": 400})
    page.wait_for_load_state()
    page.evaluate("() => scrollTo(0, 150)")
    at = page.evaluate("() => scrollY")
    assert at > 0
    link = page.get_by_role("table").get_by_role("link").first
    link.evaluate("(each) => each.focus({preventScroll: true})")
    kept = link.element_handle()
    system.api.wait_succeeded(system.api.start_sync("categories"))  # a row that was not there, above the others
    refresh(page)
    assert page.evaluate("() => scrollY") >= at
    assert kept.evaluate("(each) => each === document.activeElement && each.isConnected")


def test_what_was_opened_stays_open(page: Page, filled: Filled) -> None:
    part = "<details><summary>More</summary>of it</details></main>"  # of ours, only nodes with links have one

    def with_more(route: Route) -> None:
        answer = route.fetch()
        route.fulfill(response=answer, body=answer.text().replace("</main>", part))

    page.route("**/events", with_more)
    sign_in(page, Role.VIEW, "/events")
    page.wait_for_load_state()
    page.get_by_text("More").click()
    refresh(page)
    expect(page.locator("main details")).to_have_attribute("open", "")


BUSY = """window.EventSource = class extends EventTarget {
  constructor() {
    super();
    this.readyState = 1;
    setInterval(() => this.dispatchEvent(new MessageEvent("seen", {data: "{}"})), 100);
  }
  close() {}
};"""


def test_where_something_changes_all_the_time_it_is_still_shown(page: Page, filled: Filled) -> None:
    page.add_init_script(BUSY)
    sign_in(page, Role.VIEW, "/jobs")
    with page.expect_response(re.compile("/jobs$")), page.expect_response(re.compile("/jobs$")):
        pass


def test_a_page_that_could_not_be_shown_can_be_used_when_it_is(page: Page, filled: Filled) -> None:
    sign_in(page, Role.ADMIN, "/sign-in")
    problem = page.request.get("/no-such-page", headers={"Accept": "text/html"}).text()

    def instead(route: Route) -> None:
        route.fulfill(body=problem, content_type="text/html; charset=utf-8")

    page.route("**/backups", instead, times=1)
    page.goto("/backups")
    page.wait_for_load_state()
    page.evaluate("() => document.dispatchEvent(new Event('nbr:changed'))")
    expect(page.get_by_role("heading", name="Backups", exact=True)).to_be_visible()
    expect(opened(page, "Back up now…")).to_be_visible()


def test_a_button_is_there_once_somebody_listens_to_it(page: Page) -> None:
    sign_in(page, Role.OPERATE, "/")
    held: list[Route] = []
    page.route("**/static/js/main.js", lambda route: held.append(route))  # noqa: PLW0108 - Playwright marks it
    page.goto("/", wait_until="commit")
    expect(page.locator("#row-primary")).to_be_visible()
    button = page.get_by_role("button", name="Sync a database")
    expect(button).to_have_count(0)
    assert len(held) == 1

    held[0].continue_()

    button.click()
    expect(page.get_by_role("dialog", name="Sync a database")).to_be_visible()
