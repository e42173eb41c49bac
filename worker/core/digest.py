"""Is a database the same on several nodes? Order-free digests answer it without holding its documents.

A feed of changes has no order that two nodes share, and a database may have millions of documents. So every
document goes into one of BUCKETS by its id, and a bucket keeps no more than how many it got and the sum of their
hashes: sums do not depend on order. Buckets that are equal on all nodes hold the same documents; only the others
are looked at by id.

A 128-bit hash of (leaf revisions, id) makes an accidental equality of different documents a matter of 2**-128.
That is a guard against chance, not against somebody who makes up revisions to deceive: sums are not built for that.

Why not Merkle trees, or a sort: both need an order, that is to say all ids at once, somewhere.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b

from worker.core.model import Row

BUCKETS = 65_536  # 15 documents in each of a million; a table is 4 MB, however many documents there are
_MASK = BUCKETS - 1
_COUNT = 192  # a bucket is one number: the count above this bit, the sum (128 bits, and room to grow) below
_ONE = 1 << _COUNT


def bucket_of(document_id: str) -> int:
    """By the id alone: a document that changes between two looks stays where it was."""
    return zlib.crc32(document_id.encode("utf-8", "surrogatepass")) & _MASK


class Digest:
    """What a node's feed comes to, row by row."""

    def __init__(self) -> None:
        self._buckets = [0] * BUCKETS

    def add(self, rows: Iterable[Row]) -> None:
        """Written out in one loop: a million documents are a million turns."""
        buckets, crc32, number = self._buckets, zlib.crc32, int.from_bytes
        for document_id, leaves in rows:
            name = document_id.encode("utf-8", "surrogatepass")
            # revisions have no NUL: whatever an id looks like, two different rows are two different texts
            text = b"%b\0%b" % (",".join(leaves).encode(), name)
            buckets[crc32(name) & _MASK] += _ONE + number(blake2b(text, digest_size=16).digest(), "little")

    def __len__(self) -> int:
        """Rows added; a document that changed while its feed was read counts each time it came."""
        return sum(bucket >> _COUNT for bucket in self._buckets)

    def rows_in(self, bucket: int) -> int:
        return self._buckets[bucket] >> _COUNT

    @staticmethod
    def differing(digests: Sequence[Digest]) -> list[int]:
        """The buckets that are not equal in all of these."""
        columns = zip(*(digest._buckets for digest in digests), strict=True)
        return [number for number, found in enumerate(columns) if found.count(found[0]) != len(found)]


def portions(digests: Sequence[Digest], buckets: Iterable[int], most: int) -> Iterator[set[int]]:
    """The buckets in sets whose rows, of all nodes together, are `most` or fewer (or a single bucket)."""
    portion: set[int] = set()
    held = 0
    for bucket in buckets:
        rows = sum(digest.rows_in(bucket) for digest in digests)
        if portion and held + rows > most:
            yield portion
            portion, held = set(), 0
        portion.add(bucket)
        held += rows
    if portion:
        yield portion
