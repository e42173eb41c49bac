"""Everything that can go wrong with a node or an operation, as one tree.

::

    ReplicationError
    ├── Transient                the same call may succeed later: policy may retry
    │   ├── Unreachable          refused, reset, DNS, TLS hand-shake broken off
    │   ├── TimedOut             connected, no answer within the time-out
    │   ├── ServerFault          5xx, and 429
    │   │   └── DiskFull         it cannot write: no space, read-only, above its own limit
    │   ├── DeliveryFailed       a webhook receiver did not take an event, in whatever way
    │   ├── LockedOut            403 "temporarily locked": too many wrong passwords (CouchDB 3.4+, up to 300 s)
    │   ├── StoreUnavailable     the backup store does not answer, or fails
    │   │   └── StoreFull        it, or the folder for temporary files, has no space left
    │   ├── NotEnoughNodes       fewer than two nodes answer, so there is nothing to replicate between
    │   ├── NotCaughtUp          databases of a node could not be brought up to date
    │   ├── PasswordUnknown      nobody knows yet which of two passwords a node has, so it is not called
    │   ├── NotQuiet             other jobs did not end, so that passwords could not be changed
    │   └── HalfChanged          some nodes have the new password, others the previous one
    └── Permanent                repeating it changes nothing: a person has to act
        ├── TlsRefused           the certificate does not verify, or ours was not accepted
        ├── Unauthorized         401
        ├── Forbidden            403
        ├── NotFound             404
        ├── Conflict             409, 412
        ├── TooLarge             413
        ├── BadRequest           any other 4xx: we asked wrongly
        ├── BadAnswer            not what CouchDB answers (a proxy's page, cut-off JSON)
        ├── Unsupported          this kind of node cannot do that
        ├── MixedNodeKinds       CouchDB and stand-ins in one cluster
        ├── SameNodeTwice        two configured nodes are one server
        ├── OneNodeOnly          no second node is configured
        ├── StoreRefused         the backup store refuses our credentials, or there is no such bucket
        ├── ObjectMissing        an object of a backup is not in the store
        ├── ObjectDamaged        an object of a backup is not what its checksum says, or makes no sense
        ├── WrongKey             an object of a backup is sealed for another BACKUP_KEY
        ├── NotSealed            the newest backup is not sealed although BACKUP_KEY is set
        ├── BackupUnknown        there is no such backup, or this database is not in it
        ├── BackupsOff           BACKUP_URL is not set
        ├── BackupIncomplete     some databases could not be backed up; the others were
        ├── DatabaseExists       a restore would touch a database that is there already
        ├── DrillFailed          a backup does not give back what it says it holds
        ├── PasswordsRefused     a node takes neither of the two passwords that are known
        ├── ProcessUnaware       a process of ours was started before it could know both passwords
        ├── WebhookGone          410 from a webhook receiver: it wants no more events
        ├── WebhookUnknown       an event is for a receiver that is not there any more
        ├── WebhookForbidden     a registered receiver stands for an address that is not public
        ├── WrongSecretKey       what is kept sealed was sealed under another SECRET_KEY
        └── DocumentsRefused     a target skipped documents, or lacks some that replication has confirmed

    Interrupted                  not a failure of the work; raised between its steps
    ├── Cancelled                a person asked for it
    ├── LeaseLost                another worker owns the job now: stop, write nothing
    └── HandedBack               this worker is shutting down: the job goes back to the queue

Retries go by class, never by message. Messages are scrubbed of credentials where they are made
(`worker.core.redact`), so an error may be logged, stored and shown as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Any


class ReplicationError(Exception):
    """Root. `slug` names the class in job records and problem documents; it never changes."""

    slug = "error"

    def __init__(self, detail: str, *, node: str | None = None, database: str | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.node = node
        self.database = database
        self.result: dict[str, Any] | None = None  # what was done before it failed, where that can be told

    def __str__(self) -> str:
        return f"{self.node}: {self.detail}" if self.node else self.detail


class Transient(ReplicationError):
    slug = "transient"


class Permanent(ReplicationError):
    slug = "permanent"


class How(StrEnum):
    """In what way a node could not be reached, as far as the network told."""

    REFUSED = "refused"  # its machine answers, and nobody listens there
    NO_NAME = "no-name"  # its host name could not be looked up
    SILENT = "silent"  # no connection within the time-out
    OTHER = "other"


class Unreachable(Transient):
    slug = "unreachable"

    def __init__(
        self, detail: str, *, node: str | None = None, database: str | None = None, how: How = How.OTHER
    ) -> None:
        super().__init__(detail, node=node, database=database)
        self.how = how


class TimedOut(Transient):
    slug = "timed-out"


class ServerFault(Transient):
    """`crashed`: a process of the server died of the request, and it tells no more: that is all that CouchDB 3.5 says
    of a write to a full disk."""

    slug = "server-fault"
    crashed = False


class DiskFull(ServerFault):
    slug = "disk-full"


class LockedOut(Transient):
    slug = "locked-out"


class StoreUnavailable(Transient):
    slug = "backup-store-unavailable"


class StoreFull(StoreUnavailable):
    slug = "backup-store-full"


class NotEnoughNodes(Transient):
    slug = "not-enough-nodes"


class NotCaughtUp(Transient):
    slug = "not-caught-up"


class PasswordUnknown(Transient):
    slug = "password-unknown"


class NotQuiet(Transient):
    slug = "not-quiet"


class HalfChanged(Transient):
    """`locked_out`: because a node takes no password for a while."""

    slug = "half-changed"
    locked_out = False


class DeliveryFailed(Transient):
    """`retry_after`: seconds that the receiver wants to be left alone."""

    slug = "delivery-failed"
    retry_after: float = 0


class TlsRefused(Permanent):
    slug = "tls-refused"


class Unauthorized(Permanent):
    slug = "unauthorized"


class Forbidden(Permanent):
    slug = "forbidden"


class NotFound(Permanent):
    slug = "not-found"


class Conflict(Permanent):
    slug = "conflict"


class TooLarge(Permanent):
    slug = "too-large"


class BadRequest(Permanent):
    slug = "bad-request"


class BadAnswer(Permanent):
    slug = "bad-answer"


class Unsupported(Permanent):
    slug = "unsupported"


class MixedNodeKinds(Permanent):
    slug = "mixed-node-kinds"


class SameNodeTwice(Permanent):
    slug = "same-node-twice"


class OneNodeOnly(Permanent):
    slug = "one-node-only"


class StoreRefused(Permanent):
    slug = "backup-store-refused"


class ObjectMissing(Permanent):
    slug = "backup-object-missing"


class ObjectDamaged(Permanent):
    slug = "backup-damaged"


class WrongKey(Permanent):
    slug = "backup-wrong-key"


class NotSealed(Permanent):
    slug = "backup-not-sealed"


class BackupUnknown(Permanent):
    slug = "backup-unknown"


class BackupsOff(Permanent):
    slug = "backups-off"


class BackupIncomplete(Permanent):
    slug = "backup-incomplete"


class DatabaseExists(Permanent):
    slug = "database-exists"


class DrillFailed(Permanent):
    slug = "drill-failed"


class PasswordsRefused(Permanent):
    slug = "passwords-refused"


class ProcessUnaware(Permanent):
    slug = "process-unaware"


class WebhookGone(Permanent):
    slug = "webhook-gone"


class WebhookUnknown(Permanent):
    slug = "webhook-unknown"


class WebhookForbidden(Permanent):
    """`addresses`: what its name stands for. For the log alone: whoever registers names must not learn by their errors
    what they stand for in here."""

    slug = "webhook-forbidden"
    addresses: Sequence[str] = ()


class WrongSecretKey(Permanent):
    slug = "wrong-secret-key"


class DocumentsRefused(Permanent):
    """`sync`: the whole result of the sync that found it (worker.ops.sync_result), for who goes on all the same."""

    slug = "documents-refused"
    sync: Any = None


class Interrupted(Exception):
    """Not a failure: the work was told to stop. Deliberately outside ReplicationError, so that no handler
    for failures can swallow it."""


class Cancelled(Interrupted):
    """`still_running`: what could not be stopped on the nodes, in words."""

    def __init__(self, still_running: Sequence[str] = ()) -> None:
        super().__init__("cancelled")
        self.still_running = list(still_running)


class LeaseLost(Interrupted):
    pass


class HandedBack(Interrupted):
    pass
