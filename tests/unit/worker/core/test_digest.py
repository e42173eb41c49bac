from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.core.digest import BUCKETS, Digest, bucket_of, portions
from worker.core.model import Row

revisions = st.builds(lambda number, name: f"{number}-{name:032x}", st.integers(1, 99), st.integers(0, 2**128 - 1))
leaves = st.lists(revisions, min_size=1, max_size=4, unique=True).map(lambda found: tuple(sorted(found)))
# whatever JSON can say, NUL and halves of surrogate pairs included
ids = st.text(st.characters(), min_size=1, max_size=30)
databases = st.dictionaries(ids, leaves, max_size=30)


def of(rows: list[Row]) -> Digest:
    digest = Digest()
    digest.add(rows)
    return digest


def equal(*digests: Digest) -> bool:
    return Digest.differing(digests) == []


@given(databases.flatmap(lambda rows: st.tuples(st.just(list(rows.items())), st.permutations(list(rows.items())))))
def test_order_does_not_matter(rows: tuple[list[Row], list[Row]]) -> None:
    assert equal(of(rows[0]), of(rows[1]))


@given(databases, st.data())
def test_pages_do_not_matter(database: dict[str, tuple[str, ...]], data: st.DataObject) -> None:
    rows = list(database.items())
    at = data.draw(st.integers(0, len(rows)))
    paged = of(rows[:at])
    paged.add(rows[at:])

    assert equal(of(rows), paged)
    assert len(paged) == len(rows)


@given(databases, ids, leaves)
def test_any_single_difference_shows_in_the_bucket_of_its_document(
    database: dict[str, tuple[str, ...]], document_id: str, other: tuple[str, ...]
) -> None:
    """A document more, or one with other leaves."""
    changed = {**database, document_id: other}
    differing = Digest.differing([of(list(database.items())), of(list(changed.items()))])

    assert differing == ([] if changed == database else [bucket_of(document_id)])


@given(st.lists(databases, min_size=2, max_size=4))
def test_equal_means_the_same_documents(nodes: list[dict[str, tuple[str, ...]]]) -> None:
    assert equal(*(of(list(node.items())) for node in nodes)) == all(node == nodes[0] for node in nodes)


@given(ids, leaves, leaves)
def test_a_row_that_comes_twice_is_not_one_that_comes_once(
    document_id: str, one: tuple[str, ...], other: tuple[str, ...]
) -> None:
    assert not equal(of([(document_id, one)]), of([(document_id, one), (document_id, one)]))
    assert equal(of([(document_id, one), (document_id, other)]), of([(document_id, other), (document_id, one)]))


def test_an_id_that_looks_like_a_row_is_no_other_row() -> None:
    one, two = "1-aa", "2-bb"

    assert not equal(of([(f"{two}\0x", (one,))]), of([("x", (one, two))]))
    assert not equal(of([(f"x\0{two}", (one,))]), of([("x", (one, two))]))


def test_a_digest_is_as_large_for_many_documents_as_for_few() -> None:
    digest = of([(f"doc-{number:07}", (f"1-{number:032x}",)) for number in range(200_000)])

    size = sys.getsizeof(digest._buckets) + sum(sys.getsizeof(bucket) for bucket in digest._buckets)
    assert size < 5_000_000
    assert len(digest) == 200_000
    fullest = max(digest.rows_in(bucket) for bucket in range(BUCKETS))
    assert fullest < 30  # 3 on average: ids that only count up do not crowd


@pytest.mark.parametrize(("most", "sets"), [(1, 3), (4, 2), (6, 1), (100, 1)])
def test_portions_hold_no_more_than_asked_unless_a_bucket_does(most: int, sets: int) -> None:
    ids = [f"doc-{number}" for number in range(3)]
    buckets = {bucket_of(document_id) for document_id in ids}
    assert len(buckets) == 3
    digests = [of([(document_id, ("1-aa",)) for document_id in ids]) for _ in range(2)]

    found = list(portions(digests, sorted(buckets), most))

    assert len(found) == sets
    assert set().union(*found) == buckets


def test_nothing_differs_in_no_portion() -> None:
    assert list(portions([of([]), of([])], [], 10)) == []
