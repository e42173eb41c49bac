"""Each command: what it asks the API for, what it shows, and its exit code."""

from __future__ import annotations

import json
from typing import Any

import pytest

from api.backup_schemas import MOST_BACKUPS_A_PAGE, MOST_ENTRIES_A_PAGE
from api.database_schemas import MOST_DATABASES_A_PAGE
from api.schemas import MOST_EVENTS_A_PAGE, MOST_JOBS_A_PAGE, MOST_STATUS_DATABASES
from cli.commands.seeing import PAGE
from cli.errors import Exit
from tests.unit.cli import bodies
from tests.unit.cli.bodies import BACKUP, ID, cluster, job, link, node, status, system
from tests.unit.cli.terminal import Reply, Stream, Terminal, problem, told

HEALTH, NODES, STATUS = "GET /api/replication/health", "GET /api/nodes", "GET /api/replication/status"
INFO = "GET /api/replication/info"
CRASHING = link(target="replica2", state="crashing", last_error="it [red]hurts", remedy="rest", lag=None)


def standing(terminal: Terminal, *links: dict[str, Any], verdict: str = "healthy", **more: Any) -> None:
    terminal.api.on(HEALTH, cluster(verdict))
    terminal.api.on(NODES, {"primary": "primary", "nodes": [node()], "observed_at": bodies.AT})
    terminal.api.on(INFO, {"settings": {"REPLICATION_RETRY_SECONDS": 30, "HEALTH_INTERVAL": 10}})
    terminal.api.on(STATUS, status(*links, **more))


# --- how things stand


def test_status_counts_what_is_well_and_lists_what_is_not(terminal: Terminal) -> None:
    standing(terminal, link(), link(target="replica3", lag=7), CRASHING)
    done = terminal.run("status")
    assert done.exit_code == Exit.NOT_WELL
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert lines == [
        "Cluster: healthy",
        "Acting primary: primary Mode: continuous",
        "Links: 3, 1 not well, 1 with changes on the way Seen: 60 s ago",
        "DATABASE FROM TO STATE LAG WHAT IS WRONG",
        "pdfs primary replica3 running 7",
        "pdfs primary replica2 crashing ? it [red]hurts. rest",
    ]


@pytest.mark.parametrize(
    ("verdict", "links", "code"),
    [
        ("healthy", [link()], Exit.WELL),
        ("healthy", [], Exit.WELL),
        ("degraded", [link()], Exit.NOT_WELL),
        ("unknown", [], Exit.NOT_WELL),
        ("healthy", [link(state="unknown")], Exit.NOT_WELL),
        ("healthy", [link(state=None)], Exit.NOT_WELL),
        ("healthy", [link(doc_write_failures=1)], Exit.NOT_WELL),
        ("healthy", [link(mode="on-change", state="behind", lag=3)], Exit.WELL),
        ("healthy", [link(mode="on-change", state="failing")], Exit.NOT_WELL),
        ("healthy", [link(lag=None)], Exit.NOT_WELL),
        ("healthy", [link(observed_at=None)], Exit.NOT_WELL),
        ("healthy", [link(observed_at="2026-11-23T14:55:30.000Z")], Exit.WELL),  # 270 s before the sweep
        ("healthy", [link(observed_at="2026-11-23T14:55:29.000Z")], Exit.NOT_WELL),
    ],
)
def test_status_exits_with_the_verdict(
    terminal: Terminal, verdict: str, links: list[dict[str, Any]], code: Exit
) -> None:
    standing(terminal, *links, verdict=verdict)
    assert terminal.run("status").exit_code == code


def test_status_names_the_node_that_is_not_well_and_says_why(terminal: Terminal) -> None:
    standing(terminal, link())
    ill = node("replica2", "down", reason="unreachable: [red]connection refused")
    terminal.api.on(HEALTH, cluster("degraded", node(), node("replica1", "maintenance"), ill))
    lines = [line.strip() for line in terminal.run("status").stdout.splitlines()]
    assert lines[1:3] == ["replica1 is maintenance", "replica2 is down: unreachable: [red]connection refused"]


@pytest.mark.parametrize(
    "known",
    [
        {"observed_at": None},
        {"mode": None},
        {"removed": {"pdfs": ["replica1"]}},
        {"security_differs": {"pdfs": ["replica1"]}},
    ],
    ids=["no-sweep", "no-mode", "deleted", "security"],
)
def test_what_is_not_known_or_stands_apart_is_not_well(terminal: Terminal, known: dict[str, Any]) -> None:
    standing(terminal, link(), **known)
    assert terminal.run("status").exit_code == Exit.NOT_WELL


def test_links_of_which_too_little_is_known_are_counted_and_listed(terminal: Terminal) -> None:
    standing(terminal, link(), link(target="b", lag=None), link(target="c", observed_at="2026-11-23T14:00:00.000Z"))
    done = terminal.run("status")
    assert "Links: 3, 0 not well, 0 with changes on the way, 2 not known" in done.stdout
    assert [line.split()[2] for line in done.stdout.splitlines()[4:]] == ["b", "c"]


def test_commands_that_are_shown_can_be_copied_whatever_the_name(terminal: Terminal) -> None:
    standing(terminal, removed={"a$(x)": ["replica1"]})
    assert "nbr setup 'a$(x)' makes it" in terminal.run("status").stdout
    terminal.api.on("GET /api/databases", {"databases": [], "total": 9, "matching": 9, "next": "a$(x)"})
    assert "--cursor 'a$(x)'" in terminal.run("databases").stderr


def test_status_reads_every_page(terminal: Terminal) -> None:
    standing(terminal)
    terminal.api.on(STATUS, status(link(), next="pdfs"), status(link(database="zz")))
    (told_,) = terminal.json("status")
    assert [one["database"] for one in told_["replication"]["links"]] == ["pdfs", "zz"]
    assert told_["cluster"]["status"] == "healthy"
    assert terminal.api.asked[-1].query["cursor"] == ["pdfs"]


def test_status_of_one_database_lists_its_links_and_what_was_deleted(terminal: Terminal) -> None:
    standing(terminal, link(), removed={"pdfs": ["replica1"]}, security_differs={"pdfs": ["replica2"]})
    done = terminal.run("status", "pdfs")
    assert "primary" in done.stdout
    assert "nbr setup pdfs" in done.stdout
    assert "another _security on replica2" in done.stdout
    assert terminal.api.asked[-1].query["database"] == ["pdfs"]


@pytest.mark.parametrize(
    ("own", "verdict", "code"),
    [
        ("ok", "healthy", Exit.WELL),
        ("degraded", "healthy", Exit.NOT_WELL),
        ("ok", "down", Exit.NOT_WELL),
        ("ok", "unknown", Exit.NOT_WELL),
    ],
)
def test_health_exits_with_the_verdict(terminal: Terminal, own: str, verdict: str, code: Exit) -> None:
    terminal.api.on("GET /api/health", system(own))
    terminal.api.on(HEALTH, cluster(verdict, node(), node("replica1", "down", reason="connection refused")))
    done = terminal.run("health")
    assert done.exit_code == code
    assert "connection refused" in done.stdout
    assert terminal.json("health") == [
        {
            "system": system(own),
            "cluster": cluster(verdict, node(), node("replica1", "down", reason="connection refused")),
        }
    ]


def test_health_while_no_job_can_be_taken(terminal: Terminal) -> None:
    terminal.api.on("GET /api/health", Reply(503, system("unavailable")))
    done = terminal.run("health")
    assert done.exit_code == Exit.UNAVAILABLE
    assert "Redis does not answer" in done.stdout


def test_databases(terminal: Terminal) -> None:
    row = {"name": "pdfs", "state": "in-step", "documents": 5_210, "file_bytes": 2_000_000, "lag": 0}
    more = {"conflicts": {"count": 3, "at_least": True}, "last_backup": None, "nodes": ["primary"]}
    found = {"databases": [{**row, **more}], "total": 9, "matching": 1, "next": "pdfs"}
    terminal.api.on("GET /api/databases", found)
    done = terminal.run("databases", "pdf", "--only", "conflicts", "--sort", "name", "--limit", "1")
    assert done.stdout.splitlines()[1].split() == [
        "pdfs",
        "in-step",
        "5,210",
        "2.0",
        "MB",
        "≥",
        "3",
        "0",
        "none",
        "known",
    ]
    assert "--cursor pdfs" in done.stderr
    asked = terminal.api.asked[0].query
    assert asked == {"search": ["pdf"], "only": ["conflicts"], "sort": ["name"], "limit": ["1"]}
    assert terminal.json("databases") == [found]


# --- nodes


@pytest.mark.parametrize("arguments", [["nodes"], ["nodes", "show"]], ids=["short", "long"])
def test_nodes(terminal: Terminal, arguments: list[str]) -> None:
    found = {"primary": "primary", "observed_at": bodies.AT, "nodes": [node(), node("b", "down", lag=None)]}
    terminal.api.on(NODES, found)
    done = terminal.run(*arguments)
    assert [line.split()[:2] for line in done.stdout.splitlines()[1:]] == [["primary", "healthy"], ["b", "down"]]
    assert "Acting primary: primary" in done.stderr
    assert terminal.json(*arguments) == [found]


def test_one_node_by_its_name(terminal: Terminal) -> None:
    terminal.api.on("GET /api/nodes/b", node("b", "suspect", disk={"file_bytes": 1_500, "fragmentation": 0.25}))
    done = terminal.run("nodes", "b")
    assert "suspect" in done.stdout
    assert "1.5 KB, 25 % to be freed" in done.stdout


@pytest.mark.parametrize(("switch", "on"), [("--on", True), ("--off", False)])
def test_maintenance(terminal: Terminal, switch: str, on: bool) -> None:
    terminal.api.on("POST /api/nodes/b/maintenance", {"node": "b", "on": on, "reason": "disk", "since": bodies.AT})
    assert terminal.run("nodes", "maintenance", "b", switch, "--reason", "disk").exit_code == Exit.WELL
    assert terminal.api.asked[0].body == {"on": on, "reason": "disk"}


def test_maintenance_has_to_say_which(terminal: Terminal) -> None:
    assert terminal.run("nodes", "maintenance", "b").exit_code == Exit.USAGE
    assert terminal.api.asked == []


# --- what begins a job


@pytest.mark.parametrize(
    ("arguments", "call", "body"),
    [
        ("sync pdfs", "/replication/sync", {"database": "pdfs"}),
        ("setup", "/replication/setup", {"bidirectional": True, "dry_run": False}),
        (
            "setup a b --dry-run --one-way",
            "/replication/setup",
            {"database": ["a", "b"], "bidirectional": False, "dry_run": True},
        ),
        ("verify pdfs", "/replication/verify", {"database": "pdfs", "repair": False}),
        (
            "verify pdfs --repair --nodes a,b",
            "/replication/verify",
            {"database": "pdfs", "repair": True, "nodes": ["a", "b"]},
        ),
        ("nodes rejoin b", "/nodes/b/rejoin", {}),
        ("backup now", "/backups", {"full": False}),
        (
            "backup now a notes-* --full --hold audit",
            "/backups",
            {"databases": ["a", "notes-*"], "full": True, "legal_hold": "audit"},
        ),
        (f"backup verify {BACKUP}", f"/backups/{BACKUP}/verify", {"drill": False}),
        ("backup verify latest --drill --node b", "/backups/latest/verify", {"drill": True, "node": "b"}),
        ("backup hold latest --reason audit", "/backups/latest/hold", {"on": True, "reason": "audit"}),
        ("backup release latest --yes", "/backups/latest/hold", {"on": False}),
        ("restore latest pdfs", "/backups/latest/restore", {"database": "pdfs", "mode": "new"}),
        (
            "restore latest pdfs --as p2 --ids x --ids y --node b",
            "/backups/latest/restore",
            {"database": "pdfs", "as": "p2", "mode": "new", "ids": ["x", "y"], "node": "b"},
        ),
        (
            "restore latest pdfs --mode rollback --made-since delete --dry-run",
            "/backups/latest/restore",
            {"database": "pdfs", "mode": "rollback", "made_since": "delete", "dry_run": True},
        ),
        ("restore latest --mode cluster --yes", "/backups/latest/restore", {"mode": "cluster"}),
        (
            'restore latest pdfs --selector {"a":1}',
            "/backups/latest/restore",
            {"database": "pdfs", "mode": "new", "selector": {"a": 1}},
        ),
        (f"jobs retry {ID}", f"/jobs/{ID}/retry", {}),
    ],
    ids=lambda value: value.replace(" ", "_") if isinstance(value, str) and not value.startswith("/") else "",
)
def test_what_is_asked_for(terminal: Terminal, arguments: str, call: str, body: dict[str, Any]) -> None:
    terminal.api.on(f"POST /api{call}", Reply(202, job("queued")))
    terminal.api.on(f"GET /api/jobs/{ID}", job("failed"))
    done = terminal.run(*arguments.split(), "--no-wait")
    assert done.stdout == f"{ID}\n", done.output
    assert done.exit_code == Exit.WELL
    assert terminal.api.asked[-1].body == body


@pytest.mark.parametrize(
    ("arguments", "told_"),
    [
        ("restore latest", "DATABASE is missing"),
        ("restore latest pdfs --mode cluster", "leave DATABASE out"),
        ("restore latest pdfs --dry-run", "--mode rollback"),
        ("restore latest pdfs --mode rollback", "--yes"),
        ("restore latest --mode cluster", "--yes"),
        ("restore latest pdfs --selector {", "no JSON"),
        ("restore latest pdfs --selector []", "JSON object"),
        ("restore latest pdfs --mode all", "'all' is not one of"),
    ],
)
def test_a_restore_that_is_not_clear_is_not_begun(terminal: Terminal, arguments: str, told_: str) -> None:
    done = terminal.run(*arguments.split())
    assert done.exit_code == Exit.USAGE
    assert told_ in done.stderr
    assert terminal.api.asked == []


# --- jobs


def test_jobs(terminal: Terminal) -> None:
    running = job("running", progress=bodies.progress(1, 4, 3.0))
    terminal.api.on("GET /api/jobs", {"jobs": [running, job("failed")], "next": ID})
    done = terminal.run("jobs", "--state", "failed", "--kind", "sync", "--database", "pdfs")
    assert "25 %" in done.stdout
    assert "unreachable" in done.stdout
    assert ID in done.stdout
    assert terminal.api.asked[0].query == {"state": ["failed"], "kind": ["sync"], "database": ["pdfs"]}
    assert terminal.run("jobs", "list").stdout == done.stdout
    assert terminal.json("jobs") == [{"jobs": [running, job("failed")], "next": ID}]


def test_one_job(terminal: Terminal) -> None:
    terminal.api.on(f"GET /api/jobs/{ID}", job("failed"))
    done = terminal.run("jobs", "show", ID)
    assert done.exit_code == Exit.WELL
    assert "unreachable: a is away" in done.stdout


def test_watching_exits_as_the_job_ends(terminal: Terminal) -> None:
    terminal.api.on(f"GET /api/jobs/{ID}/events", Stream([told(job("failed"))]))
    assert terminal.run("jobs", "watch", ID).exit_code == Exit.FAILED


def test_cancelling_waits_until_it_has_stopped(terminal: Terminal) -> None:
    terminal.api.on(f"DELETE /api/jobs/{ID}", Reply(202, job("running", cancel_requested=True)))
    terminal.api.on(f"GET /api/jobs/{ID}/events", Stream([told(job("cancelled"))]))
    done = terminal.run("jobs", "cancel", ID)
    assert done.exit_code == Exit.WELL
    assert "is cancelled" in done.stdout
    assert "asked to stop" in terminal.run("jobs", "cancel", ID, "--no-wait").stdout


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (job("cancelled"), Exit.WELL),
        (problem(409, "job-ended", detail="it had succeeded"), Exit.FAILED),
        (problem(404, "unknown-job"), Exit.NOT_FOUND),
    ],
    ids=["at-once", "too-late", "unknown"],
)
def test_how_cancelling_ends(terminal: Terminal, answer: Any, code: Exit) -> None:
    terminal.api.on(f"DELETE /api/jobs/{ID}", answer)
    assert terminal.run("jobs", "cancel", ID).exit_code == code


def test_a_job_that_was_quicker_than_its_end(terminal: Terminal) -> None:
    terminal.api.on(f"DELETE /api/jobs/{ID}", Reply(202, job("running")))
    terminal.api.on(f"GET /api/jobs/{ID}/events", Stream([told(job())]))
    done = terminal.run("jobs", "cancel", ID)
    assert done.exit_code == Exit.FAILED
    assert "had succeeded before" in done.stderr


def test_a_hold_is_not_taken_off_unasked(terminal: Terminal) -> None:
    done = terminal.run("backup", "release", BACKUP)
    assert done.exit_code == Exit.USAGE
    assert f"The legal hold on backup {BACKUP} will be taken off" in done.stderr
    assert terminal.api.calls() == []


def restored(**more: Any) -> dict[str, Any]:
    params = {"backup": BACKUP, "database": "pdfs", "as": None, "mode": "rollback", "dry_run": False, **more}
    return job("failed", kind="restore", params=params)


@pytest.mark.parametrize(
    ("ended", "told_"),
    [
        (restored(), "pdfs will go back"),
        (restored(mode="cluster"), "Everything in backup"),
        (restored(mode="new", **{"as": "p2"}), "p2 will be made"),
        (job("failed", kind="hold-backup", database=None, params={"backup": BACKUP, "on": False}), "legal hold"),
    ],
    ids=["rollback", "cluster", "new", "release"],
)
def test_a_retry_of_what_cannot_be_undone_has_to_be_confirmed(
    terminal: Terminal, ended: dict[str, Any], told_: str
) -> None:
    terminal.api.on(f"GET /api/jobs/{ID}", ended)
    terminal.api.on(f"POST /api/jobs/{ID}/retry", Reply(202, job("queued")))
    done = terminal.run("jobs", "retry", ID, "--no-wait")
    assert done.exit_code == Exit.USAGE
    assert told_ in done.stderr
    assert "--yes" in done.stderr
    assert terminal.api.calls() == [f"GET /api/jobs/{ID}"]
    assert terminal.run("jobs", "retry", ID, "--no-wait", "--yes").exit_code == Exit.WELL


@pytest.mark.parametrize(
    "ended",
    [
        restored(dry_run=True),
        job("failed", kind="hold-backup", params={"backup": BACKUP, "on": True}),
        job("cancelled"),
    ],
    ids=["dry-run", "hold", "sync"],
)
def test_other_retries_are_begun_at_once(terminal: Terminal, ended: dict[str, Any]) -> None:
    terminal.api.on(f"GET /api/jobs/{ID}", ended)
    terminal.api.on(f"POST /api/jobs/{ID}/retry", Reply(202, job("queued")))
    assert terminal.run("jobs", "retry", ID, "--no-wait").exit_code == Exit.WELL


# --- backups


def test_backups(terminal: Terminal) -> None:
    unreadable = {"id": "20261122T030000Z-09ab12", "readable": False, "why": "another key"}
    found = {"backups": [bodies.backup(), unreadable], "stale": True, "trouble": None, "next_at": None, "next": None}
    terminal.api.on("GET /api/backups", {**found, "observed_at": bodies.AT})
    done = terminal.run("backup", "list", "--database", "pdfs")
    first, second = done.stdout.splitlines()[1:]
    assert first.split()[0] == BACKUP
    assert "good, verified" in first
    assert "unreadable" in second
    assert "no good backup of everything" in done.stderr


def test_one_backup(terminal: Terminal) -> None:
    entry = {"database": "pdfs", "node": "a", "documents": 9, "changed": 1, "attachments": 0, "stored_bytes": 10}
    found = bodies.backup(entries=[entry], next=None, legal_hold={"reason": "audit", "at": bodies.AT})
    terminal.api.on("GET /api/backups/latest", found)
    done = terminal.run("backup", "show", "latest")
    assert "good, verified, held" in done.stdout
    assert "pdfs" in done.stdout
    assert terminal.json("backup", "show", "latest") == [found]


# --- events


def test_events_are_a_log(terminal: Terminal) -> None:
    found = {"events": [bodies.event(2), bodies.event(1)], "next": "1795446000123-1"}
    terminal.api.on("GET /api/events", found)
    done = terminal.run("events", "--type", "node.state", "--node", "replica1", "--limit", "2")
    assert [line.rpartition("event ")[2] for line in done.stdout.splitlines()] == ["1", "2"]
    assert terminal.api.asked[0].query == {"type": ["node.state"], "node": ["replica1"], "limit": ["2"]}
    assert terminal.json("events") == [found]


def test_following_events_misses_none_while_the_api_is_away(terminal: Terminal) -> None:
    pages = [
        {"events": [bodies.event(1)], "next": None},
        {"events": [bodies.event(2)], "next": "1795446000123-2"},
        {"events": [bodies.event(3)], "next": None},
        problem(503, "store-unavailable"),
        problem(503, "store-unavailable"),
        {"events": [bodies.event(4)], "next": None},
        KeyboardInterrupt(),
    ]
    terminal.api.on("GET /api/events", *pages)
    done = terminal.run("events", "-f", "--json")
    assert done.exit_code == Exit.INTERRUPTED
    assert [json.loads(line)["detail"] for line in done.stdout.splitlines()] == [f"event {n}" for n in range(1, 5)]
    afters = [asked.query.get("after", [""])[0][-1:] for asked in terminal.api.asked]
    assert afters == ["", "1", "2", "3", "3", "3", "4"]
    assert done.stderr.count("waiting for it") == 1


def test_following_begins_before_the_first_event(terminal: Terminal) -> None:
    terminal.api.on("GET /api/events", {"events": [], "next": None}, KeyboardInterrupt())
    terminal.run("events", "-f")
    assert terminal.api.asked[1].query["after"] == ["0-0"]


# --- all of them


def test_an_option_that_does_not_exist_is_named(terminal: Terminal) -> None:
    done = terminal.run("status", "--token", "x")
    assert done.exit_code == Exit.USAGE
    assert "--token" in done.stderr


@pytest.mark.parametrize(
    ("command", "most"),
    [
        ("databases", MOST_DATABASES_A_PAGE),
        ("jobs", MOST_JOBS_A_PAGE),
        ("backup list", MOST_BACKUPS_A_PAGE),
        ("backup show latest", MOST_ENTRIES_A_PAGE),
        ("events", MOST_EVENTS_A_PAGE),
    ],
    ids=lambda value: str(value).replace(" ", "-"),
)
def test_pages_are_no_longer_than_the_api_makes_them(terminal: Terminal, command: str, most: int) -> None:
    assert terminal.run(*command.split(), "--limit", str(most + 1)).exit_code == Exit.USAGE
    assert terminal.api.asked == []
    terminal.run(*command.split(), "--limit", str(most))
    assert terminal.api.asked[0].query["limit"] == [str(most)]
    assert PAGE <= MOST_STATUS_DATABASES


def test_what_is_typed_in_no_utf_8_is_no_defect(terminal: Terminal) -> None:
    assert terminal.run("databases", "\udcff").exit_code == Exit.USAGE
    terminal.api.on("POST /api/nodes/\ufffd/rejoin", Reply(202, job("queued")))
    assert terminal.run("nodes", "rejoin", "\udcff", "--no-wait").exit_code == Exit.WELL


def test_colours_are_for_terminals(terminal: Terminal) -> None:
    standing(terminal, CRASHING)
    assert "\x1b" not in terminal.run("status").output


def test_nothing_that_others_named_is_obeyed(terminal: Terminal) -> None:
    evil = "x\x1b]0;owned\x07\x9b2J\u202e[red]y"
    shown = "x\\x1b]0;owned\\x07\\x9b2J\\u202e[red]y"
    standing(terminal, link(database=evil, state="crashing", last_error=evil), removed={evil: ["a"]})
    terminal.api.on("GET /api/nodes/b", node("b", reason=evil))
    terminal.api.on("GET /api/events", {"events": [bodies.event(1, detail=evil)], "next": None})
    for arguments in (["status"], ["status", "--json"], ["nodes", "b"], ["events"]):
        output = terminal.run(*arguments).output
        assert not {"\x1b", "\x07", "\x9b", "\u202e"} & set(output), arguments
        assert "--json" in arguments or shown in output, arguments
