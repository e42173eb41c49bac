"""Restores without the API: with nothing but the store, a node, and this folder on any machine.

    python -m worker.ops.restore list
    python -m worker.ops.restore show latest
    python -m worker.ops.restore check latest
    python -m worker.ops.restore database latest pdfs --node http://127.0.0.1:5984
    python -m worker.ops.restore all latest --node http://127.0.0.1:5984

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 done, but the node refused some documents.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from config.backups import parse_options
from config.settings import SettingsError, load
from worker.blobs.seal import Keys, seals
from worker.blobs.store import Store, check_url
from worker.blobs.vault import Vault
from worker.core.errors import BackupUnknown, ReplicationError
from worker.core.manifest import EVERYTHING, LATEST
from worker.core.times import rfc3339
from worker.couch.cluster import Cluster
from worker.couch.database import Database
from worker.couch.server import Server
from worker.couch.tls import Tls
from worker.ops.backup.catalogue import Catalogue, Unreadable
from worker.ops.backup.check import check
from worker.ops.command import Terminal, Usage, add_node, node_of
from worker.ops.restore.chain import Chain
from worker.ops.restore.database import refuse_name, restore_new
from worker.ops.restore.everything import finished, restore_all

SETTINGS = (
    "backup_url",
    "backup_options",
    "backup_key",
    "couchdb_user",
    "couchdb_password",
    "couchdb_ca_bundle",
    "couchdb_client_cert",
    "couchdb_client_key",
)
DONE, FAILED, USAGE, REFUSED = 0, 1, 2, 3


def main(arguments: Sequence[str] | None = None) -> int:
    asked = _parser().parse_args(arguments)
    try:
        done: int = asked.run(asked, _vault(asked))
    except (Usage, SettingsError) as error:
        print(f"error: {error}", file=sys.stderr)
        return USAGE
    except ReplicationError as error:
        print(f"error: {error}", file=sys.stderr)
        if error.result is not None:
            print(json.dumps(error.result, indent=2), file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print("\nbroken off; the same command goes on from here", file=sys.stderr)
        return FAILED
    return done


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m worker.ops.restore",
        description=__doc__.split("\n\n")[0] if __doc__ else None,
        epilog="The store is --store or BACKUP_URL, its options BACKUP_OPTIONS; sealed backups need BACKUP_KEY (or "
        "--key-file) with the identity AGE-SECRET-KEY-1...; the node's password is COUCHDB_PASSWORD, or asked for.",
    )
    parser.add_argument("--store", help="where the backups are, like file:///var/backups or s3://bucket/prefix")
    parser.add_argument("--key-file", type=Path, help="a file with the age identity that opens the backups")
    parser.add_argument("--json", action="store_true", help="answer as JSON")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _command(commands, "list", _list, "the backups there are, newest first")
    for name, run, what in (
        ("show", _show, "one backup and its databases"),
        ("check", _check, "compare every object of a backup with its checksum"),
    ):
        _command(commands, name, run, what).add_argument("backup", help=f"its id, or {LATEST}")
    one = _command(commands, "database", _database, "restore one database into one that does not exist")
    one.add_argument("backup", help=f"the backup's id, or {LATEST}")
    one.add_argument("database", help="its name in the backup")
    one.add_argument("--as", dest="into", help="the name to restore it under (its own)")
    one.add_argument("--id", dest="ids", action="append", help="only this document; may be given several times")
    every = _command(commands, "all", _all, "restore every database onto a node without databases")
    every.add_argument("backup", help=f"the backup's id, or {LATEST}")
    for command in (one, every):
        add_node(command)
    return parser


def _command(
    commands: Any, name: str, run: Callable[[argparse.Namespace, Vault], int], what: str
) -> argparse.ArgumentParser:
    made: argparse.ArgumentParser = commands.add_parser(name, help=what, description=what)
    made.set_defaults(run=run)
    return made


def _vault(asked: argparse.Namespace) -> Vault:
    settings = load(only=SETTINGS)
    url = asked.store or settings.backup_url
    if not url:
        raise Usage("name the store: --store file:///var/backups, or BACKUP_URL")
    try:
        check_url(url)
    except ValueError as error:
        raise Usage(f"--store {error}") from None
    key = settings.backup_key.get_secret_value()
    if asked.key_file:
        try:
            key = asked.key_file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "this is no text"
            raise Usage(f"--key-file {asked.key_file}: {why}") from None
    try:
        keys = Keys.parse(key) if key or asked.key_file else None
    except ValueError as error:
        raise Usage(f"{f'--key-file {asked.key_file}' if asked.key_file else 'BACKUP_KEY'}: {error}") from None
    try:
        store = Store.open(url, parse_options(settings.backup_options.get_secret_value()), make=False)
    except ValueError as error:
        raise Usage(f"BACKUP_OPTIONS: {error}") from None
    return Vault(store, seals(keys))


def _list(asked: argparse.Namespace, vault: Vault) -> int:
    rows: list[dict[str, Any]] = []
    for found in Catalogue(vault).all():
        if isinstance(found, Unreadable):
            rows.append({"id": found.id, "error": found.why.detail})
            continue
        rows.append(
            {
                "id": found.id,
                "started_at": rfc3339(found.started_at),
                "databases": len(found.entries),
                "full": all(entry.full for entry in found.entries),
                "good": found.good,
            }
        )
    if asked.json:
        print(json.dumps(rows, indent=2))
        return DONE
    for row in rows:
        print("  ".join(f"{name}: {value}" if name != "id" else str(value) for name, value in row.items()))
    if not rows:
        print(f"{vault.blobs.name} has no backups")
    return DONE


def _show(asked: argparse.Namespace, vault: Vault) -> int:
    manifest = Catalogue(vault).find(asked.backup)
    rows = [
        {
            "database": entry.database,
            "documents": entry.counts.documents,
            "full": entry.full,
            "node": entry.node,
            "needs": list(entry.chain),
        }
        for entry in manifest.entries
    ]
    failed = {one.database: one.detail for one in manifest.failed}
    if asked.json:
        print(json.dumps({"id": manifest.id, "databases": rows, "failed": failed}, indent=2))
        return DONE
    print(f"{manifest.id}, begun {rfc3339(manifest.started_at)}")
    for row in rows:
        needs = f", goes on from {', '.join(row['needs'])}" if row["needs"] else ""  # type: ignore[arg-type]
        print(f"  {row['database']}: {row['documents']} documents, read on {row['node']}{needs}")
    for name, detail in failed.items():
        print(f"  {name}: NOT in it: {detail}")
    return DONE


def _check(asked: argparse.Namespace, vault: Vault) -> int:
    manifest = Catalogue(vault).find(asked.backup)
    with Terminal() as control:
        done = check(vault, manifest, control)
    return _told(asked, done.as_json())


def _database(asked: argparse.Namespace, vault: Vault) -> int:
    manifest = Catalogue(vault).find(asked.backup, lambda one: one.entry(asked.database) is not None)
    entry = manifest.entry(asked.database)
    if entry is None:
        names = ", ".join(one.database for one in manifest.entries[:20])
        raise BackupUnknown(f"backup {manifest.id} has no database {asked.database!r}; it has {names}")
    into = asked.into or asked.database
    if why := refuse_name(into):
        raise Usage(f"--as {why}")
    server = _server(asked)
    only = frozenset(asked.ids) if asked.ids else None
    with Terminal() as control:
        done = restore_new(vault, Chain.of(vault, entry), Database(server, into), control, only=only)
    return _told(asked, done.as_json(), refused=done.refused.count)


def _all(asked: argparse.Namespace, vault: Vault) -> int:
    """`latest`: of everything, and whole. One that was named is taken as it is, and what it lacks is told."""
    manifest = Catalogue(vault).find(asked.backup, lambda one: one.good and one.scope == (EVERYTHING,))
    cluster = Cluster([server := _server(asked)])
    with Terminal() as control:
        done = restore_all(cluster, vault, manifest, server.node.name, control)
    finished(cluster, server.node.name)
    refused = sum(one.refused.count for one in done)
    told: dict[str, Any] = {"backup": manifest.id, "databases": [one.as_json() for one in done], "refused": refused}
    if manifest.failed:
        told["not_in_it"] = {one.database: one.detail for one in manifest.failed}
    return _told(asked, told, refused=refused)


def _server(asked: argparse.Namespace) -> Server:
    settings = load(only=SETTINGS)
    asked.user = asked.user or settings.couchdb_user or None
    tls = Tls(settings.couchdb_ca_bundle, settings.couchdb_client_cert, settings.couchdb_client_key)
    return node_of(asked, password=settings.couchdb_password.get_secret_value(), tls=tls)


def _told(asked: argparse.Namespace, told: dict[str, Any], *, refused: int = 0) -> int:
    if asked.json:
        print(json.dumps(told, indent=2))
    else:
        for name, value in told.items():
            print(f"{name}: {json.dumps(value) if isinstance(value, dict | list) else value}")
    if refused:
        print(f"{refused} documents were refused by the node: see `refused`", file=sys.stderr)
    return REFUSED if refused else DONE


if __name__ == "__main__":
    sys.exit(main())
