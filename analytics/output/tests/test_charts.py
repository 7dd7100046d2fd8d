import re
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import combinations, pairwise
from pathlib import Path
from xml.etree import ElementTree

import pytest
from django.contrib.staticfiles import finders
from pydantic import ValidationError

from analytics.definitions.headers import Chart
from analytics.output.chart_axes import PLOT_WIDTHS, label_sizes, moment, round_ticks, time_ticks
from analytics.output.charts import chart_svg

FIRST_DAY = date(2021, 1, 1)


class Drawing:
    """What can be read off a chart, which is parsed as XML: it is well-formed."""

    def __init__(self, rows, columns, *, title="Sales", formats=None, **chart):
        self.text = chart_svg(Chart(**chart), columns, rows, title=title, formats=formats or {})
        self.root = ElementTree.fromstring(self.text)

    def classed(self, name):
        return [element for element in self.root.iter() if name in element.get("class", "").split()]

    @property
    def tooltips(self):
        return [title.text for title in self.root.iter("title")]

    @property
    def y_ticks(self):
        return [element.text for element in self.classed("chart-y")]

    @property
    def x_labels(self):
        return [element.find("text").text for element in self.classed("chart-x")]

    @property
    def legend(self):
        return [item.find("svg").tail for item in self.root.iter("li")]

    @property
    def paths(self):
        return [path.get("d") for path in self.root.iter("path")]

    def bars(self, number):
        """(top, bottom) of the bars of a series, in pixels from the top."""
        bars = [one for one in self.classed(f"chart-{number}") if one.tag == "rect"]
        return [(float(bar.get("y")), float(bar.get("y")) + float(bar.get("height"))) for bar in bars]

    @property
    def zero(self):
        return float(self.classed("chart-zero")[0].get("y1"))


def bars(*rows, **options):
    return Drawing(rows, ["name", "sales"], **{"type": "bar", "x": "name", "y": ["sales"]} | options)


def line(*rows, **options):
    return Drawing(rows, ["day", "sales"], **{"type": "line", "x": "day", "y": ["sales"]} | options)


def series(*rows, **options):
    chart = {"type": "line", "x": "day", "y": ["sales"], "series": "brand"} | options
    return Drawing(rows, ["day", "brand", "sales"], **chart)


# What a chart is declared with


@pytest.mark.parametrize(
    "wrong",
    [
        {"type": "pie"},
        {"y": []},
        {"y": ["a", "b"], "series": "c"},
        {"y": ["a", "a"]},
        {"y": list("abcdefghi")},
        {"colour": "red"},
    ],
)
def test_a_chart_that_cannot_be_drawn_cannot_be_declared(wrong):
    with pytest.raises(ValidationError):
        Chart(**{"type": "bar", "x": "name", "y": ["sales"]} | wrong)


# Nothing to draw


@pytest.mark.parametrize(
    ("columns", "rows"),
    [
        (["name", "sales"], []),
        (["name", "items"], [("a", 1)]),
        (["country", "sales"], [("a", 1)]),
        (["name", "sales"], [("a", "many")]),
        (["name", "sales"], [("a", True)]),
        (["name", "sales"], [("a", 1), ("b", FIRST_DAY)]),
        (["name", "sales"], [("a", None), ("b", None)]),
        (["name", "sales"], [("a", Decimal("NaN")), ("b", Decimal("Infinity")), ("c", float("inf"))]),
    ],
)
def test_nothing_is_drawn_where_there_is_nothing_to_draw(columns, rows):
    assert chart_svg(Chart(type="bar", x="name", y=["sales"]), columns, rows, title="Sales", formats={}) is None


def test_nothing_is_drawn_when_the_only_numbers_have_no_day():
    chart = Chart(type="line", x="day", y=["sales"])
    rows = [(None, 5), (FIRST_DAY, None)]
    assert chart_svg(chart, ["day", "sales"], rows, title="Sales", formats={}) is None


# What is hostile


def test_text_from_the_data_is_escaped_wherever_it_is_shown():
    evil = "\"><script>alert('1')</script>"
    columns = [f"day{evil}", f"brand{evil}", f"sales{evil}"]
    chart = {"x": columns[0], "y": [columns[2]], "series": columns[1]}
    drawing = Drawing([(f"x{evil}", evil, 1)], columns, type="bar", title=evil, **chart)
    assert "<script" not in drawing.text
    assert drawing.legend == [evil]
    assert f"x{evil}" in drawing.tooltips[0]
    assert evil in drawing.root.find("figcaption").text


def test_characters_that_xml_cannot_hold_are_replaced():
    assert bars(("a\x01b\ufffe", 1)).tooltips == ["a\ufffdb\ufffd\nsales: 1"]


def test_a_chart_needs_nothing_that_a_strict_content_security_policy_forbids():
    drawing = line((FIRST_DAY, 1), (FIRST_DAY + timedelta(1), 2))
    assert not re.search(r"style=|<style|<script|href|url\(|\son[a-z]+=", drawing.text)


# For those who do not see it


def test_a_chart_is_one_picture_with_a_name():
    drawing = bars(("a", 1), ("b", 2), title="Sales of each country")
    pictures = [svg for svg in drawing.root.iter("svg") if svg.get("role") == "img"]
    assert [picture.get("aria-label") for picture in pictures] == [
        "Sales of each country. Bar chart of sales by name, 2 values of name."
    ]


def declared_colours(css):
    """The colours of each theme in charts.css: ([light], [dark])."""
    light, dark = zip(*re.findall(r"--chart-\d: light-dark\((#[0-9a-f]{6}), (#[0-9a-f]{6})\)", css), strict=True)
    return [light, dark]


def luminance(colour):
    """WCAG 2.2, "relative luminance"."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_every_colour_stands_out_from_the_page_in_both_themes():
    themes = declared_colours(Path(finders.find("analytics/charts.css")).read_text())
    for colours, page in zip(themes, ("#ffffff", "#101828"), strict=True):
        assert len(set(colours)) == 8
        for colour in colours:
            low, high = sorted([luminance(colour), luminance(page)])
            assert (high + 0.05) / (low + 0.05) >= 3


# Values


def test_a_null_is_a_gap_in_its_line():
    days = [FIRST_DAY + timedelta(number) for number in range(5)]
    drawing = line(*zip(days, [1, 2, None, 4, 5], strict=True))
    assert drawing.paths[0].count("M") == 2
    assert drawing.tooltips[2] == "2021-01-03\nsales: no value"


def test_a_day_that_a_series_has_no_row_for_is_a_gap_too():
    days = [FIRST_DAY + timedelta(number) for number in range(3)]
    drawing = series((days[0], "a", 9), (days[1], "b", 1), (days[1], "a", 9), (days[2], "a", 9), (days[0], "b", 1))
    assert [path.count("L") for path in drawing.paths] == [2, 1]


def test_a_value_between_two_gaps_is_seen():
    days = [FIRST_DAY + timedelta(number) for number in range(50)]
    drawing = line(*((day, 7 if number == 25 else None) for number, day in enumerate(days)))
    assert re.fullmatch(r"M[\d.]+ [\d.]+h0", drawing.paths[0])


def test_negative_bars_hang_from_zero():
    drawing = bars(("sale", 100), ("refund", -50))
    (_, bottom_of_sale), (top_of_refund, _) = drawing.bars(1)
    assert bottom_of_sale == pytest.approx(drawing.zero, abs=0.2)
    assert top_of_refund == pytest.approx(drawing.zero, abs=0.2)
    assert drawing.y_ticks[0] == "\N{MINUS SIGN}50"


def test_stacks_grow_up_with_sales_and_down_with_refunds():
    drawing = series(
        *[(FIRST_DAY, "a", 60), (FIRST_DAY, "b", -40), (FIRST_DAY, "c", 30), (FIRST_DAY, "d", -20)], type="stacked"
    )
    (a,), (b,), (c,), (d,) = (drawing.bars(number) for number in (1, 2, 3, 4))
    assert a[1] == pytest.approx(drawing.zero, abs=0.2)
    assert c[1] == pytest.approx(a[0], abs=1.2)
    assert b[0] == pytest.approx(drawing.zero, abs=0.2)
    assert d[0] == pytest.approx(b[1], abs=1.2)
    assert (drawing.y_ticks[0], drawing.y_ticks[-1]) == ("\N{MINUS SIGN}100", "100")


def test_nothing_is_drawn_outside_of_the_axis():
    drawing = series(
        *((FIRST_DAY, name, Decimal("33.3") * sign) for name, sign in zip("abcde", [1, -1, 1, 1, -1], strict=True)),
        type="stacked",
    )
    tops_and_bottoms = [edge for number in range(1, 6) for bar in drawing.bars(number) for edge in bar]
    assert min(tops_and_bottoms) >= 0
    assert max(tops_and_bottoms) <= 280


def test_values_of_the_same_place_and_series_are_added_up():
    assert bars(("a", Decimal("0.1")), ("a", Decimal("0.2"))).tooltips == ["a\nsales: 0.3"]


@pytest.mark.parametrize("kind", ["line", "bar", "stacked"])
@pytest.mark.parametrize("x", [FIRST_DAY, datetime(2021, 1, 1, 14, 35, tzinfo=UTC), "France", 7])
@pytest.mark.parametrize("value", [0, 5, -5, Decimal("1E-20"), 10**15, 0.5])
def test_one_row_is_a_chart(kind, x, value):
    drawing = line((x, value), type=kind)
    assert len(drawing.tooltips) == len(drawing.x_labels) == 1


@pytest.mark.parametrize("kind", ["line", "bar", "stacked"])
@pytest.mark.parametrize("tiny", [5e-324, Decimal("1E-323"), Decimal("-1E-330")])
def test_numbers_too_small_to_be_divided_are_drawn_as_zero(kind, tiny):
    assert line((1, tiny), (2, tiny), type=kind).y_ticks == ["0", "1"]
    assert "0" in line((tiny, 1), (2 * tiny, 2), type=kind).y_ticks


def test_all_zero_has_an_axis_from_zero_to_one():
    assert bars(("a", 0), ("b", 0)).y_ticks == ["0", "1"]


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [
        ("money", Decimal("1234567.895"), "1,234,567.90"),
        ("money", Decimal("-3"), "\N{MINUS SIGN}3.00"),
        ("percent", Decimal("12.345678901234"), "12.35%"),
        ("", Decimal("57.27456"), "57.27456"),
        ("", Decimal("10.500"), "10.5"),
        ("", 1_234_000, "1,234,000"),
    ],
)
def test_tooltips_have_the_number_in_the_format_of_its_column(kind, value, text):
    assert bars(("a", value), formats={"sales": kind}).tooltips == [f"a\nsales: {text}"]


# Series


def test_the_smallest_of_many_series_are_put_together_and_it_is_said():
    drawing = series(*((FIRST_DAY, f"brand {number}", number) for number in range(1, 13)), type="stacked")
    assert drawing.legend == [f"brand {number}" for number in range(12, 5, -1)] + ["Others (5)"]
    assert "Others (5): 15" in drawing.tooltips[0]
    assert [note.text for note in drawing.classed("chart-note")] == ["Others are the 5 smallest of brand, added up."]


def test_lines_of_percentages_are_not_added_up():
    rows = [(FIRST_DAY, f"cohort {number:02}", number) for number in range(1, 13)]
    drawing = series(*rows, type="line", formats={"sales": "percent"})
    assert drawing.legend == [f"cohort {number:02}" for number in range(12, 5, -1)]
    assert [note.text for note in drawing.classed("chart-note")] == ["Not shown: the 5 smallest of brand."]


def test_eight_series_all_have_their_own_name():
    drawing = series(*((FIRST_DAY, f"brand {number}", number) for number in range(8)))
    assert len(drawing.legend) == 8
    assert not drawing.classed("chart-note")


def test_of_nine_series_seven_have_their_own_name():
    drawing = series(*((FIRST_DAY, f"brand {number}", number) for number in range(9)))
    assert drawing.legend[-2:] == ["brand 2", "Others (2)"]


def test_refunds_count_for_the_size_of_a_series():
    assert series((FIRST_DAY, "sales", 5), (FIRST_DAY, "refunds", -50)).legend == ["refunds", "sales"]


def test_several_columns_are_series_in_their_order():
    drawing = Drawing([("a", 1, 9)], ["name", "low", "high"], type="bar", x="name", y=["low", "high"])
    assert drawing.legend == ["low", "high"]


def test_one_column_needs_no_legend():
    assert bars(("a", 1)).legend == []


def test_rows_without_a_series_are_one():
    assert series((FIRST_DAY, None, 5), (FIRST_DAY, "", 4)).legend == ["(none)", "(empty)"]


# The x axis


def test_days_are_in_order_and_lie_where_they_belong():
    days = [FIRST_DAY + timedelta(number) for number in (9, 0, 1)]
    drawing = line(*((day, 1) for day in days))
    assert [float(dot.get("cx").rstrip("%")) for dot in drawing.root.iter("circle")] == pytest.approx(
        [0, 100 / 9, 100], abs=0.01
    )


def test_texts_stay_in_the_order_of_the_rows():
    assert bars(("b", 2), ("a", 1)).x_labels == ["b", "a"]


def test_rows_without_a_day_are_left_out_and_it_is_said():
    drawing = line((None, 3), (FIRST_DAY, 1), (None, 2))
    assert len(drawing.tooltips) == 1
    assert [note.text for note in drawing.classed("chart-note")] == ["2 rows without day are not drawn."]


def test_long_labels_are_cut_and_whole_in_the_tooltip():
    name = "United Kingdom of Great Britain and Northern Ireland"
    drawing = bars((name, 1), ("France", 2))
    assert drawing.x_labels == ["United Kingdom of…", "France"]
    assert drawing.tooltips[0].startswith(name)


def test_many_labels_are_thinned_out_the_more_the_narrower_the_page():
    drawing = bars(*((f"Country number {number}", number) for number in range(60)))
    shown = [len(drawing.classed(f"chart-from-{size}")) for size in PLOT_WIDTHS]
    assert shown == [10, 20, 0]
    assert len(drawing.tooltips) == 60


@pytest.mark.parametrize("count", [1, 2, 7, 60, 365, 1_000])
@pytest.mark.parametrize("label_width", [16, 80, 130])
def test_labels_never_overlap_at_any_width(count, label_width):
    sizes = label_sizes(count, label_width)
    for at, (_, width) in enumerate(PLOT_WIDTHS.items()):
        allowed = list(PLOT_WIDTHS)[: at + 1]
        shown = [number for number, size in enumerate(sizes) if size in allowed]
        assert shown
        assert all((after - before) * width / count >= label_width for before, after in pairwise(shown))


@pytest.mark.parametrize("days", [1, 2, 3, 10, 30, 60, 90, 200, 365, 366, 1_000, 4_000, 40_000, 700_000])
def test_time_ticks_are_few_and_inside_and_different(days):
    first = moment(FIRST_DAY)
    ticks = time_ticks(first, first + timedelta(days), whole_days=True)
    assert 2 <= len(ticks) <= 14
    assert all(first <= tick <= first + timedelta(days) for tick, _ in ticks)
    assert all(before != after for (_, before), (_, after) in combinations(ticks, 2))


@pytest.mark.parametrize(
    ("last", "labels"),
    [
        (datetime(2021, 1, 1, 4, tzinfo=UTC), [f"01-01 0{hour}:00" for hour in range(5)]),
        (datetime(2021, 1, 3, tzinfo=UTC), ["01-01 00:00", "01-01 06:00", "01-01 12:00", "01-01 18:00"]),
        (datetime(2021, 1, 29, tzinfo=UTC), ["2021-01-04", "2021-01-11", "2021-01-18", "2021-01-25"]),
        (datetime(2021, 4, 30, tzinfo=UTC), ["2021-01-11", "2021-01-25", "2021-02-08"]),
        (datetime(2022, 1, 1, tzinfo=UTC), ["2021-01", "2021-02", "2021-03"]),
        (datetime(2070, 1, 1, tzinfo=UTC), ["2025", "2030", "2035"]),
    ],
)
def test_time_ticks_are_round_moments_of_the_calendar(last, labels):
    ticks = time_ticks(moment(FIRST_DAY), last, whole_days=False)
    assert [text for _, text in ticks][: len(labels)] == labels


def test_the_first_and_the_last_day_there_are_can_be_drawn():
    assert len(line((date.min, 1), (date.max, 2)).tooltips) == 2


def test_a_bar_is_missing_where_a_month_is():
    drawing = bars((date(2021, 1, 1), 1), (date(2021, 2, 1), 2), (date(2021, 4, 1), 3))
    lefts = [float(bar.get("x").rstrip("%")) for bar in drawing.classed("chart-1") if bar.get("x")]
    assert lefts[2] - lefts[1] > 1.8 * (lefts[1] - lefts[0])


def test_bars_of_moments_far_apart_stay_wide_enough_to_see():
    moments = [
        datetime(2021, 1, 1, tzinfo=UTC),
        datetime(2021, 1, 1, 0, 0, 1, tzinfo=UTC),
        datetime(2022, 1, 1, tzinfo=UTC),
    ]
    drawing = bars(*((at, 1) for at in moments))
    assert all(float(bar.get("width").rstrip("%")) > 5 for bar in drawing.classed("chart-1"))


def test_years_are_written_without_separators():
    assert line((2020, 1), (2021, 2), (2022, 3)).x_labels == ["2020", "2021", "2022"]


# The y axis


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0, 9.7, [0, 2, 4, 6, 8, 10]),
        (0, 1_234, [0, 500, 1_000, 1_500]),
        (-30, 90, [-40, -20, 0, 20, 40, 60, 80, 100]),
        (0, 0, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (0, 0.03, [0, 0.005, 0.01, 0.015, 0.02, 0.025, 0.03]),
        (-5, 0, [-5, -4, -3, -2, -1, 0]),
    ],
)
def test_ticks_are_round(low, high, ticks):
    assert round_ticks(low, high) == pytest.approx(ticks)


def test_there_is_no_half_a_sale():
    assert bars(("a", 2)).y_ticks == ["0", "1", "2"]


@pytest.mark.parametrize(
    ("value", "last_tick"),
    [
        (1_234, "1,500"),
        (9_000_000, "10 M"),
        (8_000_000, "8,000,000"),
        (20_000_000_000, "20 bn"),
        (Decimal("0.03"), "0.030"),
        (-1, "0"),
    ],
)
def test_ticks_have_separators_and_large_ones_units(value, last_tick):
    assert bars(("a", value)).y_ticks[-1] == last_tick


def test_ticks_of_percents_say_so():
    assert bars(("a", 40), formats={"sales": "percent"}).y_ticks[-1] == "40%"
