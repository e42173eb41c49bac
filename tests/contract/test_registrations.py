"""Copies of the registered webhook receivers on every kind of node at hand."""

from __future__ import annotations

import pytest

from tests.contract.conftest import Site
from worker.core.registrations import Registration, Registrations
from worker.couch.database import Database
from worker.ops.own import ensure_own_database
from worker.ops.registrations import ID, read, write

pytestmark = pytest.mark.contract
TIMEOUT = 10.0  # seconds
NAMES = ("a", "b", "c")
ONE = Registration(
    "wh_1", "https://a.test", 1_795_446_000.5, "gAAAAABsealed-_=", ("node.state",), "on \N{SNOWMAN} call"
)
KNOWN = Registrations({"wh_1": ONE}, {"wh_2": 1_795_446_001.0})


@pytest.fixture
def own(site: Site) -> str:
    """A database like our own; the nodes may be somebody's, whose own one is left alone."""
    name = site.name("own")
    for server in site.cluster.servers.values():
        ensure_own_database(server, name)
    return name


def test_a_copy_is_written_over_an_older_one_and_read_again(site: Site, own: str) -> None:
    assert read(site.cluster, NAMES, TIMEOUT, own) == dict.fromkeys(NAMES, Registrations())

    assert write(site.cluster, ("a", "b"), Registrations({"wh_1": ONE}), TIMEOUT, own) == ["a", "b"]
    assert write(site.cluster, ("a",), KNOWN, TIMEOUT, own) == ["a"]

    found = read(site.cluster, NAMES, TIMEOUT, own)
    assert found == {"a": KNOWN, "b": Registrations({"wh_1": ONE}), "c": Registrations()}
    assert [Database(server, own).get(ID) is not None for server in site.cluster.servers.values()] == [
        True,
        True,
        False,
    ]


def test_without_our_own_database_nothing_is_kept_and_none_is_made(site: Site) -> None:
    name = site.name("own")

    assert write(site.cluster, NAMES, KNOWN, TIMEOUT, name) == []
    assert read(site.cluster, NAMES, TIMEOUT, name) == dict.fromkeys(NAMES, Registrations())
    assert Database(site.cluster["a"], name).info() is None
