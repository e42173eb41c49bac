"""The one place that makes Redis connections for the job store, and names what can go wrong with them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

CONNECT_TIMEOUT = 1.0  # seconds
WORKER_PATIENCE = 5.0  # seconds a worker waits for an answer
API_PATIENCE = 1.5  # seconds the API does: whoever asked is to hear of a hung Redis within two


class StoreUnavailable(Exception):
    """Redis (or the broker) does not take commands now. Nothing was done; asking again is safe."""


class Uncertain(StoreUnavailable):
    """Redis went away in the middle: what was asked may have been done. Asking again is safe."""


# Redis is there, but takes no writes now. redis-py has classes for some of these answers (and then strips the
# code from the text); from inside a script all come as plain ResponseErrors
_REFUSALS = ("OOM", "MISCONF", "NOREPLICAS", "READONLY", "BUSY", "LOADING", "MASTERDOWN")
_REFUSED = (redis.ReadOnlyError, redis.OutOfMemoryError, redis.exceptions.MasterDownError)


def connect(url: str, *, patience: float = WORKER_PATIENCE) -> redis.Redis:
    """A pooled client. No connection is opened before the first command.

    One immediate retry, because after a Redis restart every pooled connection is dead exactly once; more, or
    another one after a time-out, would keep a caller waiting for an error it can have now.
    """
    return redis.Redis.from_url(
        url,
        decode_responses=True,
        socket_connect_timeout=CONNECT_TIMEOUT,
        socket_timeout=patience,
        health_check_interval=30,
        retry=Retry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,)),
    )


@contextmanager
def translated() -> Iterator[None]:
    """Redis' errors as StoreUnavailable; a script's own error is a defect of ours and passes through."""
    try:
        yield
    except (redis.ConnectionError, redis.TimeoutError) as error:
        raise StoreUnavailable(f"Redis does not answer ({type(error).__name__})") from error
    except _REFUSED as error:
        raise StoreUnavailable(f"Redis takes no writes now ({type(error).__name__})") from error
    except redis.ResponseError as error:
        refusal = next((word for word in _REFUSALS if word in str(error)), None)
        if refusal is None:
            raise
        raise StoreUnavailable(f"Redis takes no writes now ({refusal})") from error


def fields(client: Any, key: str, names: list[str] | None) -> dict[str, str]:
    """Of a hash, these fields (None: all) that are there and not empty. Raises StoreUnavailable."""
    with translated():
        if names is None:
            rows = client.hgetall(key)
        else:  # Redis refuses to be asked for none
            rows = dict(zip(names, client.hmget(key, names), strict=True)) if names else {}
    return {name: row for name, row in rows.items() if row}
