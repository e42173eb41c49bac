"""Lines of figures over time, as SVG paths. Pure: the templates draw, nothing here knows how it looks.

A gap is a gap: where a figure is not known, or nobody looked, the line ends and begins anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Line:
    """`path` is SVG's, in a box of `width` x `height`. `top`: what the upper edge stands for; None where no figure is
    known. `last`: the newest point's; None where it has none, or comes long before the right edge."""

    path: str
    width: float
    height: float
    top: float | None
    last: float | None


Point = tuple[float, float | None]  # (when, figure); figures are not below 0


def line(
    points: Sequence[Point],
    width: float,
    height: float,
    *,
    begin: float | None = None,
    end: float | None = None,
    gap: float | None = None,
) -> Line:
    """`begin`, `end`: the moments of the left and the right edge; left out: those of the first and the last point. Two
    points further apart than `gap` are not joined."""
    known = [(at, value) for at, value in points if value is not None]
    if not known:
        return Line("", width, height, None, None)
    first = points[0][0] if begin is None else begin
    after = points[-1][0] if end is None else end
    top = max(value for _, value in known)
    across, down = width / ((after - first) or 1.0), (height - 2) / (top or 1.0)
    steps: list[str] = []
    before: float | None = None
    for at, value in points:
        if value is None:
            before = None
            continue
        joined = before is not None and (gap is None or at - before <= gap)
        x, y = (at - first) * across, height - 1 - value * down
        # a figure between two gaps is a dot and not nothing
        steps.append(f"{'L' if joined else 'M'}{x:.1f} {y:.1f}" + ("" if joined else "h0.1"))
        before = at
    newest, last = points[-1]
    old = gap is not None and after - newest > gap
    return Line("".join(steps), width, height, top, None if old else last)


def sparkline(figures: Iterable[float | None], width: float = 120, height: float = 24) -> Line:
    """Of figures at even distances, the oldest first."""
    return line([(float(at), figure) for at, figure in enumerate(figures)], width, height)
