"""`./nbr` itself: what it imports, and what becomes of it where nobody reads what it writes."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from cli.errors import Exit
from tests.unit.cli.bodies import node

NBR = Path(__file__).parents[3] / "nbr"
NODES = {"nodes": [node()], "primary": None, "observed_at": None}


class Nodes(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = json.dumps(NODES).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def environ() -> Iterator[dict[str, str]]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Nodes) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        named = {"NBR_URL": f"http://127.0.0.1:{server.server_port}", "NBR_ENV_FILE": os.devnull}
        yield {"PATH": os.environ["PATH"], "NBR_TOKEN": "nbr_a-token", **named}
        server.shutdown()


def shell(script: str, environ: dict[str, str], folder: Path) -> subprocess.CompletedProcess[str]:
    """`$NBR` is the command."""
    return subprocess.run(
        ["sh", "-c", script],
        env={**environ, "NBR": str(NBR)},
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_nothing_is_imported_from_the_folder_somebody_stands_in(environ: dict[str, str], tmp_path: Path) -> None:
    hostile = "import os; print('hostile', os.environ['NBR_TOKEN'])\n"
    for package in ("cli", "config"):
        (tmp_path / package).mkdir()
        for name in ("__init__", "__main__"):
            (tmp_path / package / f"{name}.py").write_text(hostile)
    for name in ("click", "requests", "rich", "json"):
        (tmp_path / f"{name}.py").write_text(hostile)
    for arguments in ("nodes --json", "token new me --role view"):
        done = shell(f'"$NBR" {arguments}', environ, tmp_path)
        assert done.returncode == 0, done.stderr
        assert "hostile" not in done.stdout


def test_it_is_found_whatever_the_shell_searches(environ: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / NBR.parent.name).mkdir()
    script = f'cd "{NBR.parent.parent}" && sh {NBR.parent.name}/nbr --help'
    done = shell(script, {**environ, "CDPATH": str(tmp_path)}, tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("arguments", [["nodes"], ["nodes", "--json"], ["--help"]], ids=["table", "json", "help"])
def test_nobody_reads_any_more(environ: dict[str, str], arguments: list[str]) -> None:
    ours, theirs = os.pipe()
    os.close(ours)
    with os.fdopen(theirs, "wb") as unread:
        done = subprocess.run([NBR, *arguments], env=environ, stdout=unread, stderr=subprocess.PIPE, check=False)
    assert (done.returncode, done.stderr) == (Exit.UNREAD, b"")


@pytest.mark.parametrize("closed", [">&-", "<&- >&- 2>&-"], ids=["out", "all"])
def test_what_is_closed_is_as_if_it_led_nowhere(environ: dict[str, str], tmp_path: Path, closed: str) -> None:
    done = shell(f'"$NBR" nodes {closed}', environ, tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
