"""The demo's own check and words: a difference must never be told as "identical"."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import pytest

from embedded import demo_data, report
from embedded.census import Census, differing, take
from embedded.demo import Story
from embedded.demo_data import next_run
from embedded.demo_nodes import Site
from worker.couch.database import Database

LEAVES = {"a": ("1-x",), "b": ("1-y", "1-z")}
FILE = {("a", "1-x", "report.pdf"): ("aa", 10)}


def test_nodes_that_hold_the_same_do_not_differ() -> None:
    assert differing({"one": Census(LEAVES, FILE), "two": Census(dict(LEAVES), dict(FILE))}) == []


def test_a_missing_document_a_missing_leaf_and_other_bytes_are_seen() -> None:
    whole = Census(LEAVES, FILE)

    assert differing({"one": whole, "two": Census({"a": ("1-x",)}, FILE)}) == ["b"]
    assert differing({"one": whole, "two": Census({**LEAVES, "b": ("1-y",)}, FILE)}) == ["b"]
    assert differing({"one": whole, "two": Census(LEAVES, {("a", "1-x", "report.pdf"): ("bb", 10)})}) == ["a"]
    assert differing({"one": whole, "two": Census(LEAVES)}) == ["a"]


def test_the_comparison_says_identical_only_without_differences() -> None:
    nodes = {"one": Census(LEAVES, FILE), "two": Census(LEAVES, FILE)}

    assert report.comparison("pdfs", nodes, []) == [
        "  pdfs: identical on one, two: 2 documents, 1 with a conflict, attachments: 1 (10 bytes)"
    ]
    assert report.comparison("pdfs", nodes, ["b"]) == ["  pdfs: NOT identical, 1 document differ: b"]


def test_the_table_has_a_line_for_each_node() -> None:
    lines = report.table({"one": Census({})}, {"one": Census(LEAVES, FILE, deleted=1)})

    assert [line.split() for line in lines] == [
        ["node", "documents", "before", "after", "attachments", "before", "after"],
        ["one", "0", "1", "0", "(0", "bytes)", "1", "(10", "bytes)"],
    ]


def test_pulls_and_skipped_nodes_are_told() -> None:
    pull = {"source": "replica1", "target": "primary", "docs_written": 1, "seconds": 0.123}
    job = {"result": {"pulls": [pull], "skipped": [{"node": "replica2", "reason": "down"}]}}

    assert report.pulls(job) == [
        "  primary   pulled from replica1  1 document written     0.12 s",
        "  skipped replica2: down",
    ]


def test_a_failed_job_is_told_with_its_reason() -> None:
    job = {
        "id": "7",
        "kind": "sync",
        "state": "failed",
        "created_at": "2026-11-23T15:00:00.000Z",
        "finished_at": "2026-11-23T15:00:01.500Z",
        "error": {"detail": "no node answers"},
    }

    assert report.outcome(job) == "sync job 7 failed in 1.50 s: no node answers"


def test_each_run_gets_the_next_number() -> None:
    assert next_run([]) == 1
    assert next_run(["report-0002-01", "conflict-0003", "deleted-0001", "mine", "my-own-7"]) == 4


class FakeDatabase:
    """A database of leaf revisions: id -> revision -> document."""

    def __init__(self, documents: Mapping[str, Mapping[str, dict[str, Any]]]) -> None:
        self._documents = documents

    def leaves(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        for document_id, leaves in self._documents.items():
            yield document_id, tuple(sorted(leaves))

    def get(self, document_id: str, *, rev: str, attachments: str) -> dict[str, Any]:
        assert attachments == "true"
        return self._documents[document_id][rev]


def attached(content: bytes) -> dict[str, Any]:
    return {"_attachments": {"report.pdf": {"data": base64.b64encode(content).decode()}}}


def test_a_census_counts_live_documents_every_leaf_and_the_bytes_themselves() -> None:
    database = FakeDatabase(
        {"a": {"1-x": attached(b"12345")}, "b": {"1-y": {}, "1-z": attached(b"7")}, "c": {"2-d": {"_deleted": True}}}
    )

    census = take(cast(Database, database))

    assert (census.documents, census.deleted, census.conflicts, census.attachment_bytes) == (2, 1, 1, 6)
    assert census.leaves == {"a": ("1-x",), "b": ("1-y", "1-z"), "c": ("2-d",)}


class FakeSite:
    def __init__(self, categories: Mapping[str, FakeDatabase]) -> None:
        self.api = "http://127.0.0.1:1"
        self.logs = Path("logs")
        self._categories = categories

    def databases(self, name: str) -> Mapping[str, FakeDatabase]:
        assert name == demo_data.CATEGORIES
        return self._categories


@pytest.mark.parametrize(("same_pdfs", "same_categories"), [(True, True), (False, True), (True, False)])
def test_the_demo_is_content_only_where_both_databases_are_the_same(same_pdfs: bool, same_categories: bool) -> None:
    said: list[str] = []
    other = {"c": {"1-c": dict[str, Any]()}} if same_categories else {}
    site = FakeSite({"one": FakeDatabase({"c": {"1-c": {}}}), "two": FakeDatabase(other)})
    pdfs = {"one": Census(LEAVES, FILE), "two": Census(LEAVES, FILE if same_pdfs else {})}

    equal = Story(cast(Site, site), said.append, stays=False).compare(pdfs)

    assert equal is (same_pdfs and same_categories)
    assert any("NOT identical" in line for line in said) is not equal
