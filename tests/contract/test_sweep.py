"""One sweep over every kind of nodes at hand."""

from __future__ import annotations

import dataclasses
import uuid

import pytest

from embedded.ports import any_free
from tests import builders
from tests.contract.conftest import Site
from worker.core.disk import Round
from worker.core.health import Failure
from worker.core.model import Credentials
from worker.couch.database import Database
from worker.ops.sweep import sweep

pytestmark = pytest.mark.contract
TIMEOUT = 10.0  # seconds; what counts here is what is seen, not how fast


def test_nodes_that_are_well_are_seen_with_all_they_tell(site: Site) -> None:
    name = site.name()
    Database(site.cluster["b"], name).create()

    seen = sweep(site.cluster, TIMEOUT, slow_ms=60_000)

    for node in seen.values():
        assert (node.look.ok, node.look.failure, node.errors) == (True, None, ())
        assert node.look.version
        assert node.look.uuid
        assert (node.look.uptime is not None) is site.scheduler
        assert node.details.active_tasks is not None
        assert (node.details.load is not None) is site.scheduler
        assert (node.details.replication_jobs is not None) is site.scheduler
        assert (node.details.system_databases_missing is not None) is site.scheduler
    assert name in (seen["b"].databases or [])
    assert name not in (seen["a"].databases or [])


def test_sizes_are_complete_after_a_few_sweeps(scheduled: Site) -> None:
    name = scheduled.name()
    Database(scheduled.cluster["a"], name).create()
    Database(scheduled.cluster["a"], name).bulk([{"_id": f"{n}", "text": "x" * 1_000} for n in range(1_000)])
    calls = len(scheduled.cluster["a"].databases()) // 100 + 1
    carried: dict[str, Round] = {}
    for _ in range(calls):
        seen = sweep(scheduled.cluster, TIMEOUT, ["a"], slow_ms=60_000, carried=carried)["a"]
        assert seen.disk_round is not None
        carried = {"a": seen.disk_round}

    found = seen.details.disk
    assert found is not None
    assert found["file_bytes"] >= found["active_bytes"] > 1_000
    assert name in {one["name"] for one in found["largest"]}


def test_a_node_that_is_away_and_a_wrong_password_are_told(site: Site) -> None:
    # somebody nobody knows: five wrong passwords would lock the real user out
    stranger = Credentials(f"nobody-{uuid.uuid4().hex[:8]}", "wrong-password")
    nodes = [
        dataclasses.replace(site.nodes[0], credentials=stranger),
        dataclasses.replace(site.nodes[1], url=f"http://127.0.0.1:{any_free()}"),
    ]

    seen = sweep(builders.cluster(site.transport, nodes), TIMEOUT)

    assert seen["a"].look.failure is Failure.UNAUTHORIZED
    # the fake knows no other address, and says so with fewer words
    assert seen["b"].look.failure in {Failure.REFUSED, Failure.UNREACHABLE}
    assert "wrong-password" not in str(seen)
