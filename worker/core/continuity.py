"""May a backup go on from an earlier one? Pure.

A sequence means something only to the database that gave it: the same server, the same database and not one made anew
under its name, and nothing purged in between, because a purge leaves no row in the changes feed: an incremental backup
would bring back what was to be forgotten. https://docs.couchdb.org/en/stable/api/database/misc.html#db-purge

Servers before 3.3 give no time of making ("0"): one made anew shows there only by its lower sequence.
"""

from __future__ import annotations

from worker.core.manifest import Source


def why_full(earlier: Source, now: Source) -> str | None:
    """The reason why a backup of `now` cannot go on from `earlier`, in words; None where it can."""
    if earlier.node != now.node and (earlier.uuid is None or earlier.uuid != now.uuid):
        return f"the backup before was read on {earlier.node}, this one on {now.node}: sequences are not shared"
    if earlier.uuid != now.uuid:
        return f"{now.node} is another server than at the backup before (its uuid has changed)"
    if earlier.instance_start_time != now.instance_start_time:
        return "the database was made anew since the backup before (its instance_start_time has changed)"
    reached, at = _number(earlier.seq), _number(now.update_seq)
    if reached is not None and at is not None and at < reached:
        return f"update_seq ({at}) is lower than at the backup before ({reached}): the database is an older copy"
    was, is_now = _number(earlier.purge_seq), _number(now.purge_seq)
    if was is not None and is_now is not None and was != is_now:
        return (
            "documents were purged since the backup before, which the changes feed does not tell"
            if is_now > was
            else "purge_seq is lower than at the backup before: the database is an older copy, or was made anew"
        )
    return None


def _number(sequence: str | None) -> int | None:
    """What stands before the dash; older servers give a plain number."""
    head = (sequence or "").partition("-")[0]
    return int(head) if head.isdigit() else None
