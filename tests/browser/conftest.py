"""One browser, and one system behind it, for all tests here that run in this process.

The nodes are always the tests' own: COUCHDB_BIN's CouchDB, else stand-ins. A test that fails leaves a picture of its
page among the screenshots.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from config.tokens import Role
from embedded.chromium import MISSING, find_chromium
from tests.browser.faults import Faults
from tests.browser.filling import Filled, fill
from tests.browser.looks import DESKTOP, SCREENSHOTS
from tests.browser.people import TOKENS, settings
from tests.system.conftest import pytest_runtest_makereport, running_nodes
from tests.system.couch import Couch
from tests.system.harness import Api, System

__all__ = ["pytest_runtest_makereport"]  # the processes' logs, with a failure

HERE = Path(__file__).parent
# these have a system of their own: before all others, which share one, so that it does not sweep and sync meanwhile
FIRST = {"test_nothing_yet.py", "test_states.py", "test_three_in_the_morning.py"}

MILLISECONDS = 30_000  # for each wait: the machine may be busy
# nothing but this machine has a name: what a page asks of others is not even sent
ARGUMENTS = ["--disable-gpu", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.parent != HERE or item.path.name not in FIRST)


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Ends with the last test here: Playwright keeps an event loop on this thread, which others could not have."""
    program = find_chromium()
    if program is None:
        pytest.skip(MISSING)
    expect.set_options(timeout=MILLISECONDS)
    with sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=program, args=ARGUMENTS)
        yield made
        made.close()


@pytest.fixture(scope="package")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Couch]]:
    with running_nodes(tmp_path_factory.mktemp("nodes")) as made:
        yield made


@pytest.fixture(scope="package")
def system(nodes: list[Couch], tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """All processes, for tests that break nothing. Its `api` calls as an admin."""
    folder = tmp_path_factory.mktemp("looked-at")
    known = {
        **settings(folder),
        "BACKUP_URL": (folder / "backups").as_uri(),
        "CONTINUOUS_REPLICATION": "true",
    }
    with System(nodes, folder, known) as made:
        made.api = Api(made.api.url, TOKENS[Role.ADMIN])
        made.start("worker", "control", "beat", "watcher", "api")
        yield made


@pytest.fixture(scope="package")
def filled(system: System) -> Filled:
    """What there is to see: databases, one of them in conflict with itself, jobs that went well and ill, a backup."""
    return fill(system)


@pytest.fixture
def context(browser: Browser, system: System) -> Iterator[BrowserContext]:
    """A browser that was never here."""
    made = browser.new_context(
        base_url=system.api.url, viewport=DESKTOP, locale="en-GB", timezone_id="Etc/UTC", reduced_motion="reduce"
    )
    made.set_default_timeout(MILLISECONDS)
    yield made
    made.close()


@pytest.fixture
def faults(context: BrowserContext, system: System) -> Iterator[Faults]:
    """What no test may leave behind, unless it says so before."""
    made = Faults(context, system.api.url)
    yield made
    found = made.found()
    assert not found, "the browser had to say:\n" + "\n".join(found)


@pytest.fixture
def page(request: pytest.FixtureRequest, context: BrowserContext, faults: Faults) -> Iterator[Page]:
    """A page of a browser that was never here. Where the test fails, a picture of it is kept."""
    name = "".join(each if each.isalnum() else "-" for each in request.node.name)
    picture = SCREENSHOTS / f"failed-{name}.png"
    picture.unlink(missing_ok=True)
    failures = request.session.testsfailed
    made = context.new_page()
    yield made
    if request.session.testsfailed > failures:
        made.screenshot(path=picture)
