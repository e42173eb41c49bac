"""What goes wrong in the command line, and the exit code of each: scripts decide by these, so they never change.

click.ClickException
├── click.UsageError       2   what was typed cannot be: an option, a name, an address, a setting
└── CommandError
    ├── ApiError           by the status of the answer: see `exit_of`
    ├── Unavailable        5   the API cannot be reached, or cannot do anything now
    │   └── Unsure         5   it was reached, perhaps, and may have done what was asked
    ├── Cancelled          7   the job was cancelled
    ├── Failed             1   the job failed
    └── Interrupted      130   Ctrl-C
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import IO, Any

import click

from cli.words import safe


class Exit(IntEnum):
    """EXIT_CODES says what each means."""

    WELL = 0
    FAILED = 1
    USAGE = 2
    NOT_WELL = 3
    REFUSED = 4
    UNAVAILABLE = 5
    NOT_FOUND = 6
    CANCELLED = 7
    INTERRUPTED = 130
    UNREAD = 141


EXIT_CODES: Mapping[Exit, str] = {
    Exit.WELL: "done, and all is well",
    Exit.FAILED: "the job failed, or the API answered with an error of another kind",
    Exit.USAGE: "something typed or set is wrong; nothing was done",
    Exit.NOT_WELL: "done or seen, but not all is well: degraded, different, skipped, refused",
    Exit.REFUSED: "no token, a wrong one, or its role does not reach so far",
    Exit.UNAVAILABLE: "the API cannot be reached, is none, or can take nothing now; try again later",
    Exit.NOT_FOUND: "there is no such database, node, backup or job",
    Exit.CANCELLED: "the job was cancelled",
    Exit.INTERRUPTED: "Ctrl-C; a job that had begun goes on",
    Exit.UNREAD: "nobody reads the output any more (| head); a job that had begun goes on",
}
_WRONG = {400, 405, 413, 415, 421, 422}  # 421: the address names the API by a host that it does not answer to
SET_URL = "NBR_URL or --url says where the API is"
HOW_TO_GET_IN = (
    "Set NBR_TOKEN or NBR_TOKEN_FILE to a token that `nbr token new NAME --role ROLE` printed: "
    "API_TOKENS holds their digests, so none can be had from there"
)


class CommandError(click.ClickException):
    """A message for stderr, and an exit code."""

    code = Exit.FAILED

    @property
    def exit_code(self) -> int:  # type: ignore[override]  # click has one for each class, ApiError one for each answer
        return int(self.code)

    def show(self, file: IO[Any] | None = None) -> None:
        click.echo(f"nbr: {safe(self.format_message(), lines=True)}", file=file, err=file is None)


class Failed(CommandError):
    code = Exit.FAILED


class Unavailable(CommandError):
    code = Exit.UNAVAILABLE


class Unsure(Unavailable):
    """Something was sent that changes things, and what became of it is not known."""


class Cancelled(CommandError):
    code = Exit.CANCELLED


class Interrupted(CommandError):
    code = Exit.INTERRUPTED


class ApiError(CommandError):
    """An answer that is an error. `name`: the end of the problem's type, which never changes; empty where there is
    none."""

    def __init__(self, status: int, name: str, title: str, body: Mapping[str, Any]) -> None:
        self.status = status
        self.name = name
        super().__init__(_in_words(status, name, title, body))
        self.code = exit_of(status, name)


def exit_of(status: int, name: str) -> Exit:
    if status in {401, 403} or name == "locked-out":
        return Exit.REFUSED
    if status == 404 and name.startswith("unknown-"):
        return Exit.NOT_FOUND
    if status in {429, 502, 503, 504} or _elsewhere(status, name):
        return Exit.UNAVAILABLE
    return Exit.USAGE if status in _WRONG else Exit.FAILED


def _elsewhere(status: int, name: str) -> bool:
    """Whether this is an answer of something else: every address that is asked for is one of the API's."""
    return (status == 404 and not name.startswith("unknown-")) or (status == 405 and not name)


def _in_words(status: int, name: str, title: str, body: Mapping[str, Any]) -> str:
    detail = body.get("detail")
    lines = [f"{title}: {detail}" if detail and detail != title else title]
    errors = body.get("errors")
    for error in errors if isinstance(errors, list) else ():
        if isinstance(error, Mapping):
            told = f"{error.get('field') or 'body'}: {error.get('message')}"
            lines += [] if told.removeprefix("body: ") in lines[0] else [f"  {told}"]  # the detail has them, too
    nearest = body.get("nearest")
    if isinstance(nearest, Sequence) and not isinstance(nearest, str) and nearest and "did you mean" not in lines[0]:
        lines.append(f"  nearest: {', '.join(map(str, nearest))}")
    if status == 401:
        lines.append(HOW_TO_GET_IN)
    if status == 421:
        lines.append("  the host name in NBR_URL or --url has to be one of API_ALLOWED_HOSTS")
    if _elsewhere(status, name):
        lines.append(f"  is this the API, and as new as this command? {SET_URL}")
    return "\n".join(lines)
