"""The settings of backups that need more than a type."""

from __future__ import annotations

from pydantic import SecretStr

from config.nodes import split

OFF = "off"
_SECRET = ("secret", "token", "password", "sas", "access_key", "account_key", "credential", "private")


def parse_options(text: str) -> dict[str, str]:
    """`name=value, name=value` of BACKUP_OPTIONS. A comma within a value is written %2C. Raises ValueError, which never
    quotes a value."""
    found: dict[str, str] = {}
    for at, entry in enumerate(split(text), start=1):
        name, equals, value = entry.partition("=")
        name = name.strip().lower()
        if not equals or not name or not value.strip():
            raise ValueError(f"entry {at} must be name=value, like aws_region=eu-central-1")
        if name in found:
            raise ValueError(f"{name} is there twice")
        found[name] = value.strip().replace("%2C", ",").replace("%2c", ",")
    return found


def secrets_of(options: SecretStr) -> list[str]:
    """The values that must not be shown; a region or an endpoint may be."""
    found = parse_options(options.get_secret_value())
    return [value for name, value in found.items() if any(word in name for word in _SECRET)]
