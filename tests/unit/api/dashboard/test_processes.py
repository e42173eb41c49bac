"""Which of our own processes run, and that nothing is said of what nobody can tell."""

from __future__ import annotations

from api.dashboard.processes import MISSING, NEEDLESS, RUNS, UNKNOWN, Process, processes
from embedded.folders import PROJECT
from tasks.__main__ import USAGE
from tests.unit.api.dashboard.test_safety import NOW, service
from worker.core.times import rfc3339


def seen(controls: int = 1, *, workers: int = 1, beat: bool = True, needs_watcher: bool = False) -> dict[str, Process]:
    heard = {"worker": NOW - 300, "control": NOW}
    found = processes(service(workers, beat), controls, heard, needs_watcher=needs_watcher)
    return {one.name: one for one in found}


def states(found: dict[str, Process]) -> dict[str, str]:
    return {name: one.state for name, one in found.items()}


def test_all_run() -> None:
    assert states(seen()) == {"worker": RUNS, "control": RUNS, "beat": RUNS, "watcher": NEEDLESS}


def test_what_does_not_run_is_told_with_when_it_was_heard_of_last() -> None:
    worker = seen(workers=0)["worker"]
    assert (worker.state, worker.count, worker.heard, worker.level) == (MISSING, 0, rfc3339(NOW - 300), "bad")


def test_beat_is_missing_only_where_control_would_hear_of_it() -> None:
    assert states(seen(beat=False))["beat"] == MISSING
    without = seen(0, beat=False)
    assert (without["control"].state, without["beat"].state) == (MISSING, UNKNOWN)


def test_a_watcher_is_missed_only_where_something_travels_on_change() -> None:
    assert seen(needs_watcher=True)["watcher"].state == MISSING
    assert seen()["watcher"].heard is None, "none was ever there"


def test_every_command_that_is_shown_is_one_of_ours() -> None:
    compose = (PROJECT / "docker-compose.yml").read_text(encoding="utf-8")
    for name in seen():
        assert f" {name} " in USAGE
        assert f"\n  notebook-{name}:" in compose
