"""How webhook receivers and the secrets to sign with are written, in the settings and by callers.

A receiver's URL is a secret as a whole: chat services put their tokens into its path or query. So nothing here repeats
one in an error, and `host` is all that is ever shown of it.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_network
from urllib.parse import parse_qsl, unquote, urlsplit

from config.nodes import split

PREFIX = "whsec_"
FEWEST_BYTES, MOST_BYTES = 24, 64
_VISIBLE = re.compile(r"[!-~]+")  # a URL is ASCII without blanks
_HOST = re.compile(r"[A-Za-z0-9._:-]+")
# shorter parts of a path or query are words like "hook" or "true", and masking those would spoil every log
_TOKEN_LENGTH = 8
_URL = "must be an http:// or https:// URL, like https://example.com/hook"
_PRIVATE = "must be a network like 10.0.0.0/8, an address, or a host name like hooks.internal or *.internal"
_GLOB = re.compile(r"[a-z0-9*?_.-]+")
_SECRET = (
    f"each secret is {PREFIX} and then {FEWEST_BYTES} to {MOST_BYTES} bytes in base64, "
    f"like {PREFIX}$(openssl rand -base64 32); several are separated by blanks"
)


@dataclass(frozen=True)
class Receiver:
    """`host`: scheme, host and port, which may be shown."""

    host: str
    url: str = field(repr=False)

    @property
    def name(self) -> str:
        """The host alone, in lower case and without brackets."""
        return urlsplit(self.url).hostname or ""


@dataclass(frozen=True)
class Private:
    """What receivers that come through the API may be, besides public. `names`: host names with `*` and `?`."""

    networks: tuple[IPv4Network | IPv6Network, ...]
    names: tuple[str, ...]


def parse_private(text: str) -> Private:
    """Raises ValueError that says which entry is wrong."""
    networks, names = [], []
    for entry in split(text):
        name = entry.lower().removesuffix(".")
        try:
            networks.append(ip_network(name))
        except ValueError:
            if not _GLOB.fullmatch(name) or name.rpartition(".")[2].isdigit():  # a mistyped address is no name
                raise ValueError(f"{entry!r} {_PRIVATE}") from None
            names.append(name)
    return Private(tuple(networks), tuple(names))


def parse_receivers(text: str) -> tuple[Receiver, ...]:
    """Raises ValueError that says which entry is wrong, by its number."""
    return tuple(_receiver(url, number) for number, url in enumerate(dict.fromkeys(split(text)), start=1))


def parse_keys(text: str) -> tuple[bytes, ...]:
    """The keys to sign with; the first is the newest. Raises ValueError that says how to write them."""
    return tuple(_key(secret) for secret in text.split())


def tokens_of(receiver: Receiver) -> list[str]:
    """What must not be seen of the URL: itself, its password, and the parts of it that may be tokens."""
    parts = urlsplit(receiver.url)
    pieces = [*parts.path.split("/"), *(value for _, value in parse_qsl(parts.query))]
    pieces += [parts.path + (f"?{parts.query}" if parts.query else "")]
    passwords = [part for part in (parts.password, unquote(parts.password or "")) if part]
    return [receiver.url, *passwords, *(piece for piece in pieces if len(piece) >= _TOKEN_LENGTH)]


def receiver(url: str) -> Receiver:
    """Raises ValueError, which does not repeat the URL."""
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port is not None else ""
    except ValueError:
        raise ValueError(_URL) from None
    name = parts.hostname or ""
    if (
        parts.scheme not in {"http", "https"}
        or parts.fragment
        or not (_VISIBLE.fullmatch(url) and _HOST.fullmatch(name))
    ):
        raise ValueError(_URL)
    return Receiver(f"{parts.scheme}://{f'[{name}]' if ':' in name else name}{port}", url)


def _receiver(url: str, number: int) -> Receiver:
    try:
        return receiver(url)
    except ValueError as error:
        raise ValueError(f"entry {number} {error} (a comma in it is written %2C)") from None


def _key(secret: str) -> bytes:
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(_SECRET) from None
    if not secret.startswith(PREFIX) or not FEWEST_BYTES <= len(key) <= MOST_BYTES:
        raise ValueError(_SECRET)
    return key
