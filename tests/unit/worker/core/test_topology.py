from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.core.topology import Topology, connected, links

NODES = ["a", "b", "c", "d"]


def pairs(topology: Topology, count: int, *, bidirectional: bool = True) -> list[str]:
    found = links("pdfs", NODES[:count], topology, bidirectional=bidirectional)
    assert {link.database for link in found} == {"pdfs"}
    return [f"{link.source}{link.target}" for link in found]


@pytest.mark.parametrize(
    ("topology", "count", "bidirectional", "wanted"),
    [
        (Topology.MESH, 2, True, "ab ba"),
        (Topology.MESH, 3, True, "ab ac ba bc ca cb"),
        (Topology.MESH, 3, False, "ab ac"),
        (Topology.STAR, 3, True, "ab ac ba ca"),
        (Topology.STAR, 3, False, "ab ac"),
        (Topology.RING, 3, False, "ca ab bc"),
        (Topology.RING, 3, True, "ca ab bc ac ba cb"),
        (Topology.RING, 2, True, "ab ba"),
        (Topology.RING, 2, False, "ab"),
    ],
)
def test_who_pulls_from_whom(topology: Topology, count: int, bidirectional: bool, wanted: str) -> None:
    assert pairs(topology, count, bidirectional=bidirectional) == wanted.split()


@given(st.sampled_from(Topology), st.integers(2, 4))
def test_every_write_reaches_every_node_over_links_both_ways(topology: Topology, count: int) -> None:
    found = pairs(topology, count)
    assert len(found) == len(set(found))
    for start in NODES[:count]:
        reached = {start}
        while more := {pair[1] for pair in found if pair[0] in reached} - reached:
            reached |= more
        assert reached == set(NODES[:count])


@pytest.mark.parametrize(
    ("topology", "down", "wanted"),
    [
        (Topology.MESH, "", True),
        (Topology.MESH, "ac", True),
        (Topology.STAR, "", True),
        (Topology.STAR, "c", True),
        (Topology.STAR, "a", False),
        (Topology.STAR, "abc", True),  # one is left: nobody to be connected with
        (Topology.RING, "b", True),
        (Topology.RING, "bc", True),
        (Topology.RING, "bd", False),
        (Topology.MESH, "abcd", True),
    ],
)
def test_whether_links_still_connect_who_is_left(topology: Topology, down: str, wanted: bool) -> None:
    assert connected(tuple("abcd"), topology, down) is wanted
