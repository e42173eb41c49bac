"""Many nodes in one process, which answer as CouchDB 3.5 does what a sweep asks, and some of which hang.

    python -m bench.nodes COUNT HANGING DATABASES

prints their URLs, and serves until its input ends.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
JOBS = {name: {"value": 2, "type": "gauge", "desc": "..."} for name in ("running", "pending", "crashed", "total")}
SYSTEM = {
    "uptime": 3600,
    "memory": {"other": 10_861_225, "atom": 639_193, "processes": 13_197_248, "binary": 316_856, "code": 14_210_558},
    "run_queue": 0,
    "message_queues": {f"process_{number}": 0 for number in range(120)} | {"couch_file": {"count": 6, "max": 0}},
}
TASK = {"type": "replication", "database": "shards/00000000-7fffffff/_replicator.1795548117", "docs_read": 1}


@contextmanager
def many_nodes(count: int, hanging: int, databases: int) -> Iterator[list[str]]:
    """Their URLs; those that hang are spread evenly."""
    command = [sys.executable, "-m", "bench.nodes", str(count), str(hanging), str(databases)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        try:
            yield process.stdout.readline().split()
        finally:
            process.stdin.close()
            process.wait(10)


def answers(number: int, databases: int) -> Callable[[str, bytes], bytes]:
    names = ["_replicator", "_users", *(f"database-{at:06}" for at in range(databases))]
    fixed = {
        "/": {"couchdb": "Welcome", "version": "3.5.0", "uuid": f"{number:032x}"},
        "/_up": {"status": "ok", "seeds": {}},
        "/_all_dbs": names,
        "/_active_tasks": [TASK] * 20,
        "/_node/_local/_system": SYSTEM,
        "/_node/_local/_stats/couch_replicator/jobs": JOBS,
    }
    ready = {path: _http(said) for path, said in fixed.items()}

    def answer(path: str, body: bytes) -> bytes:
        if path == "/_dbs_info":
            return _http([_row(name) for name in json.loads(body)["keys"]])
        return ready.get(path) or _http({"error": "not_found", "reason": "missing"}, b"404 Object Not Found")

    return answer


def _row(name: str) -> dict[str, Any]:
    sizes = {"file": 16_692, "external": 0, "active": 9_000}
    return {"key": name, "info": {"db_name": name, "doc_count": 1, "update_seq": "1-g1AAAACLeJzLYW", "sizes": sizes}}


def _http(said: Any, status: bytes = b"200 OK") -> bytes:
    body = json.dumps(said).encode()
    head = b"HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % (status, len(body))
    return head + body


async def _serve(count: int, hanging: int, databases: int) -> None:
    servers = []
    for number in range(count):
        hangs = (number + 1) * hanging // count > number * hanging // count
        answer = None if hangs else answers(number, databases)
        servers.append(await asyncio.start_server(_connection(answer), "127.0.0.1", 0, backlog=16))
    print(*(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}" for server in servers), flush=True)
    await asyncio.to_thread(sys.stdin.read)
    os._exit(0)  # without a word about connections that are still open


def _connection(answer: Callable[[str, bytes], bytes] | None) -> Callable[..., Any]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                body = await reader.readexactly(_length(head))
                if answer is None:
                    await reader.read()  # until the other side gives up
                    return
                writer.write(answer(head.split(b" ", 2)[1].decode(), body))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the other side has hung up
        finally:
            writer.close()

    return serve


def _length(head: bytes) -> int:
    found = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    return int(found[0].split(b":")[1]) if found else 0


if __name__ == "__main__":
    asyncio.run(_serve(*(int(number) for number in sys.argv[1:4])))
