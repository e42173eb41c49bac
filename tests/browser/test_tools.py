"""What watches the pages sees what it is for: each of these pages has one fault, and is not let through."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, Route

from tests.browser import keyboard, looks
from tests.browser.faults import Faults
from tests.browser.keyboard import all_reachable, reach, stops
from tests.browser.looks import axe, shot

pytestmark = [pytest.mark.system, pytest.mark.browser]

FAULTS = {
    "console": ("<script>console.error('not well')</script>", "console error: not well"),
    "warning": ("<script>console.warn('not quite well')</script>", "console warning: not quite well"),
    "script": ("<script>nobody.knows()</script>", "script: .*nobody is not defined"),
    "promise": ("<script>Promise.reject(new Error('left alone'))</script>", "script: .*left alone"),
    "policy": ("<p onclick='1'>", "console error: .*Content Security Policy"),
    "refused": ("<img src='/refused.png' alt=''>", r"refused: GET http://127.*/refused\.png \(404\)"),
    "no answer": ("<img src='/silent.png' alt=''>", r"no answer: GET http://127.*/silent\.png"),
    "another host": ("<img src='http://elsewhere.example/a.png' alt=''>", "another host: GET http://elsewhere"),
}
POLICY = "script-src 'unsafe-inline'; script-src-attr 'none'"


def shown(page: Page, body: str) -> None:
    """A page of ours with this in it."""
    text = f"<!doctype html><html lang='en'><title>A page</title><link rel='icon' href='data:,'><main>{body}</main>"

    def answer(route: Route) -> None:
        if route.request.url.endswith("silent.png"):
            route.abort()
        elif route.request.url.endswith("refused.png"):
            route.fulfill(status=404)
        else:
            headers = {"Content-Security-Policy": POLICY}
            route.fulfill(body=text, content_type="text/html; charset=utf-8", headers=headers)

    page.route(re.compile("//127"), answer)
    page.goto("/page")


def test_a_page_without_faults_has_none(page: Page) -> None:
    shown(page, "<h1>Well</h1><button>Press</button> <a href='/page'>Again</a>")
    axe(page)
    all_reachable(page)
    assert stops(page) == ["button Press", "a Again"]
    reach(page, page.get_by_role("button"))


@pytest.mark.parametrize(("body", "fault"), FAULTS.values(), ids=FAULTS.keys())
def test_every_kind_of_fault_is_seen(page: Page, faults: Faults, body: str, fault: str) -> None:
    shown(page, body)
    assert any(re.match(fault, found) for found in faults.found()), faults.found()
    faults.allow(fault)
    faults.allow("no answer: .*elsewhere" if "elsewhere" in fault else fault)


def test_what_is_allowed_has_to_come(page: Page, faults: Faults) -> None:
    shown(page, "<script>console.error('one')</script>")
    faults.allow("one")
    assert faults.found() == []
    faults.allow("two")
    assert faults.found() == ["did not come: two"]
    page.evaluate("() => console.error('two')")


@pytest.mark.parametrize(
    ("body", "line"),
    [
        ("<input>", r"light: label \(critical\)"),
        ("<style>@media (prefers-color-scheme: dark) {p {color: #eee}}</style><p>pale", r"dark: color-contrast \(ser"),
        ("<style>p {color: #eee}</style><p>pale", r"light: color-contrast \(serious\)"),
    ],
    ids=["no label", "pale in the dark", "pale"],
)
def test_axe_names_the_rule_and_the_element(page: Page, body: str, line: str) -> None:
    shown(page, f"<h1>A page</h1>{body}")
    with pytest.raises(AssertionError, match=line):
        axe(page)


def test_pictures_are_of_both_colours_and_devices(page: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(looks, "SCREENSHOTS", tmp_path / "pictures")
    shown(page, "<style>:root {color-scheme: light dark}</style><h1>A page</h1>")
    shot(page, "a-page")
    made = {path.name: path.read_bytes() for path in (tmp_path / "pictures").iterdir()}
    assert sorted(made) == [
        f"a-page-{device}-{scheme}.png" for device in ("desktop", "phone") for scheme in ("dark", "light")
    ]
    assert len(set(made.values())) == 4, "each is another one"
    assert page.viewport_size == looks.DESKTOP


WIDE = {
    "alone": "<p id='wide' style='width: 30rem'>1",
    "placed past its box": (
        "<div style='overflow: auto'><p style='width: 30rem'><b id='wide' style='position: absolute; left: 30rem'>1</b>"
    ),
}


@pytest.mark.parametrize("body", WIDE.values(), ids=WIDE.keys())
def test_what_is_wider_than_a_phone_is_named(
    page: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str
) -> None:
    monkeypatch.setattr(looks, "SCREENSHOTS", tmp_path)
    shown(page, body)
    with pytest.raises(AssertionError, match=r"wider than a phone: \['<[pb] id=\"wide\"[^,]*\]$"):
        shot(page, "wide")


def test_what_can_be_scrolled_in_its_box_fits(page: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(looks, "SCREENSHOTS", tmp_path)
    shown(page, "<div style='overflow: auto' tabindex='0'><p style='width: 30rem'>1</div>")
    shot(page, "fits")


def test_a_focus_that_is_not_to_be_seen_is_named(page: Page) -> None:
    shown(page, "<style>a:focus {outline: none}</style><button>Seen</button><a href='/page'>Not seen</a>")
    with pytest.raises(AssertionError, match="the focus is on a Not seen"):
        stops(page)


def test_what_tab_does_not_get_to_is_named(page: Page) -> None:
    shown(page, "<button>First</button><button>Second</button>")
    page.locator("button").first.evaluate("(each) => each.addEventListener('focus', () => each.blur())")
    with pytest.raises(AssertionError, match=r"never gets to \['button First', 'button Second'\]"):
        all_reachable(page)


def test_who_cannot_leave_is_not_kept_for_ever(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keyboard, "MOST", 20)
    shown(page, "<button>First</button><button>Second</button>")
    page.locator("button").first.evaluate("(each) => each.addEventListener('blur', () => each.focus())")
    with pytest.raises(AssertionError, match="does not come round in 20"):
        stops(page)
    with pytest.raises(AssertionError, match=r"only to \['button First'\]"):
        reach(page, page.get_by_text("Second"))
