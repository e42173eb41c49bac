"""`python app.py`: the whole system in one terminal: API, workers, beat, Flower, and Redis where none is configured.

For one machine and for a first look. In production run the same processes under something that restarts them
(docker-compose.yml, Procfile), with a Redis of your own.
"""

from __future__ import annotations

import argparse
import os
import sys
import threading
from contextlib import ExitStack

try:
    from config.settings import Settings, SettingsError, load
    from embedded.api_client import ApiClient
    from embedded.folders import SECRET_KEY_BYTES, VAR, FolderInUseError, keep_secret, private
    from embedded.output import Terminal
    from embedded.ports import any_free, is_free
    from embedded.process import Process, StartError
    from embedded.processes import system_commands
    from embedded.redis import EmbeddedRedis
    from embedded.supervisor import Supervisor, interrupt_on_signals
    from embedded.waiting import wait_until
except ModuleNotFoundError as missing:
    sys.exit(
        f"The package {missing.name} is missing: run `make setup`, then `.venv/bin/python app.py` (or `make run`)."
    )

READY_SECONDS = 60.0
NO_NODES = """\
No CouchDB nodes are configured yet. Two ways to go on:

  with your own nodes   cp .env.example .env, fill in COUCHDB_URL, COUCHDB_USER, COUCHDB_PASSWORD and
                        REPLICATION_NODES, then start this again
  without any           make demo   (three nodes, the system and a first sync, all on this machine)
"""
HELP = """\
Settings come from the environment and from .env (see .env.example). The most important ones:
  COUCHDB_URL, COUCHDB_USER, COUCHDB_PASSWORD   the primary node and its server admin
  REPLICATION_NODES                             the other nodes, comma-separated
  REDIS_URL                                     empty: a private redis-server is started, its data in var/redis
  API_PORT (5000), FLOWER_PORT (5555),
  AGENT_PORT (5989)                             where to listen
Ctrl-C stops everything. Data stays in var/ and on your nodes.
"""


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python app.py",
        description="Start the API, the workers, beat and Flower in this terminal, with the nodes of .env.",
        epilog=HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.parse_args()
    interrupt_on_signals()
    try:
        settings = load()
        return serve(settings) if settings.nodes else offer_demo()
    except SettingsError as error:
        print(f"The settings can't be used: {error}", file=sys.stderr)
        return 2
    except (StartError, FolderInUseError) as error:
        print(f"Not started: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nStopped.", flush=True)
        return 0


def serve(settings: Settings) -> int:
    """Everything in this terminal, until Ctrl-C."""
    environ = dict(os.environ)
    environ["API_PORT"] = str(usable_port("API_PORT", settings.api_port))
    environ["AGENT_PORT"] = str(usable_port("AGENT_PORT", settings.agent_port))
    environ["FLOWER_PORT"] = str(usable_port("FLOWER_PORT", settings.flower_port))
    if not settings.secret_keys:
        environ["SECRET_KEY"] = keep_secret(private(VAR) / "secret-key", SECRET_KEY_BYTES)
    terminal = Terminal()
    say = terminal.sink("app")
    with ExitStack() as stack:
        redis = None if settings.redis_url.get_secret_value() else EmbeddedRedis(VAR / "redis")
        if redis is not None:
            stack.callback(redis.stop)
            environ["REDIS_URL"] = redis.url
        supervisor = stack.enter_context(Supervisor(say))
        if redis is not None:
            supervisor.add(redis.process, redis.start)
            say(f"private Redis, data in {redis.folder}")
        for command in system_commands(environ):
            supervisor.add(Process(command, terminal.sink(command.name)))
        addresses = (terminal, settings, environ)
        threading.Thread(target=tell_when_ready, args=addresses, daemon=True).start()
        supervisor.run()
    return 0


def usable_port(variable: str, port: int) -> int:
    """The configured port, or a free one for 0. Raises StartError where it is taken, by name."""
    if port == 0:
        return any_free()
    if not is_free(port):
        hint = " (on macOS the AirPlay receiver uses it)" if port == 5000 else ""
        raise StartError(f"port {port} is taken{hint}: stop what uses it, or set {variable} to another one")
    return port


def tell_when_ready(terminal: Terminal, settings: Settings, environ: dict[str, str]) -> None:
    """Say where everything is once it works: said earlier, the processes' own first lines would bury it."""
    say = terminal.sink("app")
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.api_host, settings.api_host)  # noqa: S104
    address = f"http://{f'[{host}]' if ':' in host else host}:{environ['API_PORT']}"
    if wait_until(ApiClient(address).takes_jobs, READY_SECONDS, every=0.2):
        say(f"ready: API {address}/api   documentation {address}/docs")
    else:
        say(f"the API at {address} takes no jobs yet: see the lines above, and {address}/api/health")
    say(f"Flower http://{settings.flower_host}:{environ['FLOWER_PORT']}")
    say(f"nodes: {', '.join(f'{node.name} {node.url}' for node in settings.nodes)}")
    say("Ctrl-C stops everything")


def offer_demo() -> int:
    print(NO_NODES)
    if not sys.stdin.isatty() or not sys.stdout.isatty():
        return 2
    if input("Start the demo now? [Y/n] ").strip().lower() not in {"", "y", "yes"}:
        return 2
    from embedded import demo  # noqa: PLC0415 (only who wants the demo waits for it)

    return demo.main([])


if __name__ == "__main__":
    sys.exit(main())
