"""Sign-ins of browsers: a signed cookie that no script can read, good until it is ended or its token is taken back.

The cookie holds a random secret and nothing else, signed with SECRET_KEY (itsdangerous). What it stands for is kept in
Redis (tasks.sign_ins), so that signing out ends it for whoever has a copy, too. The token itself is asked for once and
never kept. A page of ours proves itself with a second value made from the same secret (OWASP, Cross-Site Request
Forgery Prevention: HMAC-based token), which it is told by GET /api/session and sends back as a header.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass

from flask import Request, Response
from itsdangerous import BadData, URLSafeTimedSerializer

from api.tokens import Tokens
from config.settings import Settings
from config.tokens import Token
from tasks.sign_ins import SignIns

CSRF_HEADER = "X-CSRF-Token"
_SALT = "nbr-session"
# a browser takes a cookie with the prefix __Host- from this very host over HTTPS alone
_NAMES = {True: "__Host-nbr", False: "nbr"}


@dataclass(frozen=True)
class Session:
    secret: str
    token: Token


class Sessions:
    def __init__(self, settings: Settings, tokens: Tokens, kept: SignIns) -> None:
        # without a key of their own, sign-ins end with this process
        self._keys = settings.secret_keys or (secrets.token_urlsafe(32),)
        self._seconds = int(settings.api_session_hours * 3_600)
        self._tokens = tokens
        self._kept = kept
        # itsdangerous signs with the last
        self._signer = URLSafeTimedSerializer(
            list(reversed(self._keys)), salt=_SALT, signer_kwargs={"digest_method": hashlib.sha256}
        )

    def begin(self, token: Token, response: Response, *, secure: bool) -> None:
        """Sign in: the response sets the cookie. Raises StoreUnavailable."""
        secret = secrets.token_urlsafe(32)
        self._kept.open(secret, token.id, self._seconds)
        response.set_cookie(
            _NAMES[secure],
            str(self._signer.dumps(secret)),
            max_age=self._seconds,
            path="/",
            secure=secure,
            httponly=True,
            samesite="Lax",
        )

    def of(self, request: Request) -> Session | None:
        """Of this request; None without a cookie of ours, and where it has ended. Raises StoreUnavailable.

        One that is forged is no different from one that a restart has ended, and nobody guesses a signature: so it
        does not count as a wrong token.
        """
        if "HTTP_COOKIE" not in request.environ:  # of every program, and quicker to see than by looking for one
            return None
        cookie = request.cookies.get(_NAMES[request.is_secure])
        if cookie is None:
            return None
        try:
            secret = str(self._signer.loads(cookie, max_age=self._seconds))
        except BadData:
            return None
        mark = self._kept.token_of(secret)
        token = next((known for known in self._tokens.known if known.id == mark), None)
        return Session(secret, token) if token else None

    def close(self, session: Session) -> None:
        """Raises StoreUnavailable: then it has not ended."""
        self._kept.close(session.secret)

    def end(self, session: Session, response: Response, *, secure: bool) -> None:
        """Close it, and have the browser forget the cookie. Raises StoreUnavailable, too."""
        self.close(session)
        response.delete_cookie(_NAMES[secure], path="/", secure=secure, httponly=True, samesite="Lax")

    def csrf_token(self, session: Session) -> str:
        return _csrf(self._keys[0], session.secret)

    def is_csrf_token(self, session: Session, given: str) -> bool:
        """By any key, because one may have been changed while a page was open."""
        offered = given.encode("utf-8", "replace")
        return any(hmac.compare_digest(_csrf(key, session.secret).encode(), offered) for key in self._keys)


def _csrf(key: str, secret: str) -> str:
    return hmac.digest(key.encode(), f"csrf {secret}".encode(), hashlib.sha256).hex()
