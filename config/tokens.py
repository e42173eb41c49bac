"""How API tokens are written in the settings, and how one is made.

`name=role:token`, `role:token` or `token`, several separated by commas or lines; a `#` and what follows is a comment.
A token is kept as `sha256:<hex digest>` where it can be: then neither the settings nor a copy of them let anybody in.
An entry without a role is an admin's.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass
from enum import IntEnum

MIN_LENGTH = 16
PREFIX = "nbr_"  # so that a scanner for leaked secrets, and whoever finds one, knows what it is
_BYTES = 32
_DIGEST = re.compile(r"sha256:([0-9a-f]{64})", re.IGNORECASE)
# a name counts only before a role: a token may well have a "=" in it
_NAMED = "[a-z0-9][a-z0-9._-]{0,62}"
_ENTRY = re.compile(rf"(?:(?:(?P<name>{_NAMED})=)?(?P<role>view|operate|admin):)?(?P<token>.+)")
_NAME = re.compile(_NAMED)
_SLIP = re.compile(r"\s*[^:=]{1,63}=\s*(?!view:|operate:|admin:)(?P<role>[A-Za-z]{1,20}):.*")
# what callers without a token, and tokens without a name, are called
_TAKEN = re.compile("anonymous|token-.*")


class Role(IntEnum):
    """Each may do what the ones before it may: look; start work and put nodes in and out; change who is told and what
    counts, restore, and see who did what."""

    VIEW = 1
    OPERATE = 2
    ADMIN = 3

    @property
    def word(self) -> str:
        return self.name.lower()


@dataclass(frozen=True)
class Token:
    """`name` is safe to show: the one given, or the start of the digest. `digest`: SHA-256 of the token, in hex."""

    name: str
    role: Role
    digest: str

    @property
    def id(self) -> str:
        """What may be kept of it: neither the token nor its digest can be had from it."""
        return hashlib.sha256(f"token {self.digest}".encode()).hexdigest()[:32]


def role_of(word: str) -> Role:
    return Role[word.upper()]


def parse_tokens(text: str) -> tuple[Token, ...]:
    """Raises ValueError that says which entry is wrong, by its number, and never repeats one."""
    found = [_token(entry, number) for number, entry in enumerate(entries(text), start=1)]
    if text and not found:
        raise ValueError("has no token in it; leave it empty to ask for none")
    for values, what in (([one.digest for one in found], "token"), ([one.name for one in found], "name")):
        twice = next((number for number, value in enumerate(values, start=1) if value in values[: number - 1]), None)
        if twice:
            raise ValueError(f"entry {twice} has the same {what} as one before it: each is listed once")
    return tuple(found)


def entries(text: str) -> list[str]:
    """What stands in the list, without blanks and comments."""
    lines = (
        line.partition("#")[0] if line.lstrip().startswith("#") or " #" in line else line for line in text.split("\n")
    )
    return [entry.strip() for line in lines for entry in line.split(",") if entry.strip()]


def plain_tokens(text: str) -> list[str]:
    """The tokens that are written out, which must not be seen."""
    found = (_ENTRY.fullmatch(entry) for entry in entries(text))
    return [match["token"] for match in found if match and not _DIGEST.fullmatch(match["token"])]


def new_token() -> str:
    """256 bits of chance: nothing that guesses finds it, so a plain SHA-256 keeps it."""
    return PREFIX + secrets.token_urlsafe(_BYTES)


def digest_of(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def written(name: str, role: Role, token: str) -> str:
    """The entry for a token. Raises ValueError for a name that cannot be one."""
    if not _NAME.fullmatch(name) or _TAKEN.fullmatch(name):
        raise ValueError(
            f"{name!r} is no name: lowercase letters, digits, dots, hyphens and _, at most 63; not anonymous, nor what "
            "begins with token-"
        )
    return f"{name}={role.word}:sha256:{digest_of(token)}"


def _token(entry: str, number: int) -> Token:
    match = _ENTRY.fullmatch(entry)
    kept = _DIGEST.fullmatch(match["token"]) if match else None
    if match is None or not (kept or _is_plain(match["token"])):
        slip = _SLIP.fullmatch(entry)
        why = f"{slip['role']!r} is no role (view, operate or admin), or: " if slip else ""
        raise ValueError(
            f"entry {number}: {why}each token needs at least {MIN_LENGTH} characters and no colon, or is sha256:<64 "
            "hex digits>; before it may stand a role and a name, like ci=operate:sha256:..."
        )
    if match["name"] and _TAKEN.fullmatch(match["name"]):
        raise ValueError(f"entry {number}: {match['name']!r} is no name for a token: give it another")
    digest = kept[1].lower() if kept else digest_of(match["token"])
    role = role_of(match["role"]) if match["role"] else Role.ADMIN
    return Token(match["name"] or f"token-{digest[:8]}", role, digest)


def _is_plain(token: str) -> bool:
    """With a colon in it, it is more likely a slip: `Ci=view:sha256:...` taken whole would be an admin's token, and
    stand in the settings for everybody to read."""
    return len(token) >= MIN_LENGTH and ":" not in token
