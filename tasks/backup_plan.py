"""The settings of backups, read into what works with them. Once a process, at its start: a bad value stops it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from pydantic import SecretStr

from config.backups import OFF, parse_options
from config.nodes import split
from config.settings import Settings, SettingsError
from worker.blobs.seal import Keys
from worker.blobs.store import Store, check_url
from worker.core import cron
from worker.core.retention import Policy, parse_policy
from worker.core.windows import Window, parse_windows

Value = TypeVar("Value")


@dataclass(frozen=True)
class BackupPlan:
    """`schedule` and `drills`: cron expressions; None: only when asked."""

    url: str
    options: dict[str, str] = field(repr=False)
    copy_url: str
    copy_options: dict[str, str] = field(repr=False)
    keys: Keys | None
    schedule: str | None
    drills: str | None
    include: tuple[str, ...]
    exclude: tuple[str, ...]
    retention: Policy
    blackout: tuple[Window, ...]

    @property
    def on(self) -> bool:
        return bool(self.url)


def plan_of(settings: Settings) -> BackupPlan:
    """Raises SettingsError, which names the variable and what it should be."""
    key = settings.backup_key.get_secret_value()
    for name in ("backup_url", "backup_copy_url"):
        if url := getattr(settings, name):
            _read(name, check_url, url)
            _try_options(name, url, getattr(settings, name.replace("_url", "_options")))
    return BackupPlan(
        url=settings.backup_url,
        options=parse_options(settings.backup_options.get_secret_value()),
        copy_url=settings.backup_copy_url,
        copy_options=parse_options(settings.backup_copy_options.get_secret_value()),
        keys=_read("backup_key", Keys.parse, key) if key else None,
        schedule=_read("backup_schedule", _cron, settings.backup_schedule),
        drills=_read("backup_drill_schedule", _cron, settings.backup_drill_schedule),
        include=split(settings.backup_include),
        exclude=split(settings.backup_exclude),
        retention=_read("backup_retention", parse_policy, settings.backup_retention),
        blackout=_read("backup_blackout", parse_windows, settings.backup_blackout),
    )


def _try_options(name: str, url: str, options: SecretStr) -> None:
    """Whether a store can be opened with them: nothing is connected. A folder, which takes none, is made only by who
    uses it."""
    if parse_options(options.get_secret_value()) or not url.startswith("file:"):
        variable = name.replace("_url", "_options")
        _read(variable, lambda text: Store.open(url, parse_options(text)), options.get_secret_value())


def _cron(text: str) -> str | None:
    if text.strip().lower() == OFF:
        return None
    cron.check(text)
    return text


def _read(name: str, parse: Callable[[str], Value], text: str) -> Value:
    try:
        return parse(text)
    except ValueError as error:
        raise SettingsError(f"{name.upper()}: {error}") from None
