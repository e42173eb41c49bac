"""What people and drills have to say of a backup, in the store beside it: a manifest never changes.

Anybody who has the store has these too; and Redis may be emptied without their being lost.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

import msgspec

from worker.blobs.vault import Vault
from worker.core.errors import ObjectDamaged, ObjectMissing, WrongKey
from worker.core.manifest import folder

Note = TypeVar("Note")
HOLD = "hold"
DRILL = "drill"
DAMAGE = "damage"


class Hold(msgspec.Struct, frozen=True):
    """A legal hold: retention never removes the backup while `on`."""

    on: bool
    reason: str | None
    at: float


class Drill(msgspec.Struct, frozen=True):
    """The last drill of a backup (worker.ops.backup.drill)."""

    ok: bool
    at: float
    node: str | None
    seconds: float
    databases: int
    detail: str | None


class Damage(msgspec.Struct, frozen=True):
    """What a check or a drill (`by`) found wrong with a backup, or with what it goes on from. `on`: no later one has
    found it right again."""

    on: bool
    by: str
    at: float
    detail: str | None


def put_hold(vault: Vault, backup: str, hold: Hold) -> None:
    vault.write_record(_name(backup, HOLD), hold)


def hold_of(vault: Vault, backup: str) -> Hold | None:
    return _find(vault, backup, HOLD, Hold)


def put_drill(vault: Vault, backup: str, done: Drill) -> None:
    vault.write_record(_name(backup, DRILL), done)


def drill_of(vault: Vault, backup: str) -> Drill | None:
    return _find(vault, backup, DRILL, Drill)


def put_damage(vault: Vault, backup: str, found: Damage) -> None:
    vault.write_record(_name(backup, DAMAGE), found)


def damage_of(vault: Vault, backup: str) -> Damage | None:
    return _find(vault, backup, DAMAGE, Damage)


def holds(vault: Vault, backups: Iterable[str]) -> set[str]:
    """Those that are on hold. One whose note cannot be read counts as held: better too long than too short."""
    found = set()
    for backup in backups:
        try:
            hold = vault.find_record(_name(backup, HOLD), Hold)
        except ObjectMissing:
            continue
        except (ObjectDamaged, WrongKey):
            found.add(backup)
        else:
            if hold.on:
                found.add(backup)
    return found


def _find(vault: Vault, backup: str, what: str, kind: type[Note]) -> Note | None:
    try:
        return vault.find_record(_name(backup, what), kind)
    except (ObjectMissing, ObjectDamaged, WrongKey):
        return None


def _name(backup: str, what: str) -> str:
    return f"{folder(backup)}/{what}.json"
