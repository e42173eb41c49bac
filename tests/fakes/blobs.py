"""A store whose clock and whose failures a test sets: around a real one, so that it is what that one is."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from worker.blobs.store import Blobs, Listed, Store


class Killed(Exception):
    """What `die` raises: nobody catches it, as nobody catches the end of a process."""


class FakeBlobs:
    """`before(call, name)` is called before each step; what it raises happens instead. Deletions are a step each.

    `now`: when what is put from now on is said to have been put; None: as the store has it.
    """

    def __init__(self, inner: Blobs | None = None) -> None:
        self._inner = inner or Store.open("memory://")
        self.name = self._inner.name
        self.before: Callable[[str, str], None] = lambda call, name: None
        self.now: float | None = None
        self.calls: list[tuple[str, str]] = []
        self._put_at: dict[str, float] = {}

    def put(self, name: str, data: bytes | Path) -> None:
        self._step("put", name)
        self._inner.put(name, data)
        if self.now is not None:
            self._put_at[name] = self.now

    def get(self, name: str, *, most: int | None = None) -> bytes:
        self._step("get", name)
        return self._inner.get(name, most=most)

    def slices(self, name: str) -> Iterator[bytes]:
        self._step("slices", name)
        yield from self._inner.slices(name)

    def size(self, name: str) -> int | None:
        self._step("size", name)
        return self._inner.size(name)

    def listed(self, prefix: str) -> Iterator[Listed]:
        self._step("listed", prefix)
        for found in self._inner.listed(prefix):
            yield Listed(found.name, found.size, self._put_at.get(found.name, found.modified))

    def folders(self, prefix: str) -> list[str]:
        self._step("folders", prefix)
        return self._inner.folders(prefix)

    def delete(self, names: Iterable[str]) -> int:
        gone = 0
        for name in names:
            self._step("delete", name)
            gone += self._inner.delete([name])
        return gone

    def settle(self) -> None:
        self._step("settle", "")
        self._inner.settle()

    def clear_staged(self, before: float) -> int:
        self._step("clear_staged", "")
        return self._inner.clear_staged(before)

    def _step(self, call: str, name: str) -> None:
        self.calls.append((call, name))
        self.before(call, name)

    # --- what tests do with it

    def named(self, call: str) -> list[str]:
        """The names that this was called with."""
        return [name for what, name in self.calls if what == call]

    def fail(self, error: Exception, *, after: int = 0, call: str | None = None) -> None:
        """From now on, after so many more steps (of one kind of `call`, or of all), each of them raises."""
        steps = itertools.count()

        def before(what: str, name: str) -> None:
            if call in {None, what} and next(steps) >= after:
                raise error

        self.before = before

    def die(self, *, after: int) -> None:
        self.fail(Killed(), after=after)

    def heal(self) -> None:
        self.before = lambda call, name: None

    def twin(self) -> FakeBlobs:
        """The same objects, of the same age, in a store of its own."""
        made = FakeBlobs()
        for found in self._inner.listed(""):
            made._inner.put(found.name, self._inner.get(found.name))
            made._put_at[found.name] = self._put_at.get(found.name, found.modified)
        made.now = self.now
        return made
