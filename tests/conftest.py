"""For all tests."""

from __future__ import annotations

import gc

from hypothesis import settings

# thousands of tests are a heap that outlives the run: Python need not look for garbage in it again and again
gc.set_threshold(20_000, 20, 20)

# how long an example takes on a busy machine says nothing about it
settings.register_profile("ours", deadline=None)
settings.load_profile("ours")


def pytest_collection_finish() -> None:
    gc.freeze()
