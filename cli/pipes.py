"""Where nobody reads what is written: `nbr jobs | head`, `nbr sync pdfs >&-`.

SIGPIPE stays ignored, and its exit code is given by hand: with the signal's default a server that closes a connection
would end the command as well.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click

from cli.errors import Exit


def open_closed() -> None:
    """Put the null device where Python found none of the three; in their order, so that each gets its own number and
    no connection does."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115 - for as long as it runs


@contextmanager
def until_unread() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in (sys.stdout, sys.stderr):  # what is in them still would be written at the end, and fail again
            os.dup2(nowhere, stream.fileno())
        raise click.exceptions.Exit(Exit.UNREAD) from None
