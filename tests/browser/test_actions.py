"""Each action of the dashboard, done by clicks; what it did is seen through the API and on the nodes."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from config.tokens import Role
from tests.browser.dialogs import confirm, job_of, opened, outcome, submit, succeeded
from tests.browser.filling import Filled
from tests.browser.people import sign_in
from tests.system.harness import System, wait_until

pytestmark = [pytest.mark.system, pytest.mark.browser]


def test_a_database_is_synced(page: Page, system: System, filled: Filled) -> None:
    system.nodes["primary"].put("notes", {"_id": "to-be-synced"})
    sign_in(page, Role.OPERATE, "/databases/notes")
    dialog = opened(page, "Sync now")
    submit(dialog)
    succeeded(dialog, system, "sync")
    assert system.nodes["replica1"].has("notes", "to-be-synced")
    assert system.nodes["replica2"].has("notes", "to-be-synced")


def test_any_database_is_synced_from_the_overview(page: Page, system: System, filled: Filled) -> None:
    sign_in(page, Role.OPERATE, "/")
    dialog = opened(page, "Sync a database…")
    dialog.get_by_label("Database").fill("categories")
    submit(dialog)
    assert succeeded(dialog, system, "sync")["database"] == "categories"


def test_a_set_up_is_tried_first(page: Page, system: System, filled: Filled) -> None:
    sign_in(page, Role.OPERATE, "/")
    dialog = opened(page, "Set up replication…")
    dialog.get_by_label("Databases").fill("set-up-by-hand")
    dialog.get_by_label("Only say what would be done").check()
    submit(dialog)
    succeeded(dialog, system, "setup")
    expect(outcome(dialog)).to_contain_text("databases created 3")
    assert not any("set-up-by-hand" in node.databases() for node in system.nodes.values())
    # the same again is pressed by mistake only; with another choice it is something else
    expect(dialog.locator("[data-submit]")).to_be_disabled()
    dialog.get_by_label("Only say what would be done").uncheck()
    with page.expect_response("**/api/replication/setup") as answered:
        submit(dialog)
    system.api.wait_succeeded(answered.value.json()["id"])
    assert all("set-up-by-hand" in node.databases() for node in system.nodes.values())


def test_a_database_is_verified_and_repaired(page: Page, system: System, filled: Filled) -> None:
    system.nodes["replica1"].put("categories", {"_id": "only-here"})
    sign_in(page, Role.OPERATE, "/databases/categories")
    dialog = opened(page, "Verify…")
    dialog.get_by_label("Repair what differs").check()
    submit(dialog)
    job = succeeded(dialog, system, "verify")
    assert job["params"]["repair"] is True
    expect(outcome(dialog)).to_contain_text("The nodes hold the same.")
    assert system.nodes["primary"].has("categories", "only-here")
    assert system.nodes["replica2"].has("categories", "only-here")


def test_a_backup_is_made_and_appears_in_the_list(page: Page, system: System, filled: Filled) -> None:
    sign_in(page, Role.OPERATE, "/backups")
    dialog = opened(page, "Back up now…")
    dialog.get_by_label("Databases").fill("notes, categories")
    dialog.get_by_label("All of it").check()
    submit(dialog)
    made = str(succeeded(dialog, system, "backup")["result"]["backup_id"])
    page.keyboard.press("Escape")
    row = page.get_by_role("row").filter(has=page.get_by_role("link", name=made))
    expect(row).to_contain_text("categories, notes")
    expect(row).to_contain_text("full")


def test_one_database_is_backed_up_from_its_page(page: Page, system: System, filled: Filled) -> None:
    sign_in(page, Role.OPERATE, "/databases/notes")
    dialog = opened(page, "Back up")
    submit(dialog)
    assert succeeded(dialog, system, "backup")["params"]["databases"] == ["notes"]


@pytest.mark.parametrize("name", ["Check", "Drill"])
def test_a_backup_is_looked_at(page: Page, system: System, filled: Filled, name: str) -> None:
    sign_in(page, Role.OPERATE, f"/backups/{filled.backup}")
    dialog = opened(page, name)
    submit(dialog)
    succeeded(dialog, system, "check-backup")
    if name == "Drill":
        page.keyboard.press("Escape")
        expect(page.get_by_role("main")).to_contain_text(re.compile(r"Verified\s*yes"))
        assert system.api.get(f"/api/backups/{filled.backup}").json()["verified"]


def test_a_backup_is_held_and_let_go(page: Page, system: System, filled: Filled) -> None:
    sign_in(page, Role.ADMIN, f"/backups/{filled.backup}")
    dialog = opened(page, "Hold…")
    dialog.get_by_label("Why").fill("the auditors come")
    submit(dialog)
    succeeded(dialog, system, "hold-backup")
    held = system.api.get(f"/api/backups/{filled.backup}").json()["legal_hold"]
    assert held["reason"] == "the auditors come"
    page.keyboard.press("Escape")
    expect(page.get_by_role("main")).to_contain_text("the auditors come, since")

    dialog = opened(page, "Take the hold off")
    confirm(dialog, filled.backup)
    submit(dialog)
    succeeded(dialog, system, "hold-backup")
    assert system.api.get(f"/api/backups/{filled.backup}").json()["legal_hold"] is None


def test_a_database_is_restored_under_another_name(page: Page, system: System, filled: Filled) -> None:
    sign_in(page, Role.ADMIN, f"/backups/{filled.backup}")
    dialog = opened(page.get_by_role("row").filter(has_text="papers"), "Restore…")
    expect(dialog.get_by_label("Database", exact=True)).to_have_value("papers")
    dialog.get_by_label("Under the name").fill("papers-as-they-were")
    confirm(dialog, "papers-as-they-were")
    submit(dialog)
    assert succeeded(dialog, system, "restore")["database"] == "papers"
    assert any("papers-as-they-were" in node.databases() for node in system.nodes.values())


def test_a_database_is_rolled_back_after_it_was_tried(page: Page, system: System, filled: Filled) -> None:
    primary = system.nodes["primary"]
    document = primary.call("GET", "papers/doc-000007")
    primary.put("papers", {**document, "number": -1})
    sign_in(page, Role.ADMIN, f"/backups/{filled.backup}")
    dialog = opened(page, "Restore…")
    dialog.get_by_label("Roll an existing database back").check()
    expect(dialog.get_by_label("Under the name")).to_be_hidden()
    dialog.get_by_label("Database", exact=True).fill("papers")
    expect(dialog.get_by_label("To go on, type")).to_be_hidden()
    expect(dialog.get_by_label("Dry run")).to_be_checked()
    submit(dialog)
    told = succeeded(dialog, system, "restore")["result"]["counts"]
    for action, count in told.items():
        expect(outcome(dialog)).to_contain_text(f"{action} {count}")
    assert primary.call("GET", "papers/doc-000007")["number"] == -1

    dialog.get_by_label("Dry run").uncheck()
    confirm(dialog, "papers")
    with page.expect_response("**/restore") as answered:
        submit(dialog)
    system.api.wait_succeeded(answered.value.json()["id"])
    for node in system.nodes.values():
        assert node.call("GET", "papers/doc-000007")["number"] == document["number"]


def test_everything_is_restored_without_naming_a_database(page: Page, filled: Filled) -> None:
    sign_in(page, Role.ADMIN, f"/backups/{filled.backup}")
    dialog = opened(page, "Restore…")
    dialog.get_by_label("Everything, onto nodes without databases").check()
    for gone in ("Database", "Under the name", "Documents made since", "Dry run"):
        expect(dialog.get_by_label(gone, exact=gone == "Database")).to_be_hidden()
    expect(dialog.get_by_label("Written to")).to_be_visible()
    expect(dialog.locator("[data-curl]")).to_contain_text("""-d '{"mode":"cluster"}'""")
    confirm(dialog, filled.backup)


def test_a_failed_job_is_asked_for_again(page: Page, system: System, filled: Filled) -> None:
    sign_in(page, Role.ADMIN, f"/jobs/{filled.failed}")
    dialog = opened(page, "Retry")
    confirm(dialog, "notes")  # a restore: the word that it took the first time
    submit(dialog)
    expect(outcome(dialog)).to_contain_text("restore of papers: failed: ")
    again = system.api.job(job_of(dialog))
    assert again["id"] != filled.failed
    assert again["params"] == system.api.job(filled.failed)["params"]
    assert again["error"]["detail"] in outcome(dialog).inner_text()


def test_a_node_is_taken_out_and_let_in(page: Page, system: System, filled: Filled) -> None:
    sign_in(page, Role.OPERATE, "/nodes/replica2")
    dialog = opened(page, "Take it out…")
    dialog.get_by_label("Why").fill("a new disk")
    submit(dialog)
    expect(outcome(dialog)).to_have_text("Done.")
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Let it in again")).to_be_visible()
    expect(page.get_by_role("main")).to_contain_text("a new disk")
    assert system.api.get("/api/nodes/replica2").json()["state"] == "maintenance"

    dialog = opened(page, "Let it in again")
    submit(dialog)
    expect(outcome(dialog)).to_have_text("Done.")
    page.keyboard.press("Escape")
    wait_until(lambda: system.api.get("/api/nodes/replica2").json()["state"] == "healthy", "it is in again")
    expect(page.get_by_role("button", name="Take it out…")).to_be_visible()


def test_a_node_is_brought_up_to_date(page: Page, system: System, filled: Filled) -> None:
    sign_in(page, Role.OPERATE, "/nodes/replica1")
    dialog = opened(page, "Bring up to date")
    submit(dialog)
    assert succeeded(dialog, system, "rejoin")["params"]["node"] == "replica1"


def test_a_security_report_is_made(page: Page, system: System, filled: Filled) -> None:
    sign_in(page, Role.OPERATE, "/")
    dialog = opened(page, "Check the security")
    submit(dialog)
    job = succeeded(dialog, system, "audit")
    outcome(dialog).get_by_role("link", name="See the job").click()
    expect(page).to_have_url(f"/jobs/{job['id']}")
    expect(page.get_by_role("heading", name="What came of it")).to_be_visible()
