"""An agent that serves in a thread of the test."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator

from tasks.agent import Agent

SECONDS = 10.0


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
