"""Where nodes and links are drawn: (names, pairs) -> places on a plane. Pure.

Nodes stand on a circle, the first at its top; a link leaves its source's rim and ends at its target's, bent to one
side, so that the two directions of a pair lie apart. The more nodes the greater the circle, and the plane is as
large as it has to be: on a phone the words of three nodes can be read.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

RADIUS = 44.0  # of a node
RING = RADIUS + 5  # of the mark around the acting primary
FOCUS = RING + 5  # of the mark around what has the focus
BEND = 24.0  # how far the middle of a link is from the straight line
_LEAST = 132.0  # of the circle
_APART = 3 * RADIUS  # between two neighbours
_MARGIN = 8.0
_GAP = 5.0  # between a rim and the tip of an arrow


@dataclass(frozen=True)
class Place:
    x: float
    y: float


@dataclass(frozen=True)
class Curve:
    """`path` is SVG's; `label` lies at its middle."""

    path: str
    label: Place


@dataclass(frozen=True)
class Drawing:
    """`view`: left, top, width and height of the plane, as SVG's viewBox takes them."""

    view: str
    places: Mapping[str, Place]
    curves: Mapping[tuple[str, str], Curve]


def draw(names: Sequence[str], pairs: Iterable[tuple[str, str]]) -> Drawing:
    stands = places(names)
    curves = {(source, target): curve(stands[source], stands[target]) for source, target in pairs}
    edge = RING + _MARGIN
    xs, ys = [place.x for place in stands.values()], [place.y for place in stands.values()]
    # a link between the lowest two is bent below them
    low = max([*(y + edge for y in ys), *(one.label.y + edge / 2 for one in curves.values())])
    high = min([*(y - edge for y in ys), *(one.label.y - edge / 2 for one in curves.values())])
    left, width = min(xs) - edge, max(xs) - min(xs) + 2 * edge
    return Drawing(f"{left:.0f} {high:.0f} {width:.0f} {low - high:.0f}", stands, curves)


def places(names: Sequence[str]) -> dict[str, Place]:
    count = len(names)
    circle = 0.0 if count == 1 else max(_LEAST, count * _APART / (2 * math.pi))
    start = math.pi if count == 2 else -math.pi / 2
    angles = [start + 2 * math.pi * at / count for at in range(count)]
    return {
        name: Place(round(circle * math.cos(angle), 1), round(circle * math.sin(angle), 1))
        for name, angle in zip(names, angles, strict=True)
    }


def curve(source: Place, target: Place) -> Curve:
    along_x, along_y = target.x - source.x, target.y - source.y
    length = math.hypot(along_x, along_y)
    # to the left of the way, seen from the source: the way back has its own left
    side_x, side_y = along_y / length, -along_x / length
    half = Place((source.x + target.x) / 2, (source.y + target.y) / 2)
    bent = Place(half.x + side_x * BEND * 2, half.y + side_y * BEND * 2)
    begin, end = _rim(source, bent, RING), _rim(target, bent, RING + _GAP)
    path = f"M{begin.x} {begin.y}Q{bent.x:.1f} {bent.y:.1f} {end.x} {end.y}"
    return Curve(path, Place(round(half.x + side_x * BEND, 1), round(half.y + side_y * BEND, 1)))


def _rim(centre: Place, towards: Place, radius: float) -> Place:
    away_x, away_y = towards.x - centre.x, towards.y - centre.y
    length = math.hypot(away_x, away_y)
    return Place(round(centre.x + away_x / length * radius, 1), round(centre.y + away_y / length * radius, 1))
