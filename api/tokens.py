"""The tokens that open the API, as they are now: what stands in a file counts soon after it was changed.

So a token can be given out, and taken back, without a restart. A change that cannot be used keeps what was there and is
told in the log: a slip of the pen at night must not lock everybody out.
"""

from __future__ import annotations

import hmac
import threading
import time
from collections.abc import Callable

from config.logs import get
from config.settings import Settings
from config.sources import SettingsError, Source
from config.tokens import Token, parse_tokens

log = get(__name__)
LOOK_EVERY = 1.0  # seconds


class Tokens:
    """Safe to share between threads. `broken(why)` is told of a change that cannot be used. `clock`: monotonic
    seconds."""

    def __init__(
        self,
        settings: Settings,
        broken: Callable[[str], None] = lambda why: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source = settings.source("api_tokens")
        self._known = settings.tokens
        self._broken = broken
        self._clock = clock
        self._state: object = None
        self._looked_at = clock()
        self._lock = threading.Lock()
        if self._source is not None:
            # what the settings hold was read when the server was started, and this process may be a later one of its
            self._look(self._source)

    @property
    def known(self) -> tuple[Token, ...]:
        """All of them. Never none where there were some: then nobody at all would be asked for one."""
        if self._source is not None and self._clock() - self._looked_at >= LOOK_EVERY:
            with self._lock:
                self._look(self._source)
        return self._known

    def find(self, digest: str) -> Token | None:
        """The token with this SHA-256. All are compared, whatever the first says: the time taken tells nothing."""
        found = None
        for token in self.known:
            if hmac.compare_digest(digest, token.digest):
                found = token
        return found

    def _look(self, source: Source) -> None:
        self._looked_at = self._clock()
        state = source.state()
        if state == self._state:
            return
        first, self._state = self._state is None, state
        try:
            tokens = parse_tokens(source.read())
            if not tokens:
                raise ValueError("has no token in it")
        except (SettingsError, ValueError) as error:
            log.error("API_TOKENS was changed and cannot be used: what it said before counts on", error=str(error))
            self._broken(str(error))
            return
        if not first:
            log.info("API_TOKENS was read again", tokens=[token.name for token in tokens])
        self._known = tokens
