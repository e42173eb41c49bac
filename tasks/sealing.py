"""Seals what callers entrust to us, so that whoever reads Redis, a node or a backup of them has nothing.

Fernet (AES-128-CBC and HMAC-SHA256) under a key that is derived from SECRET_KEY for this use alone: sign-ins are signed
with keys that are derived from the same secret, and neither may tell anything of the other. The first key seals, every
key opens.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from worker.core.errors import WrongSecretKey

_USE = b"notebook-replication webhook receivers v1"


def seal(keys: Sequence[str], plain: bytes) -> str:
    """`keys`: those of SECRET_KEY, the newest first; at least one."""
    return _fernet(keys).encrypt(plain).decode("ascii")


def unseal(keys: Sequence[str], sealed: str) -> bytes:
    """Raises WrongSecretKey where no key opens it, and where there is none."""
    if not keys:
        raise WrongSecretKey("SECRET_KEY is not set here, and what is kept was sealed under one")
    try:
        return _fernet(keys).decrypt(sealed)
    except (InvalidToken, ValueError):  # the latter where it is no text of ours at all
        raise WrongSecretKey(
            "it was sealed under a key that is not in SECRET_KEY any more: write that one there too, after the new one"
        ) from None


def _fernet(keys: Sequence[str]) -> MultiFernet:
    return MultiFernet([Fernet(_derived(key)) for key in keys])


def _derived(key: str) -> bytes:
    # no salt: a secret key is random, and every process has to come to the same
    return base64.urlsafe_b64encode(HKDF(SHA256(), length=32, salt=None, info=_USE).derive(key.encode()))
