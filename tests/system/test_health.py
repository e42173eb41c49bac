"""What health says about a node that dies and comes back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.system.couch import Couch
from tests.system.harness import System, wait_until

pytestmark = pytest.mark.system

FAILURES, SUCCESSES = 4, 3


@pytest.fixture
def own(mortals: list[Couch], tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    settings = {"HEALTH_FAILURES": str(FAILURES), "HEALTH_SUCCESSES": str(SUCCESSES)}
    with System(mortals, tmp_path_factory.mktemp("health"), settings) as made:
        made.start("worker", "control", "beat", "api")
        yield made


def test_a_node_that_dies_is_suspect_then_down_and_healthy_again_after_enough_looks(
    own: System, mortals: list[Couch]
) -> None:
    wait_until(lambda: look(own)["status"] == "healthy", "all are healthy")
    before = look(own)
    mortals[1].kill()

    down = follow(own, "replica1", until="down")

    said = look(own)
    assert said["status"] == "degraded"
    assert down[0]["state"] == "healthy"
    suspects = [each for each in down if each["state"] == "suspect"]
    assert len({each["observed_at"] for each in suspects}) == FAILURES - 1, "down after the configured number of looks"
    assert down[-1]["reason"].startswith("unreachable: ")
    assert said["observed_at"] > before["observed_at"]
    assert {node["name"]: node["state"] for node in said["nodes"]} == {
        "primary": "healthy",
        "replica1": "down",
        "replica2": "healthy",
    }
    assert own.api.get("/api/health").json()["status"] == "degraded"

    mortals[1].revive()
    back = follow(own, "replica1", until="healthy")

    returning = {each["observed_at"] for each in back if (each["reason"] or "").startswith("answers again")}
    assert len(returning) == SUCCESSES - 1, "healthy after the configured number of looks"
    assert back[-1]["reason"] is None
    assert back[-1]["since"] > down[-1]["since"]
    assert look(own)["status"] == "healthy"


def look(system: System) -> dict[str, Any]:
    return dict(system.api.get("/api/replication/health").json())


def follow(system: System, name: str, until: str) -> list[dict[str, Any]]:
    """What every sweep said of the node, up to the state."""
    seen: list[dict[str, Any]] = []

    def there() -> bool:
        nodes = system.api.get("/api/nodes").json()["nodes"]
        node = next(node for node in nodes if node["name"] == name)
        if node not in seen:
            seen.append(node)
        return node["state"] == until

    wait_until(there, f"{name} is {until}")
    return seen


def test_with_all_nodes_gone_the_cluster_is_down_and_jobs_are_still_taken(own: System, mortals: list[Couch]) -> None:
    wait_until(lambda: look(own)["status"] == "healthy", "all are healthy")
    for node in mortals:
        node.kill()

    wait_until(lambda: look(own)["status"] == "down", "the cluster is down")

    service = own.api.get("/api/health")
    assert service.status_code == 200
    assert service.json()["status"] == "degraded"
