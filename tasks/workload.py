"""What /metrics is told of the work that no other route asks for: one thing to hand to the API."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tasks.dirty import DirtySet
from tasks.tallies import Tallies


@dataclass(frozen=True)
class Workload:
    """`depths()`: queue -> messages that no worker has taken; raises StoreUnavailable where the broker is away."""

    tallies: Tallies
    dirty: DirtySet
    depths: Callable[[], Mapping[str, int]]
