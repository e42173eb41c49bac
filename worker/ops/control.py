"""How an operation talks to whoever runs it, without knowing who that is."""

from __future__ import annotations

from typing import Protocol


class Control(Protocol):
    def report(self, phase: str, done: int | None = None, total: int | None = None, unit: str | None = None) -> None:
        """Say how far the work is. Cheap: may be called at every step."""
        ...

    def check(self) -> None:
        """Raises Cancelled, LeaseLost or HandedBack (worker.core.errors) where the work has to stop."""
        ...


class Quiet:
    """A part of a larger operation: it obeys the same orders, and leaves the telling to the whole."""

    def __init__(self, control: Control) -> None:
        self.check = control.check

    def report(self, phase: str, done: int | None = None, total: int | None = None, unit: str | None = None) -> None:
        pass


class Unattended:
    """Nobody listens and nobody interrupts: for a caller that just wants the operation done."""

    def report(self, phase: str, done: int | None = None, total: int | None = None, unit: str | None = None) -> None:
        pass

    def check(self) -> None:
        pass
