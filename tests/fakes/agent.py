"""An agent that serves in a thread of the test, and what it knows."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Iterable, Iterator
from typing import Any

from tasks.agent import Agent

SECONDS = 10.0


class Knowledge:
    """What the agent reads, in place of Redis. All nodes are well until something else is said."""

    def __init__(self, names: Iterable[str]) -> None:
        self.records: dict[str, dict[str, Any]] = {}
        for name in names:
            self.say(name, "ready")

    def say(self, name: str, way: str, state: str = "healthy", ago: float = 0.0) -> None:
        self.records[name] = {"state": state, "way": way, "way_reason": f"is {state}", "observed_at": time.time() - ago}

    def read(self) -> dict[str, dict[str, Any]]:
        return self.records


@contextlib.contextmanager
def serving(agent: Agent, port: int = 0) -> Iterator[int]:
    """The port of the agent, which serves inside the block."""
    ready, stop = threading.Event(), []
    found: list[int] = []

    async def run() -> None:
        stopping = asyncio.Event()
        stop.append((asyncio.get_running_loop(), stopping))

        def started(at: int) -> None:
            found.append(at)
            ready.set()

        await agent.serve("127.0.0.1", port, stopping, started)

    thread = threading.Thread(target=lambda: asyncio.run(run()))
    thread.start()
    try:
        assert ready.wait(SECONDS)
        yield found[0]
    finally:
        loop, stopping = stop[0]
        loop.call_soon_threadsafe(stopping.set)
        thread.join(SECONDS)
        assert not thread.is_alive(), "an agent that is asked to stop stops"
