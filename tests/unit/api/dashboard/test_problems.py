"""Who gets a page for a problem, and who gets problem+json."""

from __future__ import annotations

import pytest

from tests.unit.api.world import World

ACCEPT = {
    "chromium": (
        "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8,"
        "application/signed-exchange;v=b3;q=0.7",
        "text/html; charset=utf-8",
    ),
    "firefox": ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "text/html; charset=utf-8"),
    "curl": ("*/*", "application/problem+json"),
    "a program": ("application/json", "application/problem+json"),
}


@pytest.mark.parametrize(("accept", "kind"), ACCEPT.values(), ids=ACCEPT.keys())
def test_an_address_that_is_none_is_a_page_for_a_person(accept: str, kind: str) -> None:
    answer = World().app.test_client().get("/no/such/page", headers={"Accept": accept})
    assert (answer.status_code, answer.headers["Content-Type"]) == (404, kind)


def test_below_api_everybody_is_a_program() -> None:
    answer = World().app.test_client().get("/api/no/such/page", headers={"Accept": ACCEPT["chromium"][0]})
    assert answer.headers["Content-Type"] == "application/problem+json"
