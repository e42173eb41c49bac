"""Who is asking, and may they? Looked at before any route, and before an address is called unknown.

Bearer tokens only: a browser never adds one by itself, so no other site's page can act for somebody. Where
no token is configured (the settings allow that on loopback alone) everybody who reaches us is `anonymous`;
then the Host list (DNS rebinding) and the Origin check (forms and scripts of other sites) are the fence.
Every token is an admin's today; roles are here so that routes need not change when tokens get them.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from urllib.parse import urlsplit

from flask import Flask, g, request

from api.errors import Problem
from config.settings import Settings

# answered to anybody: health and readiness with less in the answer, and the documentation, which a browser cannot send
# a token for and which says nothing about this installation
OPEN_ENDPOINTS = frozenset(
    {"health.look", "nodes.ready", "docs.index", "docs.document", "docs.page", "docs.start", "docs.vendored"}
)
CHALLENGE = 'Bearer realm="notebook-replication"'
_NETLOC = re.compile(r"(?:\[([0-9a-fA-F:.]+)\]|([^\s:@/\[\]]+))(?::[0-9]*)?")
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


class Role(IntEnum):
    """Each role may do what the ones before it may."""

    VIEW = 1
    OPERATE = 2
    ADMIN = 3


@dataclass(frozen=True)
class Caller:
    """`name` is safe to log: of a token it shows the start of its digest, never the token."""

    name: str
    role: Role


ANONYMOUS = Caller("anonymous", Role.ADMIN)


def caller() -> Caller | None:
    """Who sent the current request; None where nobody had to say (open endpoints)."""
    found: Caller | None = g.get("caller")
    return found


def install(app: Flask, settings: Settings) -> None:
    """Check every request: host, then token, then origin."""
    hosts, digests = settings.allowed_hosts, settings.token_digests

    def check() -> None:
        _check_host(request.environ.get("HTTP_HOST", ""), hosts)
        g.caller = identify(request.headers.get("Authorization"), digests)
        if g.caller is None and request.endpoint not in OPEN_ENDPOINTS:
            raise Problem(
                "unauthorized", "send the header Authorization: Bearer TOKEN", {"WWW-Authenticate": CHALLENGE}
            )
        if request.method not in _SAFE_METHODS:
            _check_origin(request.headers.get("Origin"), hosts)

    checker: Callable[[], None] = check
    app.before_request(checker)


def identify(authorization: str | None, digests: frozenset[str]) -> Caller | None:
    """The caller an Authorization header names; None without a header. Raises Problem for a wrong one."""
    if not digests:
        return ANONYMOUS
    if authorization is None:
        return None
    scheme, _, token = authorization.partition(" ")
    # WSGI hands header bytes over as latin-1
    digest = hashlib.sha256(token.strip().encode("latin-1", "replace")).hexdigest()
    known = False
    for accepted in digests:  # all of them, whatever the first says: the time taken tells nothing
        known |= hmac.compare_digest(digest, accepted)
    if scheme.lower() != "bearer" or not known:
        challenge = f'{CHALLENGE}, error="invalid_token"'
        raise Problem("unauthorized", "this is not one of the tokens in API_TOKENS", {"WWW-Authenticate": challenge})
    return Caller(f"token-{digest[:8]}", Role.ADMIN)


def host_name(netloc: str) -> str:
    """`netloc` without port and brackets, in lower case ("[::1]:5000" -> "::1"); empty where it is no host."""
    match = _NETLOC.fullmatch(netloc)
    return (match[1] or match[2]).lower() if match else ""


def _check_host(netloc: str, hosts: frozenset[str]) -> None:
    if host_name(netloc) not in hosts:
        raise Problem("misdirected", f"{netloc!r} is not a host of this server: API_ALLOWED_HOSTS can add it")


def _check_origin(origin: str | None, hosts: frozenset[str]) -> None:
    if origin is None:  # not a browser, or a page of ours in an old one
        return
    try:
        host = urlsplit(origin).hostname or ""
    except ValueError:
        host = ""
    if host not in hosts:
        raise Problem("foreign-origin", f"the request comes from a page of {origin!r}")
