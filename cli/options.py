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
from cli.screen import Screen

Command = Callable[..., Any]


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
            return command(Asked(api, Screen(as_json), around), *args, **more)

    return wrapped


wait_option = click.option(
    "--wait/--no-wait", default=True, help="--no-wait: print the job's id, and do not wait for its end."
)


def page_options(command: Command) -> Command:
    command = click.option("--cursor", metavar="CURSOR", help="What the page before named, for the next one.")(command)
    return click.option("--limit", type=click.IntRange(1, 1000), help="Most rows of a page.")(command)
