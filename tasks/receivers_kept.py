"""Registered webhook receivers outlast Redis: copies on the nodes, read back where Redis has lost them.

A node is read before it is first written to, also one that comes back late: what it alone knows is not overwritten. Who
has a copy is noted in Redis, so that what is lost with the receivers is also what makes every node be read again.

Copies are in our own database, which a set-up makes (by itself, unless CONTINUOUS_REPLICATION is off). Where no node
has it, registrations live in Redis alone, and `GET /api/webhooks` says so: `copies` is empty.
"""

from __future__ import annotations

import time

from tasks.wiring import Parts
from worker.core.registrations import digest, merged
from worker.couch.cluster import Cluster
from worker.ops import registrations as copies


def run_receivers(parts: Parts, cluster: Cluster) -> None:
    now, timeout, receivers = time.time(), parts.settings.health_timeout, parts.receivers
    answering = parts.seen.answering(cluster.names) or []
    has = receivers.copies()
    said = copies.read(cluster, [name for name in answering if name not in has], timeout)
    receivers.learn(merged(said.values(), now))
    receivers.forget_gone(now)
    known = receivers.known()
    wanted = digest(known)
    has |= {name: digest(copy) for name, copy in said.items()}
    # those that could not be read are not written to either
    late = [name for name in answering if name in has and has[name] != wanted]
    written = copies.write(cluster, late, known, timeout)
    receivers.save_copies({name: wanted for name in answering if has.get(name) == wanted or name in written})
