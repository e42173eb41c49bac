"""The supervisor on real processes: it starts them again, and whatever ends it, none stays behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from embedded.folders import PROJECT
from embedded.process import Command, Process
from embedded.supervisor import Supervisor
from embedded.waiting import wait_until
from tests.system.process_checks import DEADLINE, alive

pytestmark = pytest.mark.system

# writes its id into a file and waits; "stubborn" ignores SIGTERM and has a child of its own
CHILD = """
import os, signal, subprocess, sys
if "stubborn" in sys.argv:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    child = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
    open(sys.argv[1] + ".child", "w").write(f"{child.pid}\\n")
with open(sys.argv[1] + ".new", "w") as file:
    file.write(f"{os.getpid()}\\n")
os.replace(sys.argv[1] + ".new", sys.argv[1])
print("up", flush=True)
signal.pause()
"""


def child(name: str, folder: Path, *how: str, output: Path | None = None) -> Process:
    argv = [sys.executable, "-c", CHILD, str(folder / name), *how]
    return Process(Command(name, argv), output or folder / f"{name}.log")


def pid_in(file: Path) -> int:
    assert wait_until(file.exists, DEADLINE)
    return int(file.read_text())


def test_a_crashed_process_is_started_again_and_it_is_said(tmp_path: Path) -> None:
    said: list[str] = []
    with Supervisor(said.append, first_pause=0.01) as supervisor:
        process = child("worker", tmp_path)
        supervisor.add(process)
        first = pid_in(tmp_path / "worker")
        (tmp_path / "worker").unlink()
        os.kill(first, signal.SIGKILL)

        def back() -> bool:
            supervisor.look()
            return (tmp_path / "worker").exists()

        assert wait_until(back, DEADLINE)
        second = pid_in(tmp_path / "worker")

    assert said == ["worker was ended by SIGKILL; starting it again in 0.01 s"]
    assert second != first
    assert not alive(second)


def test_stop_ends_stubborn_processes_and_their_children_too(tmp_path: Path) -> None:
    supervisor = Supervisor(lambda _: None, stop_seconds=0.2)
    supervisor.add(child("mild", tmp_path))
    supervisor.add(child("stubborn", tmp_path, "stubborn"))
    pids = [pid_in(tmp_path / name) for name in ("mild", "stubborn", "stubborn.child")]

    supervisor.stop()

    assert wait_until(lambda: not any(alive(pid) for pid in pids), DEADLINE)


def test_output_is_handed_on_line_by_line(tmp_path: Path) -> None:
    lines: list[str] = []
    process = Process(Command("two", [sys.executable, "-c", "print('one'); print('two')"]), lines.append)
    process.start()

    assert wait_until(lambda: process.poll() == 0, DEADLINE)
    process.stop()

    assert lines == ["one", "two"]


def test_a_program_that_is_not_there_says_so(tmp_path: Path) -> None:
    process = Process(Command("ghost", [str(tmp_path / "ghost")]), tmp_path / "log")
    process.start()

    assert wait_until(lambda: process.poll() is not None, DEADLINE)
    assert "cannot run" in process.last_lines()


RUNNER = """
import sys
from pathlib import Path
from embedded.supervisor import Supervisor, interrupt_on_signals
from tests.system.test_supervisor import child

interrupt_on_signals()
folder = Path(sys.argv[1])
try:
    with Supervisor(print) as supervisor:
        supervisor.add(child("one", folder))
        supervisor.add(child("two", folder))
        supervisor.run()
except KeyboardInterrupt:
    sys.exit(0)
"""


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (signal.SIGINT, 0),
        (signal.SIGTERM, 0),
        pytest.param(
            signal.SIGKILL, -9, marks=pytest.mark.skipif(sys.platform != "linux", reason="only Linux can do this")
        ),
    ],
)
def test_no_process_outlives_the_supervisor(tmp_path: Path, number: signal.Signals, code: int) -> None:
    runner = subprocess.Popen([sys.executable, "-c", RUNNER, str(tmp_path)], cwd=PROJECT, start_new_session=True)
    try:
        pids = [pid_in(tmp_path / name) for name in ("one", "two")]
        runner.send_signal(number)
        assert runner.wait(DEADLINE) == code
    finally:
        runner.kill()
        runner.wait(DEADLINE)

    assert wait_until(lambda: not any(alive(pid) for pid in pids), DEADLINE)
