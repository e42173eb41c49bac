"""Commands that begin jobs: what is shown meanwhile, what is told afterwards, and how they exit."""

from __future__ import annotations

import json

import pytest
import requests
from urllib3.exceptions import MaxRetryError, NewConnectionError, ProtocolError

from cli.errors import Exit
from tests.unit.cli.bodies import ID, SYNCED, job, progress
from tests.unit.cli.terminal import Reply, Stream, Terminal, problem, told

SYNC = "POST /api/replication/sync"
JOB = f"GET /api/jobs/{ID}"
EVENTS = f"{JOB}/events"


def begun(terminal: Terminal, *jobs: dict[str, object]) -> None:
    terminal.api.on(SYNC, Reply(202, {**job("queued"), "deduplicated": False}))
    terminal.api.on(EVENTS, Stream([told(*jobs)]))


def test_people_see_steps_and_then_what_was_done(terminal: Terminal) -> None:
    running = [job("running", progress=progress(done, 10, 3.0)) for done in range(10)]
    begun(terminal, job("queued"), *running, job("running", progress=progress(None, None, phase="check")), job())
    done = terminal.run("sync", "pdfs")
    assert done.exit_code == Exit.WELL
    assert done.stderr.splitlines() == ["sync pdfs: queued", "sync pdfs: gather", "sync pdfs: check"]
    assert done.stdout.splitlines() == [
        "sync pdfs: succeeded after 2.5 s",
        "The same on a, b",
        "3 documents written",
    ]
    assert terminal.api.asked[0].body == {"database": "pdfs"}


def test_scripts_get_a_line_for_each_change_with_percent_and_estimate(terminal: Terminal) -> None:
    begun(terminal, job("queued"), job("running", progress=progress(1, 4, 3.0)), job())
    done = terminal.run("sync", "pdfs", "--json")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["state"] for line in lines] == ["queued", "running", "succeeded"]
    assert lines[1]["progress"] == {**progress(1, 4, 3.0), "percent": 25.0}
    assert lines[2] == job()
    assert done.stderr == ""


@pytest.mark.parametrize("as_json", [False, True], ids=["people", "scripts"])
def test_nobody_has_to_wait(terminal: Terminal, as_json: bool) -> None:
    begun(terminal)
    done = terminal.run("sync", "pdfs", "--no-wait", *(["--json"] if as_json else []))
    assert terminal.api.calls() == [SYNC]
    assert done.exit_code == Exit.WELL
    assert (json.loads(done.stdout)["id"] if as_json else done.stdout.strip()) == ID


@pytest.mark.parametrize(
    ("ended", "code", "said"),
    [
        (job(), Exit.WELL, ""),
        (job("failed"), Exit.FAILED, f"unreachable: a is away\n  the same may succeed later: nbr jobs retry {ID}"),
        (job("cancelled"), Exit.CANCELLED, "sync pdfs was cancelled"),
        (job(result={**SYNCED, "caught_up": False}), Exit.NOT_WELL, ""),
        (job(result={**SYNCED, "skipped": [{"node": "c", "reason": "down"}]}), Exit.NOT_WELL, ""),
    ],
    ids=["well", "failed", "cancelled", "behind", "skipped"],
)
def test_how_it_ended_is_the_exit_code(terminal: Terminal, ended: dict[str, object], code: Exit, said: str) -> None:
    begun(terminal, ended)
    done = terminal.run("sync", "pdfs", "--json")
    assert done.exit_code == code
    assert json.loads(done.stdout.splitlines()[-1]) == ended
    assert said in done.stderr


def test_what_is_wanting_is_told(terminal: Terminal) -> None:
    begun(terminal, job(result={**SYNCED, "skipped": [{"node": "c", "reason": "down\x1b[2J"}]}))
    assert "c was skipped: down\\x1b[2J" in terminal.run("sync", "pdfs").stdout


def test_ctrl_c_leaves_the_job_running_and_says_so(terminal: Terminal) -> None:
    begun(terminal, job("running"))

    def interrupted() -> None:
        raise KeyboardInterrupt

    terminal.on_pause = interrupted
    done = terminal.run("sync", "pdfs")
    assert done.exit_code == Exit.INTERRUPTED
    assert f"nbr jobs watch {ID}" in done.stderr
    assert f"nbr jobs cancel {ID}" in done.stderr
    assert not [call for call in terminal.api.calls() if call.startswith("DELETE")]


def test_ctrl_c_elsewhere_is_no_failed_job(terminal: Terminal) -> None:
    terminal.api.on(SYNC, KeyboardInterrupt())
    done = terminal.run("sync", "pdfs")
    assert done.exit_code == Exit.INTERRUPTED
    assert done.stderr == "nbr: interrupted\n"


def test_an_equal_job_is_said_to_be_one(terminal: Terminal) -> None:
    terminal.api.on(SYNC, Reply(202, {**job("queued"), "deduplicated": True}))
    assert "queued already" in terminal.run("sync", "pdfs", "--no-wait").stderr


def test_a_database_that_is_not_there(terminal: Terminal) -> None:
    terminal.api.on(SYNC, problem(404, "unknown-database", detail="no node has 'pdf'; did you mean pdfs?"))
    done = terminal.run("sync", "pdf")
    assert done.exit_code == Exit.NOT_FOUND
    assert "did you mean pdfs?" in done.stderr


# --- where no answer comes


def keys(terminal: Terminal) -> list[str]:
    return [asked.headers["Idempotency-Key"] for asked in terminal.api.asked if asked.call == SYNC]


LOST = [
    requests.ReadTimeout(),
    requests.ConnectionError(ProtocolError("Connection aborted.", ConnectionResetError())),
    Reply(504, "<html>Gateway time-out</html>"),
    problem(409, "being-made"),
]
LOST_IDS = ["time-out", "reset", "gateway", "being-made"]


@pytest.mark.parametrize("lost", LOST, ids=LOST_IDS)
def test_what_got_no_answer_is_sent_again_with_the_same_key(terminal: Terminal, lost: object) -> None:
    terminal.api.on(SYNC, lost, Reply(202, job("queued")))
    assert terminal.run("sync", "pdfs", "--no-wait").exit_code == Exit.WELL
    first, second = keys(terminal)
    assert first == second
    assert len(terminal.pauses) == 1


def test_each_command_has_a_key_of_its_own(terminal: Terminal) -> None:
    terminal.api.on(SYNC, Reply(202, job("queued")))
    terminal.run("sync", "pdfs", "--no-wait")
    terminal.run("sync", "pdfs", "--no-wait")
    assert len(set(keys(terminal))) == 2


@pytest.mark.parametrize("lost", LOST, ids=LOST_IDS)
def test_a_job_that_may_have_begun_is_said_to(terminal: Terminal, lost: object) -> None:
    refused = requests.ConnectionError(MaxRetryError(None, "/", NewConnectionError(None, "refused")))  # type: ignore[arg-type]
    for after in (lost, refused):
        terminal.api.on(SYNC, lost, after)
        done = terminal.run("sync", "pdfs")
        assert done.exit_code == Exit.UNAVAILABLE
        assert "may have begun: `nbr jobs` shows it" in done.stderr


@pytest.mark.parametrize(
    "refused",
    [
        requests.ConnectTimeout(),
        requests.ConnectionError(MaxRetryError(None, "/", NewConnectionError(None, "refused"))),  # type: ignore[arg-type]
        problem(503, "store-unavailable"),
    ],
    ids=["time-out", "refused", "no-store"],
)
def test_what_cannot_have_begun_is_not_sent_again(terminal: Terminal, refused: object) -> None:
    terminal.api.on(SYNC, refused)
    done = terminal.run("sync", "pdfs")
    assert done.exit_code == Exit.UNAVAILABLE
    assert "begun" not in done.stderr
    assert len(keys(terminal)) == 1
