"""A person without a mouse: gets everywhere with Tab, and always sees where they are."""

from __future__ import annotations

from playwright.sync_api import Locator, Page

MOST = 200  # presses of Tab: more than a page should have to stop at

# What Tab should stop at is kept on the page as elements, because a page that lives changes its words meanwhile: of
# radio buttons the chosen one
_EXPECT = """() => {
  window.expectedStops = [...document.querySelectorAll(
      "a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex]")]
    .filter((each) => each.tabIndex >= 0 && !each.disabled && each.checkVisibility({visibilityProperty: true})
      && each.closest("[inert]") === null)
    .filter((each) => each.type !== "radio" || each.checked);
}"""
_NAME = (
    "((each) => `${each.localName} ${(each.ariaLabel || each.labels?.[0]?.innerText || each.innerText || "
    "each.name || each.id || '').trim().replace(/\\s+/g, ' ').slice(0, 60)}`)"
)
_AT = f"""() => {{
  const at = document.activeElement;
  window.expectedStops = window.expectedStops?.filter((each) => each !== at);
  return at === document.body ? null : {_NAME}(at);
}}"""
_MISSED = f"() => window.expectedStops.filter((each) => each.isConnected).map({_NAME})"
# Tab goes on from where the focus was, even after blur(): so it has to be somewhere before everything
_START = """() => {
  document.body.tabIndex = -1;
  document.body.focus();
  document.body.removeAttribute("tabindex");
  scrollTo(0, 0);
}"""
# an outline, or else what a style may have in its place; in a drawing, strokes that are others without the focus
_SEEN = """() => {
  const at = document.activeElement;
  const style = getComputedStyle(at);
  const strokes = () => [...at.querySelectorAll("*")].map((each) => getComputedStyle(each).strokeWidth).join();
  const drawn = () => {
    const focused = strokes();
    at.blur();
    const plain = strokes();
    at.focus();
    return focused !== plain;
  };
  const outlined = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0;
  const box = at.getBoundingClientRect();
  return (outlined || style.boxShadow !== "none" || (at instanceof SVGElement && drawn()))
    && box.width > 0 && box.height > 0
    && box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth;
}"""


def reach(page: Page, wanted: Locator) -> None:
    """Press Tab until `wanted` has the focus."""
    passed: list[str | None] = []
    while not wanted.evaluate("(each) => each === document.activeElement"):
        assert len(passed) < MOST, f"Tab does not get to {wanted}, only to {list(dict.fromkeys(passed))}"
        page.keyboard.press("Tab")
        passed.append(page.evaluate(_AT))


def stops(page: Page) -> list[str]:
    """What Tab stops at from the page's start on, in order. Fails where the focus is not to be seen."""
    page.evaluate(_START)
    found: list[str] = []
    while len(found) < MOST:
        page.keyboard.press("Tab")
        at: str | None = page.evaluate(_AT)
        if at is None:  # round, and out of the page
            return found
        assert page.evaluate(_SEEN), f"{page.url}: nobody sees that the focus is on {at}"
        found.append(at)
    raise AssertionError(f"{page.url}: Tab does not come round in {MOST} presses, last to {found[-5:]}")


def all_reachable(page: Page) -> None:
    """Fails where something that can be used with a mouse is not among the stops."""
    page.evaluate(_EXPECT)
    stops(page)
    missed: list[str] = page.evaluate(_MISSED)
    assert not missed, f"{page.url}: Tab never gets to {missed}"
