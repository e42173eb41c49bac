"""Is the process in this container well? docker-compose.yml asks: python docker/healthcheck.py PROCESS

Ends with 0, or with 1 and the reason. Each process is asked for its own work alone, so that an unhealthy
container is the one to look at: the API, Flower and the agent whether they answer, worker and control for their
heartbeat in Redis, the watcher for its own, beat for the last of its entries that was run. (`celery inspect ping`
would load Celery anew each time and wait for every worker.)
"""

from __future__ import annotations

import socket
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterable

from config.settings import Settings, load
from tasks.observations import Observations
from tasks.redis import StoreUnavailable, connect
from tasks.replication_seen import ReplicationSeen
from worker.core.agent import ALIVE, READY

ANSWER_WITHIN = 5.0  # seconds
BEAT_SILENT_AFTER = 60.0  # seconds; something is due every 5


def trouble(process: str, settings: Settings, now: float) -> str | None:
    """What is wrong with this process, or None."""
    if process == "web":
        return no_answer(f"http://127.0.0.1:{settings.api_port}/api/health")
    if process == "flower":
        return no_answer(f"http://127.0.0.1:{settings.flower_port}/healthcheck")
    if process == "agent":
        return silent_agent(settings.agent_port)
    return unheard(process, settings, now)


def unheard(process: str, settings: Settings, now: float) -> str | None:
    """The same of a process that is known by what it leaves in Redis."""
    try:
        seen = Observations(connect(settings.redis_url.get_secret_value()))
        if process == "watcher":
            heard = ReplicationSeen(connect(settings.redis_url.get_secret_value())).watchers(now)
            return no_heartbeat(process, socket.gethostname(), heard)
        if process == "beat":
            return silent_beat(seen.last_tick(), now)
        return no_heartbeat(process, socket.gethostname(), seen.workers(now))
    except StoreUnavailable as error:
        return str(error)


def no_answer(url: str) -> str | None:
    try:
        with urllib.request.urlopen(url, timeout=ANSWER_WITHIN):  # noqa: S310 - both URLs are http://127.0.0.1
            return None
    except urllib.error.HTTPError as error:
        # the API says so when Redis or all workers are away: it serves, and their own checks tell
        return None if error.code == 503 else f"{url} answers {error.code}"
    except OSError as error:
        return f"{url} does not answer: {error}"


def silent_agent(port: int) -> str | None:
    try:
        with socket.create_connection(("127.0.0.1", port), ANSWER_WITHIN) as asked:
            asked.sendall(f"{ALIVE}\n".encode())
            said = asked.recv(100)
    except OSError as error:
        return f"the agent on port {port} does not answer: {error}"
    return None if said.decode(errors="replace").strip() == READY else f"the agent on port {port} answers {said!r}"


def no_heartbeat(process: str, host: str, heard: Iterable[str]) -> str | None:
    """`heard`: the names of live workers, each PROCESS-PID@HOST."""
    if any(name.startswith(f"{process}-") and name.endswith(f"@{host}") for name in heard):
        return None
    return f"no heartbeat of a {process} on {host}"


def silent_beat(last_tick: float | None, now: float) -> str | None:
    if last_tick is not None and now - last_tick <= BEAT_SILENT_AFTER:
        return None
    return "nothing that beat schedules has been run lately: look at control and worker, too"


def main(arguments: list[str]) -> int:
    if arguments not in (["web"], ["worker"], ["control"], ["beat"], ["watcher"], ["agent"], ["flower"]):
        print(__doc__, file=sys.stderr)
        return 2
    reason = trouble(arguments[0], load(), time.time())
    if reason:
        print(reason)
    return 1 if reason else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
