"""The backup stores of the settings, opened once a process."""

from __future__ import annotations

import threading

from config.settings import SettingsError
from tasks.backup_plan import BackupPlan
from worker.blobs.seal import Seals, new_identity, seals
from worker.blobs.store import Store
from worker.blobs.vault import Vault
from worker.core.errors import BackupsOff
from worker.couch.cluster import Cluster
from worker.ops.backup.own_key import own_key


class Vaults:
    """Safe to share between threads. Raises BackupsOff where BACKUP_URL is not set."""

    def __init__(self, plan: BackupPlan) -> None:
        self._plan = plan
        self._lock = threading.Lock()
        self._seals: Seals | None = None
        self._stores: dict[str, Store] = {}

    def main(self, cluster: Cluster) -> Vault:
        if not self._plan.on:
            raise BackupsOff("BACKUP_URL is not set: it says where backups are kept, like file:///var/backups")
        return Vault(self._store(self._plan.url, self._plan.options, "BACKUP_OPTIONS"), self._sealed(cluster))

    def copy(self, cluster: Cluster) -> Vault | None:
        """The second location; None where there is none."""
        if not self._plan.copy_url:
            return None
        store = self._store(self._plan.copy_url, self._plan.copy_options, "BACKUP_COPY_OPTIONS")
        return Vault(store, self._sealed(cluster))

    def _store(self, url: str, options: dict[str, str], variable: str) -> Store:
        with self._lock:
            if url not in self._stores:
                try:
                    self._stores[url] = Store.open(url, options)
                except ValueError as error:
                    raise SettingsError(f"{variable}: {error}") from None
            return self._stores[url]

    def _sealed(self, cluster: Cluster) -> Seals:
        """Asks the nodes for our own key only where BACKUP_KEY has none that could read records."""
        with self._lock:
            if self._seals is None:
                keys = self._plan.keys
                own = own_key(cluster, new_identity) if keys is not None and not keys.identities else None
                self._seals = seals(keys, own)
            return self._seals
