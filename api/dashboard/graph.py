"""Where nodes and links are drawn: (names, pairs) -> places on a plane. Pure.

Nodes stand on an ellipse, the first at its top; a link leaves its source's rim and ends at its target's, bent to one
side, so that the two directions of a pair lie apart.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 640.0, 400.0
RADIUS = 44.0  # of a node
BEND = 26.0  # how far the middle of a link is from the straight line
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


def places(names: Sequence[str]) -> dict[str, Place]:
    count = len(names)
    if count == 1:
        return {names[0]: Place(WIDTH / 2, HEIGHT / 2)}
    across, down = WIDTH / 2 - RADIUS - 60, HEIGHT / 2 - RADIUS - 24
    start = math.pi if count == 2 else -math.pi / 2
    found = {}
    for at, name in enumerate(names):
        angle = start + 2 * math.pi * at / count
        found[name] = Place(
            round(WIDTH / 2 + across * math.cos(angle), 1), round(HEIGHT / 2 + down * math.sin(angle), 1)
        )
    return found


def curve(source: Place, target: Place) -> Curve:
    along_x, along_y = target.x - source.x, target.y - source.y
    length = math.hypot(along_x, along_y) or 1.0
    unit_x, unit_y = along_x / length, along_y / length
    # to the left of the way, seen from the source: the way back has its own left
    side_x, side_y = unit_y, -unit_x
    middle = Place((source.x + target.x) / 2 + side_x * BEND * 2, (source.y + target.y) / 2 + side_y * BEND * 2)
    begin, end = _rim(source, middle, RADIUS), _rim(target, middle, RADIUS + _GAP)
    label = Place(
        round((source.x + target.x) / 2 + side_x * BEND, 1), round((source.y + target.y) / 2 + side_y * BEND, 1)
    )
    path = f"M{begin.x} {begin.y}Q{middle.x:.1f} {middle.y:.1f} {end.x} {end.y}"
    return Curve(path, label)


def _rim(centre: Place, towards: Place, radius: float) -> Place:
    away_x, away_y = towards.x - centre.x, towards.y - centre.y
    length = math.hypot(away_x, away_y) or 1.0
    return Place(round(centre.x + away_x / length * radius, 1), round(centre.y + away_y / length * radius, 1))
