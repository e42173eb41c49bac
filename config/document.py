"""Writes down the settings from the settings themselves, so that code and documentation cannot drift apart.

    python -m config.document            prints docs/settings.md
    python -m config.document --env      prints the settings' part of .env.example
    python -m config.document --write    brings both files up to date, from the project's folder

A test fails where a file on disk says something else.
"""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from config.settings import Settings

# the heading before each of these fields; Settings.model_fields gives the order
SECTIONS = {
    "couchdb_url": "The nodes",
    "continuous_replication": "Replication",
    "redis_url": "Jobs",
    "api_host": "The API",
    "health_interval": "Health",
    "webhook_urls": "Webhooks",
    "agent_host": "The proxy",
    "metrics_databases": "Metrics",
    "flower_host": "Flower and logs",
}
# .env.example up to this line is ours; what follows is written by hand
COMPOSE_MARK = "# ===== For docker-compose.yml alone ====="
_BOUNDS = (("ge", "at least {}"), ("gt", "more than {}"), ("le", "at most {}"), ("lt", "less than {}"))

PAGE = """# Settings

Made by `python -m config.document --write` from `config/settings.py`: change it there.

Each setting is an environment variable, or a line of `.env` in the working folder (`NBR_ENV_FILE` names
another file). The environment wins, and an empty value is the same as none. A bad value stops the start
with the variable's name and what it should be. A secret may be kept in a file of its own: the last column
names the variable that takes the file's path, in place of the secret. `.env.example` has all of them to
copy, and at its end what `docker-compose.yml` alone uses.
"""
ENV_HEAD = """\
# Copy to .env and change what you need; docs/settings.md is the same as a table.
# The environment wins over this file. Empty is the same as unset. A secret may come from a file instead:
# COUCHDB_PASSWORD_FILE=/run/secrets/couchdb in place of COUCHDB_PASSWORD.
# For Docker Compose fill in COUCHDB_USER, COUCHDB_PASSWORD, API_TOKENS, FLOWER_BASIC_AUTH and, at the end,
# REDIS_PASSWORD; and SECRET_KEY, so that sign-ins outlive a restart and receivers of events can be added. Keep
# passwords to letters, digits, - and _: some of them become part of a URL.
"""


def page() -> str:
    """The whole of docs/settings.md."""
    lines = [PAGE.rstrip()]
    for name, field in Settings.model_fields.items():
        if name in SECTIONS:
            lines += ["", f"## {SECTIONS[name]}", "", "| variable | default | meaning | from a file |"]
            lines += ["| --- | --- | --- | --- |"]
        default = f"`{_default(field)}`" if _default(field) else ""
        file = f"`{name.upper()}_FILE`" if _is_secret(field) else ""
        cells = [f"`{name.upper()}`", default, _meaning(field), file]
        # a bar would end the cell, and <...> would be taken for HTML
        lines.append("| " + " | ".join(cell.replace("|", "\\|").replace("<", "&lt;") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def env() -> str:
    """.env.example up to and with COMPOSE_MARK."""
    lines = [ENV_HEAD.rstrip()]
    for name, field in Settings.model_fields.items():
        if name in SECTIONS:
            lines += ["", f"# --- {SECTIONS[name]}"]
        lines += ["", *textwrap.wrap(_meaning(field), 110, initial_indent="# ", subsequent_indent="# ")]
        lines.append(f"{name.upper()}={_default(field)}")
    return "\n".join([*lines, "", COMPOSE_MARK]) + "\n"


def write(folder: Path) -> None:
    """Bring both files up to date; what stands behind COMPOSE_MARK stays as it is."""
    (folder / "docs" / "settings.md").write_text(page(), encoding="utf-8")
    example = folder / ".env.example"
    by_hand = example.read_text(encoding="utf-8").partition(COMPOSE_MARK + "\n")[2] if example.exists() else ""
    example.write_text(env() + by_hand, encoding="utf-8")


def _meaning(field: FieldInfo) -> str:
    allowed = " ".join(_allowed(field))
    return f"{field.description} {allowed}".strip()


def _allowed(field: FieldInfo) -> Iterator[str]:
    """What a value may be, as far as the type says it."""
    if field.annotation is bool:
        yield "`true` or `false`."
    elif choices := [str(choice) for choice in get_args(field.annotation) if isinstance(choice, str)]:
        yield f"One of {', '.join(f'`{choice}`' for choice in choices)}."
    bounds = [
        text.format(getattr(limit, kind))
        for kind, text in _BOUNDS
        for limit in field.metadata
        if getattr(limit, kind, None) is not None
    ]
    if bounds:
        yield f"{bounds[0][0].upper()}{', '.join(bounds)[1:]}."


def _default(field: FieldInfo) -> str:
    """The default as one would write it in .env; empty where there is none."""
    value: Any = field.default
    if isinstance(value, SecretStr) or value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _is_secret(field: FieldInfo) -> bool:
    return field.annotation is SecretStr


def main(arguments: list[str]) -> int:
    if arguments == ["--write"]:
        write(Path.cwd())
    elif arguments in ([], ["--env"]):
        sys.stdout.write(env() if arguments else page())
    else:
        sys.stderr.write(f"{__doc__}\n")
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
