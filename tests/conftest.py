"""For all tests."""

from __future__ import annotations

from hypothesis import settings

# how long an example takes on a busy machine says nothing about it
settings.register_profile("ours", deadline=None)
settings.load_profile("ours")
