"""Where nodes and links are drawn, and lines over time."""

from __future__ import annotations

import itertools
import math
import re

import pytest

from api.dashboard import charts, graph


def distance(one: graph.Place, other: graph.Place) -> float:
    return math.hypot(one.x - other.x, one.y - other.y)


@pytest.mark.parametrize("count", [1, 2, 3, 5, 12, 40])
def test_nodes_never_lie_over_each_other_and_all_are_on_the_plane(count: int) -> None:
    names = [f"n{at}" for at in range(count)]
    drawing = graph.draw(names, itertools.permutations(names, 2))
    left, top, width, height = map(float, drawing.view.split())
    for place in drawing.places.values():
        assert left + graph.RING <= place.x <= left + width - graph.RING
        assert top + graph.RING <= place.y <= top + height - graph.RING
    for one, other in itertools.combinations(drawing.places.values(), 2):
        assert distance(one, other) > 2 * graph.RING
    for curve in drawing.curves.values():
        assert top < curve.label.y < top + height


def test_a_link_goes_from_rim_to_rim_and_back_on_its_own_way() -> None:
    here, there = graph.Place(0, 0), graph.Place(300, 0)
    out, back = graph.curve(here, there), graph.curve(there, here)
    begin_x, begin_y, *_, end_x, end_y = map(float, re.findall(r"-?[\d.]+", out.path))
    assert distance(here, graph.Place(begin_x, begin_y)) == pytest.approx(graph.RING, abs=0.2)
    assert distance(there, graph.Place(end_x, end_y)) > graph.RING
    assert (out.label.y, back.label.y) == (-graph.BEND, graph.BEND)


def test_a_line_ends_where_nothing_is_known() -> None:
    drawn = charts.line([(0, 1.0), (10, 2.0), (20, None), (30, 4.0), (40, 0.0)], 40, 12)
    assert drawn.path == "M0.0 8.5h0.1L10.0 6.0M30.0 1.0h0.1L40.0 11.0"
    assert (drawn.top, drawn.last) == (4.0, 0.0)


def test_what_is_told_as_now_is_of_now() -> None:
    known = [(0, 1.0), (60, 2.0)]
    assert charts.line([*known, (120, None)], 600, 12, end=130, gap=150).last is None
    assert charts.line(known, 600, 12, end=600, gap=150).last is None
    assert charts.line(known, 600, 12, end=130, gap=150).last == 2.0


def test_points_that_are_far_apart_are_not_joined() -> None:
    drawn = charts.line([(0, 1.0), (60, 1.0), (600, 1.0)], 600, 12, gap=150)
    assert drawn.path.count("M") == 2


def test_the_edges_are_those_that_were_asked_for() -> None:
    drawn = charts.line([(90, 5.0)], 100, 12, begin=0, end=100)
    assert drawn.path == "M90.0 1.0h0.1"


def test_of_nothing_there_is_no_line() -> None:
    assert charts.line([], 10, 10) == charts.Line("", 10, 10, None, None)
    assert charts.line([(1, None)], 10, 10).path == ""
    assert charts.sparkline([None, None]).last is None


def test_all_zero_is_a_line_at_the_bottom() -> None:
    assert charts.line([(0, 0.0), (10, 0.0)], 10, 12).path == "M0.0 11.0h0.1L10.0 11.0"
