"""What came out of a job, in words, and what is wanting although it succeeded. Pure.

A sync that skipped a node succeeded: what it was asked for cannot be had while the node is away. Whoever runs it in a
script has to know all the same, so that is `wanting`, and an exit code of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from cli import words
from cli.errors import Exit

Result = Mapping[str, Any]
MOST = 10  # ids and steps that are listed
_NOT_WORDS = (dict, list)


def exit_of(job: Mapping[str, Any]) -> Exit:
    """Of a job that has ended."""
    if job["state"] == "succeeded":
        return Exit.NOT_WELL if list(wanting(job)) else Exit.WELL
    return Exit.CANCELLED if job["state"] == "cancelled" else Exit.FAILED


def title(job: Mapping[str, Any]) -> str:
    """`sync pdfs`."""
    about = job.get("database") or (job.get("params") or {}).get("node") or (job.get("params") or {}).get("backup")
    return words.safe(f"{job['kind']} {about}" if about else job["kind"])


def summary(job: Mapping[str, Any]) -> list[str]:
    """A few lines on what a job that succeeded has done."""
    result: Result = job.get("result") or {}
    tell = _TELLERS.get(job["kind"], _scalars)
    return [words.safe(line) for line in tell(result)]


def wanting(job: Mapping[str, Any]) -> Iterator[str]:
    """What keeps a job that succeeded from being well."""
    result: Result = job.get("result") or {}
    find = _FINDERS.get(job["kind"])
    for line in [*_skipped(result), *(find(result) if find else ())]:
        yield words.safe(line)


# --- what was done


def _sync(result: Result) -> Iterator[str]:
    if result.get("caught_up"):
        yield f"The same on {_listed(result.get('nodes'))}"
    pulls = result.get("pulls") or []
    yield f"{words.count(sum(pull.get('docs_written') or 0 for pull in pulls), 'document')} written"


def _setup(result: Result) -> Iterator[str]:
    if result.get("dry_run"):  # `changed` says what was changed: nothing
        steps = result.get("steps") or []
        yield "Nothing was changed. This would be done:" if steps else "Nothing would be changed"
        yield from (f"  {step}" for step in steps[:MOST])
        if len(steps) > MOST:
            yield f"  … and {len(steps) - MOST} more (--json has them)"
    elif not result.get("changed"):
        yield "Everything was as it should be"
    counts = {name: value for name, value in (result.get("counts") or {}).items() if value}
    if counts:
        yield ", ".join(f"{name.replace('_', ' ')}: {words.number(value)}" for name, value in counts.items())
    yield f"Mode: {result.get('mode') or words.UNKNOWN}"


def _verify(result: Result) -> Iterator[str]:
    documents = result.get("documents") or {}
    if result.get("equal"):
        yield f"The same on {_listed(result.get('nodes'))}"
    yield "Compared: " + ", ".join(f"{node} {words.number(found)}" for node, found in documents.items())
    repaired = result.get("repaired")
    if repaired:
        yield f"Repaired: {words.count(repaired.get('count'), 'document')}"


def _backup(result: Result) -> Iterator[str]:
    yield f"Backup {result.get('backup_id')}"
    kind = "full" if result.get("full") else "incremental"
    yield (
        f"{words.count(result.get('databases'), 'database')}, {words.count(result.get('documents'), 'document')}, "
        f"{words.size(result.get('stored_bytes'))} stored ({kind})"
    )


def _restore(result: Result) -> Iterator[str]:
    counts = result.get("counts")
    if result.get("dry_run"):
        yield "Nothing was changed. This would be done:"
        documents = result.get("documents")
        listed = documents if isinstance(documents, list) else []
        yield from (f"  {one.get('action')} {one.get('id')}" for one in listed[:MOST])
        if len(listed) > MOST:
            yield "  …"
    elif result.get("into"):
        yield f"{result.get('database')} is restored into {result['into']} on {result.get('node') or words.UNKNOWN}"
    if counts:
        yield ", ".join(f"{name}: {words.number(value)}" for name, value in counts.items())
    elif isinstance(result.get("documents"), int):
        yield (
            f"{words.count(result['documents'], 'document')}, {words.count(result.get('revisions'), 'revision')}, "
            f"{words.count(result.get('attachments'), 'attachment')}"
        )
    if isinstance(result.get("restored"), list):
        yield f"{words.count(len(result['restored']), 'database')} restored on {result.get('node')}"


def _check(result: Result) -> Iterator[str]:
    databases = result.get("databases")
    if isinstance(databases, Mapping):
        yield f"Backup {result.get('backup')} was restored on {result.get('node')}, and is what it should be"
        yield f"{words.count(len(databases), 'database')} compared"
    else:
        yield f"Backup {result.get('backup')}: every object is what its checksum says"
        yield f"{words.count(result.get('objects'), 'object')}, {words.size(result.get('bytes'))}"


def _scalars(result: Result) -> Iterator[str]:
    for name, value in result.items():
        if value is not None and not isinstance(value, _NOT_WORDS):
            yield f"{name.replace('_', ' ')}: {words.number(value)}"


_TELLERS = {
    "sync": _sync,
    "setup": _setup,
    "verify": _verify,
    "backup": _backup,
    "restore": _restore,
    "check-backup": _check,
}


# --- what is wanting


def _skipped(result: Result) -> Iterator[str]:
    skipped = result.get("skipped")
    for one in skipped if isinstance(skipped, list) else ():
        if isinstance(one, Mapping):
            yield f"{one.get('node')} was skipped: {one.get('reason')}"


def _sync_wanting(result: Result) -> Iterator[str]:
    if result.get("caught_up") is not True:
        yield "Not every node is known to have caught up"


def _setup_wanting(result: Result) -> Iterator[str]:
    failures = result.get("failures") or []
    yield from map(str, failures[:MOST])
    if result.get("complete") is not True and not failures and not result.get("skipped"):
        yield "Not complete"


def _verify_wanting(result: Result) -> Iterator[str]:
    equal = result.get("equal")
    differing = result.get("differing") or {}
    if equal is not True:
        waiting = words.count(result.get("unconfirmed"), "document")
        known = words.count(differing.get("count"), "document differs", "documents differ")
        yield known if equal is False else f"None is known to differ, but {waiting} could not be told yet"
    for one in (differing.get("ids") or [])[:MOST]:
        why = f": {one['reason']}" if one.get("reason") else ""
        yield f"  {one.get('id')}{why}"
    if (differing.get("count") or 0) > MOST:
        yield "  …"


def _backup_wanting(result: Result) -> Iterator[str]:
    if lost := result.get("lost"):
        yield f"{words.count(lost, 'attachment or revision', 'attachments or revisions')} could not be had from a node"
    for name, what in (("copied", "Not copied to the second location"), ("pruned", "Retention was not carried out")):
        trouble = result.get(name)
        if isinstance(trouble, Mapping) and trouble.get("error"):
            yield f"{what}: {trouble.get('detail') or trouble['error']}"


def _restore_wanting(result: Result) -> Iterator[str]:
    refused = result.get("refused")
    if isinstance(refused, Mapping) and refused.get("count"):
        yield f"{words.count(refused['count'], 'document')} refused by the node"
        for one in (refused.get("documents") or [])[:MOST]:
            yield f"  {one.get('id')}: {one.get('reason')}"
    if result.get("not_found"):
        yield f"{words.count(result['not_found'], 'document')} asked for not in the backup"
    for name, what in (
        ("not_asked", "Did not say whether it has such a database"),
        ("not_reached", "Not reached; what it has written may come on top"),
        ("not_in_it", "Not in this backup"),
    ):
        if result.get(name):
            yield f"{what}: {_listed(result[name])}"
    verified = result.get("verified")
    for database in (verified.get("differing") or []) if isinstance(verified, Mapping) else ():
        yield f"{database} is not known to be the same on all nodes"


def _rejoin_wanting(result: Result) -> Iterator[str]:
    for database, documents in (result.get("refused") or {}).items():
        yield f"{database}: {words.count(documents, 'document')} refused by the node"
    if result.get("links_caught_up") is False:
        yield "The links to and from it had not caught up yet"


_FINDERS = {
    "sync": _sync_wanting,
    "setup": _setup_wanting,
    "verify": _verify_wanting,
    "backup": _backup_wanting,
    "restore": _restore_wanting,
    "rejoin": _rejoin_wanting,
}


def _listed(names: Any) -> str:
    if isinstance(names, Mapping | list | tuple):
        return ", ".join(str(name.get("node") if isinstance(name, Mapping) else name) for name in names) or "no node"
    return str(names)
