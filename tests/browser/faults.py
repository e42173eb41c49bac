"""What goes wrong in a browser while nobody looks: a page that is right to the eye can still have any of it.

Errors on the console (a violated Content-Security-Policy is one), scripts that failed, requests without an answer or
with a refusal, and any request to another host: our pages work without the internet.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from playwright.sync_api import BrowserContext, ConsoleMessage, Page, Request, Response, WebError

# said twice: the response itself is looked at, and says which request it was
_SAID_TWICE = "Failed to load resource"
# the browser's own: it left a page while an answer was on its way
_GIVEN_UP = "net::ERR_ABORTED"


class Faults:
    """Of all pages of one browser context."""

    def __init__(self, context: BrowserContext, url: str) -> None:
        self._host = urlsplit(url).netloc
        self._seen: list[str] = []
        self._allowed: list[re.Pattern[str]] = []
        self._sure: list[re.Pattern[str]] = []
        context.on("console", self._console)
        context.on("weberror", self._script)
        context.on("request", self._request)
        context.on("requestfailed", self._failed)
        context.on("response", self._response)

    def allow(self, pattern: str, *, surely: bool = True) -> None:
        """For what a test provokes: faults with this in them are none, but one has to come, where it comes `surely`."""
        self._allowed.append(re.compile(pattern))
        if surely:
            self._sure.append(self._allowed[-1])

    def found(self) -> list[str]:
        """Those that nobody allowed, and what was allowed in vain."""
        wrong = [fault for fault in self._seen if not any(one.search(fault) for one in self._allowed)]
        return wrong + list(self._in_vain())

    def _in_vain(self) -> Iterator[str]:
        for one in self._sure:
            if not any(one.search(fault) for fault in self._seen):
                yield f"did not come: {one.pattern}"

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"} and not message.text.startswith(_SAID_TWICE):
            self._seen.append(f"console {message.type}: {message.text} ({_where(message.page)})")

    def _script(self, error: WebError) -> None:
        self._seen.append(f"script: {error.error} ({_where(error.page)})")

    def _request(self, request: Request) -> None:
        parts = urlsplit(request.url)
        if parts.scheme not in {"data", "blob"} and parts.netloc != self._host:
            self._seen.append(f"another host: {request.method} {request.url}")

    def _failed(self, request: Request) -> None:
        if request.failure != _GIVEN_UP:
            self._seen.append(f"no answer: {request.method} {request.url} ({request.failure})")

    def _response(self, response: Response) -> None:
        if response.status >= 400:
            self._seen.append(f"refused: {response.request.method} {response.url} ({response.status})")


def _where(page: Page | None) -> str:
    return page.url if page else "no page"
