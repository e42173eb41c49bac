"""The stores of the settings: one a process, sealed as BACKUP_KEY says."""

from __future__ import annotations

import threading

import pytest

from tasks.backup_plan import plan_of
from tasks.vaults import Vaults
from tests.fakes.couchdb import FakeCouch
from tests.unit.tasks.world import settings
from worker.blobs.seal import Keys, new_identity
from worker.core.errors import BackupsOff, NotEnoughNodes
from worker.couch.cluster import Cluster

IDENTITY = new_identity()
RECIPIENT = str(Keys.parse(IDENTITY).recipients[0])


def vaults(**more: str) -> Vaults:
    return Vaults(plan_of(settings(**{"backup_url": "memory://", **more})))


def test_without_a_url_there_is_none(cluster: Cluster) -> None:
    with pytest.raises(BackupsOff, match="BACKUP_URL is not set"):
        vaults(backup_url="").main(cluster)


def test_a_store_is_opened_once_a_process(cluster: Cluster) -> None:
    kept = vaults()

    kept.main(cluster).blobs.put("a", b"b")

    assert kept.main(cluster).blobs.get("a") == b"b"


def test_threads_share_it(cluster: Cluster) -> None:
    kept = vaults()
    found: list[object] = []
    threads = [threading.Thread(target=lambda: found.append(kept.main(cluster).blobs)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(found) == 8
    assert len(set(map(id, found))) == 1


def test_a_second_location_is_there_where_one_is_named(cluster: Cluster, tmp_path: object) -> None:
    assert vaults().copy(cluster) is None

    kept = vaults(backup_copy_url=f"file://{tmp_path}/copy")
    second = kept.copy(cluster)

    assert second is not None
    assert second.blobs is not kept.main(cluster).blobs
    assert second.seals is kept.main(cluster).seals


def test_nothing_is_asked_of_the_nodes_where_the_key_reads_everything(couch: FakeCouch, cluster: Cluster) -> None:
    assert vaults().main(cluster).seals.key is None
    sealed = vaults(backup_key=IDENTITY).main(cluster).seals

    assert (sealed.key is not None, sealed.readable) == (True, True)
    assert couch.requests == []


def test_with_recipients_alone_records_can_be_read_and_contents_cannot(couch: FakeCouch, cluster: Cluster) -> None:
    """By another process as well: the system's own key is on the nodes."""
    first, second = vaults(backup_key=RECIPIENT).main(cluster), vaults(backup_key=RECIPIENT).main(cluster)

    first.write_record("backups/record", {"a": 1})
    second.blobs = first.blobs

    assert second.find_record("backups/record", dict) == {"a": 1}
    assert not second.seals.readable


def test_the_own_key_is_asked_for_again_where_no_node_had_an_answer(couch: FakeCouch, cluster: Cluster) -> None:
    kept = vaults(backup_key=RECIPIENT)
    for node in couch.nodes.values():
        node.fail("refused")

    with pytest.raises(NotEnoughNodes, match="the key of the backups' records may be on a node that does not answer"):
        kept.main(cluster)

    for node in couch.nodes.values():
        node.heal()
    assert kept.main(cluster).seals.key is not None
