"""The pages as a browser gets them: each in each of its states, for each role, and never with what could run in it."""

from __future__ import annotations

import html.parser
import json
import re
from collections.abc import Iterator

import pytest
from flask.testing import FlaskClient

from api.database_schemas import Only
from tasks.jobs import JobError, Kind, Progress, Request, State
from tests.unit.api.backing import backing, backup, identity, read, unreadable
from tests.unit.api.metrics.scraped import full
from tests.unit.api.world import TOKEN, World, settings
from worker.ops.backup.notes import Hold

PAGES = ["/", "/databases", "/jobs", "/backups", "/events", "/nodes/primary"]
TOKENS = {"view": "a-token-that-may-only-look", "operate": "a-token-that-may-operate", "admin": TOKEN}
WICKED = '</pre><script>alert("1")</script>'
# what a page may hold nowhere, because its policy lets none of it run: it would only be an error on the console
FLOWER = "http://127.0.0.1:5555/"
FORBIDDEN_ATTRIBUTES = re.compile(r"^(on\w+|style)$")


class Page(html.parser.HTMLParser):
    """What a browser would make of it, as far as the tests ask."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text, self.tags, self.words = text, [], ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words += data

    def all(self, tag: str, **wanted: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.tags if name == tag and wanted.items() <= attrs.items()]

    def buttons(self) -> Iterator[tuple[str, str, bool]]:
        """(method and path, the body, whether it can be pressed) of each that acts."""
        for attrs in self.all("button"):
            if "data-act" in attrs:
                what = f"{attrs['data-method']} {attrs['data-path']}"
                yield what, attrs.get("data-body") or "", "disabled" not in attrs


def get(client: FlaskClient, path: str, status: int = 200, **headers: str) -> Page:
    answer = client.get(path, headers={"Accept": "text/html,*/*;q=0.8", **headers})
    assert answer.status_code == status, answer.text
    assert answer.mimetype == "text/html"
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    page = Page(answer.text)
    assert not [attrs for _, attrs in page.tags if any(FORBIDDEN_ATTRIBUTES.match(name) for name in attrs)]
    led = [attrs.get(name) or "" for _, attrs in page.tags for name in ("src", "href")]
    assert not [address for address in led if "//" in address and address != FLOWER], "another host"
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(ids) == len(set(ids)), "an id is there twice"
    return page


@pytest.fixture(scope="module")
def seen() -> World:
    return full()


def test_databases_are_filtered_by_each_thing_that_can_be_asked(seen: World) -> None:
    for only in Only:
        page = get(seen.client, f"/databases?only={only.value}")
        (chosen,) = [attrs for attrs in page.all("option") if "selected" in attrs and attrs["value"] == only.value]
        assert chosen
    assert "lag or state unknown" in page.words


@pytest.mark.parametrize("path", PAGES)
def test_before_anything_is_known_each_page_says_so(path: str) -> None:
    page = get(World(settings(backup_url="memory://")).client, path)
    assert len(page.all("h1")) == 1
    assert "0 B" not in page.words
    assert "Your data is safe" not in page.words


@pytest.mark.parametrize("path", [*PAGES, "/databases/pdfs"])
def test_each_page_shows_what_is_known(seen: World, path: str) -> None:
    page = get(seen.client, path)
    assert len(page.all("h1")) == 1
    assert page.all("main", id="content")
    assert page.all("a", **{"class": "skip", "href": "#content"})


def test_the_first_thing_said_is_whether_the_data_is_safe(seen: World) -> None:
    page = get(seen.client, "/")
    heading = re.search(r'<h1 id="headline">([^<]+)', page.text)
    assert heading
    assert heading[1] != "Your data is safe."  # a node is down
    assert "replica2 is down" in page.words


def test_the_reason_about_processes_leads_to_what_is_not_running_and_how_to_start_it() -> None:
    world = World(settings(flower_url=FLOWER))
    world.save_sweep()
    world.seen.heard.note("worker-1@host", world.now - 125)
    page = get(world.client, "/")

    assert page.all("a", href="/#processes")
    assert page.all("h2", id="processes")
    (row,) = re.findall(r'<tr id="process-worker">.*?</tr>', page.text, re.DOTALL)
    for said in ("not running", "2 min ago", "python -m tasks worker", "docker compose up -d notebook-worker"):
        assert said in row
    (beat,) = re.findall(r'<tr id="process-beat">.*?</tr>', page.text, re.DOTALL)
    assert "python" not in beat, "nobody can tell whether it runs"
    assert len(page.all("a", href=FLOWER)) == 2
    assert len(get(World(settings(flower_url="", flower_port=0)).client, "/").all("a", href=FLOWER)) == 0


def test_what_runs_needs_no_start(seen: World) -> None:
    page = get(seen.client, "/")
    rows = re.findall(r'<tr id="process-(\w+)">(.*?)</tr>', page.text, re.DOTALL)
    assert [name for name, _ in rows] == ["worker", "control", "beat", "watcher"]
    assert not [name for name, row in rows if "python -m" in row or ">running<" not in row]


def test_nodes_and_links_are_drawn_and_can_be_reached_by_keyboard(seen: World) -> None:
    page = get(seen.client, "/")
    drawn = [attrs for attrs in page.all("a") if (attrs.get("class") or "").startswith("node ")]
    assert [(attrs["data-node"], attrs["data-state"]) for attrs in drawn] == [
        ("primary", "healthy"),
        ("replica1", "healthy"),
        ("replica2", "down"),
    ]
    assert all(attrs["href"] and attrs["aria-label"] for attrs in drawn)


def test_what_others_wrote_is_text_and_nothing_else() -> None:
    world = World(settings(api_tokens=""))
    world.save_sweep()
    world.events.record("node.state", at=world.now, detail=WICKED, severity="error", node="primary")
    job = world.queued()
    wrong = JobError("internal", WICKED, False, {"x": WICKED})
    world.store.finish(job.id, world.start(job.id), State.FAILED, world.now, error=wrong)
    for path in ("/", "/events", "/jobs", f"/jobs/{job.id}", "/nodes/primary"):
        page = get(world.client, path)
        assert "<script>alert" not in page.text
        assert not page.all("script", src="")
        assert [attrs for attrs in page.all("script") if "src" not in attrs] == []
    assert "alert(" in get(world.client, "/events").words


def test_a_running_job_shows_how_far_it_is_and_can_be_cancelled() -> None:
    world = World()
    job = world.queued()
    world.store.beat(job.id, world.start(job.id), "nonce", Progress("gather", 30, 120, "changes", 75.0))
    page = get(world.client, "/jobs")
    assert page.all("progress", value="25")
    assert "gather, 25 %, 1 min 15 s left" in page.words
    assert (f"DELETE /api/jobs/{job.id}", "", True) in page.buttons()


def test_an_ended_job_can_be_asked_for_again() -> None:
    world = World()
    job = world.queued()
    world.finish(job.id, {"caught_up": True})
    page = get(world.client, f"/jobs/{job.id}")
    assert (f"POST /api/jobs/{job.id}/retry", "", True) in page.buttons()
    assert '"caught_up": true' in page.words


@pytest.mark.parametrize(
    ("steps", "told"),
    [
        ([], "Nothing would be changed."),
        ([f"create db-{n} on replica2" for n in range(101)], "The list goes on below."),
    ],
)
def test_a_set_up_that_was_only_to_be_told_of_says_what_it_would_do(steps: list[str], told: str) -> None:
    world = World()
    job = world.jobs.submit(Request(Kind.SETUP, None, {"databases": None, "dry_run": True, "asked": True})).job
    away = [{"node": "replica1", "reason": "connection refused"}]
    world.finish(job.id, {"dry_run": True, "changed": False, "steps": steps, "skipped": away})
    page = get(world.client, f"/jobs/{job.id}")
    assert told in page.words
    assert "replica1 could not be asked: connection refused" in page.words
    assert len(page.all("li")) == len(get(world.client, "/jobs").all("li")) + min(len(steps), 100)


def test_a_job_of_unknown_length_has_a_bar_without_a_figure() -> None:
    world = World()
    job = world.queued()
    world.store.beat(job.id, world.start(job.id), "nonce", Progress("digest", None, None, None, None))
    assert "value" not in get(world.client, "/").all("progress")[0]


@pytest.mark.parametrize("role", TOKENS)
def test_what_a_role_may_not_do_cannot_be_pressed(role: str) -> None:
    world = backing(api_tokens=",".join(f"{name}={name}:{token}" for name, token in TOKENS.items()))
    read(world, backup(3, "pdfs"))
    bearer = {"Authorization": f"Bearer {TOKENS[role]}"}
    page = get(world.client, f"/backups/{identity(3)}", **bearer)
    pressed = {what.rpartition("/")[2] + body for what, body, can in page.buttons() if can}
    restore = [attrs for attrs in page.all("button", **{"data-open": "restore"}) if "disabled" not in attrs]
    assert bool(pressed) == (role != "view")
    assert bool(restore) == (role == "admin")
    for attrs in page.all("button"):
        if "disabled" in attrs:
            assert str(attrs["title"]).startswith("This takes the role")
    job = world.jobs.submit(Request(Kind.RESTORE, "pdfs", {"backup": "b", "as": None})).job
    can = [can for what, _, can in get(world.client, f"/jobs/{job.id}", **bearer).buttons() if job.id in what]
    assert can == [role == "admin"]


def test_bodies_of_actions_are_json_as_the_api_takes_it(seen: World) -> None:
    bodies = {what: body for what, body, _ in get(seen.client, "/databases/pdfs").buttons()}
    assert json.loads(bodies["POST /api/replication/sync"]) == {"database": "pdfs"}
    assert json.loads(bodies["POST /api/backups"]) == {"databases": ["pdfs"]}


def test_a_page_for_people_sends_them_to_the_sign_in_and_back() -> None:
    client = World(settings(api_tokens=f"a=admin:{TOKEN}")).client
    answer = client.get("/jobs?state=failed", headers={"Accept": "text/html"})
    assert (answer.status_code, answer.headers["Location"]) == (303, "/sign-in?next=%2Fjobs%3Fstate%3Dfailed")
    assert client.get("/api/jobs", headers={"Accept": "text/html"}).status_code == 401
    assert 'value="/jobs?state=failed"' in client.get(answer.headers["Location"]).text


def test_who_signed_in_finds_the_value_that_changes_need() -> None:
    client = World(settings(api_tokens=f"owner=admin:{TOKEN}", secret_key="k" * 32)).client
    client.post("/sign-in", data={"token": TOKEN})
    page = get(client, "/")
    (meta,) = page.all("meta", name="csrf-token")
    assert meta["content"] == client.get("/api/session").get_json()["csrf_token"]
    assert "owner (admin)" in page.words
    assert page.all("form", action="/sign-out")


@pytest.mark.parametrize(
    ("path", "status", "says"),
    [
        ("/nowhere", 404, "nothing at this address"),
        ("/jobs/019ab1c2-6f3e-7c44-9d5a-0b8f2d1e7a90", 404, "no such job"),
        ("/nodes/replica", 404, "replica1"),
        ("/databases/pdf", 404, "no such database"),
        ("/jobs?state=nonsense", 422, "state"),
        ("/jobs?unknown=1", 422, "unknown"),
        ("/jobs?cursor=nonsense", 422, "cursor"),
    ],
)
def test_what_is_wrong_is_told_on_a_page(path: str, status: int, says: str) -> None:
    page = get(World().client, path, status)
    assert says in page.words


def test_programs_get_problems_as_ever() -> None:
    answer = World().client.get("/nowhere")
    assert answer.mimetype == "application/problem+json"
    assert World().client.get("/api/nowhere", headers={"Accept": "text/html"}).mimetype == "application/problem+json"


@pytest.mark.parametrize("path", PAGES)
def test_each_page_says_where_nobody_looks_any_more(path: str) -> None:
    world = World(settings(backup_url="memory://"))
    world.save_sweep()
    assert "Nobody looks any more" not in get(world.client, path).words
    world.now += world.settings.stale_after + 2
    page = get(world.client, path)
    assert "Nobody looks any more" in page.words
    assert page.all("main", **{"class": "old"})
    assert "Your data is safe." not in page.words


@pytest.mark.parametrize("path", PAGES)
def test_without_redis_a_page_says_so_and_that_nodes_go_on(path: str) -> None:
    page = get(World(settings(backup_url="memory://")).without_redis(), path, 503)
    assert "Redis does not answer" in page.words
    assert "go on replicating" in page.words


def test_fields_of_a_form_that_were_left_empty_are_none() -> None:
    world = World()
    world.queued()
    assert "pdfs" in get(world.client, "/jobs?state=&kind=&database=").words
    assert "No job is like that" in get(world.client, "/jobs?state=failed&kind=").words


def test_pages_of_a_list_lead_on_with_what_was_asked_for() -> None:
    world = World()
    for number in range(3):
        world.queued(f"d{number}")
    (link,) = get(world.client, "/jobs?kind=sync&limit=2").all("a", rel="next")
    rest = get(world.client, f"/jobs{link['href']}")
    assert "d0" in rest.words
    assert not rest.all("a", rel="next")


def test_backups_tell_what_is_wrong_with_them() -> None:
    world = backing()
    read(world, backup(1, "pdfs"), backup(2, "pdfs", failed=["notes"]), unreadable(3))
    page = get(world.client, "/backups")
    assert all(word in page.words for word in ("unreadable", "incomplete", "good", "everything"))
    assert page.all("svg", role="img")
    broken = get(world.client, f"/backups/{identity(3)}")
    assert "its manifest is damaged" in broken.words
    assert not list(broken.buttons())
    assert "notes: unreachable" in re.sub(r"\s+", " ", get(world.client, f"/backups/{identity(2)}").words)


def test_without_backups_the_page_says_what_to_set() -> None:
    assert "BACKUP_URL" in get(World().client, "/backups").words


def test_a_hold_is_taken_off_only_by_who_types_its_name() -> None:
    world = backing()
    read(world, backup(4, "pdfs", hold=Hold(True, "lawyers", world.now)))
    found = get(world.client, f"/backups/{identity(4)}").all("button")
    (button,) = [attrs for attrs in found if (attrs.get("data-path") or "").endswith("/hold")]
    assert button["data-confirm"] == identity(4)


def test_pages_are_not_kept_and_files_are_asked_for_again(seen: World) -> None:
    assert seen.client.get("/").headers["Cache-Control"] == "no-store"
    style = seen.client.get("/static/dashboard.css")
    assert style.headers["ETag"]
    assert "no-cache" in style.headers["Cache-Control"]


def test_a_restore_is_not_repeated_without_its_name_typed_again() -> None:
    world = backing()
    params = {"backup": identity(3), "as": None, "mode": "rollback", "dry_run": False}
    for dry in (False, True):
        job = world.jobs.submit(Request(Kind.RESTORE, "pdfs", {**params, "dry_run": dry})).job
        world.finish(job.id)
        retry = [one for one in get(world.client, f"/jobs/{job.id}").all("button") if "data-act" in one]
        assert [one.get("data-confirm") for one in retry] == [None if dry else "pdfs"]


def test_of_many_nodes_only_links_that_are_not_well_are_drawn() -> None:
    """Of forty in a mesh there are 1,560, and those that are well would hide the others."""
    names = [f"n{number}" for number in range(40)]
    world = World(
        settings(replication_nodes=",".join(f"{name}=http://127.0.0.1:{6000 + at}" for at, name in enumerate(names)))
    )
    pairs = {one: {other: {"running": 1} for other in names if other != one} for one in names}
    pairs["n0"]["n1"] = {"stalled": 1}
    summary = {"states": {}, "lag": {}, "broken": 1, "behind": {}, "pairs": pairs, "observed_at": world.now}
    world.replication.save_links({}, summary)
    page = get(world.client, "/")
    assert [one["data-link"] for one in page.all("g")] == ["n1 n0"]
    assert len(page.text) < 100_000


def test_nearest_names_lead_to_pages_of_their_own() -> None:
    world = World()
    world.databases("notes/anna")
    (link,) = [one for one in get(world.client, "/databases/notes/ana", 404).all("a") if "anna" in str(one["href"])]
    assert link["href"] == "/databases/notes/anna"
