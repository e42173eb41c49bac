from __future__ import annotations

import pytest

from worker.ops import pulls


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The watcher looks often: its pace is a constant of the module, not an argument."""
    monkeypatch.setattr(pulls, "TICK", 0.005)
    monkeypatch.setattr(pulls, "WATCH_EVERY", 0.01)
