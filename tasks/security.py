"""Watch for `_security` that differs between nodes. CouchDB neither replicates it nor tells of it in bulk.

So a few databases are looked at each time, and all in turn: a drift is found late rather than at the price of one
request a database and node every half minute. It is told, never mended: one of the two was meant.
"""

from __future__ import annotations

import time

from config.logs import get
from tasks.wiring import Parts
from worker.core.errors import LockedOut, ReplicationError, Unauthorized
from worker.couch.cluster import Cluster
from worker.couch.database import Database
from worker.ops.ensure import same_security
from worker.ops.parallel import pooled

log = get(__name__)
A_TURN = 50  # databases
AT_ONCE = 4


def run_security(parts: Parts, cluster: Cluster) -> None:
    names = [name for name in parts.seen.database_names() if parts.rules.selected(name)]
    known = set(names)
    if not names or not parts.settings.continuous_replication:
        return
    earlier = parts.replication.security() or {}
    cursor = str(earlier.get("cursor", ""))
    turn = [name for name in names if name > cursor][:A_TURN] or names[:A_TURN]
    differing = {name: nodes for name, nodes in earlier.get("differing", {}).items() if name in known}
    for outcome in pooled(turn, lambda name: differs_on(cluster, name, parts.seen.database_nodes(name)), AT_ONCE):
        if outcome.value:
            differing[outcome.key] = outcome.value
        elif outcome.error is None:
            differing.pop(outcome.key, None)
        else:
            log.warning("_security not compared", database=outcome.key, error=str(outcome.error))
            break
    parts.replication.save_security(differing, turn[-1], time.time())


def differs_on(cluster: Cluster, database: str, nodes: list[str]) -> list[str]:
    """The nodes whose `_security` is another than that of the first that has the database."""
    known = [name for name in cluster.names if name in nodes]
    found = {}
    for name in known:
        try:
            found[name] = Database(cluster[name], database).security()
        except (Unauthorized, LockedOut):
            raise  # never once for each database: five wrong passwords lock the right one out
        except ReplicationError:
            continue  # away, or the database is gone: the sweep tells
    first = next(iter(found.values()), {})
    return [name for name, security in found.items() if not same_security(first, security)]
