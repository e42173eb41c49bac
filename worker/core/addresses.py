"""Which addresses a webhook may be sent to whose URL somebody gave us through the API. Pure.

Whoever may register a receiver would else have a program inside our network that sends requests wherever he likes: to
nodes, to a cloud's metadata service, to whatever trusts its neighbours (server-side request forgery). So only addresses
of the public internet are called, unless WEBHOOK_ALLOW_PRIVATE names them.

A list of what is public rather than of what is not: what nobody thought of is refused. Addresses that carry an IPv4
address inside are judged by that one, or refused where nobody reaches a server by them (6to4, Teredo). The rules of
Python's `ipaddress` have changed from release to release, so they are only asked in addition to ours.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# https://www.iana.org/assignments/iana-ipv4-special-registry and iana-ipv6-special-registry
_NOT_PUBLIC_4 = tuple(
    IPv4Network(text)
    for text in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",
        "100.64.0.0/10",  # between a provider and his customers
        "127.0.0.0/8",
        "169.254.0.0/16",  # link-local, and the metadata services of clouds
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",  # relays of 6to4
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # never given out, and broadcast
    )
)
_PUBLIC_6 = IPv6Network("2000::/3")  # all that was ever given out
_NOT_PUBLIC_6 = tuple(
    IPv6Network(text)
    for text in (
        "2001::/23",  # Teredo, and other protocols' own
        "2001:db8::/32",
        "2002::/16",  # 6to4
        "3fff::/20",
    )
)
# what is given out inside of networks: RFC 1918, RFC 6598 and RFC 4193
_PRIVATE: tuple[Network, ...] = (
    *(IPv4Network(text) for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10")),
    IPv6Network("fc00::/7"),
)
_NAT64 = IPv6Network("64:ff9b::/96")
# names that mean something only inside a network, or on one machine
_INSIDE = ("local", "internal", "localdomain", "lan", "intranet", "private", "corp", "home", "home.arpa")
_LOCALHOST = ("127.0.0.1", "::1")
_LONGEST_NAME, _LONGEST_LABEL = 253, 63
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")

CAN_BE_ALLOWED = "WEBHOOK_ALLOW_PRIVATE can allow it"


@dataclass(frozen=True)
class Allowed:
    """What may be called although it is not public. `names`: host names with `*` and `?`."""

    networks: tuple[Network, ...] = ()
    names: tuple[str, ...] = ()

    def name(self, host: str) -> bool:
        return any(fnmatchcase(host.lower().rstrip("."), glob) for glob in self.names)

    def address(self, address: Address) -> bool:
        return any(address in network for network in self.networks if network.version == address.version)


NOBODY = Allowed()


def is_public(address: Address) -> bool:
    """Whether it is an address of the public internet, whatever it is written as."""
    address = inner(address)
    if isinstance(address, IPv4Address):
        return address.is_global and not any(address in network for network in _NOT_PUBLIC_4)
    return (
        address.scope_id is None
        and address in _PUBLIC_6
        and address.is_global
        and not any(address in network for network in _NOT_PUBLIC_6)
    )


def inner(address: Address) -> Address:
    """The IPv4 address that a packet to this one ends at: of IPv4-mapped addresses and those of NAT64."""
    if isinstance(address, IPv6Address) and address.scope_id is None:
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address in _NAT64:
            return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address


def may_be_called(text: str, allowed: Allowed, *, named: bool = False) -> bool:
    """Of an address as a look-up answers it. What is none is refused. `named`: of a host whose name is allowed. It may
    stand for an address of a private network, but this machine, its neighbours on the wire and the metadata services
    of clouds are meant by nobody who allows `*.corp`: those only a network in WEBHOOK_ALLOW_PRIVATE allows.
    """
    try:
        address = ip_address(text)
    except ValueError:
        return False
    inside = inner(address)
    return (
        is_public(address)
        or any(allowed.address(one) for one in (address, inside))
        or (named and any(inside in network for network in _PRIVATE if network.version == inside.version))
    )


def host_refusal(host: str, allowed: Allowed) -> str | None:
    """Why this host can be none of a receiver, in words, as far as that can be told without a look-up; else None.

    `host`: as `urlsplit` gives it, in lower case and without brackets. What a name stands for is looked at when
    something is sent there.
    """
    name = host.removesuffix(".")
    if ":" in name or _NUMBER.fullmatch(name.rpartition(".")[2]):
        return _literal_refusal(name, allowed)
    if len(name) > _LONGEST_NAME or not all(0 < len(label) <= _LONGEST_LABEL for label in name.split(".")):
        return "is no host name"
    if allowed.name(name):
        return None
    if name == "localhost" or name.endswith(".localhost"):
        fine = any(may_be_called(address, allowed) for address in _LOCALHOST)
        return None if fine else f"is this machine itself; {CAN_BE_ALLOWED}"
    inside = "." not in name or any(name == last or name.endswith(f".{last}") for last in _INSIDE)
    # with a network allowed, it may well stand for an address in there
    return f"is a name of a private network; {CAN_BE_ALLOWED}" if inside and not allowed.networks else None


def _literal_refusal(text: str, allowed: Allowed) -> str | None:
    try:
        ip_address(text)
    except ValueError:
        # 2130706433, 0x7f.1 and 127.1 are 127.0.0.1 to many resolvers, and 0177.0.0.1 is not what it seems
        return "must be written as four decimal numbers, or as an IPv6 address in brackets, if it is an address"
    return None if may_be_called(text, allowed) else f"is not a public address; {CAN_BE_ALLOWED}"
