"""How each database stands, put together from what the workers saw last. Pure but for reading what they left.

Two kinds of rows: CouchDB's continuous links, as the last look at them left them, and databases that travel on change,
which have no links: for them a row says what the last periodic pass found between two nodes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from api.schemas import LinkBody
from config.settings import Settings
from tasks.lags import node_lags, on_change
from tasks.observations import Observations
from tasks.replication_seen import ReplicationSeen
from tasks.rules import route_of, rules_of
from tasks.travels import travelling
from worker.core.model import Link
from worker.core.rules import Mode
from worker.core.standing import DatabaseStanding, standing
from worker.core.topology import Topology, links

Known = Mapping[str, Any]
Travel = tuple[str, DatabaseStanding]  # the mode in which a database's changes travel, and how it stands


class Status:
    """Of one moment: what does not depend on a database is read once."""

    def __init__(self, settings: Settings, seen: Observations, replication: ReplicationSeen) -> None:
        self._settings = settings
        self._seen = seen
        self._replication = replication
        self._rules = rules_of(settings)
        reconcile = replication.reconcile()
        self._reconcile: Known = reconcile or {}
        self._narrowed = frozenset(self._reconcile.get("narrowed", []))
        self._on_change = travelling(settings, self._rules, reconcile) or _none
        self._pass: Known = seen.last_pass() or {}
        self._failures = replication.on_change_failures()

    def databases(self) -> list[str]:
        """All that have rows, by name."""
        changing = (name for name in self._seen.database_names() if self._on_change(name))
        return sorted({*self._replication.linked_databases(), *changing})

    def rows(self, databases: list[str]) -> list[LinkBody]:
        linked = self._replication.links_of(databases)
        # one that the last pass has not seen yet is not in step because the pass does not call it changed
        synced = self._seen.synced_of(databases)
        found = []
        for name in databases:
            if name in linked:
                found += [LinkBody.model_validate({**link, "mode": Mode.CONTINUOUS.value}) for link in linked[name]]
            elif self._on_change(name):
                found += self._on_change_rows(name, synced.get(name))
        return found

    def standings(self, nodes: Mapping[str, list[str]], *, whole: bool) -> dict[str, Travel]:
        """Of these databases, as far as it is known. `nodes`: database -> the nodes that have it. `whole`: these are
        all there are."""
        names = list(nodes)
        linked = self._replication.link_standings(None if whole else names)
        synced = self._seen.synced_names() if whole else self._seen.synced_of(names)
        changed = self._pass.get("changed", {})
        alike: dict[tuple[Any, ...], DatabaseStanding] = {}
        found: dict[str, Travel] = {}
        for name in names:
            if name in linked:
                found[name] = Mode.CONTINUOUS.value, linked[name]
            elif self._on_change(name):
                # nearly all have not changed since the last pass: of those, as many as have the same nodes stand alike
                like: tuple[Any, ...] = tuple(nodes[name]), name in synced, name in self._failures
                if name in changed:
                    like = (name,)
                if like not in alike:
                    pairs = self._pairs(name, nodes[name], known=name in synced)
                    alike[like] = standing((state, lag) for _, state, lag in pairs)
                found[name] = Mode.ON_CHANGE.value, alike[like]
            elif not (self._settings.continuous_replication and self._rules.selected(name)):
                found[name] = Mode.OFF.value, standing(())
        return found

    def lag(self) -> dict[str, int | None]:
        """Node -> changes of other nodes that it has not confirmed; None where that of a database is not known."""
        names = [node.name for node in self._settings.nodes]
        passes = on_change(self._reconcile)
        return node_lags(names, self._replication.links_summary(), self._pass or None, passes=passes)

    def _on_change_rows(self, database: str, synced: Known | None) -> list[LinkBody]:
        failure = self._failures.get(database, {})
        return [
            LinkBody(
                database=database,
                source=pair.source,
                target=pair.target,
                mode=Mode.ON_CHANGE.value,
                state=state,
                lag=lag,
                last_moved_at=(synced or {}).get("moved_at"),
                last_error=failure.get("detail"),
                error_kind=failure.get("type"),
                observed_at=self._pass.get("observed_at"),
            )
            for pair, state, lag in self._pairs(database, self._seen.database_nodes(database), known=synced is not None)
        ]

    def _pairs(self, database: str, nodes: list[str], *, known: bool) -> Iterator[tuple[Link, str, int | None]]:
        """State and lag of each way between two nodes. `known`: it was in step once."""
        # those that the last pass did not see are to have it too: nobody can tell what of it they have
        nodes = [*nodes, *(name for name in self._pass.get("unseen", []) if name not in nodes)]
        if len(nodes) < 2:
            return
        route = route_of(self._rules, database, self._narrowed, len(self._settings.nodes))
        for pair in links(database, nodes, Topology.MESH, bidirectional=route.gathers):
            state = self._state(database, pair.source, pair.target, known=known)
            yield pair, state, self._lag_of(database, pair.source, state)

    def _state(self, database: str, source: str, target: str, *, known: bool) -> str:
        if not self._pass or {source, target} & set(self._pass["unseen"]):
            return "unknown"
        if database in self._failures:
            return "failing"
        if database in self._pass["changed"]:
            return "behind"
        return "in-step" if known else "unknown"

    def _lag_of(self, database: str, source: str, state: str) -> int | None:
        if state == "behind":
            return self._pass["lag"].get(database, {}).get(source)  # type: ignore[no-any-return]
        return 0 if state == "in-step" else None


def _none(database: str) -> bool:
    return False
