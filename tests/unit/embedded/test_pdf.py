"""The PDFs the demo makes are what a strict reader expects."""

from __future__ import annotations

import re

import pytest

from embedded import pdf


def cross_references(content: bytes) -> list[int]:
    start = re.search(rb"startxref\n(\d+)\n%%EOF\n$", content)
    assert start
    table = content[int(start[1]) :]
    assert table.startswith(b"xref\n0 ")
    count = int(table.split(b"\n", 2)[1].split()[1])
    entries = table.split(b"\n", 2)[2][: 20 * count]
    assert entries[:20] == b"0000000000 65535 f \n"
    return [int(entries[20 * number : 20 * number + 10]) for number in range(1, count)]


@pytest.mark.parametrize("size", [0, 1, 5_000, 1_000_000])
def test_each_offset_of_the_table_is_where_its_object_begins(size: int) -> None:
    content = pdf.make("Title", ["one", "two"], size)

    offsets = cross_references(content)

    assert len(offsets) == (6 if size else 5)
    for number, offset in enumerate(offsets, start=1):
        assert content[offset:].startswith(b"%d 0 obj\n" % number)


@pytest.mark.parametrize("size", [0, 1, 5_000, 1_000_000])
def test_streams_are_as_long_as_they_say(size: int) -> None:
    content = pdf.make("Title", ["one"], size)

    for stream in re.finditer(rb"/Length (\d+) >>\nstream\n", content):
        assert content[stream.end() + int(stream[1]) :].startswith(b"\nendstream")


def test_it_is_at_least_as_big_as_wanted_and_not_much_bigger() -> None:
    assert 1_000_000 <= len(pdf.make("big", [], 1_000_000)) < 1_010_000


def test_the_same_arguments_give_the_same_bytes() -> None:
    assert pdf.make("a", ["x"], 3_000) == pdf.make("a", ["x"], 3_000)
    assert pdf.make("a", ["x"], 3_000) != pdf.make("b", ["x"], 3_000)


def test_characters_that_mean_something_in_a_pdf_string_are_escaped() -> None:
    assert rb"(a \(b\) \\c) Tj" in pdf.make(r"a (b) \c", [])
