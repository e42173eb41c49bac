"""Is a password one that is tried first, or weak; and is it the one that CouchDB keeps a hash of? Pure.

The second is computed here and not tried as a login: CouchDB locks a user out after five wrong ones, and each is a line
in its log. Hashing is meant to be slow (600,000 rounds, 0.3 s), so a look at a node has a bound on its rounds (Budget).
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

SHORTEST = 12  # characters that a good password has
# What anybody tries first: of lists of leaked ones, and of examples in CouchDB's and others' documents. The first ones
# are also tried against hashes, where each costs
NOTORIOUS = (
    *("password", "admin", "couchdb", "changeme", "secret", "123456", "couch", "root", "test", "12345678"),
    *("123456789", "1234567890", "qwerty", "password1", "password123", "passw0rd", "p@ssw0rd", "letmein", "welcome"),
    *("iloveyou", "monster", "adminadmin", "administrator", "admin123", "mysecretpassword", "your_password"),
    *("yourpassword", "correct horse battery staple", "hunter2", "abc123", "111111", "000000", "default", "guest"),
)
TRIED = 10  # of NOTORIOUS, against a hash
DEFAULT_LOGINS = (("admin", "admin"), ("admin", "password"))  # of CouchDB's examples and images
MOST_ROUNDS = 20_000_000  # about ten seconds of one core, for all admins of one node
# rounds that keep a guesser busy for as long as 600,000 of SHA-256 do (OWASP Password Storage Cheat Sheet)
_ENOUGH = {"sha": 1_300_000, "sha224": 600_000, "sha256": 600_000, "sha384": 210_000, "sha512": 210_000}
_NAMES = {"sha": "sha1"}  # hashlib's, where it is not Erlang's
_PBKDF2 = re.compile(r"-pbkdf2(?::(sha\d*))?-([0-9a-f]+),([^,]+),(\d{1,10})")
_SIMPLE = re.compile(r"-hashed-([0-9a-f]+),(.+)")


def is_default(user: str, password: str) -> bool:
    """Whether somebody who knows nothing would try it."""
    low, name = password.lower(), user.lower()
    return low in NOTORIOUS or (bool(name) and low in {name, name[::-1], f"{name}1", f"{name}123"})


def weakness(user: str, password: str) -> str | None:
    """Why it is weak, in words that do not tell it; None where it is not."""
    if is_default(user, password):
        return "it is one of the first that anybody tries"
    if len(password) < SHORTEST:
        return f"it has fewer than {SHORTEST} characters"
    kinds = (str.islower, str.isupper, str.isdigit, lambda one: not one.isalnum())
    if sum(any(kind(one) for one in password) for kind in kinds) < 2 and len(password) < 2 * SHORTEST:
        return "all of its characters are of one kind"
    return None


def enough(prf: str, rounds: int) -> bool:
    return rounds >= _ENOUGH.get(prf, 0)


@dataclass(frozen=True)
class Stored:
    """A server admin's password as CouchDB keeps it. `scheme`: pbkdf2, simple (one round of SHA-1), or plain."""

    scheme: str
    secret: str = field(repr=False)  # the hash, or the password itself
    prf: str = "sha"
    salt: str = field(default="", repr=False)
    rounds: int = 1

    @property
    def weak(self) -> bool:
        return self.scheme != "plain" and not enough(self.prf, self.rounds)


def stored(value: str) -> Stored:
    """As [admins] writes it."""
    if match := _PBKDF2.fullmatch(value):
        return Stored("pbkdf2", match[2], match[1] or "sha", match[3], int(match[4]))
    if match := _SIMPLE.fullmatch(value):
        return Stored("simple", match[1], "sha", match[2])
    return Stored("plain", value)


@dataclass
class Budget:
    """Rounds of hashing that may still be done."""

    left: int = MOST_ROUNDS

    def take(self, rounds: int) -> bool:
        if rounds > self.left:
            return False
        self.left -= rounds
        return True


def matches(kept: Stored, password: str) -> bool:
    if kept.scheme == "plain":
        return hmac.compare_digest(kept.secret.encode(), password.encode())
    if kept.scheme == "simple":
        made = hashlib.sha1(password.encode() + kept.salt.encode()).hexdigest()  # noqa: S324 - what CouchDB 1.x kept
    else:
        made = pbkdf2(kept.prf, password, kept.salt, kept.rounds, len(kept.secret) // 2)
    return hmac.compare_digest(kept.secret, made)


def rewritten(kept: Stored, password: str, salt: str) -> str | None:
    """How [admins] would keep this password: in the way, and with the rounds, of the one it keeps now. None where that
    is not a way to keep passwords today.

    Given so, it counts at once. Given as it is, CouchDB would know no password at all for the second that it takes to
    hash it, and write it down until then (measured on 3.5: both are refused meanwhile).
    """
    if kept.scheme != "pbkdf2" or kept.prf not in _ENOUGH or kept.rounds > MOST_ROUNDS:
        return None
    digest = f":{kept.prf}" if kept.prf != "sha" else ""
    made = pbkdf2(kept.prf, password, salt, kept.rounds, len(kept.secret) // 2)
    return f"-pbkdf2{digest}-{made},{salt},{kept.rounds}"


def pbkdf2(prf: str, password: str, salt: str, rounds: int, size: int) -> str:
    return hashlib.pbkdf2_hmac(_NAMES.get(prf, prf), password.encode(), salt.encode(), rounds, size).hex()


def guess(user: str, kept: Stored, budget: Budget, ours: Iterable[str] = ()) -> bool | None:
    """Whether it is one that anybody tries first; None where the budget does not last for all of them.

    `ours`: passwords that we know for this user. Where one of them is it nothing needs to be guessed.
    """
    if kept.scheme == "plain":
        return is_default(user, kept.secret)
    if kept.prf not in _ENOUGH:
        return None
    for known in ours:
        if budget.take(kept.rounds) and matches(kept, known):
            return is_default(user, known)
    for candidate in dict.fromkeys((user, *NOTORIOUS[:TRIED])):
        if not budget.take(kept.rounds):
            return None
        if matches(kept, candidate):
            return True
    return False
