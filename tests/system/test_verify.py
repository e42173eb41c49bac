"""Verify, from the POST to one planted document that is found and repaired."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.system.conftest import Fresh
from tests.system.couch import Couch
from tests.system.harness import Api

pytestmark = pytest.mark.system

DOCUMENTS = 10_000
A_PART = 2_500  # in one request


def fill(database: str, nodes: list[Couch]) -> None:
    """The same revisions on all nodes, written to each: what is verified is not what replication did."""

    def write(node: Couch) -> None:
        for start in range(0, DOCUMENTS, A_PART):
            numbers = range(start, start + A_PART)
            node.force(database, *({"_id": f"doc-{number:06}", "_rev": f"1-{number:032x}"} for number in numbers))

    with ThreadPoolExecutor(len(nodes)) as pool:
        list(pool.map(write, nodes))


def verified(api: Api, **body: Any) -> dict[str, Any]:
    answer = api.verify(wait=True, **body)
    assert answer.status_code == 200, answer.text
    job = answer.json()
    assert job["state"] == "succeeded", job
    return dict(job["result"])


def test_one_planted_difference_among_many_documents_is_found_and_repaired(
    api: Api, nodes: list[Couch], fresh: Fresh
) -> None:
    database = fresh(on=nodes)
    fill(database, nodes)
    revision = f"2-{7:032x}"
    ids = [f"{7:032x}", f"{4_321:032x}"]
    nodes[1].force(
        database, {"_id": "doc-004321", "_rev": revision, "_revisions": {"start": 2, "ids": ids}, "planted": True}
    )
    began = time.monotonic()

    found = verified(api, database=database)

    assert (found["equal"], found["complete"], found["unconfirmed"]) == (False, True, 0)
    assert found["documents"] == {node.name: DOCUMENTS for node in nodes}
    older = [f"1-{4_321:032x}"]
    has = {nodes[0].name: older, nodes[1].name: [revision], nodes[2].name: older}
    assert found["differing"] == {"count": 1, "ids": [{"id": "doc-004321", "nodes": has}], "truncated": False}
    assert found["repaired"] is None

    repaired = verified(api, database=database, repair=True)

    assert (repaired["equal"], repaired["differing"]["count"]) == (True, 0)
    assert repaired["repaired"] == {"count": 1, "ids": ["doc-004321"], "truncated": False}
    assert verified(api, database=database)["equal"] is True
    assert time.monotonic() - began < 60, "seconds, on whatever machine"
    assert nodes[0].leaves(database) == nodes[1].leaves(database) == nodes[2].leaves(database)


def test_only_the_nodes_that_are_named_are_compared(api: Api, nodes: list[Couch], fresh: Fresh) -> None:
    database = fresh(on=nodes)
    nodes[2].put(database, {"_id": "only-here"})
    names = [node.name for node in nodes]

    assert verified(api, database=database, nodes=names[:2])["equal"] is True
    assert verified(api, database=database, nodes=names[1:])["equal"] is False
    refused = api.verify(database=database, nodes=[names[0], "nobody"])
    assert refused.status_code == 422
    assert names[2] in refused.json()["detail"]


def test_a_node_that_is_away_is_named_and_the_others_are_compared(api: Api, nodes: list[Couch], fresh: Fresh) -> None:
    database = fresh(on=nodes[:2])
    nodes[0].put(database, {"_id": "one"})

    result = verified(api, database=database)

    assert (result["equal"], result["complete"]) == (False, False)
    assert [row["node"] for row in result["skipped"]] == [nodes[2].name]
    assert result["nodes"] == [nodes[0].name, nodes[1].name]
