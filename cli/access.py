"""Where the API is and what opens it: NBR_URL, NBR_TOKEN and their like, from the environment or the same `.env`.

config.settings is not asked: it wants every setting of the server to be right, which is none of ours here, and takes
half a second. Only `.env` beside the project counts (or NBR_ENV_FILE), never one of the folder that somebody happens to
stand in: whoever wrote that one could have the token sent to himself.
"""

from __future__ import annotations

import ipaddress
import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import click

PROJECT = Path(__file__).parents[1]
_NAMES = ("NBR_URL", "NBR_TOKEN", "NBR_TOKEN_FILE", "NBR_CA_BUNDLE", "NBR_ALLOW_HTTP", "API_HOST", "API_PORT")
_ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - what is listened on is not what can be asked
_SWITCH = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}


@dataclass(frozen=True)
class Access:
    """`verify`: what certificates are checked with, as requests takes it: a file, a folder, or True for its own."""

    url: str
    token: str | None = field(default=None, repr=False)
    verify: str | bool = True


def access(url: str | None, environ: Mapping[str, str], env_file: Path | None = None) -> Access:
    """Raises click.UsageError, which names the variable at fault and never shows the token."""
    found = _settings(environ, env_file)
    base = _checked(url, "--url") if url else _checked(found.get("NBR_URL") or _own(found), "NBR_URL")
    token = _token(found)
    if token and urlsplit(base).scheme == "http" and not _loopback(base) and not _allowed(found):
        raise click.UsageError(
            f"{base} is plain HTTP on another machine: everybody on the way could read the token. Use https://, "
            "or set NBR_ALLOW_HTTP=true where the network is trusted"
        )
    return Access(base, token, _verify(found.get("NBR_CA_BUNDLE")))


def _settings(environ: Mapping[str, str], env_file: Path | None) -> dict[str, str]:
    """The variables that count, those that are empty left out. The environment wins, and a token in it over a file
    with one in `.env`."""
    own = {name: environ[name] for name in _NAMES if environ.get(name)}
    named = environ.get("NBR_ENV_FILE")
    path = env_file or Path(named or PROJECT / ".env")
    if named and not path.exists():
        raise click.UsageError(f"NBR_ENV_FILE: there is no file {named}")
    written = _written(path) if path.is_file() else {}
    if {"NBR_TOKEN", "NBR_TOKEN_FILE"} & own.keys():
        written = {name: value for name, value in written.items() if not name.startswith("NBR_TOKEN")}
    return {**written, **own}


def _written(path: Path) -> dict[str, str]:
    from dotenv import dotenv_values  # noqa: PLC0415 - not before it is known that there is a file

    try:
        values = dotenv_values(path)
    except (OSError, UnicodeDecodeError) as error:
        if isinstance(error, PermissionError):
            return {}  # the server's secrets are not everybody's: who may not read them has the environment
        raise click.UsageError(f"{path} cannot be read ({type(error).__name__})") from None
    return {name: value for name in _NAMES if (value := values.get(name))}


def _own(found: Mapping[str, str]) -> str:
    """Where the API of this project listens."""
    host = found.get("API_HOST", "127.0.0.1")
    host = _ANY_ADDRESS.get(host, host)
    return f"http://{f'[{host}]' if ':' in host else host}:{found.get('API_PORT', '5000')}"


def _checked(url: str, name: str) -> str:
    try:
        parts = urlsplit(url.strip())
        host, _ = parts.hostname, parts.port
    except ValueError:
        parts, host = urlsplit(""), None
    if parts.username is not None or parts.password is not None:
        raise click.UsageError(f"{name}: no user or password in the address; the token goes into NBR_TOKEN")
    if parts.scheme not in {"http", "https"} or not host or parts.query or parts.fragment:
        raise click.UsageError(f"{name}: must be like http://127.0.0.1:5000 or https://replication.example.com")
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"


def _token(found: Mapping[str, str]) -> str | None:
    token, path = found.get("NBR_TOKEN"), found.get("NBR_TOKEN_FILE")
    if token and path:
        raise click.UsageError("NBR_TOKEN and NBR_TOKEN_FILE are both set: keep one")
    if path:
        try:
            token = Path(path).expanduser().read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            why = getattr(error, "strerror", None) or type(error).__name__
            raise click.UsageError(f"NBR_TOKEN_FILE: cannot read {path}: {why}") from None
        if not token.strip():
            raise click.UsageError(f"NBR_TOKEN_FILE: {path} is empty")
    token = (token or "").strip()
    if not token:
        return None
    if not (token.isascii() and token.isprintable()) or " " in token:
        raise click.UsageError("NBR_TOKEN: a token is one word of printable ASCII characters, and this is none")
    return token


def _allowed(found: Mapping[str, str]) -> bool:
    word = found.get("NBR_ALLOW_HTTP", "false").strip().lower()
    if word not in _SWITCH:
        raise click.UsageError("NBR_ALLOW_HTTP: must be true or false")
    return _SWITCH[word]


def _loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _verify(bundle: str | None) -> str | bool:
    """NBR_CA_BUNDLE, else what the system trusts, else what requests brings along."""
    if bundle:
        if not os.access(bundle, os.R_OK):
            raise click.UsageError(f"NBR_CA_BUNDLE: cannot read {bundle}")
        return bundle
    known = ssl.get_default_verify_paths()
    if known.cafile:
        return known.cafile
    return known.capath if known.capath and any(Path(known.capath).glob("*.0")) else True
