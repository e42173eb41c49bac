"""Who is asking, and may they? Looked at before any route, and before an address is called unknown.

A program shows a bearer token; a browser that signed in with one shows a cookie (api.sessions), which browsers add by
themselves, also to what another site's page asks for: so whatever changes something needs a second value that only a
page of ours knows, and must not come from another origin. Where no token is configured (the settings allow that on
loopback alone) everybody on this machine is `anonymous`; then the Host list (DNS rebinding) and the Origin check (forms
and scripts of other sites) are the fence.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from flask import Flask, g, request

from api.errors import Problem
from api.limits import Limits, site
from api.sessions import CSRF_HEADER, Session, Sessions
from api.tokens import Tokens
from config.settings import Settings
from config.tokens import Role, Token, digest_of
from tasks.redis import StoreUnavailable

# answered to anybody: health and readiness with less in the answer, the way in, and the documentation, which says
# nothing about this installation
OPEN_ENDPOINTS = frozenset(
    {
        "health.look",
        "nodes.ready",
        "docs.index",
        "docs.document",
        "docs.page",
        "docs.start",
        "docs.vendored",
        "sign_in.page",
        "sign_in.enter",
        "sign_in.session",
        "static",
    }
)
# what proxies and supervisors ask: told to wait, they would take for down what is well
UNLIMITED = frozenset({"health.look", "nodes.ready"})
ANONYMOUS = "anonymous"  # no token may have this name (config.tokens)
CHALLENGE = 'Bearer realm="notebook-replication"'
_NETLOC = re.compile(r"(?:\[([0-9a-fA-F:.]+)\]|([^\s:@/\[\]]+))(?::[0-9]*)?")
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class Caller:
    """`name` is safe to log: of a token without a name it shows the start of its digest. `session`: of a browser."""

    name: str
    role: Role
    session: Session | None = None


def caller() -> Caller | None:
    """Who sent the current request; None where nobody had to say (open endpoints)."""
    found: Caller | None = g.get("caller")
    return found


def address() -> str:
    """Where the current request came from."""
    return request.remote_addr or "unknown"


def key() -> str:
    """What counts as one caller of the current request: a token, or an address without one."""
    found = caller()
    return f"token {found.name}" if found and found.name != ANONYMOUS else f"address {site(address())}"


class Gate:
    """`needed(endpoint, method)`: the least role for it. `locked(address)` is told when an address is locked out."""

    def __init__(
        self,
        settings: Settings,
        tokens: Tokens,
        sessions: Sessions,
        needed: Callable[[str | None, str], Role],
        locked: Callable[[str], None],
    ) -> None:
        self._settings = settings
        self._tokens = tokens
        self._sessions = sessions
        self._needed = needed
        self._locked = locked
        self._limits = Limits(settings.api_rate_per_minute, settings.api_lockout_failures)

    def install(self, app: Flask) -> None:
        checker: Callable[[], None] = self.check
        app.before_request(checker)

    def check(self) -> None:
        """Of every request: host, caller, how often, role, origin. Raises Problem."""
        hosts = self._settings.allowed_hosts
        _check_host(request.environ.get("HTTP_HOST", ""), hosts)
        try:
            found = g.caller = self._caller()
        except Problem:
            self._check_rate(None)
            raise
        self._check_rate(found)
        is_open = request.endpoint in OPEN_ENDPOINTS
        if found is None and not is_open:
            raise Problem(
                "unauthorized",
                "send the header Authorization: Bearer TOKEN, or sign in at /sign-in",
                {"WWW-Authenticate": CHALLENGE},
            )
        if not is_open:
            check_role(found, self._needed(request.endpoint, request.method))
        if request.method not in _SAFE_METHODS:
            _check_origin(hosts)
            self._check_csrf(found)

    def token(self, given: str) -> Token | None:
        """Which token this is; None where it is none, which counts against the address. Raises Problem where that is
        locked out."""
        self._check_lock()
        digest = digest_of(given.strip())
        found = self._tokens.find(digest)
        if found is None and self._limits.failed(address(), digest):
            self._locked(address())
        return found

    def _caller(self) -> Caller | None:
        authorization = request.headers.get("Authorization")
        if authorization is not None and self._tokens.known:
            return self._bearer(authorization)
        try:
            session = self._sessions.of(request)
        except StoreUnavailable:
            if request.endpoint not in OPEN_ENDPOINTS:
                raise
            session = None
        if session is not None:
            return Caller(session.token.name, session.token.role, session)
        return self._anonymous()

    def _bearer(self, authorization: str) -> Caller:
        scheme, _, token = authorization.partition(" ")
        found = None
        if scheme.lower() == "bearer":
            # WSGI hands header bytes over as latin-1
            found = self.token(token.encode("latin-1", "replace").decode("utf-8", "replace"))
        if found is None:
            challenge = f'{CHALLENGE}, error="invalid_token"'
            raise Problem(
                "unauthorized",
                "this is none of the tokens that open here"
                if scheme.lower() == "bearer"
                else "send Bearer and a token",
                {"WWW-Authenticate": challenge},
            )
        return Caller(found.name, found.role)

    def _anonymous(self) -> Caller | None:
        role = self._settings.anonymous_role
        if role is not None:
            return Caller(ANONYMOUS, role)
        # what a proxy brings does not come from this machine, although the connection does, where the proxy says so
        forwarded = any(name in request.headers for name in ("X-Forwarded-For", "Forwarded", "X-Forwarded-Host"))
        if self._tokens.known or forwarded or not _is_here(address()):
            return None
        return Caller(ANONYMOUS, Role.ADMIN)

    def _check_lock(self) -> None:
        seconds = self._limits.seconds_locked(address())
        if seconds is not None:
            raise Problem(
                "locked-out",
                f"too many wrong tokens came from {address()}: none is looked at for {seconds} seconds",
                {"Retry-After": str(seconds)},
            )

    def _check_rate(self, found: Caller | None) -> None:
        if request.endpoint in UNLIMITED:
            return
        named = found is not None and found.name != ANONYMOUS
        seconds = self._limits.seconds_until_allowed(found.name if found and named else None, address())
        if seconds is not None:
            most = self._settings.api_rate_per_minute
            raise Problem(
                "too-many-requests",
                f"at most {most} requests a minute (API_RATE_PER_MINUTE): ask again in {seconds} seconds",
                {"Retry-After": str(seconds)},
            )

    def _check_csrf(self, found: Caller | None) -> None:
        if request.endpoint == "sign_in.enter":  # which shows a token, and whose page may be older than the sign-in
            return
        session = found.session if found else None
        given = request.headers.get(CSRF_HEADER, "")
        if request.endpoint == "sign_in.leave":  # a form, which has no headers
            given = given or request.form.get("csrf_token", "")
        if session and not self._sessions.is_csrf_token(session, given):
            raise Problem("bad-csrf-token", f"send the header {CSRF_HEADER} with the value that GET /api/session tells")


def host_name(netloc: str) -> str:
    """`netloc` without port and brackets, in lower case ("[::1]:5000" -> "::1"); empty where it is no host."""
    match = _NETLOC.fullmatch(netloc)
    return (match[1] or match[2]).lower() if match else ""


def _check_host(netloc: str, hosts: frozenset[str]) -> None:
    if host_name(netloc) not in hosts:
        name = host_name(netloc) or netloc
        raise Problem("misdirected", f"{name!r} is not a host of this server: API_ALLOWED_HOSTS can add it")


def _is_here(address: str) -> bool:
    """Whether a connection comes from this machine."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def check_role(found: Caller | None, needed: Role) -> None:
    """Raises Problem where this caller's role does not reach so far."""
    if found is not None and found.role < needed:
        raise Problem(
            "forbidden",
            f"{found.name} has the role {found.role.word}; this takes {needed.word}",
            needed=needed.word,
        )


def _check_origin(hosts: frozenset[str]) -> None:
    """Browsers say where a page is from. A page on another port of the same host is another site's, too."""
    origin = request.headers.get("Origin")
    if request.headers.get("Sec-Fetch-Site", "same-origin") not in {"same-origin", "none"}:
        raise Problem("foreign-origin", f"the request comes from a page of {origin or 'another site'!r}")
    if origin is None:  # not a browser
        return
    try:
        parts = urlsplit(origin)
        host, port = parts.hostname or "", parts.port or _PORTS.get(parts.scheme)
    except ValueError:
        host, port = "", None
    if host not in hosts or port != _own_port(parts.scheme if host else ""):
        raise Problem("foreign-origin", f"the request comes from a page of {origin!r}")


def _own_port(scheme: str) -> int | None:
    """The port at which the caller reached us; where Host has none, that of the scheme of its page."""
    digits = request.environ.get("HTTP_HOST", "").rpartition("]")[2].rpartition(":")
    return int(digits[2]) if digits[1] and digits[2].isdigit() else _PORTS.get(scheme)
