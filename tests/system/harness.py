"""The whole system as real processes: Redis, workers, beat, API, each of them to be started, killed and looked at.

Every node stands behind two proxies: the *door*, through which the system calls it, and the *peer road*,
through which other nodes do. Pausing a peer road holds a pull in its middle while every call of ours still
gets its answer (`System.held`). Nothing here waits for a time to pass: `wait_until` waits for facts.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, Self, TypeVar
from urllib.parse import quote

import redis
import requests

from config.settings import Settings, build
from embedded.folders import PROJECT
from embedded.ports import LOOPBACK, any_free
from embedded.process import Command, Process
from embedded.processes import SYSTEM, without_settings
from embedded.redis import EmbeddedRedis
from tasks.wiring import Parts
from tasks.wiring import build as wire
from tests.system.couch import Couch
from tests.system.proxy import Proxy
from worker.core.agent import ALIVE, READY

DEADLINE = 30.0  # seconds; generous, because the machine may be busy: what is promised faster is asserted faster
EVERY = 0.1
PLANNERS = {"control", "watcher"}  # the processes that make up what is to be done
ENDED = {"succeeded", "failed", "cancelled"}
QUICK = {
    "HEALTH_INTERVAL": "2",
    "HEALTH_TIMEOUT": "2",
    "JOB_LEASE_SECONDS": "3",
    # no periodic pass: on nodes that tests share it would sync what other tests are working on
    "CONTINUOUS_REPLICATION": "false",
}

# what Celery and beat tell of every message, at debug level
_NOISE = re.compile(
    r"TaskPool: Apply|Task accepted|Waking up|Sending due task|sent\\. id|GET /api/|MAINT_NOTIF|\\\\ndef "
)

Value = TypeVar("Value")


def wait_until(
    condition: Callable[[], Value], what: str, deadline: float = DEADLINE, tell: Callable[[], object] | None = None
) -> Value:
    """The first true value of `condition`; fails after `deadline` seconds and says `what` was waited for, and what
    `tell` has to say then."""
    end = time.monotonic() + deadline
    while True:
        trouble: Exception | None = None
        value: Any = None
        try:
            value = condition()
        except (OSError, redis.RedisError) as error:  # requests' errors are OSErrors too
            trouble = error
        if value:
            return value  # type: ignore[no-any-return]
        if time.monotonic() >= end:
            told = f"\n{tell()}" if tell else ""
            raise AssertionError(f"not within {deadline:g} s: {what} (last: {trouble or value!r}){told}")
        time.sleep(EVERY)


class Api:
    """Calls the API, and keeps every answer for the search for secrets."""

    def __init__(self, url: str, token: str | None = None) -> None:
        self.url = url
        self.answers: list[str] = []
        self._session = requests.Session()
        self._session.trust_env = False
        if token:
            self._session.headers["Authorization"] = f"Bearer {token}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._session.close()

    def call(self, method: str, path: str, **options: Any) -> requests.Response:
        answer = self._session.request(method, self.url + path, timeout=70, **options)
        self.answers.append(f"{method} {path}\n{answer.headers}\n{answer.text}")
        return answer

    def get(self, path: str, **options: Any) -> requests.Response:
        return self.call("GET", path, **options)

    def sync(self, database: str, *, headers: Mapping[str, str] | None = None, **body: Any) -> requests.Response:
        body = {"database": database, **body}
        return self._waited(self.call("POST", "/api/replication/sync", json=body, headers=headers), headers, body)

    def setup(self, **body: Any) -> requests.Response:
        return self._waited(self.call("POST", "/api/replication/setup", json=body), None, body)

    def verify(self, **body: Any) -> requests.Response:
        return self._waited(self.call("POST", "/api/replication/verify", json=body), None, body)

    def _waited(
        self, answer: requests.Response, headers: Mapping[str, str] | None, body: Mapping[str, Any]
    ) -> requests.Response:
        """With `wait` the job as it ended, though the machine was too busy for the API to see it end."""
        if headers or not body.get("wait") or answer.status_code != 202:
            return answer
        job_id = answer.json()["id"]
        self.wait_state(job_id, *ENDED, deadline=3 * DEADLINE)
        return self.get(f"/api/jobs/{job_id}")

    def start_sync(self, database: str) -> str:
        """A job's id; not waited for."""
        answer = self.sync(database)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    def job(self, job_id: str) -> dict[str, Any]:
        answer = self.get(f"/api/jobs/{job_id}")
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def cancel(self, job_id: str) -> requests.Response:
        return self.call("DELETE", f"/api/jobs/{job_id}")

    def jobs(self, database: str) -> list[dict[str, Any]]:
        answer = self.get(f"/api/jobs?database={quote(database, safe='')}")
        assert answer.status_code == 200, answer.text
        return list(answer.json()["jobs"])

    def wait_state(self, job_id: str, *states: str, deadline: float = DEADLINE) -> dict[str, Any]:
        """The job, once it is in one of the states."""
        last: dict[str, Any] = {}

        def there() -> bool:
            last.clear()
            last.update(self.job(job_id))
            return last["state"] in states or (last["state"] in ENDED)

        wait_until(there, f"job {job_id} is {' or '.join(states)}", deadline)
        assert last["state"] in states, last
        return last

    def wait_succeeded(self, job_id: str, deadline: float = DEADLINE) -> dict[str, Any]:
        return self.wait_state(job_id, "succeeded", deadline=deadline)

    def events(self, job_id: str) -> Iterator[dict[str, Any]]:
        """The job at each server-sent event, until the server ends the stream."""
        with self._session.get(f"{self.url}/api/jobs/{job_id}/events", stream=True, timeout=(5, DEADLINE)) as answer:
            assert answer.status_code == 200, answer.text
            assert answer.headers["Content-Type"].startswith("text/event-stream")
            for line in answer.iter_lines(chunk_size=1, decode_unicode=True):
                if line.startswith("data: "):
                    yield json.loads(line.removeprefix("data: "))


class System:
    """Redis and our own processes over `nodes`. Use as a context manager; then nothing is left behind."""

    # whose logs a failing test shows: systems that run, and the last words of one that fell with its test
    live: list[System] = []  # noqa: RUF012
    fallen: list[tuple[str, str]] = []  # noqa: RUF012

    def __init__(
        self, nodes: Sequence[Couch], folder: Path, settings: Mapping[str, str] | None = None, *, quick: bool = True
    ) -> None:
        self.nodes = {node.name: node for node in nodes}
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.doors = {node.name: Proxy(node.port) for node in nodes}
        self.peer_roads = {node.name: Proxy(node.port) for node in nodes}
        self.redis = EmbeddedRedis(folder / "redis", port=any_free())
        self.processes: dict[str, Process] = {}
        self.port = any_free()
        self.agent_port = any_free([self.port])
        self.settings = {
            "REDIS_URL": self.redis.url,
            "API_PORT": str(self.port),
            "AGENT_PORT": str(self.agent_port),
            "LOG_FORMAT": "json",
            "LOG_LEVEL": "debug",
            **self._node_settings(),
            **(QUICK if quick else {}),
            **(settings or {}),
        }
        self.api = Api(f"http://{LOOPBACK}:{self.port}", self.settings.get("API_TOKENS", "").partition(",")[0] or None)
        self._parts: Parts | None = None
        self._held = ExitStack()

    def _node_settings(self) -> dict[str, str]:
        return _written([self._node_url(name) for name in self.nodes])

    def _node_url(self, name: str) -> str:
        node = self.nodes[name]
        login = f"{quote(node.user, safe='')}:{quote(node.password, safe='')}"
        door, road = self.doors[name].port, self.peer_roads[name].port
        return f"{name}=http://{login}@{LOOPBACK}:{door}|http://{LOOPBACK}:{road}"

    # --- starting and stopping

    def __enter__(self) -> Self:
        System.live.append(self)
        try:
            self._hold_others()
            self.redis.start()
        except BaseException:
            self.close()
            raise
        return self

    def _hold_others(self) -> None:
        """One control plane for a set of nodes: of two that reconcile, each would take the other's links away. So those
        that run over the same nodes stand still while this one does."""
        mine = {node.url for node in self.nodes.values()}
        for other in System.live:
            shared = mine & {node.url for node in other.nodes.values()}
            if other is self or not (shared and self._reconciles and other._reconciles):
                continue
            for process in other.processes.values():
                if process.name.split("-")[0] in PLANNERS:
                    self._held.enter_context(hung(process))

    @property
    def _reconciles(self) -> bool:
        return self.settings.get("CONTINUOUS_REPLICATION") != "false"

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is not None:
            System.fallen += self.last_lines()
        self.close()

    def start(self, *names: str) -> list[Process]:
        """Start processes by their names in embedded.processes.SYSTEM, and return when all of them work."""
        started = [self.launch(name) for name in names]
        for process in started:
            self.wait_ready(process)
        return started

    def launch(self, name: str, **settings: str) -> Process:
        """Start one process and do not wait for it. A second worker is called worker-2."""
        count = sum(1 for each in self.processes if each.split("-")[0] == name)
        label = f"{name}-{count + 1}" if count else name
        # a working folder of its own: beat writes its schedule there, and no .env is found
        environ = {**self.environ, **settings}
        command = Command(label, [sys.executable, *SYSTEM[name]], environ, self.folder)
        process = self.processes[label] = Process(command, self.folder / f"{label}.log")
        process.start()
        return process

    def restart(self, **settings: str) -> None:
        """End all processes of ours and start them again with other settings, on the same Redis."""
        kinds = list(dict.fromkeys(name.split("-")[0] for name in self.processes))
        for process in self.processes.values():
            process.stop()
        self.processes.clear()
        self.settings.update(settings)
        self._parts = None
        self.start(*kinds)

    def written(self, *names: str) -> dict[str, str]:
        """The settings that name these nodes alone."""
        return _written([self._node_url(name) for name in names])

    @property
    def environ(self) -> dict[str, str]:
        """The whole environment of our processes."""
        clean = without_settings(os.environ, tuple(Settings.model_fields))
        clean.pop("COUCHDB_TEST_URLS", None)
        return {**clean, **self.settings, "PYTHONPATH": str(PROJECT), "PYTHONUNBUFFERED": "1"}

    def wait_ready(self, process: Process, deadline: float = DEADLINE) -> None:
        kind = process.name.split("-")[0]
        ready = {
            "api": self._api_answers,
            "worker": self._has_heartbeat,
            "control": self._has_heartbeat,
            "watcher": self._watches,
            "agent": self._agent_answers,
        }.get(kind)

        def works() -> bool:
            assert process.poll() is None, f"{process.name} has ended"
            return ready is None or ready(process)

        wait_until(works, f"{process.name} works", deadline)

    def _api_answers(self, _: Process) -> bool:
        return self.api.get("/api/health").status_code in {200, 503}

    def _has_heartbeat(self, process: Process) -> bool:
        kind = process.name.split("-")[0]
        with self.store() as store:
            heard_of = store.zrange("nbr:seen:workers", 0, -1)
        return any(name.startswith(f"{kind}-{process.pid}@") for name in heard_of)

    def _watches(self, process: Process) -> bool:
        with self.store() as store:
            return any(name.startswith(f"watcher-{process.pid}@") for name in store.hkeys("nbr:seen:watchers"))

    def _agent_answers(self, _: Process) -> bool:
        return self.ask_agent(ALIVE) == READY

    def ask_agent(self, question: str) -> str:
        """What the agent answers to one line."""
        with socket.create_connection((LOOPBACK, self.agent_port), 5) as asked:
            asked.sendall(f"{question}\n".encode())
            return asked.makefile().readline().strip()

    def close(self) -> None:
        """End everything at once. What is tested about an orderly end is tested elsewhere."""
        left = [process.name for process in self.processes.values() if not _ended(process)]
        self._held.close()
        self.redis.process.kill()
        self.redis.stop()
        for proxy in (*self.doors.values(), *self.peer_roads.values()):
            proxy.close()
        if self._parts is not None:
            self._parts.redis.close()
            self._parts.celery.close()
        if self in System.live:
            System.live.remove(self)
        assert not left, f"processes that could not be ended: {left}"

    # --- what the processes say and hold

    @contextmanager
    def store(self) -> Iterator[redis.Redis]:
        """A connection to its Redis, to look behind the scenes."""
        url = self.settings["REDIS_URL"]
        with redis.Redis.from_url(url, decode_responses=True, socket_timeout=5, socket_connect_timeout=5) as client:
            yield client

    @property
    def parts(self) -> Parts:
        """The system's own parts, wired like in its processes: to publish a message by hand."""
        if self._parts is None:
            self._parts = wire(build({name.lower(): value for name, value in self.settings.items()}))
        return self._parts

    def logged(self, event: str, **fields: Any) -> list[dict[str, Any]]:
        """Log entries of all processes with this event and these fields, in order of time; `process` is added."""
        found = []
        for process in self.processes.values():
            for entry in _entries(self.folder / f"{process.name}.log"):
                if entry.get("event") == event and all(entry.get(key) == value for key, value in fields.items()):
                    found.append({**entry, "process": process.name})
        return sorted(found, key=lambda entry: entry["timestamp"])

    def worker_of(self, job_id: str) -> Process:
        """The process that started the job last."""
        return self.processes[self.logged("job started", job_id=job_id)[-1]["process"]]

    def last_lines(self, count: int = 20) -> Iterator[tuple[str, str]]:
        """Per process: what it is and whether it runs, and the end of its log without Celery's chatter."""
        for process in (self.redis.process, *self.processes.values()):
            code = process.poll()
            lines = [line[:300] for line in process.last_lines(400).splitlines() if not _NOISE.search(line)]
            state = "runs" if code is None else f"ended with {code}"
            yield f"{self.folder.name}: {process.name} ({state})", "\n".join(lines[-count:])

    # --- situations

    @contextmanager
    def held(self, node: str) -> Iterator[Proxy]:
        """Inside, no other node gets an answer from this one: pulls from it and to it stand still."""
        road = self.peer_roads[node]
        with road.paused():
            yield road

    @contextmanager
    def cut_between(self, one: str, other: str) -> Iterator[None]:
        """Inside, these two nodes do not reach each other; everybody else reaches both. Needs /proc."""
        with ExitStack() as stack:
            for near, far in ((one, other), (other, one)):
                node = self.nodes[far].embedded
                assert node is not None
                stack.enter_context(self.peer_roads[near].closed_to(partial(_is_of, node.process)))
            yield

    def start_held_sync(self, database: str, road: Proxy) -> str:
        """A job that is in the middle of a pull which cannot end before the road is resumed."""
        job_id = self.api.start_sync(database)
        self.api.wait_state(job_id, "running")
        wait_until(lambda: road.held, f"a pull of {database} is on its way")
        return job_id

    def kill_redis(self) -> None:
        """kill -9. What clients were told is in the append-only file by then, on disk or on its way there."""
        with self.store() as store:
            wait_until(lambda: store.info("persistence")["aof_buffer_length"] == 0, "Redis has written its AOF")
        self.redis.process.kill()

    def start_redis(self) -> None:
        """On the same port, with the same data."""
        self.redis.start()


def _written(urls: list[str]) -> dict[str, str]:
    return {"COUCHDB_URL": urls[0], "REPLICATION_NODES": ",".join(urls[1:])}


def _is_of(process: Process, port: int) -> bool:
    """Whether the client side of this loopback connection belongs to the process or one of its children."""
    local = f"0100007F:{port:04X}"
    rows = [line.split() for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]]
    sockets = {f"socket:[{row[9]}]" for row in rows if row[1] == local}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if os.getpgid(int(folder.name)) != process.pid:
                continue
            if any(os.readlink(entry) in sockets for entry in (folder / "fd").iterdir()):
                return True
    return False


def _ended(process: Process) -> bool:
    """Kill the process with its whole group; True where nothing is left of it."""
    pid = process.pid
    process.kill()
    end = time.monotonic() + 5
    while pid is not None and _lives(pid):
        if time.monotonic() > end:
            return False
        time.sleep(EVERY)
    return True


def _lives(group: int) -> bool:
    """Whether a process of the group runs. A zombie does not: it waits for init to fetch it."""
    listed = subprocess.run(["ps", "-A", "-o", "pgid=,stat="], capture_output=True, text=True, check=True, timeout=10)
    rows = [line.split() for line in listed.stdout.splitlines()]
    return any(int(row[0]) == group and not row[1].startswith("Z") for row in rows)


def _entries(log: Path) -> Iterator[dict[str, Any]]:
    if not log.exists():
        return
    for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
        if line.startswith("{"):
            try:
                yield json.loads(line)
            except ValueError:  # the line is being written
                continue


def kill_dash_nine(process: Process) -> None:
    """SIGKILL to this one process, as the kernel's out-of-memory killer would."""
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    wait_until(lambda: process.poll() is not None, f"{process.name} is dead")


@contextmanager
def hung(process: Process) -> Iterator[None]:
    """Inside, the process exists and does nothing (SIGSTOP)."""
    pid = process.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)
