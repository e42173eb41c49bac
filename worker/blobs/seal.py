"""Client-side encryption of what goes to the store: age (age-encryption.org/v1), through pyrage, and only here.

Two seals, because who backs up need not be able to read backups: *content* (documents, attachments) opens only with an
identity that may lie in a safe, *records* (which objects there are, up to which sequence a database was read) opens
also with the system's own key, without which no backup could go on from the one before. Both are age files that the
`age` command opens as well.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import pyrage
from pyrage.x25519 import Identity, Recipient

from worker.core.errors import WrongKey

SUFFIX = ".age"
_IDENTITY = "AGE-SECRET-KEY-1"
_SYSTEM = re.compile(r"\(os error (\d+)\)")


class Seal(Protocol):
    suffix: str

    def close(self, data: bytes) -> bytes: ...

    def open(self, data: bytes, name: str) -> bytes:
        """Raises WrongKey, with the object's `name`."""
        ...

    def close_file(self, source: Path, target: Path) -> None:
        """Uses `source` up. Raises OSError."""
        ...

    def open_file(self, source: Path, target: Path, name: str) -> None:
        """Uses `source` up. Raises WrongKey, and OSError."""
        ...


class NoSeal:
    suffix = ""

    def close(self, data: bytes) -> bytes:
        return data

    def open(self, data: bytes, name: str) -> bytes:
        self._require_plain(name)
        return data

    def close_file(self, source: Path, target: Path) -> None:
        source.replace(target)

    def open_file(self, source: Path, target: Path, name: str) -> None:
        self._require_plain(name)
        source.replace(target)

    @staticmethod
    def _require_plain(name: str) -> None:
        """The name tells, not the bytes: an attachment may itself be somebody's age file."""
        if name.endswith(SUFFIX):
            raise WrongKey(f"{name} is sealed: BACKUP_KEY has to hold the identity (AGE-SECRET-KEY-1...) that opens it")


class AgeSeal:
    suffix = SUFFIX

    def __init__(self, recipients: Sequence[Recipient], identities: Sequence[Identity]) -> None:
        self._recipients = list(recipients)
        self._identities = list(identities)

    def close(self, data: bytes) -> bytes:
        return bytes(pyrage.encrypt(data, self._recipients))

    def open(self, data: bytes, name: str) -> bytes:
        self._require_identity(name)
        try:
            return bytes(pyrage.decrypt(data, self._identities))
        except pyrage.DecryptError as error:
            raise _unreadable(name, error) from None

    def close_file(self, source: Path, target: Path) -> None:
        try:
            pyrage.encrypt_file(str(source), str(target), self._recipients)
        except (pyrage.EncryptError, OSError) as error:
            raise _of_system(error) or error from None
        source.unlink()

    def open_file(self, source: Path, target: Path, name: str) -> None:
        self._require_identity(name)
        try:
            pyrage.decrypt_file(str(source), str(target), self._identities)
        except (pyrage.DecryptError, OSError) as error:
            raise _of_system(error) or _unreadable(name, error) from None
        source.unlink()

    def _require_identity(self, name: str) -> None:
        if not self._identities:
            raise WrongKey(
                f"{name} is sealed, and BACKUP_KEY holds only recipients (age1...): the identity (AGE-SECRET-KEY-1...) "
                "of one of them is needed to read it"
            )


def _unreadable(name: str, error: Exception) -> WrongKey:
    return WrongKey(f"{name}: BACKUP_KEY does not open it, or it is damaged ({error})")


def _of_system(error: Exception) -> OSError | None:
    """pyrage tells a full disk as it tells a damaged file, as one error or the other: only the text has the number."""
    found = _SYSTEM.search(str(error))
    return OSError(int(found[1]), os.strerror(int(found[1]))) if found else None


@dataclass(frozen=True)
class Keys:
    """BACKUP_KEY, taken apart. Nothing of it is shown by repr."""

    recipients: tuple[Recipient, ...] = field(repr=False)
    identities: tuple[Identity, ...] = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> Keys:
        """Recipients (age1...) and identities (AGE-SECRET-KEY-1...), separated by commas or blanks; what is written for
        somebody with an identity is written for that as well. Comments are passed over, as `age-keygen` writes them.
        Raises ValueError, which never quotes a key."""
        recipients, identities = [], []
        for at, word in enumerate(_words(text), start=1):
            try:
                if word.upper().startswith(_IDENTITY):
                    identities.append(Identity.from_str(word.upper()))
                else:
                    recipients.append(Recipient.from_str(word))
            except (pyrage.RecipientError, pyrage.IdentityError, UnicodeError):
                raise ValueError(
                    f"entry {at} is neither an age recipient (age1...) nor an age identity (AGE-SECRET-KEY-1...); "
                    "`age-keygen` makes a pair"
                ) from None
        if not recipients and not identities:
            raise ValueError("there is no key in it")  # else nothing would be sealed, and nobody would know
        recipients += [one.to_public() for one in identities]
        return cls(_once(recipients), _once(identities))

    @property
    def fingerprint(self) -> str:
        """For whom is sealed: not a secret, and the same for any order."""
        return hashlib.sha256("\n".join(sorted(str(one) for one in self.recipients)).encode()).hexdigest()[:8]


def _words(text: str) -> list[str]:
    lines = (line.partition("#")[0] for line in text.splitlines())
    return [word for line in lines for word in line.replace(",", " ").split()]


def _once(keys: list[Any]) -> tuple[Any, ...]:
    return tuple({str(one): one for one in keys}.values())


def new_identity() -> str:
    return str(Identity.generate())


@dataclass(frozen=True)
class Seals:
    """`key`: fingerprint, None where nothing is sealed. `readable`: whether we hold an identity for the content."""

    content: Seal
    records: Seal
    key: str | None
    readable: bool
    _secret: bytes = field(default=b"", repr=False)

    @property
    def where(self) -> str:
        """The folder of attachments: those that others cannot open are no use to them."""
        return self.key or "plain"

    def attachment_name(self, digest: str, length: int) -> str:
        """What the bytes with this digest are called in the store. A keyed hash where backups are sealed: who sees the
        store must not be able to tell whether a file that he knows is in it."""
        text = f"{digest}:{length}".encode()
        made = hmac.new(self._secret, text, hashlib.sha256) if self._secret else hashlib.sha256(text)
        return made.hexdigest()[:40]


OPEN = Seals(NoSeal(), NoSeal(), None, True)


def seals(keys: Keys | None, own: str | None = None) -> Seals:
    """`own`: the system's own identity, for records, where `keys` has none. Without either, records can be written for
    the recipients but not read again."""
    if keys is None or not keys.recipients:
        return OPEN
    # the smallest: in another order they are the same keys, and attachments must not be called anything else
    identity = min(keys.identities, key=str) if keys.identities else (Identity.from_str(own) if own else None)
    readers = list(keys.identities) or ([identity] if identity else [])
    writers = list(keys.recipients) + ([identity.to_public()] if identity and not keys.identities else [])
    secret = str(identity).encode() if identity else secrets.token_bytes(32)
    return Seals(
        content=AgeSeal(keys.recipients, keys.identities),
        records=AgeSeal(writers, readers),
        key=keys.fingerprint,
        readable=bool(keys.identities),
        _secret=hashlib.sha256(b"attachment names\0" + secret).digest(),
    )
