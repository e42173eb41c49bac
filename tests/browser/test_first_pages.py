"""The pages that need no node: the way in and out, and the API's documentation."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from config.tokens import Role, new_token
from tests.browser.faults import Faults
from tests.browser.keyboard import all_reachable, reach, stops
from tests.browser.looks import axe, shot
from tests.browser.people import TOKENS, sign_in, sign_out
from tests.system.harness import System

pytestmark = [pytest.mark.system, pytest.mark.browser]


def test_the_way_in_shuts_nobody_out(page: Page) -> None:
    page.goto("/sign-in")
    expect(page.get_by_label("Token")).to_be_focused()
    axe(page)
    shot(page, "sign-in")
    all_reachable(page)
    assert stops(page) == ["input Token", "button Sign in"]


def test_a_token_opens_and_signing_out_closes(page: Page) -> None:
    sign_in(page, Role.VIEW)
    expect(page.get_by_role("main")).to_contain_text("Signed in as view, role view.")
    assert page.request.get("/api/jobs").status == 200
    axe(page)
    all_reachable(page)
    shot(page, "signed-in")
    sign_out(page)
    assert page.request.get("/api/jobs").status == 401


def test_it_goes_without_a_mouse(page: Page) -> None:
    page.goto("/sign-in")
    expect(page.get_by_label("Token")).to_be_focused()
    page.keyboard.type(TOKENS[Role.OPERATE])
    page.keyboard.press("Enter")
    expect(page).to_have_url("/")
    page.goto("/sign-in")
    reach(page, page.get_by_role("button", name="Sign out"))
    page.keyboard.press("Space")
    expect(page.get_by_label("Token")).to_be_focused()


def test_a_wrong_token_is_told_and_may_be_tried_again(page: Page, faults: Faults) -> None:
    faults.allow(r"POST .*/sign-in \(401\)")
    page.goto("/sign-in?next=/openapi.json")
    wrong = new_token()
    page.get_by_label("Token").fill(wrong)
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_have_text("This is none of the tokens that open here.")
    field = page.get_by_label("Token")
    expect(field).to_be_focused()
    expect(field).to_have_attribute("aria-invalid", "true")
    expect(field).to_have_value("")
    assert wrong not in page.content() + page.url
    axe(page)
    shot(page, "sign-in-wrong")
    field.fill(TOKENS[Role.VIEW])
    page.keyboard.press("Enter")
    expect(page).to_have_url("/openapi.json")


def test_the_documentation_shows_every_call(page: Page) -> None:
    sign_in(page, Role.VIEW, "/docs")
    expect(page.get_by_role("heading", name="NoteBook Replication")).to_be_visible()
    expect(page.locator(".opblock").first).to_be_visible()
    documented = page.request.get("/openapi.json").json()["paths"]
    calls = sum(len(set(path) & {"get", "post", "put", "patch", "delete"}) for path in documented.values())
    expect(page.locator(".opblock")).to_have_count(calls)


def test_a_call_tried_out_in_the_documentation_proves_itself(page: Page, system: System) -> None:
    for node in system.nodes.values():
        node.create("tried-out")
    system.nodes["primary"].put("tried-out", {"_id": "one"})
    sign_in(page, Role.OPERATE, "/docs")
    call = page.locator(".opblock-post").filter(has_text="/api/replication/sync")
    call.get_by_role("button").first.click()
    call.get_by_role("button", name="Try it out").click()
    call.get_by_role("textbox").last.fill('{"database": "tried-out"}')
    with page.expect_response("**/api/replication/sync") as answered:
        call.get_by_role("button", name="Execute").click()
    assert answered.value.status == 202, answered.value.text()
    system.api.wait_succeeded(answered.value.json()["id"])
    assert system.nodes["replica1"].has("tried-out", "one")
