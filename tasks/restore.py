"""The body of the restore job, in its three modes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from tasks.away import away
from tasks.backup_care import scratch_tag
from tasks.health import sweep_now
from tasks.jobs import Job
from tasks.policy import gives_up
from tasks.reconcile import wanted_of
from tasks.redis import StoreUnavailable
from tasks.route import route_for
from tasks.verify import settled_of
from tasks.wiring import Parts
from worker.blobs.vault import Vault
from worker.core.errors import BackupUnknown, DatabaseExists, NotEnoughNodes, NotFound, OneNodeOnly, ReplicationError
from worker.core.manifest import Entry, Manifest
from worker.core.names import nearest
from worker.couch.cluster import Cluster
from worker.couch.database import Database
from worker.ops.backup.catalogue import Catalogue
from worker.ops.control import Control, Quiet
from worker.ops.look import LOOK_TIMEOUT
from worker.ops.parallel import each
from worker.ops.restore.chain import Chain
from worker.ops.restore.database import is_begun, restore_new
from worker.ops.restore.everything import finished, restore_all
from worker.ops.restore.mark import is_untouched
from worker.ops.restore.result import Restored
from worker.ops.restore.rollback import roll_back
from worker.ops.restore.select import matching
from worker.ops.setup import setup
from worker.ops.sync import sync
from worker.ops.verify import verify

NEW, CLUSTER, ROLLBACK = "new", "cluster", "rollback"


def run_restore(parts: Parts, cluster: Cluster, job: Job, control: Control) -> dict[str, Any]:
    mode = str(job.params["mode"])
    run = {NEW: _new, CLUSTER: _cluster, ROLLBACK: _rollback}[mode]
    control.report("look")
    try:
        vault = parts.vaults.main(cluster)
        manifest = Catalogue(vault).find(str(job.params["backup"]))
        result = {"mode": mode, **run(parts, cluster, job, control, vault, manifest)}
    except ReplicationError as error:
        if not job.params["dry_run"] and gives_up(error, job, parts.settings.job_max_attempts):
            _failed(parts, job, error)
        raise
    if not job.params["dry_run"]:
        _finished(parts, cluster, job, manifest, result)
    return result


# --- new: into a database that does not exist


def _new(
    parts: Parts, cluster: Cluster, job: Job, control: Control, vault: Vault, manifest: Manifest
) -> dict[str, Any]:
    entry = entry_of(manifest, str(job.database))
    into = str(job.params["as"] or entry.database)
    node = _node(parts, cluster, job)
    chain = Chain.of(vault, entry)
    only = _only(job, chain, cluster, node, control)
    target = Database(cluster[node], into)
    # one that was begun has been given to the other nodes by now
    begun = is_begun(chain.newest, target, only) or (job.attempts > 1 and is_untouched(target))
    silent = [] if begun else _require_nowhere(cluster, into, node)
    replicated = []

    def finish(_: Restored) -> None:
        replicated.append(_replicate(parts, cluster, into, control))

    restored = restore_new(vault, chain, target, control, only=only, retried=job.attempts > 1, finish=finish)
    told = restored.as_json()
    told["not_found"] = _not_found(job, target)
    told["replicated"] = replicated == [True]
    told["not_asked"] = silent
    return told


def _require_nowhere(cluster: Cluster, into: str, node: str) -> list[str]:
    """A database that another node has would be mixed with the restored one by replication. Returns the nodes that
    could not be asked."""
    others = [name for name in cluster.names if name != node]
    looks = each(others, lambda name: Database(cluster[name], into).info(tries=1, read_timeout=LOOK_TIMEOUT))
    there = [name for name, outcome in looks.items() if outcome.value is not None]
    if there and into != "_users":
        raise DatabaseExists(
            f"{', '.join(there)} has a database {into}: replication would mix it with the restored one. Name another "
            "with `as`, or use mode rollback to bring it back to an earlier state",
            node=there[0],
            database=into,
        )
    return [name for name, outcome in looks.items() if outcome.error is not None]


def _replicate(parts: Parts, cluster: Cluster, database: str, control: Control) -> bool:
    """Onto the other nodes, where the settings say that it is replicated. By a set-up, because a database that somebody
    deleted is made again by nothing else."""
    if not (parts.settings.continuous_replication and parts.rules.selected(database)):
        return False
    try:
        setup(cluster, wanted_of(parts, databases=[database], asked=True), Quiet(control))
    except (NotEnoughNodes, OneNodeOnly):
        return False
    return True


# --- cluster: everything onto empty nodes


def _cluster(
    parts: Parts, cluster: Cluster, job: Job, control: Control, vault: Vault, manifest: Manifest
) -> dict[str, Any]:
    node = _node(parts, cluster, job)
    restored = restore_all(cluster, vault, manifest, node, control, retried=job.attempts > 1)
    told: dict[str, Any] = {
        "backup": manifest.id,
        "node": node,
        "databases": len(manifest.entries),
        "restored": [one.as_json() for one in restored],
        "refused": {"count": sum(one.refused.count for one in restored)},
        "not_in_it": [failed.database for failed in manifest.failed],
        "not_replicated": [],
        "verified": None,
    }
    if len(cluster.names) > 1:
        names = [entry.database for entry in manifest.entries]
        told["not_replicated"] = alone = [name for name in names if not parts.rules.selected(name)]
        carried = [name for name in names if not name.startswith("_") and name not in alone]
        told["verified"] = _carry_and_verify(parts, cluster, carried, control)
    finished(cluster, node)
    return told


def _carry_and_verify(parts: Parts, cluster: Cluster, names: Sequence[str], control: Control) -> dict[str, Any]:
    """Databases on all nodes, links, content; and what a comparison says of them."""
    if parts.settings.continuous_replication:
        control.report("set up")
        setup(cluster, wanted_of(parts, asked=True), Quiet(control))
    equal, differing = 0, []
    for done, name in enumerate(names):
        control.check()
        control.report("sync and verify", done, len(names), "databases")
        route = route_for(parts, cluster, name)
        sync(cluster, name, Quiet(control), route=route, away=away(parts, cluster))
        compared = verify(cluster, name, Quiet(control), route=route, settled=settled_of(parts, cluster, name))
        equal += compared.equal is True
        if compared.equal is not True:
            differing.append(name)
    return {"equal": equal, "differing": differing}


# --- rollback: in place, in a mesh that goes on replicating


def _rollback(
    parts: Parts, cluster: Cluster, job: Job, control: Control, vault: Vault, manifest: Manifest
) -> dict[str, Any]:
    entry = entry_of(manifest, str(job.database))
    database = str(job.params["as"] or entry.database)
    node = _node(parts, cluster, job)
    chain = Chain.of(vault, entry)
    only = _only(job, chain, cluster, node, control)
    dry_run = bool(job.params["dry_run"])
    before = None if dry_run else _sync(parts, cluster, database, control)
    done = roll_back(
        vault,
        chain,
        Database(cluster[node], database),
        control,
        only=only,
        delete_newer=job.params["made_since"] == "delete",
        dry_run=dry_run,
    )
    told = done.as_json()
    after = None if dry_run else _sync(parts, cluster, database, control)
    skipped = {**(before or {}), **(after or {})}
    # what a node that is away has written, nobody knows: it may come on top when it is back
    told["not_reached"] = [{"node": name, "reason": why} for name, why in sorted(skipped.items())]
    return told


def _sync(parts: Parts, cluster: Cluster, database: str, control: Control) -> dict[str, str]:
    """Brings every node's newest revisions together before, and carries the old content everywhere afterwards. Returns
    node -> why it took no part."""
    if len(cluster.names) < 2:
        return {}
    try:
        route = route_for(parts, cluster, database)
        gone = away(parts, cluster)
        return dict(sync(cluster, database, Quiet(control), create_missing=False, route=route, away=gone).skipped)
    except NotEnoughNodes as error:
        return {"others": error.detail}


# --- what they share


def entry_of(manifest: Manifest, database: str) -> Entry:
    """Raises BackupUnknown, with the nearest names."""
    entry = manifest.entry(database)
    if entry is None:
        names = [one.database for one in manifest.entries]
        close = nearest(database, names)
        hint = f"; did you mean {', '.join(close)}?" if close else f"; it has {', '.join(names[:10])}"
        raise BackupUnknown(f"backup {manifest.id} has no database {database!r}{hint}", database=database)
    return entry


def _node(parts: Parts, cluster: Cluster, job: Job) -> str:
    node = job.params["node"] or parts.seen.primary() or cluster.names[0]
    if node not in cluster.names:
        raise NotFound(f"{node} is not one of the configured nodes: {', '.join(cluster.names)}", node=node)
    return str(node)


def _only(job: Job, chain: Chain, cluster: Cluster, node: str, control: Control) -> frozenset[str] | None:
    """The ids that were asked for, and those that match the selector; None for all."""
    ids, selector = job.params["ids"], job.params["selector"]
    if selector is not None:
        found = matching(chain, selector, cluster[node], scratch_tag(job), control)
        return frozenset(found) | frozenset(ids or ())
    return None if ids is None else frozenset(ids)


def _not_found(job: Job, target: Database) -> int | None:
    """How many of the ids that were asked for the backup does not have."""
    ids = job.params["ids"]
    if ids is None or job.params["selector"] is not None:
        return None
    return len(set(ids) - target.leaves_of(ids).keys())


def _finished(parts: Parts, cluster: Cluster, job: Job, manifest: Manifest, result: dict[str, Any]) -> None:
    refused = int(result["refused"]["count"])
    what = job.database or "all databases"
    with suppress(StoreUnavailable):
        parts.events.record(
            "restore.finished",
            at=time.time(),
            severity="warning" if refused else "info",
            database=job.database,
            detail=f"{what} of backup {manifest.id} restored ({job.params['mode']})"
            + (f"; {refused} documents were refused" if refused else ""),
            backup=manifest.id,
            job=job.id,
            mode=job.params["mode"],
            refused=refused,
        )
        sweep_now(parts, cluster)


def _failed(parts: Parts, job: Job, error: ReplicationError) -> None:
    with suppress(StoreUnavailable):
        parts.events.record(
            "restore.failed",
            at=time.time(),
            severity="error",
            database=job.database,
            node=error.node,
            detail=f"restore from backup {job.params['backup']} ({job.params['mode']}) failed: {error.detail}",
            backup=job.params["backup"],
            job=job.id,
            mode=job.params["mode"],
            error=error.slug,
        )
