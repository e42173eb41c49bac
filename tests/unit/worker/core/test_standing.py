"""How a database stands: the worst of its links, and never better than what is known."""

from __future__ import annotations

import pytest

from worker.core.standing import standing


@pytest.mark.parametrize(
    ("links", "state", "lag"),
    [
        ([("running", 0), ("pending", 0)], "in-step", 0),
        ([("in-step", 0)], "in-step", 0),
        ([("running", 0), ("running", 3)], "behind", 3),
        ([("running", 5), ("unknown", None)], "behind", 5),
        ([("behind", None), ("in-step", 0)], "behind", None),
        ([("running", 0), ("running", None)], "unknown", None),
        ([("running", 0), ("unknown", 0)], "unknown", 0),
        ([(None, 0)], "unknown", 0),
        ([], "unknown", None),
        ([("running", 9), ("crashing", None)], "broken", 9),
        ([("stalled", 2)], "broken", 2),
        ([("failed", None), ("running", 0)], "broken", None),
        ([("error", 0)], "broken", 0),
        ([("failing", None)], "broken", None),
    ],
)
def test_of_its_links(links: list[tuple[str | None, int | None]], state: str, lag: int | None) -> None:
    found = standing(links)

    assert (found.state.value, found.lag) == (state, lag)
