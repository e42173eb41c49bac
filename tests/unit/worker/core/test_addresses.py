"""What a receiver that somebody else names may be: nothing off the public internet, however it is written."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.core.addresses import NOBODY, Address, Allowed, host_refusal, inner, is_public, may_be_called

PRIVATE_4 = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
]
PRIVATE_6 = [
    "::/128",
    "::1/128",
    "::/96",
    "::ffff:0:0:0/96",
    "100::/64",
    "2001::/32",
    "2001:db8::/32",
    "2002::/16",
    "3fff::/20",
    "5f00::/16",
    "64:ff9b:1::/48",
    "fc00::/7",
    "fe80::/10",
    "fec0::/10",
    "ff00::/8",
]
PUBLIC = ["8.8.8.8", "1.1.1.1", "172.15.255.255", "172.32.0.1", "100.63.0.1", "2606:4700:4700::1111", "2a00:1450::1"]
HOUSE = Allowed((IPv4Network("10.0.0.0/8"), IPv6Network("fd00::/8")), ("hooks.internal", "*.lan"))


def within(network: str) -> st.SearchStrategy[Address]:
    known = ip_network(network)
    kind = IPv4Address if known.version == 4 else IPv6Address
    return st.integers(int(known[0]), int(known[-1])).map(kind)


private_4 = st.sampled_from(PRIVATE_4).flatmap(within)
private_6 = st.sampled_from(PRIVATE_6).flatmap(within)
any_4 = st.integers(0, 2**32 - 1).map(IPv4Address)
any_6 = st.integers(0, 2**128 - 1).map(IPv6Address)
global_6 = st.integers(int(IPv6Network("2000::/3")[0]), int(IPv6Network("2000::/3")[-1])).map(IPv6Address)


def embedded(address: IPv4Address) -> dict[str, IPv6Address]:
    """Every way to write an IPv4 address as, or into, one of IPv6."""
    number = int(address)
    return {
        "mapped": IPv6Address((0xFFFF << 32) | number),
        "compatible": IPv6Address(number),
        "translated": IPv6Address((0xFFFF << 48) | number),
        "nat64": IPv6Address((0x64FF9B << 96) | number),
        "local nat64": IPv6Address((0x64FF9B0001 << 80) | number),
        "6to4": IPv6Address((0x2002 << 112) | (number << 80) | 1),
        "teredo server": IPv6Address((0x20010000 << 96) | (number << 64)),
        "teredo client": IPv6Address((0x20010000 << 96) | (number ^ 0xFFFF_FFFF)),
    }


@pytest.mark.parametrize("text", PUBLIC)
def test_public_addresses_may_be_called(text: str) -> None:
    assert may_be_called(text, NOBODY)
    assert host_refusal(text, NOBODY) is None


@pytest.mark.parametrize("text", ["", "name", "127.0.0.1.", "fe80::1%eth0", "2606:4700::1%1", "1.2.3", "1.2.3.04"])
def test_what_is_no_plain_address_may_not(text: str) -> None:
    assert not may_be_called(text, NOBODY)


@given(st.one_of(private_4, private_6))
def test_nothing_inside_is_public(address: Address) -> None:
    assert not is_public(address)
    assert not may_be_called(str(address), NOBODY)
    assert host_refusal(str(address), NOBODY) is not None


@given(private_4)
def test_nothing_inside_is_public_for_being_put_into_an_ipv6_address(address: IPv4Address) -> None:
    assert [how for how, found in embedded(address).items() if is_public(found)] == []


@given(any_4)
def test_where_a_packet_ends_is_what_counts(address: IPv4Address) -> None:
    ways = embedded(address)
    assert {is_public(ways[how]) for how in ("mapped", "nat64")} == {is_public(address)}
    assert inner(ways["mapped"]) == inner(ways["nat64"]) == address
    assert not any(is_public(found) for how, found in ways.items() if how not in {"mapped", "nat64"})


@given(st.one_of(any_4, any_6, global_6))
def test_what_is_public_is_so_for_python_too(address: Address) -> None:
    found = inner(address)
    if is_public(address):
        assert found.is_global
        bad = ("private", "loopback", "link_local", "multicast", "reserved", "unspecified")
        assert [what for what in bad if getattr(found, f"is_{what}")] == []


@pytest.mark.parametrize("text", ["10.1.2.3", "::ffff:10.1.2.3", "64:ff9b::a01:203", "fd12::1"])
def test_what_is_allowed_may_be_called_however_it_is_written(text: str) -> None:
    assert may_be_called(text, HOUSE)
    assert not may_be_called(text, NOBODY)
    assert host_refusal(text, HOUSE) is None


@pytest.mark.parametrize("text", ["192.168.0.1", "127.0.0.1", "fe80::1", "::1"])
def test_and_nothing_else_is_for_that(text: str) -> None:
    assert not may_be_called(text, HOUSE)


@pytest.mark.parametrize(
    "host",
    [
        "2130706433",
        "0x7f.1",
        "0x7f000001",
        "127.1",
        "0177.0.0.1",
        "127.0.0.01",
        "017700000001",
        "127.0.0.1.",
        "0",
        "0x",
        "256.1.1.1",
        "1.2.3.4.5",
        "hook.test.1",
        "fe80::1%25eth0",
        "localhost",
        "localhost.",
        "db.localhost",
        "couchdb",
        "metadata.google.internal",
        "printer.local",
        "nas.lan.",
        "router.home.arpa",
        "hook..test",
        "hook.test..",
        f"{'a' * 64}.test",
        f"{'a.' * 127}test",
    ],
)
def test_hosts_that_need_no_look_up_to_be_refused(host: str) -> None:
    assert host_refusal(host, NOBODY) is not None


@pytest.mark.parametrize("host", ["hook.test", "hook.test.", "xn--cht-rna.test", "1.hook.test", "0x7f.hook.test"])
def test_hosts_that_may_be_public(host: str) -> None:
    assert host_refusal(host, NOBODY) is None


@pytest.mark.parametrize("host", ["hooks.internal", "hooks.internal.", "a.b.lan", "other.internal", "couchdb"])
def test_names_that_are_allowed_or_may_be_in_an_allowed_network(host: str) -> None:
    assert host_refusal(host, HOUSE) is None


def test_this_machine_is_allowed_by_its_addresses() -> None:
    assert "WEBHOOK_ALLOW_PRIVATE" in str(host_refusal("localhost", HOUSE))
    assert host_refusal("localhost", Allowed((IPv4Network("127.0.0.0/8"),))) is None
    assert host_refusal("localhost", Allowed((), ("localhost",))) is None


def test_an_odd_spelling_is_refused_whatever_is_allowed() -> None:
    assert "decimal" in str(host_refusal("127.1", Allowed((IPv4Network("0.0.0.0/0"),), ("*",))))


def test_a_name_is_allowed_as_a_whole() -> None:
    assert HOUSE.name("NAS.lan")
    assert not HOUSE.name("lan.test")
    assert not HOUSE.name("xhooks.internal")
