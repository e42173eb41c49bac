"""The one place that makes Redis connections for the job store, and names what can go wrong with them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

CONNECT_TIMEOUT = 1.0  # seconds; with ANSWER_TIMEOUT it bounds what a caller waits for a dead Redis
ANSWER_TIMEOUT = 5.0


class StoreUnavailable(Exception):
    """Redis (or the broker) does not take commands now. Nothing was half-written; asking again is safe."""


def connect(url: str, *, answer_timeout: float = ANSWER_TIMEOUT) -> redis.Redis:
    """A pooled client. No connection is opened before the first command.

    One immediate retry, because after a Redis restart every pooled connection is dead exactly once; more
    would keep a caller waiting for an error it can have now.
    """
    return redis.Redis.from_url(
        url,
        decode_responses=True,
        socket_connect_timeout=CONNECT_TIMEOUT,
        socket_timeout=answer_timeout,
        health_check_interval=30,
        retry=Retry(NoBackoff(), 1),
    )


@contextmanager
def translated() -> Iterator[None]:
    """Redis' errors as StoreUnavailable; a script's own error is a defect of ours and passes through."""
    try:
        yield
    except (redis.ConnectionError, redis.TimeoutError, redis.ReadOnlyError, redis.OutOfMemoryError) as error:
        raise StoreUnavailable(f"Redis does not answer ({type(error).__name__})") from error
