"""The figure of a chart: the data for the script, and the HTML around it."""

import json
import re
from decimal import Decimal
from itertools import combinations
from math import dist
from operator import mul
from pathlib import Path

import pytest
from django.contrib.staticfiles import finders
from django.template.loader import render_to_string

from salesengine.backoffice.charts import ChartFigure, Point, Series

EVIL = "\"><script>alert('1')</script>"


def figure_of(*points, **fields):
    labels = [f"label {number}" for number in range(len(points))]
    return ChartFigure(
        **{"type": "bar", "description": "A chart", "labels": labels} | fields, series=[Series("a", points)]
    )


def html_of(figure):
    return render_to_string("admin/chart.html", {"chart": figure})


def test_the_data_have_a_number_a_text_and_a_url_for_each_point():
    data = figure_of(Point(Decimal("1.50"), "1.50", "/sales"), None, unit=" %", has_legend=True).data
    assert data == {
        "type": "bar",
        "stacked": False,
        "horizontal": False,
        "measure": "",
        "labelTitle": "",
        "unit": " %",
        "legend": True,
        "labels": ["label 0", "label 1"],
        "datasets": [{"label": "a", "color": "1", "data": [1.5, None], "texts": ["1.50", ""], "urls": ["/sales", ""]}],
    }


@pytest.mark.parametrize("number", ["NaN", "sNaN", "Infinity", "-1E+100", "1E+99999"])
def test_numbers_that_chart_js_cannot_draw_are_gaps(number):
    assert figure_of(Point(Decimal(number), number)).data["datasets"][0]["data"] == [None]


def test_the_page_has_the_data_as_json():
    figure = figure_of(Point(Decimal(1), "1"), None)
    [text] = re.findall(r'<script type="application/json">(.*?)</script>', html_of(figure))
    assert json.loads(text) == figure.data


def test_the_canvas_is_an_image_with_a_description():
    assert '<canvas role="img" aria-label="Sales of &quot;a&quot;.">' in html_of(figure_of(description='Sales of "a".'))


def test_the_title_and_notes_are_shown():
    html = html_of(figure_of(title="The title", notes=["Not all is drawn."]))
    assert "<figcaption>The title</figcaption>" in html
    assert '<p class="chart-note">Not all is drawn.</p>' in html
    assert "<figcaption>" not in html_of(figure_of())


def test_text_from_the_data_is_escaped_everywhere():
    figure = ChartFigure(
        "line", EVIL, [EVIL], [Series(EVIL, [Point(Decimal(1), EVIL, EVIL)])], title=EVIL, notes=[EVIL]
    )
    assert re.findall("<script[^>]*>", html_of(figure)) == ['<script type="application/json">']


def test_a_figure_needs_nothing_that_a_strict_content_security_policy_forbids():
    assert not re.search(r"style=|<style|<script>|href|url\(|\son[a-z]+=", html_of(figure_of(Point(Decimal(1), "1"))))


def colors(css):
    """Return the colors of the series in charts.css, for each theme."""
    found = re.findall(r"--chart-\w+: (#[0-9a-f]{6});", css)
    return found[:14], found[14:]


def linear(color):
    """Return red, green and blue as amounts of light, from 0 to 1 (WCAG 2.2)."""
    parts = [int(color[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    return [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]


def luminance(color):
    red, green, blue = linear(color)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_every_color_stands_out_from_the_page_in_both_themes():
    themes = colors(Path(finders.find("salesengine/charts.css")).read_text())
    for theme, page in zip(themes, ("#ffffff", "#101828"), strict=True):
        assert len(set(theme)) == 14
        for color in theme:
            low, high = sorted([luminance(color), luminance(page)])
            assert (high + 0.05) / (low + 0.05) >= 3


# How people without one kind of cones see red, green and blue: Machado, Oliveira and Fernandes (2009), severity 1.
VIEWS = {
    "all": [(1, 0, 0), (0, 1, 0), (0, 0, 1)],
    "protanopia": [(0.152, 1.053, -0.205), (0.115, 0.786, 0.099), (-0.004, -0.048, 1.052)],
    "deuteranopia": [(0.367, 0.861, -0.228), (0.280, 0.673, 0.047), (-0.012, 0.043, 0.969)],
    "tritanopia": [(1.256, -0.077, -0.179), (-0.078, 0.931, 0.148), (0.005, 0.691, 0.304)],
}


def oklab(parts):
    """Return a color's place in Oklab, where distances are differences that people see."""
    rows = [(0.4122, 0.5363, 0.0514), (0.2119, 0.6807, 0.1074), (0.0883, 0.2817, 0.6300)]
    cones = [sum(map(mul, row, parts)) ** (1 / 3) for row in rows]
    rows = [(0.2105, 0.7936, -0.0041), (1.9780, -2.4286, 0.4506), (0.0259, 0.7828, -0.8087)]
    return [sum(map(mul, row, cones)) for row in rows]


@pytest.mark.parametrize("view", VIEWS)
def test_color_blind_people_can_tell_the_colors_apart(view):
    for theme in colors(Path(finders.find("salesengine/charts.css")).read_text()):
        seen = [
            oklab([min(max(sum(map(mul, row, linear(color))), 0), 1) for row in VIEWS[view]]) for color in theme[:12]
        ]
        assert min(dist(one, other) for one, other in combinations(seen, 2)) > 0.08
