"""An object store from its URL and options, checked before anything is connected.

obstore wants what is for its HTTP client apart from the rest, and panics where it is not; it takes any text for an
endpoint, and panics once it is used; and its errors quote the value at fault, which may be a secret under a wrong name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from obstore import exceptions
from obstore.store import from_url

from worker.blobs.failures import PANIC, first_line
from worker.core.redact import scrub

_PREFIXES = ("aws_", "azure_", "google_")
_URL = re.compile(r"https?://[!-~]+")
_ENDPOINTS = {"endpoint", "endpoint_url", "storage_endpoint"}
_CLIENT = {
    "allow_http",
    "allow_invalid_certificates",
    "connect_timeout",
    "default_content_type",
    "http1_only",
    "http2_keep_alive_interval",
    "http2_keep_alive_timeout",
    "http2_keep_alive_while_idle",
    "http2_max_frame_size",
    "http2_only",
    "pool_idle_timeout",
    "pool_max_idle_per_host",
    "proxy_ca_certificate",
    "proxy_excludes",
    "proxy_url",
    "randomize_addresses",
    "read_timeout",
    "root_certificate",
    "timeout",
    "user_agent",
}


@dataclass(frozen=True)
class Patience:
    """Seconds until a store counts as unavailable: `connect` for a connection, `answer` for one request (a slice or a
    part), `retries` more tries, the last of which begins within `retry_for`. With these it takes 1 s where nobody
    listens, 16 s where no packet comes back, and 120 s where a connection is taken and nothing is answered."""

    connect: float = 3
    answer: float = 120
    retries: int = 4
    retry_for: float = 60


PATIENCE = Patience()


def object_store(url: str, options: Mapping[str, str], patience: Patience) -> Any:
    """Raises ValueError, which names the option at fault and never quotes a value."""
    config, client = _apart(options)
    client = {
        "timeout": timedelta(seconds=patience.answer),
        "connect_timeout": timedelta(seconds=patience.connect),
        **client,
    }
    retries: Any = {"max_retries": patience.retries, "retry_timeout": timedelta(seconds=patience.retry_for)}
    try:
        # its stubs have an overload for each cloud; which one it is only the URL tells
        return from_url(url, config=config or None, client_options=client, retry_config=retries)  # type: ignore[call-overload]
    except exceptions.UnknownConfigurationKeyError as error:
        raise ValueError(first_line(error)) from None
    except (exceptions.BaseError, ValueError) as error:
        raise ValueError(_blamed(error, options)) from None
    except BaseException as error:
        if type(error).__name__ != PANIC:
            raise
        raise ValueError(f"one of {', '.join(options)} makes no sense to the library: {first_line(error)}") from None


def _apart(options: Mapping[str, str]) -> tuple[dict[str, str], dict[str, Any]]:
    """What the store is told, and what its HTTP client is."""
    config: dict[str, str] = {}
    client: dict[str, Any] = {}
    for name, value in options.items():
        bare = _bare(name)
        if bare in _ENDPOINTS:
            _check_endpoint(name, value)
        if bare in _CLIENT:
            client[bare] = value
        else:
            config[name] = value
    return config, client


def _bare(name: str) -> str:
    lower = name.lower()
    return next((lower.removeprefix(prefix) for prefix in _PREFIXES if lower.startswith(prefix)), lower)


def _check_endpoint(name: str, value: str) -> None:
    parts = urlsplit(value)
    if not _URL.fullmatch(value) or not parts.hostname:
        raise ValueError(f"{name} must be a URL like https://minio.example:9000")
    if parts.username or parts.password:
        raise ValueError(f"{name} must not have credentials in it: there are options for them")


def _blamed(error: Exception, options: Mapping[str, str]) -> str:
    """The library quotes the value and not the name."""
    text = first_line(error)
    quoted = [name for name, value in options.items() if f'"{value}"' in text or (len(value) > 3 and value in text)]
    told = scrub(text, options.values())
    return f"{' or '.join(quoted)}: {told}" if quoted else told
