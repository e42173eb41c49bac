"""Small, valid PDF files of a wanted size, made on the spot: the demo moves real attachments without shipping any.

A page of text and, where a size is asked for, a grey picture of noise that does not compress. Only what a
reader needs is written (ISO 32000-1, 7.5: header, body, cross-reference table, trailer).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence

HEADER = b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n"  # the second line tells transfer programs that this is binary
PAGE_WIDTH, PAGE_HEIGHT, MARGIN, LEADING = 595, 842, 72, 20  # A4, in points


def make(title: str, lines: Sequence[str], size: int = 0) -> bytes:
    """A one-page PDF of at least `size` bytes. The same arguments give the same bytes."""
    side = math.isqrt(max(0, size)) + 1 if size else 0
    image = hashlib.shake_256(title.encode()).digest(side * side)
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 %d %d] /Contents 5 0 R" % (PAGE_WIDTH, PAGE_HEIGHT)
        + b" /Resources << /Font << /F1 4 0 R >>%s >> >>" % (b" /XObject << /Im1 6 0 R >>" if side else b""),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
        _stream(b"", _content(title, lines, with_image=bool(side))),
    ]
    if side:
        grey = b"/Type /XObject /Subtype /Image /Width %d /Height %d /ColorSpace /DeviceGray /BitsPerComponent 8 "
        objects.append(_stream(grey % (side, side), image))
    return _file(objects)


def _file(objects: Sequence[bytes]) -> bytes:
    """Number the objects from 1, and write where each begins into the cross-reference table."""
    body = bytearray(HEADER)
    offsets = []
    for number, item in enumerate(objects, start=1):
        offsets.append(len(body))
        body += b"%d 0 obj\n%s\nendobj\n" % (number, item)
    table = len(body)
    body += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    for offset in offsets:
        body += b"%010d 00000 n \n" % offset
    body += b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, table)
    return bytes(body)


def _stream(entries: bytes, data: bytes) -> bytes:
    return b"<< %s/Length %d >>\nstream\n%s\nendstream" % (entries, len(data), data)


def _content(title: str, lines: Sequence[str], *, with_image: bool) -> bytes:
    """The page's drawing commands."""
    top = PAGE_HEIGHT - MARGIN
    parts = [b"BT /F1 18 Tf %d %d Td %d TL (%s) Tj" % (MARGIN, top, LEADING, _text(title))]
    parts.append(b"/F1 11 Tf")
    parts += [b"T* (%s) Tj" % _text(line) for line in lines]
    parts.append(b"ET")
    if with_image:
        parts.append(b"q 300 0 0 300 %d %d cm /Im1 Do Q" % (MARGIN, MARGIN))
    return b"\n".join(parts)


def _text(text: str) -> bytes:
    """A PDF string's inside: parentheses and backslashes escaped, letters of Windows-1252."""
    plain = text.encode("cp1252", errors="replace")
    return plain.replace(b"\\", b"\\\\").replace(b"(", b"\\(").replace(b")", b"\\)")
