"""What docs/operations.md promises of the dashboard: each row of its table is walked in a browser, with a node down.

At most two clicks from the overview, on what the table says in bold; and there is what its last column names, and it
says what the API says. A row that is new has to be walkable: where its words are no name of a link or a button, they
stand in CLICKS; where what answers is no heading, column or button, in ANSWERS.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from playwright.sync_api import BrowserContext, Locator, Page, expect

from config.tokens import Role
from embedded.folders import PROJECT
from tests.browser.faults import Faults
from tests.browser.people import TOKENS, settings, sign_in
from tests.system.conftest import running_nodes
from tests.system.couch import Couch
from tests.system.harness import Api, System, wait_until
from tests.system.situations import PROCESSES, QUICKLY, wait_states

pytestmark = [pytest.mark.system, pytest.mark.browser]

GUIDE = PROJECT / "docs" / "operations.md"
FLOWER = "http://127.0.0.1:5555/"


@dataclass(frozen=True)
class Row:
    asked: str
    clicks: tuple[str, ...]
    answers: str


@dataclass(frozen=True)
class Night:
    """What is the matter."""

    system: System
    failed: str
    running: str
    backup: str


def rows() -> list[Row]:
    text = GUIDE.read_text(encoding="utf-8").partition("### On the dashboard")[2].partition("\n## ")[0]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]
    return [Row(asked, tuple(filter(None, clicks.split(" → "))), answers) for asked, clicks, answers in cells[2:]]


ROWS = rows()


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Couch]]:
    with running_nodes(tmp_path_factory.mktemp("night-nodes")) as made:
        yield made


@pytest.fixture(scope="module")
def system(nodes: list[Couch], tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    folder = tmp_path_factory.mktemp("night")
    known = {
        **settings(folder),
        **QUICKLY,
        "BACKUP_URL": (folder / "backups").as_uri(),
        "CANARY_SECONDS": "5",
        "COUCHDB_TIMEOUT": "60",  # of the pull that is held for as long as these tests look at it
        "FLOWER_URL": FLOWER,
    }
    with System(nodes, folder, known) as made:
        made.api = Api(made.api.url, TOKENS[Role.ADMIN])
        yield made


@pytest.fixture(scope="module")
def night(system: System) -> Iterator[Night]:
    """A node is down, a database is in conflict with itself, a job has failed and another one runs."""
    primary, api = system.nodes["primary"], system.api
    for name in ("pdfs", "notes"):
        primary.create(name)
        primary.fill(name, 20)
    for rev in ("1-a", "1-b"):
        primary.force("pdfs", {"_id": "both", "_rev": rev, "by": rev})
    system.start(*PROCESSES)
    api.wait_succeeded(api.setup().json()["id"])
    done = api.wait_succeeded(api.call("POST", "/api/backups", json={}).json()["id"])
    backup = str(done["result"]["backup_id"])
    wrong = {"database": "pdfs", "as": "notes"}
    failed = str(api.call("POST", f"/api/backups/{backup}/restore", json=wrong).json()["id"])
    api.wait_state(failed, "failed")
    wait_until(lambda: api.get("/api/backups").json()["backups"], "the backup is seen", 90)
    wait_until(lambda: api.get("/api/databases/pdfs").json()["conflicted"], "the conflict is seen", 90)
    wait_until(lambda: _seconds(system), "the canary has arrived everywhere", 90)
    system.nodes["replica2"].kill()
    wait_states(system, 60, replica2="down")
    primary.fill("notes", 30, start=20)
    with system.held("primary") as road:
        running = system.start_held_sync("notes", road)
        yield Night(system, failed, running, backup)


def _seconds(system: System) -> bool:
    links = system.api.get("/api/replication/topology").json()["links"]
    return bool(links) and all(link["seconds"] is not None for link in links)


# --- clicks

CLICKS: dict[str, Callable[[Page, Night], Locator]] = {
    "the reason about replication": lambda page, night: page.locator("#finding-replication a"),
    "the reason about processes": lambda page, night: page.locator("#finding-processes a"),
    "the newest one": lambda page, night: page.locator("tbody th a").first,
    "the failed one": lambda page, night: page.locator(f"#job-{night.failed} th a"),
    "**Links as a table**": lambda page, night: page.locator("summary", has_text="Links as a table"),
}


def click(page: Page, night: Night, words: str) -> None:
    found = CLICKS[words](page, night) if words in CLICKS else _named(page, _plain(words))
    found.click()


def _named(page: Page, name: str) -> Locator:
    """A link or a button, the first one that a reader finds."""
    exactly = re.compile(rf"^{re.escape(name)}$")
    links = page.get_by_role("link", name=exactly)
    return links.or_(page.get_by_role("button", name=exactly)).first


def _plain(words: str) -> str:
    assert re.fullmatch(r"\*\*.+\*\*", words), f"{words!r} is no name, and not in CLICKS"
    return words.strip("*")


# --- answers


def headed(page: Page, name: str) -> Locator:
    """The heading, the column, the table or the label of this name."""
    exactly = re.compile(rf"^{re.escape(name)}$")
    return (
        page.get_by_role("heading", name=exactly)
        .or_(page.get_by_role("columnheader", name=exactly))
        .or_(page.get_by_role("table", name=exactly))
        .or_(page.locator("dt").filter(has_text=exactly))
    ).first


def cell(page: Page, table: str, row: str, column: str) -> str:
    """What a table says in the row that begins with `row`."""
    found = page.get_by_role("table", name=table, exact=True)
    columns = found.get_by_role("columnheader").all_inner_texts()
    line = found.get_by_role("row").filter(has=page.get_by_role("rowheader", name=re.compile(rf"^{row}\b")))
    return (
        line.first.get_by_role("cell").or_(line.first.get_by_role("rowheader")).nth(columns.index(column)).inner_text()
    )


def fact(page: Page, name: str) -> str:
    return (
        page.locator(".facts > div", has=page.locator("dt", has_text=re.compile(rf"^{name}$")))
        .locator("dd")
        .inner_text()
    )


def section(page: Page, name: str) -> Locator:
    return page.locator("section", has=page.get_by_role("heading", name=name, exact=True)).last


def is_safe(page: Page, night: Night) -> None:
    expect(page.get_by_role("heading", level=1)).to_have_text("Your data is there, and something needs a look.")
    expect(page.locator("#finding-nodes")).to_contain_text("2 of 3 nodes healthy")
    expect(page.locator("#finding-nodes")).to_contain_text("replica2 is down")
    expect(page.locator("#finding-jobs")).to_contain_text("failed within an hour")


def which_node(page: Page, night: Night) -> None:
    known = night.system.api.get("/api/nodes/replica2").json()
    assert cell(page, "Nodes", "replica2", "State") == "down"
    assert cell(page, "Nodes", "replica2", "Why") == known["reason"]
    assert "ago" in cell(page, "Nodes", "replica2", "Since")
    since = page.locator("#row-replica2 time").first
    expect(since).to_have_attribute("datetime", known["since"])


def why(page: Page, night: Night) -> None:
    known = night.system.api.get("/api/nodes/replica2").json()
    expect(section(page, "Why")).to_contain_text(known["reason"])
    expect(section(page, "Why")).to_contain_text(known["failure"])


def where_clients_go(page: Page, night: Night) -> None:
    assert cell(page, "Nodes", "primary", "Clients") == "are sent there"
    assert cell(page, "Nodes", "replica2", "Clients") == "are not sent there"
    acting = night.system.api.get("/api/replication/topology").json()["primary"]
    assert "★" in cell(page, "Nodes", acting, "Node")
    expect(page.locator("a.node:has(circle.acting)")).to_have_attribute("data-node", acting)


def how_far(page: Page, night: Night) -> None:
    # of links that are looked at one by one: what the dead node has nobody can tell
    assert re.fullmatch(r"(≥\s)?\d+", cell(page, "Nodes", "primary", "Lag"))
    expect(page.locator("g.link")).to_have_count(6)
    expect(page.locator("[data-link='primary replica2']")).not_to_have_class(re.compile("well"))


def which_link(page: Page, night: Night) -> None:
    table = page.get_by_role("table", name="Links", exact=True)
    dead = table.get_by_role("row").filter(has_text=re.compile(r"primary\s*replica2"))
    expect(dead).not_to_contain_text("well")
    expect(table.get_by_role("row")).to_have_count(7)


def which_databases(page: Page, night: Night) -> None:
    expect(page.get_by_role("heading", level=1)).to_have_text("Databases")
    only = page.locator("select[name=only]").input_value()
    known = night.system.api.get("/api/databases" + (f"?only={only}" if only else "")).json()["databases"]
    assert page.locator("tbody th").all_inner_texts() == [row["name"] for row in known]


def what_is_wrong(page: Page, night: Night) -> None:
    known = night.system.api.get("/api/databases/pdfs").json()["links"]
    said = section(page, "Links").locator("td.why").all_inner_texts()
    for link, words in zip(known, said, strict=True):
        assert (link["last_error"] or "") in words
        assert (link["remedy"] or "") in words
    assert "replica2" in section(page, "On the nodes").inner_text()


def conflicts(page: Page, night: Night) -> None:
    known = night.system.api.get("/api/databases/pdfs").json()
    assert known["conflicted"] == ["both"]
    assert section(page, "Documents with conflicts").locator("li").all_inner_texts() == ["both"]
    assert fact(page, "Conflicts").startswith(str(known["conflicts"]["count"]))


def last_backup(page: Page, night: Night) -> None:
    assert cell(page, "Backups, newest first", night.backup, "Good") == "good"
    assert cell(page, "Backups, newest first", night.backup, "Verified") == "not yet"
    assert "ago" in cell(page, "Backups, newest first", night.backup, "Begun")


def get_back(page: Page, night: Night) -> None:
    expect(page.get_by_role("heading", level=1)).to_have_text(night.backup)


def what_runs(page: Page, night: Night) -> None:
    row = page.locator(f"#job-{night.running}")
    expect(row.get_by_role("progressbar")).to_be_visible()
    expect(row.get_by_role("button", name="Cancel")).to_be_enabled()


def what_failed(page: Page, night: Night) -> None:
    error = night.system.api.job(night.failed)["error"]
    expect(section(page, "Why it failed")).to_contain_text(error["type"])
    expect(section(page, "Why it failed")).to_contain_text(error["detail"])


def what_happened(page: Page, night: Night) -> None:
    told = [event["detail"] for event in night.system.api.get("/api/events?node=replica2").json()["events"]]
    expect(page.locator(".events")).to_contain_text(next(words for words in told if "down" in words))


def over_the_day(page: Page, night: Night) -> None:
    expect(section(page, "The last day").locator("figure")).to_have_count(2)
    expect(section(page, "The last day").get_by_role("img").first).to_be_visible()
    what_happened(page, night)


def disk(page: Page, night: Night) -> None:
    known = night.system.api.get("/api/nodes/replica1").json()
    assert f"in {known['disk']['databases']} database" in fact(page, "Disk") if known["disk"] else True
    assert (fact(page, "Memory") == "–") == (known["load"] is None or known["load"]["memory_bytes"] is None)


def our_own(page: Page, night: Night) -> None:
    expect(page.locator("#finding-processes")).to_have_class("ok")
    expect(page.locator("#finding-processes")).to_contain_text("1 worker, beat and control at work")
    expect(page).to_have_url(re.compile("/#processes$"))
    for name in ("worker", "control", "beat"):
        assert cell(page, "Our own processes", name, "State") == "running"
        assert cell(page, "Our own processes", name, "Last heard of") != "never"


def flower(page: Page, night: Night) -> None:
    expect(page).to_have_url(FLOWER)


def nothing_more(page: Page, night: Night) -> None:
    """The button is there and can be pressed, which is looked at of every row."""


TRUE: dict[str, Callable[[Page, Night], None]] = {
    "Is the data safe?": is_safe,
    "Which node is down, since when, and why?": which_node,
    "What is wrong with that node, and what would help?": why,
    "Where do clients go now, and who acts as the primary?": where_clients_go,
    "Do the nodes hold the same? How far is each behind?": how_far,
    "Which link carries nothing, and how long does a write take?": which_link,
    "Which databases are behind, or not carried?": which_databases,
    "What is wrong with this database, and where?": what_is_wrong,
    "Bring this database together now": nothing_more,
    "Do the nodes really hold the same documents?": nothing_more,
    "Which documents are in conflict?": conflicts,
    "When was the last good backup? Has one been restored for a test?": last_backup,
    "Get a database back": get_back,
    "Back up before I touch anything": nothing_more,
    "What is running, how far is it, how do I stop it?": what_runs,
    "What failed, and why? Once more": what_failed,
    "What happened in the last hour?": what_happened,
    "What happened to this node, and how was it over the day?": over_the_day,
    "Take a node out before I touch it": nothing_more,
    "Let it in again; bring it up to date": nothing_more,
    "What do its databases take, and what would compaction free? Memory?": disk,
    "Do our own workers live? What is not running, since when, and what do I start?": our_own,
    "What are the workers doing?": flower,
}


def test_no_row_is_left_out() -> None:
    assert [row.asked for row in ROWS] == [*TRUE]


@pytest.mark.parametrize("row", ROWS, ids=[row.asked.replace(" ", "-") for row in ROWS])
def test_it_is_at_most_two_clicks_away(
    page: Page, context: BrowserContext, faults: Faults, night: Night, row: Row
) -> None:
    assert len(row.clicks) <= 2
    if "**Flower**" in row.clicks:
        faults.allow(f"another host: GET {FLOWER}")
    context.route(FLOWER, lambda route: route.fulfill(body="<h1>Flower</h1>", content_type="text/html"))
    sign_in(page, Role.ADMIN, "/")
    for words in row.clicks:
        click(page, night, words)
        expect(page.get_by_role("heading", level=1)).to_be_visible()
    for name in re.findall(r"(?<!\*)\*([^*]+)\*(?!\*)", row.answers):
        expect(headed(page, name)).to_be_visible()
    for name in re.findall(r"\*\*([^*]+)\*\*", row.answers):
        expect(_named(page, name)).to_be_enabled()
    TRUE[row.asked](page, night)
