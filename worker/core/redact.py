"""Takes credentials out of text before anybody can read it.

CouchDB and urllib3 put URLs into their messages, and a URL may carry a password that somebody typed into
a document by hand. Scrubbing is done where text enters our system (errors) and once more where it leaves
it (logs), so neither place has to trust the other.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

MASK = "***"
# userinfo of a URL (RFC 3986, 3.2.1): everything between "//" and the last "@" before the path
_USERINFO = re.compile(r"(?<=://)[^/\s\"<>]*@")
_AUTHORIZATION = re.compile(r"(?i)\b(basic|bearer)\s+[A-Za-z0-9._~+/=-]{6,}")
# JSON, and the Erlang terms of a crash report: "password": "x", <<"password">>,<<"x">> and {basic_auth,{"user","x"}}
_PASSWORD = re.compile(
    r'((?i:password)"?(?:>>)?\s*[:,]\s*(?:<<)?|\bbasic_auth,\s*\{\s*"(?:[^"\\]|\\.)*",\s*)"(?:[^"\\]|\\.)*"'
)
_COOKIE = re.compile(r"(?i)\b(AuthSession=)[^;\"\s]+")


def scrub(text: str, secrets: Iterable[str] = ()) -> str:
    """`text` without URL userinfo, Authorization values and the given `secrets`.

    >>> scrub("could not open http://admin:pw@db:5984/pdfs/")
    'could not open http://***@db:5984/pdfs/'
    """
    text = _USERINFO.sub(f"{MASK}@", text)
    text = _AUTHORIZATION.sub(lambda match: f"{match[1]} {MASK}", text)
    text = _PASSWORD.sub(lambda match: f'{match[1]}"{MASK}"', text)
    text = _COOKIE.sub(lambda match: f"{match[1]}{MASK}", text)
    for secret in secrets:
        if len(secret) >= 4:  # masking every "a" would hide the message and reveal the password
            text = text.replace(secret, MASK)
    return text


def scrub_all(value: Any, secrets: Iterable[str] = ()) -> Any:
    """`value` with every text in it scrubbed, at any depth; what is neither text nor a container stays as it is."""
    known = tuple(secrets)
    if isinstance(value, str):
        return scrub(value, known)
    if isinstance(value, dict):
        return {key: scrub_all(item, known) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [scrub_all(item, known) for item in value]
    return value
