"""Writes a dump that another tool made into a database that does not exist yet.

    python -m worker.ops.importing all_docs.json --node http://127.0.0.1:5984 --database pdfs --user admin
    ssh elsewhere cat backup.gz | python -m worker.ops.importing - --node http://127.0.0.1:5984 --database pdfs

A dump is what `curl NODE/db/_all_docs?include_docs=true` saved, a backup file of couchbackup, or documents in a JSON
array; it may be gzip'd.

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 done, but documents were refused or damaged, or lack attachments.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import BinaryIO

from worker.core.dump_text import BadDump
from worker.core.errors import ReplicationError, Unauthorized
from worker.core.names import database_name_error
from worker.couch.database import Database
from worker.ops.command import PASSWORD, Terminal, Usage, add_node, node_of
from worker.ops.importing.database import import_dump
from worker.ops.importing.result import Imported
from worker.ops.restore.database import refuse_name
from worker.ops.restore.mark import SYSTEM

PIECE = 1024 * 1024  # bytes
DONE, FAILED, USAGE, INCOMPLETE = 0, 1, 2, 3
STDIN = "-"


def main(arguments: Sequence[str] | None = None) -> int:
    asked = _parser().parse_args(arguments)
    try:
        done = _imported(asked)
    except Usage as error:
        return _failed(f"{error}", USAGE)
    except BadDump as error:
        return _failed(f"{asked.file}: {error}", FAILED)
    except Unauthorized as error:
        return _failed(f"{error}{'' if asked.user else ' (no --user was given)'}", FAILED)
    except (ReplicationError, OSError) as error:
        return _failed(f"{error}", FAILED)
    except KeyboardInterrupt:
        return _failed("broken off; the same command goes on from here", FAILED)
    print(json.dumps(done.as_json(), indent=2) if asked.json else "\n".join(done.lines()))
    return DONE if done.complete else INCOMPLETE


def _parser() -> argparse.ArgumentParser:
    about, _, more = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        prog="python -m worker.ops.importing",
        description=about,
        epilog=f"{more}\nThe password is that of the environment variable {PASSWORD}, or asked for on the terminal.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("file", metavar="FILE", help=f"the dump; {STDIN} reads standard input")
    parser.add_argument("--database", required=True, help="the name to write it under; there must be none of that name")
    add_node(parser)
    parser.add_argument("--partial", action="store_true", help="of a damaged dump, take what comes before the damage")
    parser.add_argument("--json", action="store_true", help="answer as JSON")
    return parser


def _imported(asked: argparse.Namespace) -> Imported:
    wrong = None if asked.database in SYSTEM else database_name_error(asked.database)
    if wrong or (wrong := refuse_name(asked.database)):
        raise Usage(f"--database {asked.database}: {wrong}")
    with ExitStack() as stack:
        dump = _opened(asked.file, stack)
        database = Database(node_of(asked), asked.database)
        with Terminal() as control:
            return import_dump(database, _pieces(dump), control, partial=asked.partial)


def _opened(name: str, stack: ExitStack) -> BinaryIO:
    if name == STDIN:
        if sys.stdin.isatty():
            raise Usage("nothing is piped in: name a file, or write `... < FILE`")
        return sys.stdin.buffer
    try:
        return stack.enter_context(open(name, "rb"))
    except OSError as error:
        raise Usage(f"{name}: {error.strerror}") from None


def _pieces(dump: BinaryIO) -> Iterator[bytes]:
    while piece := dump.read(PIECE):
        yield piece


def _failed(why: str, code: int) -> int:
    print(f"error: {why}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
