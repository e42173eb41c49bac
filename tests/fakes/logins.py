"""Who may log in to a fake node: its server admins by their hashes, the users of `_users`, and the lock-out after five
wrong passwords of one user (CouchDB 3.4, [chttpd_auth_lockout])."""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from typing import Any

from tests.fakes.documents import Refused

ROUNDS = 10
LOCKED_AFTER = 5
_SALT = "fake-salt"


class Logins:
    def __init__(self) -> None:
        self.admins: dict[str, str] = {}  # user -> as [admins] keeps it
        self.told: dict[str, str] = {}  # those of them that were set by a call: a list tells no more
        self.users: dict[str, str] = {}  # user -> password
        self.wrong: Counter[tuple[str, str]] = Counter()

    def set_admin(self, user: str, password: str) -> None:
        self.admins[user] = _hashed(password, _SALT, ROUNDS)

    def accepts(self, user: str, password: str) -> bool:
        """Raises Refused where the user is locked out. Wrong passwords count."""
        kept = self.admins.get(user) or self.users.get(user)
        if kept is None:
            return False
        if self.wrong[(user, kept)] >= LOCKED_AFTER:
            raise Refused(403, "forbidden", "Account is temporarily locked due to multiple authentication failures")
        right = _is(kept, password)
        self.wrong[(user, kept)] += not right
        return right

    def check(self, authorization: str | None) -> None:
        """Raises Refused."""
        scheme, _, encoded = (authorization or "").partition(" ")
        user, _, password = base64.b64decode(encoded).decode().partition(":") if scheme == "Basic" else ("", "", "")
        if not self.accepts(user, password):
            raise Refused(401, "unauthorized", "Name or password is incorrect.")

    def configured(self, request: Any, user: str | None) -> Any:
        """GET and PUT of /_node/_local/_config/admins."""
        if user is None:
            return dict(self.told)
        if request.method == "PUT":
            before = self.admins.get(user, "")
            value = str(request.body)
            self.admins[user] = self.told[user] = value
            return before
        if user not in self.admins:
            raise Refused(404, "not_found", "unknown_config_value")
        if request.method == "DELETE":
            self.told.pop(user, None)
            return self.admins.pop(user)
        return self.admins[user]


def _hashed(password: str, salt: str, rounds: int) -> str:
    made = hashlib.pbkdf2_hmac("sha256", password.encode(), salt.encode(), rounds, 32).hex()
    return f"-pbkdf2:sha256-{made},{salt},{rounds}"


def _is(kept: str, password: str) -> bool:
    if not kept.startswith("-pbkdf2:sha256-"):
        return password == kept
    _, salt, rounds = kept.split(",")
    return _hashed(password, salt, int(rounds)) == kept
