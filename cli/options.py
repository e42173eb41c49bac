"""What every command takes, and what it finds around it."""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
from requests.adapters import BaseAdapter

from cli.access import access
from cli.api import TIMEOUTS, Api
from cli.errors import SET_URL, Unavailable
from cli.screen import Screen

Command = Callable[..., Any]
# what comes of an answer that has not what the API's always have
_OTHER_SHAPE = (KeyError, TypeError, AttributeError, ValueError)


@dataclass(frozen=True)
class Surroundings:
    """Tests bring their own, as click's `obj`. `adapter`: what stands in for the network."""

    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ), repr=False)
    env_file: Path | None = None
    adapter: BaseAdapter | None = None
    pause: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.time

    def api(self, url: str | None, timeouts: tuple[float, float] = TIMEOUTS) -> Api:
        return Api(access(url, self.environ, self.env_file), timeouts=timeouts, adapter=self.adapter)


@dataclass(frozen=True)
class Asked:
    """What a command works with."""

    api: Api
    screen: Screen
    around: Surroundings

    @property
    def now(self) -> float:
        return self.around.clock()


def surroundings(ctx: click.Context) -> Surroundings:
    return ctx.find_object(Surroundings) or Surroundings()


def talks(command: Command) -> Command:
    """The command gets an `Asked` first, and has --url and --json."""

    @click.option("--url", metavar="URL", help="Where the API is; left out: NBR_URL, else where .env has it listen.")
    @click.option("--json", "as_json", is_flag=True, help="JSON for scripts, and nothing else on stdout.")
    @click.pass_context
    @functools.wraps(command)
    def wrapped(ctx: click.Context, /, *args: Any, url: str | None, as_json: bool, **more: Any) -> Any:
        around = surroundings(ctx)
        with around.api(url) as api:
            try:
                return command(Asked(api, Screen(as_json), around), *args, **more)
            except UnicodeEncodeError:
                raise click.UsageError("what was typed is not UTF-8") from None
            except _OTHER_SHAPE as error:
                told = f"{api.url} answered with JSON that is not the API's ({type(error).__name__}: {error})"
                raise Unavailable(f"{told}: is this the API, and as new as this command? {SET_URL}") from error

    return wrapped


wait_option = click.option(
    "--wait/--no-wait", default=True, help="--no-wait: print the job's id, and do not wait for its end."
)


def page_options(most: int = 200) -> Callable[[Command], Command]:
    """`most`: rows that the API gives at once."""

    def with_options(command: Command) -> Command:
        cursor = click.option("--cursor", metavar="CURSOR", help="What the page before named, for the next one.")
        limit = click.option(
            "--limit", metavar="N", type=click.IntRange(1, most), help=f"Most rows of a page, {most} at most."
        )
        return limit(cursor(command))

    return with_options
