from __future__ import annotations

import pytest

from tests import builders
from tests.fakes.couchdb import FakeCouch
from tests.unit.tasks.world import PASSWORD, World
from worker.couch.cluster import Cluster


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def couch(world: World) -> FakeCouch:
    couch = FakeCouch("a", "b", "c")
    for node in couch.nodes.values():
        node.password = PASSWORD
    return couch


@pytest.fixture
def cluster(world: World, couch: FakeCouch) -> Cluster:
    nodes = Cluster.from_settings(world.settings, couch).servers.values()
    return builders.cluster(couch, [server.node for server in nodes])


@pytest.fixture
def standins(couch: FakeCouch, cluster: Cluster) -> Cluster:
    """The same nodes, as stand-ins."""
    for node in couch.nodes.values():
        node.standin = True
    return cluster
