"""A world that keeps backups: its stores are in memory, and what they fail at is in the test's hands."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from tasks.backup import run_backup
from tasks.backup_plan import BackupPlan
from tasks.events import EventFilter
from tasks.jobs import Job, Kind, State, new_id
from tasks.vaults import Vaults
from tests import builders
from tests.fakes.blobs import FakeBlobs
from tests.unit.tasks.world import World, settings
from worker.blobs.vault import Vault
from worker.core.events import Event
from worker.couch.cluster import Cluster
from worker.couch.database import Database
from worker.ops.backup.catalogue import Catalogue
from worker.ops.control import Control, Unattended

DAY = 86_400.0
HOUR = 3_600.0
BACKUP = {"databases": None, "full": False, "legal_hold": None, "scheduled": False}


class FakeVaults(Vaults):
    """Vaults over fake stores: the "main" one, and the "copy"."""

    def __init__(self, plan: BackupPlan) -> None:
        super().__init__(plan)
        self.stores: dict[str, FakeBlobs] = {}

    def main(self, cluster: Cluster) -> Vault:
        return self._faked("main", super().main(cluster))

    def copy(self, cluster: Cluster) -> Vault | None:
        vault = super().copy(cluster)
        return self._faked("copy", vault) if vault else None

    def _faked(self, place: str, vault: Vault) -> Vault:
        return Vault(self.stores.setdefault(place, FakeBlobs(vault.blobs)), vault.seals)


def backing(**more: Any) -> World:
    """Backups of everything, in memory."""
    world = World(settings(**{"backup_url": "memory://", **more}))
    world.vaults = FakeVaults(world.plan)
    return world


def blobs(world: World, cluster: Cluster, place: str = "main") -> FakeBlobs:
    """The store below."""
    assert isinstance(world.vaults, FakeVaults)
    world.vaults.main(cluster)
    world.vaults.copy(cluster)
    return world.vaults.stores[place]


def objects(world: World, cluster: Cluster, place: str = "main") -> list[str]:
    return sorted(found.name for found in blobs(world, cluster, place).listed(""))


def running(
    kind: Kind, params: Mapping[str, Any], *, database: str | None = None, ago: float = 0, failures: int = 0
) -> Job:
    """A job as a worker is given it. `ago`: seconds since it was asked for."""
    created_at = time.time() - ago
    return Job(new_id(created_at), kind, State.RUNNING, database, dict(params), created_at, failures=failures)


def back_up(
    world: World,
    cluster: Cluster,
    *databases: str,
    ago: float = 0,
    failures: int = 0,
    control: Control | None = None,
    **params: Any,
) -> dict[str, Any]:
    """Of these databases, or of all; returns the job's result."""
    job = running(Kind.BACKUP, {**BACKUP, "databases": list(databases) or None, **params}, ago=ago, failures=failures)
    return run_backup(world.parts, cluster, job, control or Unattended())


def damage(world: World, cluster: Cluster, part: str) -> str:
    """Ruin the newest object whose name has this in it."""
    name = next(name for name in reversed(objects(world, cluster)) if part in name)
    blobs(world, cluster).put(name, b"garbage")
    return name


def in_store(world: World, cluster: Cluster) -> list[str]:
    """The ids of all backups, the newest first."""
    return [found.id for found in Catalogue(world.vaults.main(cluster)).all()]


def fill(cluster: Cluster, database: str, count: int = 3, on: tuple[str, ...] = ("a", "b", "c")) -> dict[str, Database]:
    """The database on these nodes, the same documents on all."""
    found = builders.databases(cluster, database, on)
    for one in found.values():
        one.bulk([{"_id": f"doc-{number}", "n": number} for number in range(count)])
    return found


def told(world: World, kind: str) -> list[Event]:
    """The events of this type, oldest first."""
    found = world.events.list(EventFilter(), after="0-0").events
    return [event for event in found if event.type.value == kind]
