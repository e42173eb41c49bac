"""Do the same thing on several nodes at once, and keep every outcome.

Threads are daemons and are never waited for longer than asked: a call to a hung node must not keep a worker
from shutting down.
"""

from __future__ import annotations

import itertools
import queue
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from worker.core.errors import ReplicationError
from worker.ops.control import Control

TICK = 0.25  # seconds between two looks at the orders
Key = TypeVar("Key")
Value = TypeVar("Value")


@dataclass(frozen=True)
class Outcome(Generic[Key, Value]):
    """What became of one item: a value, an error of our tree, or a defect, which `each` raises."""

    key: Key
    value: Value | None = None
    error: ReplicationError | None = None
    defect: BaseException | None = None


def start(
    keys: Iterable[Key], work: Callable[[Key], Value], outcomes: queue.SimpleQueue[Outcome[Key, Value]] | None = None
) -> queue.SimpleQueue[Outcome[Key, Value]]:
    """Begin `work` for every key, each in a thread of its own; outcomes arrive in the queue (a new one, unless it is
    given) as they end."""
    outcomes = queue.SimpleQueue() if outcomes is None else outcomes

    def run(key: Key) -> None:
        outcomes.put(_outcome(key, work))

    for key in keys:
        threading.Thread(target=run, args=(key,), daemon=True, name=f"node-call {key}").start()
    return outcomes


def _outcome(key: Key, work: Callable[[Key], Value]) -> Outcome[Key, Value]:
    try:
        return Outcome(key, value=work(key))
    except ReplicationError as error:
        return Outcome(key, error=error)
    except BaseException as defect:  # noqa: BLE001 - handed to the thread that waits, which raises it
        return Outcome(key, defect=defect)


def each(
    keys: Iterable[Key], work: Callable[[Key], Value], control: Control | None = None
) -> dict[Key, Outcome[Key, Value]]:
    """`work` for every key at once; returns when all have ended, in the order of the keys.

    Every call in `work` has its own time-out, and that bounds this one. With a `control`, orders to stop are
    looked at meanwhile and raise; what is still under way then is left to its time-out.
    """
    wanted = list(keys)
    outcomes = start(wanted, work)
    found: dict[Key, Outcome[Key, Value]] = {}
    while len(found) < len(wanted):
        outcome = _next(outcomes, control)
        if outcome.defect is not None:
            raise outcome.defect
        found[outcome.key] = outcome
    return {key: found[key] for key in wanted}


def pooled(
    keys: Iterable[Key], work: Callable[[Key], Value], at_once: int, control: Control | None = None
) -> Iterator[Outcome[Key, Value]]:
    """`work` for every key, a few at a time, each outcome as it comes. For many small things of one kind: a thread a
    thing would only wait in line at the node. What is left undone when the caller stops is not begun."""
    waiting: queue.SimpleQueue[Key] = queue.SimpleQueue()
    for key in keys:
        waiting.put(key)
    total = waiting.qsize()
    given_up = threading.Event()

    def drain(_: int) -> None:
        while not given_up.is_set():
            try:
                key = waiting.get_nowait()
            except queue.Empty:
                return
            outcomes.put(_outcome(key, work))

    outcomes: queue.SimpleQueue[Outcome[Key, Value]] = queue.SimpleQueue()
    start(range(min(at_once, total)), drain)
    try:
        for _ in range(total):
            if control is not None:
                control.check()  # also where outcomes come so fast that nobody ever waits
            outcome = _next(outcomes, control)
            if outcome.defect is not None:
                raise outcome.defect
            yield outcome
    finally:
        given_up.set()


def _next(outcomes: queue.SimpleQueue[Outcome[Key, Value]], control: Control | None) -> Outcome[Key, Value]:
    """Waits; orders to stop are looked at meanwhile."""
    while True:
        try:
            return outcomes.get(timeout=TICK)
        except queue.Empty:
            if control is not None:
                control.check()


def values(outcomes: dict[Key, Outcome[Key, Value]]) -> dict[Key, Value]:
    """The values of those that went well. Raises the first error where there is one."""
    for outcome in outcomes.values():
        if outcome.error is not None:
            raise outcome.error
    return {key: outcome.value for key, outcome in outcomes.items()}  # type: ignore[misc]


def ahead(items: Iterable[Value]) -> Generator[Value, None, None]:
    """The same items, the next one made in a side thread while the caller works on the one it has.

    For pages of an answer: the server makes one while we read the other. No more than these two are in memory.
    Close it (`contextlib.closing`) where it is not read to its end: then no further item is made.
    """
    made: queue.SimpleQueue[tuple[Value | None, BaseException | None]] = queue.SimpleQueue()
    wanted = threading.Semaphore(0)
    over = threading.Event()

    def make() -> None:
        try:
            for item in items:
                wanted.acquire()
                if over.is_set():
                    return
                made.put((item, None))
            made.put((None, StopIteration()))
        except BaseException as error:  # noqa: BLE001 - handed to the thread that reads, which raises it
            made.put((None, error))

    threading.Thread(target=make, daemon=True, name="ahead").start()
    try:
        while True:
            wanted.release()
            item, error = made.get()
            if isinstance(error, StopIteration):
                return
            if error is not None:
                raise error
            yield item  # type: ignore[misc]
    finally:
        over.set()
        wanted.release()


def batches(items: Iterable[Key], size: int) -> Iterator[list[Key]]:
    """In lists of `size`; the last may be shorter, and none is empty."""
    left = iter(items)
    while batch := list(itertools.islice(left, size)):
        yield batch
