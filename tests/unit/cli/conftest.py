"""A terminal for each test."""

from __future__ import annotations

import pytest

from tests.unit.cli.terminal import Terminal


@pytest.fixture
def terminal() -> Terminal:
    return Terminal()
