"""How a page looks: to axe-core, which finds what shuts people out, and to people, as pictures."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from playwright.sync_api import Page, ViewportSize

from embedded.folders import VAR

SCREENSHOTS = Path(os.environ.get("SCREENSHOTS") or VAR / "screenshots")
DESKTOP: ViewportSize = {"width": 1280, "height": 800}
PHONE: ViewportSize = {"width": 390, "height": 844}
SCHEMES: tuple[Literal["light"], Literal["dark"]] = ("light", "dark")
BAD = {"serious", "critical"}
_ALL: dict[str, Any] = {}
_OF_COLOUR: dict[str, Any] = {"runOnly": {"type": "rule", "values": ["color-contrast", "link-in-text-block"]}}

_WIDER = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
# what can be scrolled in a box of its own sticks out of nothing; what is placed absolutely is only in a placed box
_STICKS_OUT = """() => [...document.querySelectorAll("body *")]
  .filter((each) => each.getBoundingClientRect().right > document.documentElement.clientWidth + 1)
  .filter((each) => {
    let placed = false;
    for (let box = each; box !== document.body; box = box.parentElement) {
      const style = getComputedStyle(box);
      if (box !== each && style.overflowX !== "visible" && (!placed || style.position !== "static")) return false;
      placed = placed ? style.position === "static" || style.position === "absolute" : style.position === "absolute";
    }
    return true;
  })
  .map((each) => each.outerHTML.slice(0, 120)).slice(0, 5)"""


def axe(page: Page) -> None:
    """Fails on findings that are serious or critical; what colours can break is looked at in light and in dark ones."""
    found: dict[str, None] = {}  # in order, each once
    for scheme, rules in zip(SCHEMES, (_ALL, _OF_COLOUR), strict=True):
        with colours(page, scheme):
            found |= dict.fromkeys(f"{scheme}: {line}" for line in _findings(page, rules))
    assert not found, f"{page.url}: axe finds\n" + "\n".join(found)


def shot(page: Page, name: str) -> None:
    """Pictures of the whole page, light and dark, on a desktop and on a phone, where nothing may be wider than it."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    for device, size in (("desktop", DESKTOP), ("phone", PHONE)):
        with sized(page, size):
            for scheme in SCHEMES:
                with colours(page, scheme):
                    page.screenshot(path=SCREENSHOTS / f"{name}-{device}-{scheme}.png", full_page=True)
            if device == "phone":
                assert page.evaluate(_WIDER) <= 0, f"{page.url} is wider than a phone: {page.evaluate(_STICKS_OUT)}"


@contextmanager
def colours(page: Page, scheme: Literal["light", "dark"]) -> Iterator[None]:
    page.emulate_media(color_scheme=scheme)
    try:
        yield
    finally:
        page.emulate_media(color_scheme="null")


@contextmanager
def sized(page: Page, size: ViewportSize) -> Iterator[None]:
    before = page.viewport_size
    assert before is not None
    page.set_viewport_size(size)
    try:
        yield
    finally:
        page.set_viewport_size(before)


def _findings(page: Page, rules: dict[str, Any]) -> Iterator[str]:
    """One line for each rule, one for each element that breaks it."""
    if not page.evaluate("() => 'axe' in window"):
        page.evaluate(_source())
    result: dict[str, Any] = page.evaluate(
        "(rules) => axe.run(document, {resultTypes: ['violations'], ...rules})", rules
    )
    for rule in result["violations"]:
        if rule["impact"] in BAD:
            yield f"{rule['id']} ({rule['impact']}): {rule['help']}, {rule['helpUrl'].partition('?')[0]}"
            for node in rule["nodes"]:
                summary = " ".join(node["failureSummary"].split())
                yield f"    {rule['id']}: {' '.join(map(str, node['target']))}: {summary}"


@cache
def _source() -> str:
    return (resources.files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8")
