"""What a chart says about itself: its measure, its titles, and the colors of its series."""

from datetime import date

import pytest

from analytics.definitions.headers import Chart
from analytics.definitions.reports import get_report
from analytics.output.charts import report_chart
from analytics.output.colors import CATEGORIES, series_colors
from sales.demo import data

TITLES = {"day": "Day (UTC)", "category": "Category", "revenue": "Revenue", "average": "7-day average"}


def draw(rows, columns, formats=None, **chart):
    urls = [[""] * len(columns) for _ in rows]
    titles = {name: TITLES.get(name, name.capitalize()) for name in columns}
    return report_chart(Chart(**chart), columns, rows, titles=titles, formats=formats or {}, urls=urls)


def colors(*categories):
    rows = [(date(2021, 1, 1), category, 100 - number) for number, category in enumerate(categories)]
    figure = draw(rows, ["day", "category", "revenue"], type="line", x="day", y=["revenue"], series="category")
    return {series.name: series.color for series in figure.series}


# Titles


def test_a_chart_says_what_it_measures():
    figure = draw([(date(2021, 1, 1), "bags", 5)], ["day", "category", "average"], type="line", x="day", y=["average"])
    assert (figure.title, figure.measure, figure.label_title) == (
        "7-day average by day (UTC)",
        *("7-day average", "Day (UTC)"),
    )
    assert (figure.data["measure"], figure.data["labelTitle"]) == ("7-day average", "Day (UTC)")


def test_the_legend_has_the_titles_of_the_columns():
    figure = draw([("a", 1, 2)], ["name", "new", "old"], type="bar", x="name", y=["new", "old"])
    assert [series.name for series in figure.series] == ["New", "Old"]
    assert (figure.title, figure.measure) == ("New and old by name", "New and old")


def test_a_chart_without_x_has_a_bar_for_each_column():
    figure = draw(
        [(221, 77, 64)],
        ["buyers", "before", "after"],
        {"before": "money", "after": "money"},
        type="bar",
        y=["before", "after"],
    )
    assert (figure.labels, figure.has_legend, figure.title) == (["Before", "After"], False, "Before and after")
    assert [point.text for point in figure.series[0].points] == ["77.00", "64.00"]


def test_two_columns_of_x_name_one_bar():
    figure = draw(
        [("France", None, 5), ("France", "Italy", 3)],
        ["one", "two", "revenue"],
        type="bar",
        x=["one", "two"],
        y=["revenue"],
    )
    assert (figure.labels, len(figure.series)) == (["France / (none)", "France / Italy"], 1)


def test_a_heatmap_has_a_row_for_each_series_and_a_shade_for_each_number():
    rows = [
        ("2021-02", 0, 100),
        *((f"{year}-01", 0, 50) for year in range(2000, 2020)),
        ("2021-02", 1, -1),
        ("2000-01", 2, 1),
    ]
    figure = draw(
        rows, ["month", "since", "share"], {"share": "percent"}, type="heatmap", x="since", y=["share"], series="month"
    )
    assert (figure.labels, len(figure.series), figure.notes) == (["0", "1", "2"], 21, [])
    first, *_, last = figure.heat_rows
    assert [point and (point.text, shade) for point, shade in first[1]] == [("50.0%", 4), None, ("1.0%", 0)]
    assert (last[0], [point and shade for point, shade in last[1]]) == ("2021-02", [9, 0, None])


@pytest.mark.parametrize(
    ("name", "chart"),
    [
        ("repeat_buyer_revenue", ((), "bar", None)),
        ("top_country_relationships", (("country_name_1", "country_name_2"), "bar", None)),
        ("buyer_cohorts", (("months_since",), "heatmap", "cohort")),
    ],
)
def test_the_charts_of_reports_show_what_the_reports_are_about(name, chart):
    declared = get_report(name).header.chart
    assert (declared.x, declared.type, declared.series) == chart


# Colors


def test_a_category_has_the_same_color_in_every_chart():
    shown = colors("bags", "shoes", "hats")
    assert colors("shoes", "hats", "boys", "bags") == shown | {"boys": colors("boys")["boys"]}


def test_all_default_categories_have_colors_of_their_own():
    assert set(CATEGORIES) == {category.name for category in data.CATEGORIES}
    assert len(set(series_colors(list(CATEGORIES), none="no category"))) == 12


def test_series_of_one_chart_never_share_a_color():
    values = [f"brand {number}" for number in range(9)] + ["bags", "no brand"]
    assert len(set(series_colors(values, none="no brand"))) == len(values)


def test_no_category_and_others_have_colors_that_no_category_has():
    shown = colors(*CATEGORIES[:5], None, *CATEGORIES[5:])
    assert (shown["no category"], shown["Others (6)"]) == ("none", "others")
