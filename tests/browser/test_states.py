"""The dashboard while things go wrong: it says so by itself, keeps what was seen before, and is well again by itself.

The nodes and processes are this file's own, and every test leaves them as it found them. One system for all of it,
because it takes its time to start: that is why the file is long.
"""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
import requests
from playwright.sync_api import Browser, BrowserContext, Locator, Page, Request, expect

from config.tokens import Role
from embedded.process import Process
from tests.browser.faults import Faults
from tests.browser.keyboard import reach
from tests.browser.looks import PHONE, axe, shot, sized
from tests.browser.people import TOKENS, settings, sign_in, sign_out
from tests.system.conftest import running_nodes
from tests.system.couch import Couch
from tests.system.harness import Api, System, hung, wait_until
from tests.system.situations import PROCESSES, QUICKLY, wait_healthy

pytestmark = [pytest.mark.system, pytest.mark.browser]

SAFE = "Your data is safe."
SLOW = 90_000  # milliseconds: a node that returns is looked at, brought up to date, and then let in
STREAMS = 20  # more than the API has threads to spare


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Couch]]:
    with running_nodes(tmp_path_factory.mktemp("state-nodes")) as made:
        yield made


@pytest.fixture(scope="module")
def system(nodes: list[Couch], tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """In which all is well: a database on all nodes, and a backup of everything."""
    folder = tmp_path_factory.mktemp("states")
    known = {**settings(folder), **QUICKLY, "BACKUP_URL": (folder / "backups").as_uri(), "API_THREADS": "12"}
    with System(nodes, folder, known) as made:
        made.api = Api(made.api.url, TOKENS[Role.ADMIN])
        nodes[0].create("papers")
        nodes[0].fill("papers", 20)
        made.start(*PROCESSES)
        made.api.wait_succeeded(made.api.setup().json()["id"])
        made.api.wait_succeeded(made.api.call("POST", "/api/backups", json={}).json()["id"])
        wait_until(lambda: made.api.get("/api/backups").json()["backups"], "the backup is seen", 90)
        yield made


@pytest.fixture(autouse=True)
def well(system: System) -> None:
    wait_healthy(system, 90)


def banner(page: Page) -> Locator:
    return page.locator("#connection")


def headline(page: Page) -> Locator:
    return page.get_by_role("heading", level=1)


def look_on(page: Page) -> None:
    """From here on a page that was loaded anew gives itself away."""
    page.evaluate("() => { window.looked = true; }")


def never_reloaded(page: Page) -> bool:
    return bool(page.evaluate("() => window.looked === true"))


def is_live(page: Page, system: System) -> None:
    """A job that is asked for now appears on the page of jobs by itself."""
    expect(page.locator(f"#job-{system.api.start_sync('papers')}")).to_be_visible()


# --- nodes


def test_a_node_that_dies_and_comes_back(
    page: Page, context: BrowserContext, system: System, nodes: list[Couch]
) -> None:
    sign_in(page, Role.VIEW, "/")
    of_node = context.new_page()
    of_node.goto("/nodes/primary")
    expect(headline(page)).to_have_text(SAFE, timeout=SLOW)
    expect(acting(page)).to_have_attribute("data-node", "primary")
    expect(of_node.locator("h1 + .badge")).to_have_text("healthy")
    look_on(page)
    look_on(of_node)
    nodes[0].kill()
    try:
        expect(headline(page)).to_have_text("Your data is there, and something needs a look.")
        expect(page.locator("a.node[data-node=primary]")).to_have_attribute("data-state", "down")
        expect(page.locator("[data-link='primary replica1']")).to_have_class(re.compile("link (broken|unknown)"))
        expect(page.locator("#row-primary .badge")).to_have_text("down")
        reason = system.api.get("/api/nodes/primary").json()["reason"]
        expect(page.locator("#row-primary td.why")).to_contain_text(reason.partition(":")[0])
        expect(page.locator(".events")).to_contain_text("primary is down")
        expect(acting(page)).to_have_attribute("data-node", re.compile("replica"), timeout=SLOW)
        expect(page.locator("tr:has([title='acts as the primary'])")).to_have_id(re.compile("row-replica"))
        expect(of_node.locator("h1 + .badge")).to_have_text("down")
        expect(of_node.get_by_role("heading", name="Why")).to_be_visible()
        expect(of_node.get_by_text("★ acts as the primary")).to_be_hidden()
        axe(page)
        shot(page, "node-down")
        axe(of_node)
        shot(of_node, "node-down-its-page")
    finally:
        nodes[0].revive()
    expect(headline(page)).to_have_text(SAFE, timeout=SLOW)
    expect(page.locator("#row-primary .badge")).to_have_text("healthy")
    expect(acting(page)).to_have_count(1)
    expect(of_node.locator("h1 + .badge")).to_have_text("healthy")
    expect(of_node.get_by_role("heading", name="Why")).to_be_hidden()
    assert never_reloaded(page)
    assert never_reloaded(of_node)


def acting(page: Page) -> Locator:
    return page.locator("a.node:has(circle.acting)")


# --- the API


@contextmanager
def wholly_hung(process: Process) -> Iterator[None]:
    """The API is two processes, one of which looks after the other."""
    group = process.pid
    assert group is not None
    os.killpg(group, signal.SIGSTOP)
    try:
        yield
    finally:
        os.killpg(group, signal.SIGCONT)


def test_an_api_that_hangs(page: Page, system: System, faults: Faults) -> None:
    # where it hung for long, the one process replaces the other as soon as both go on
    faults.allow("no answer: GET .*", surely=False)
    sign_in(page, Role.VIEW, "/jobs")
    is_live(page, system)
    look_on(page)
    stopped = datetime.now(UTC)
    with wholly_hung(system.processes["api"]):
        expect(banner(page)).to_contain_text("The server does not answer. What you see is as of", timeout=SLOW)
        # as of the last answer, and not of the question that got none
        (at,) = re.findall(r"\d\d:\d\d:\d\d", banner(page).inner_text())
        assert at <= f"{stopped:%H:%M:%S}"
        expect(page.locator("body")).to_have_attribute("data-stale", "")
        axe(page)
        shot(page, "stale")
    expect(banner(page)).to_be_hidden()
    expect(page.locator("body")).not_to_have_attribute("data-stale", "")
    is_live(page, system)
    assert never_reloaded(page)


def test_an_api_that_dies(page: Page, system: System, faults: Faults) -> None:
    faults.allow("no answer: GET .*")
    sign_in(page, Role.VIEW, "/jobs")
    is_live(page, system)
    look_on(page)
    api = system.processes["api"]
    api.kill()
    try:
        expect(banner(page)).to_contain_text("The server cannot be reached. What you see is as of")
        expect(page.get_by_role("table", name="Jobs")).to_be_visible()
    finally:
        api.start()
        system.wait_ready(api)
    expect(banner(page)).to_be_hidden()
    is_live(page, system)
    assert never_reloaded(page)


# --- who looks


@contextmanager
def signed_out_elsewhere(browser: Browser, context: BrowserContext, system: System) -> Iterator[None]:
    other = browser.new_context(base_url=system.api.url, storage_state=context.storage_state())
    sign_out(other.new_page())
    yield
    other.close()


@contextmanager
def token_taken_back(browser: Browser, context: BrowserContext, system: System) -> Iterator[None]:
    path = Path(system.settings["API_TOKENS_FILE"])
    before = path.read_text()
    path.write_text("".join(line for line in before.splitlines(keepends=True) if not line.startswith("view=")))
    yield
    path.write_text(before)
    with Api(system.api.url, TOKENS[Role.VIEW]) as viewer:
        wait_until(lambda: viewer.get("/api/jobs").status_code == 200, "the token opens again")


ENDED = {"elsewhere": signed_out_elsewhere, "token": token_taken_back}


@pytest.mark.parametrize("how", ENDED)
def test_who_is_signed_out_signs_in_and_is_where_they_were(
    page: Page, browser: Browser, context: BrowserContext, system: System, faults: Faults, how: str
) -> None:
    faults.allow(r"refused: GET .*/api/stream \(401\)", surely=False)
    sign_in(page, Role.VIEW, "/jobs?state=succeeded")
    with ENDED[how](browser, context, system):
        expect(page.get_by_label("Token")).to_be_visible()
        assert page.url.endswith("/sign-in?next=%2Fjobs%3Fstate%3Dsucceeded")
        axe(page)
        shot(page, f"signed-out-{how}")
    page.get_by_label("Token").fill(TOKENS[Role.VIEW])
    page.keyboard.press("Enter")
    expect(page).to_have_url("/jobs?state=succeeded")


# --- Redis, and who looks at the nodes


def test_redis_goes_and_returns(page: Page, context: BrowserContext, system: System, faults: Faults) -> None:
    faults.allow(r"refused: GET .* \(503\)")
    sign_in(page, Role.OPERATE, "/")
    expect(page.locator("#row-primary")).to_be_visible()
    look_on(page)
    system.kill_redis()
    try:
        expect(banner(page)).to_contain_text("Redis does not answer. What you see is as of", timeout=SLOW)
        expect(page.locator("#row-primary")).to_be_visible()  # what was seen before is not taken away
        axe(page)
        shot(page, "redis-away-seen-before")
        came_then = context.new_page()
        came_then.goto("/")
        expect(headline(came_then)).to_have_text("Redis does not answer")
        expect(banner(came_then)).to_be_hidden()
        axe(came_then)
        shot(came_then, "redis-away")
    finally:
        system.start_redis()
    expect(banner(page)).to_be_hidden(timeout=SLOW)
    expect(page.get_by_role("heading", name="Nodes and links")).to_be_visible()
    assert never_reloaded(page)
    # the other one is whole: it can sign out, and has the dialogs of what it can do
    expect(came_then.get_by_role("heading", name="Nodes and links")).to_be_visible(timeout=SLOW)
    expect(came_then.get_by_role("button", name="Sign out")).to_be_visible()
    came_then.get_by_role("button", name="Sync a database").click()
    expect(came_then.get_by_role("dialog", name="Sync a database")).to_be_visible()


def test_nobody_looks_any_more(page: Page, context: BrowserContext, system: System) -> None:
    sign_in(page, Role.VIEW, "/")
    expect(headline(page)).to_have_text(SAFE, timeout=SLOW)
    look_on(page)
    warning = page.locator("#age")
    expect(warning).to_be_hidden()
    with hung(system.processes["control"]):
        expect(warning).to_contain_text("Nobody looks any more", timeout=SLOW)
        expect(headline(page)).not_to_have_text(SAFE)
        expect(page.locator("#finding-nodes")).to_have_class("unknown")
        expect(page.locator("main")).to_have_class("old")
        control = page.locator("#process-control")
        expect(control).to_contain_text("not running", timeout=SLOW)
        expect(control).to_contain_text("python -m tasks control")
        expect(control.locator("time")).to_contain_text("ago")
        axe(page)
        shot(page, "nobody-looks")
        other = context.new_page()
        for path in ("/databases", "/databases/papers", "/nodes/primary"):
            other.goto(path)
            expect(other.locator("#age")).to_be_visible()
        axe(other)
    expect(warning).to_be_hidden(timeout=SLOW)
    expect(headline(page)).to_have_text(SAFE, timeout=SLOW)
    assert never_reloaded(page)


# --- streams


@contextmanager
def no_stream_left(system: System, role: Role) -> Iterator[None]:
    """Inside, who has this role's token follows as much as one may."""
    with ExitStack() as stack, requests.Session() as asked:
        asked.trust_env = False
        asked.headers["Authorization"] = f"Bearer {TOKENS[role]}"
        for _ in range(STREAMS):
            answer = stack.enter_context(asked.get(f"{system.api.url}/api/stream", stream=True, timeout=30))
            if answer.status_code == 503:
                break
        else:
            raise AssertionError("every stream was to be had")
        yield


def test_without_a_stream_the_page_asks_by_itself(page: Page, system: System, faults: Faults) -> None:
    faults.allow(r"refused: GET .*/(stream|events) \(503\)")
    with no_stream_left(system, Role.OPERATE):
        sign_in(page, Role.OPERATE, "/jobs")
        is_live(page, system)
        expect(banner(page)).to_be_hidden()
        # and what is done from a page is followed to its end
        page.goto("/databases/papers")
        page.get_by_role("button", name="Sync now").click()
        dialog = page.get_by_role("dialog")
        dialog.get_by_role("button", name="Sync now").click()
        expect(dialog.get_by_role("status")).to_contain_text("sync of papers: succeeded")
    with page.expect_response(lambda answer: answer.url.endswith("/api/stream") and answer.ok, timeout=SLOW):
        page.goto("/jobs")
    is_live(page, system)


def test_a_tab_that_nobody_sees_asks_for_nothing(page: Page, system: System) -> None:
    asked: list[str] = []
    ended: list[str] = []
    page.on("request", lambda request: asked.append(_path(request)))
    page.on("requestfailed", lambda request: ended.append(_path(request)))
    page.clock.install()
    sign_in(page, Role.VIEW, "/jobs")
    is_live(page, system)
    ended.clear()
    turn(page, hidden=True)
    wait_in(page, lambda: "/api/stream" in ended, "the stream is closed")
    asked.clear()
    job = system.api.start_sync("papers")
    page.clock.fast_forward(120_000)
    expect(page.locator(f"#job-{job}")).to_have_count(0)
    assert asked == []
    turn(page, hidden=False)
    expect(page.locator(f"#job-{job}")).to_be_visible()
    assert "/api/stream" in asked


def turn(page: Page, *, hidden: bool) -> None:
    """As if the tab went behind another one, or came before it: a browser without a screen shows every tab."""
    page.evaluate(
        """(hidden) => {
          Object.defineProperty(document, "hidden", {value: hidden, configurable: true});
          document.dispatchEvent(new Event("visibilitychange"));
        }""",
        hidden,
    )


def wait_in(page: Page, condition: object, what: str) -> None:
    """Playwright hears of what happens only while it is asked something."""
    assert callable(condition)
    wait_until(lambda: page.evaluate("() => true") and condition(), what)


def _path(request: Request) -> str:
    return "/" + request.url.split("/", 3)[3]


# --- other people's browsers


def test_without_scripts_every_page_can_be_read(browser: Browser, system: System) -> None:
    made = browser.new_context(base_url=system.api.url, java_script_enabled=False)
    page = made.new_page()
    sign_in(page, Role.ADMIN, "/")
    backup = system.api.get("/api/backups").json()["backups"][0]["id"]
    for path in ("/", "/databases", "/databases/papers", "/nodes/primary", "/jobs", f"/backups/{backup}", "/events"):
        page.goto(path)
        expect(headline(page)).to_be_visible()
        expect(page.get_by_text("Without scripts nothing moves by itself")).to_be_visible()
        # nothing can be pressed that does nothing
        shown = page.locator("button:visible")
        assert set(shown.all_inner_texts()) <= {"Sign out", "Show", "Filter"}
    page.goto("/jobs")
    page.get_by_label("State").select_option("failed")
    page.get_by_role("button", name="Filter").click()
    expect(page.get_by_text("No job is like that.")).to_be_visible()
    made.close()


@pytest.mark.parametrize(("wanted", "name"), [("reduce", "none"), ("no-preference", "travel")])
def test_what_moves_stands_still_for_who_wants_that(page: Page, wanted: str, name: str) -> None:
    page.emulate_media(reduced_motion="reduce" if wanted == "reduce" else "no-preference")
    sign_in(page, Role.VIEW, "/")
    # in one step: the next refresh takes the class away
    look = "(each) => (each.parentElement.classList.add('behind'), getComputedStyle(each).animationName)"
    assert page.locator("g.link path").first.evaluate(look) == name


def test_on_a_phone_tables_are_scrolled_in_their_own_box(page: Page) -> None:
    with sized(page, PHONE):
        sign_in(page, Role.VIEW, "/")
        box = page.get_by_role("region", name="Nodes", exact=True)
        assert box.evaluate("(each) => each.scrollWidth > each.clientWidth")
        box.scroll_into_view_if_needed()
        expect(box.get_by_text("Why")).to_be_in_viewport()  # without a finger moved sideways
        box.get_by_text("Version").scroll_into_view_if_needed()
        assert box.evaluate("(each) => each.scrollLeft") > 0
        assert page.evaluate("() => scrollX") == 0


def test_a_node_of_the_graph_that_has_the_focus_has_a_ring_of_its_own(page: Page) -> None:
    sign_in(page, Role.VIEW, "/")
    node = page.locator("a.node").first
    ring = node.locator("circle.focus")
    look = "(each) => [getComputedStyle(each).strokeWidth, getComputedStyle(each).stroke]"
    node.hover()
    assert ring.evaluate(look)[0] == "0px"
    reach(page, node)
    width, colour = ring.evaluate(look)
    assert width == "4px"
    assert colour == page.locator(".brand ~ nav a[aria-current]").evaluate("(each) => getComputedStyle(each).color")
    page.keyboard.press("Enter")
    expect(page).to_have_url("/nodes/primary")
