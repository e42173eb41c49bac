"""`python -m tasks agent`: tells HAProxy over TCP which nodes clients may be sent to. One line in, one line out.

Answers come from memory, which is read from Redis once a second, so that neither a slow Redis nor a hundred proxies
make an answer late. Any number may run: none of them keeps anything that the others do not have.

Nothing is said before the first reading: an agent that has just been started would let in what the one before it had
kept out. And it takes nothing back when it ends: a restart would let clients into nodes that are being brought up to
date, for as long as it takes. That nobody is left to ask is for the proxy to notice (haproxy/haproxy.cfg).
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import Callable, Mapping
from typing import Any

from config.logs import get
from config.settings import Settings
from tasks.redis import StoreUnavailable
from tasks.wiring import Parts
from worker.core.agent import Known, answer, known

log = get(__name__)
READ_EVERY = 1.0  # seconds
PATIENCE = 2.0  # seconds that a caller may take for its one line
LONGEST_LINE = 128  # bytes; a node's name has at most 63
MOST_REMEMBERED = 1_000  # questions whose last answer is remembered, for the log

Read = Callable[[], Mapping[str, Mapping[str, Any]]]


class Agent:
    """`read` gives the standings (Observations.standings) and may raise StoreUnavailable."""

    def __init__(self, settings: Settings, read: Read, clock: Callable[[], float] = time.time) -> None:
        self._nodes = frozenset(node.name for node in settings.nodes)
        self._stale_after = settings.stale_after
        self._read = read
        self._clock = clock
        self._seen: dict[str, Known] = {}
        self._reads = True  # whether the last reading succeeded
        self._said: dict[str, str] = {}

    def look(self) -> None:
        """Read what is known. What Redis has lost is kept: it grows old by itself, and a person's word does not."""
        try:
            records = self._read()
        except StoreUnavailable as error:
            if self._reads:
                log.warning("agent cannot read what is known", error=str(error))
            self._reads = False
            return
        if not self._reads:
            log.info("agent reads again what is known")
        self._reads = True
        self._seen |= {name: found for name, record in records.items() if (found := known(record)) is not None}

    def say(self, question: str) -> str:
        """The answer to one line; changes are logged, not every answer."""
        said = answer(question, self._nodes, self._seen, self._clock(), self._stale_after)
        if self._said.get(question) != said and (question in self._said or len(self._said) < MOST_REMEMBERED):
            log.info("agent answers", question=question, answer=said)
            self._said[question] = said
        return said

    async def serve(self, host: str, port: int, stopping: asyncio.Event, started: Callable[[int], None]) -> None:
        """Until `stopping` is set. `started` is told the port."""
        await asyncio.to_thread(self.look)
        server = await asyncio.start_server(self._answer, host, port, limit=LONGEST_LINE)
        async with server:
            started(server.sockets[0].getsockname()[1])
            while not stopping.is_set():
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stopping.wait(), READ_EVERY)
                if not stopping.is_set():
                    await asyncio.to_thread(self.look)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # a caller that is silent, sends too much, sends no line or goes away is none of ours
        with contextlib.suppress(TimeoutError, ValueError, OSError):
            line = await asyncio.wait_for(reader.readline(), PATIENCE)
            if line.endswith(b"\n") and line.isascii() and line.strip():
                writer.write(self.say(line.decode().strip()).encode() + b"\n")
                await asyncio.wait_for(writer.drain(), PATIENCE)
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


def main(parts: Parts) -> int:
    settings = parts.settings
    return asyncio.run(_run(Agent(settings, parts.seen.standings), settings))


async def _run(agent: Agent, settings: Settings) -> int:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    host = settings.agent_host
    try:
        await agent.serve(host, settings.agent_port, stopping, lambda at: log.info("agent listens", host=host, port=at))
    except OSError as error:
        log.error("agent cannot listen", host=host, port=settings.agent_port, error=error.strerror)
        return 1
    return 0
