from __future__ import annotations

import pytest

from config.settings import build
from tests import builders
from tests.builders import fake_cluster
from tests.fakes.couchdb import FakeCouch
from worker.core.errors import MixedNodeKinds, SameNodeTwice
from worker.core.model import Credentials
from worker.couch.cluster import Cluster

PASSWORD = "hunter2-secret"


def test_nodes_are_those_of_the_settings_the_primary_first() -> None:
    settings = build(
        {
            "couchdb_url": "http://127.0.0.1:5984",
            "couchdb_user": "admin",
            "couchdb_password": PASSWORD,
            "replication_nodes": "west=http://127.0.0.1:5985|http://couch-west:5984,http://own:other@127.0.0.1:5986",
            "replication_user": "peer",
            "replication_password": "peer-secret",
        }
    )

    cluster = Cluster.from_settings(settings, FakeCouch())

    assert cluster.names == ["primary", "west", "replica2"]
    assert cluster["west"].node.peer_url == "http://couch-west:5984"
    assert cluster["primary"].node.credentials == Credentials("admin", PASSWORD)
    assert cluster["replica2"].node.credentials == Credentials("own", "other")
    assert {cluster[name].node.peer_credentials for name in cluster.names} == {Credentials("peer", "peer-secret")}
    assert PASSWORD not in repr(cluster["primary"])


def test_without_a_user_for_peers_they_use_ours() -> None:
    settings = build({"couchdb_url": "http://admin:hunter2-secret@127.0.0.1:5984"})

    node = Cluster.from_settings(settings, FakeCouch())["primary"].node

    assert node.peer_credentials == node.credentials == Credentials("admin", PASSWORD)
    assert PASSWORD not in node.url


def test_mixed_kinds_are_refused_and_told_apart() -> None:
    couch, _ = fake_cluster("a", "b")
    couch["b"].standin = True
    cluster = builders.cluster(couch, [builders.node("a"), builders.node("b")])

    cluster.refuse_unfit(["a"])
    with pytest.raises(MixedNodeKinds) as error:
        cluster.refuse_unfit(["a", "b"])
    assert "a is couchdb" in error.value.detail
    assert "b is stand-in" in error.value.detail


def test_one_server_under_two_names_is_refused() -> None:
    couch, _ = fake_cluster("a", "b")
    cluster = builders.cluster(couch, [builders.node("a"), builders.node("b", couch["a"].url)])

    with pytest.raises(SameNodeTwice) as error:
        cluster.refuse_unfit(["a", "b"])
    assert "a and b are the same server" in error.value.detail
