"""A document and its attachments as one body: that it is as long as it says, and that nothing in it can end a part."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from email.parser import BytesParser

from hypothesis import given
from hypothesis import strategies as st

from worker.couch.related import Part, Related

DOCUMENT = json.dumps({"_id": "grüße", "text": "--\r\n"}).encode()


def part(name: str, *pieces: bytes) -> Part:
    return Part(name, "application/pdf", sum(map(len, pieces)), lambda: iter(pieces))


def parsed(body: Related) -> list[tuple[dict[str, str], bytes]]:
    """Headers and content of each part, as Python's own parser finds them."""
    whole = f"Content-Type: {body.content_type}\r\n\r\n".encode() + b"".join(body)
    message = BytesParser().parsebytes(whole)
    assert message.get_content_type() == "multipart/related"
    assert message.defects == []
    found = []
    for one in message.get_payload():
        content = one.get_payload(decode=True)  # type: ignore[union-attr]
        found.append((dict(one.items()), content))  # type: ignore[union-attr]
    return found


contents = st.one_of(st.binary(max_size=200), st.sampled_from([b"\r\n", b"--", b"\r\n--\r\n\r\n", b"\r", b"\n\n"]))
parts = st.lists(st.builds(part, st.text(st.characters(exclude_categories=["Cs"]), max_size=20), contents), max_size=4)


@given(parts)
def test_it_is_as_long_as_it_says_each_time(given_parts: list[Part]) -> None:
    body = Related(DOCUMENT, given_parts)

    first, again = b"".join(body), b"".join(body)

    assert len(body) == len(first)
    assert again == first


@given(parts)
def test_every_part_comes_out_as_it_went_in(given_parts: list[Part]) -> None:
    (headers, document), *found = parsed(Related(DOCUMENT, given_parts))

    assert (headers["Content-Type"], document) == ("application/json", DOCUMENT)
    assert [content for _, content in found] == [b"".join(one.pieces()) for one in given_parts]
    for (headers, _), one in zip(found, given_parts, strict=True):
        assert headers.keys() == {"Content-Disposition", "Content-Length"}  # no name made another header
        assert headers["Content-Length"] == str(one.length)


def test_a_document_without_attachments_is_a_body_too() -> None:
    assert [content for _, content in parsed(Related(DOCUMENT, []))] == [DOCUMENT]


def test_its_boundary_is_its_own_and_stands_around_every_part() -> None:
    one, other = (Related(DOCUMENT, [part("a.pdf", b"a"), part("b.pdf", b"b")]) for _ in range(2))

    boundary = one.content_type.partition('boundary="')[2].rstrip('"').encode()

    assert one.content_type != other.content_type
    assert b"".join(one).startswith(b"--" + boundary + b"\r\n")
    assert b"".join(one).count(b"\r\n--" + boundary + b"\r\n") == 2
    assert b"".join(one).endswith(b"\r\n--" + boundary + b"--")


def test_pieces_are_asked_for_when_their_turn_comes() -> None:
    """Of three gigabytes of attachments there is never more than a piece in memory."""
    asked: list[str] = []

    def noting(name: str) -> Callable[[], Iterator[bytes]]:
        def pieces() -> Iterator[bytes]:
            for place in range(2):
                asked.append(f"{name}{place}")
                yield b"x"

        return pieces

    body = Related(DOCUMENT, [Part(name, "text/plain", 2, noting(name)) for name in "ab"])
    assert (len(body) > 0, asked) == (True, [])

    seen = [list(asked) for piece in body if piece == b"x"]

    assert seen == [["a0"], ["a0", "a1"], ["a0", "a1", "b0"], ["a0", "a1", "b0", "b1"]]
