"""What each database holds and takes on each node, in Redis: a hash a node, one short value a database.

A hundred thousand databases on five nodes are half a million values: each is a JSON array without names. They come by
the hundred, as the sweep's round goes on (worker.core.disk), and each has its own time. What a round has not met is
taken out when it is over.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import redis

from tasks.redis import fields, translated
from worker.core.disk import fragmentation
from worker.core.figures import Asked, Figures

NODES = "nbr:seen:figures"  # set: the nodes that have a hash
PREFIX = "nbr:seen:figures:"  # and the node's name: hash: database -> Kept
MOST_AT_ONCE = 1_000  # fields of one HDEL


class Kept(msgspec.Struct, array_like=True, frozen=True):
    """Bytes are None where the node does not tell; `mark`: see worker.core.figures; `at`: seconds since the epoch."""

    documents: int
    deleted: int | None
    file: int | None
    active: int | None
    mark: str
    at: float

    @property
    def fragmentation(self) -> float | None:
        return None if self.file is None or self.active is None else fragmentation(self.file, self.active)


_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(Kept)


class FiguresSeen:
    """All methods raise tasks.redis.StoreUnavailable where Redis does not answer."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis: Any = client  # see JobStore

    def save(self, node: str, asked: Asked, names: Sequence[str], now: float) -> None:
        """What one look has brought. `names`: the databases that the node has, as far as anybody wants to know."""
        wanted, key = set(names), PREFIX + node
        found = {one.name: _text(one, now) for one in asked.figures if one.name in wanted}
        with translated():
            gone = set(asked.names) - found.keys()
            if asked.last:
                gone |= set(self._redis.hkeys(key)) - wanted
            pipeline = self._redis.pipeline()
            pipeline.sadd(NODES, node)
            if found:
                pipeline.hset(key, mapping=found)
            fields = sorted(gone)
            for start in range(0, len(fields), MOST_AT_ONCE):
                pipeline.hdel(key, *fields[start : start + MOST_AT_ONCE])
            pipeline.execute()

    def keep_nodes(self, nodes: Iterable[str]) -> None:
        """Forget those that are not among these."""
        with translated():
            gone = set(self._redis.smembers(NODES)) - set(nodes)
            if gone:
                self._redis.delete(*(PREFIX + node for node in gone))
                self._redis.srem(NODES, *gone)

    def of(self, node: str, databases: list[str] | None = None) -> dict[str, Kept]:
        """Database -> what is kept of it, of these (None: of all), as far as it is."""
        read = ((name, _read(row)) for name, row in fields(self._redis, PREFIX + node, databases).items())
        return {name: kept for name, kept in read if kept is not None}


def _text(one: Figures, now: float) -> bytes:
    return _ENCODER.encode(Kept(one.documents, one.deleted, one.file, one.active, one.mark, round(now, 3)))


def _read(row: str) -> Kept | None:
    """What another version of ours wrote may have another form: the next round writes it anew."""
    try:
        return _DECODER.decode(row)
    except msgspec.DecodeError:
        return None
