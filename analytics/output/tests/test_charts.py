"""The chart of a report: from the header's declaration and the result's rows to the data that a page draws."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from pydantic import ValidationError

from analytics.definitions.headers import Chart
from analytics.output.charts import report_chart

FIRST_DAY = date(2021, 1, 1)
DAYS = [FIRST_DAY + timedelta(number) for number in range(50)]


def draw(rows, columns, *, titles=None, formats=None, urls=None, **chart):
    urls = urls or [[""] * len(columns) for _ in rows]
    return report_chart(Chart(**chart), columns, rows, titles=titles or {}, formats=formats or {}, urls=urls)


def bars(*rows, **options):
    return draw(rows, ["name", "sales"], **{"type": "bar", "x": "name", "y": ["sales"]} | options)


def line(*rows, **options):
    return draw(rows, ["day", "sales"], **{"type": "line", "x": "day", "y": ["sales"]} | options)


def lines(*rows, **options):
    """Draw a line for each brand."""
    chart = {"type": "line", "x": "day", "y": ["sales"], "series": "brand"} | options
    return draw(rows, ["day", "brand", "sales"], **chart)


def legend(figure):
    return [series.name for series in figure.series]


def numbers(figure, index=0):
    return [point and point.number for point in figure.series[index].points]


def texts(figure, index=0):
    return [point and point.text for point in figure.series[index].points]


def urls_of(figure, index=0):
    return [point and point.url for point in figure.series[index].points]


# The declaration


@pytest.mark.parametrize(
    "wrong",
    [
        {"type": "pie"},
        {"y": []},
        {"y": ["a", "b"], "series": "c"},
        {"y": ["a", "a"]},
        {"y": list("abcdefghi")},
        {"x": [], "type": "line"},
        {"x": [], "series": "c"},
        {"type": "heatmap"},
        {"colour": "red"},
    ],
)
def test_a_chart_that_cannot_be_drawn_cannot_be_declared(wrong):
    with pytest.raises(ValidationError):
        Chart(**{"type": "bar", "x": "name", "y": ["sales"]} | wrong)


def test_a_line_chart_is_drawn_as_a_line():
    data = line((FIRST_DAY, 1)).data
    assert (data["type"], data["stacked"]) == ("line", False)


def test_bars_are_stacked_only_if_the_header_says_so():
    assert [bars(("a", 1), type=kind).data["stacked"] for kind in ("bar", "stacked")] == [False, True]
    assert bars(("a", 1), type="stacked").data["type"] == "bar"


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
def test_no_chart_is_drawn_without_a_number(columns, rows):
    assert draw(rows, columns, type="bar", x="name", y=["sales"]) is None


def test_no_chart_is_drawn_if_no_number_has_a_day():
    assert line((None, 5), (FIRST_DAY, None)) is None


# The description


def test_screen_readers_get_a_description():
    assert bars(("a", 1), ("b", 2)).description == "sales by name. Bar chart, 2 values of name."
    assert lines((FIRST_DAY, "a", 1)).description == "sales by day and brand. Line chart, 1 value of day."


# Values


def test_a_null_is_a_gap():
    assert numbers(line(*zip(DAYS[:3], [1, None, 3], strict=True))) == [1, None, 3]


@pytest.mark.parametrize(
    "value", [float("nan"), float("-inf"), Decimal("Infinity"), Decimal("1E+100"), Decimal("-1E+4000"), 1.5e300]
)
def test_a_number_that_cannot_be_drawn_is_a_gap(value):
    assert bars(("a", 1), ("b", value)).data["datasets"][0]["data"] == [1, None]


def test_a_day_without_a_row_in_one_series_is_a_gap_there():
    figure = lines((DAYS[0], "a", 9), (DAYS[1], "b", 1), (DAYS[1], "a", 9), (DAYS[2], "a", 9), (DAYS[0], "b", 1))
    assert [numbers(figure, index) for index in (0, 1)] == [[9, 9, 9], [1, 1, None]]


def test_numbers_with_the_same_x_and_series_are_added_up_exactly():
    figure = bars(("a", Decimal("0.1")), ("a", Decimal("0.2")), ("a", Decimal("1E+50")))
    assert texts(figure) == [f"{10**50:,}.3"]


def test_negative_numbers_stay_negative():
    assert numbers(bars(("sale", 100), ("refund", -50))) == [100, -50]


@pytest.mark.parametrize("tiny", [5e-324, Decimal("1E-323"), Decimal("-1E-330")])
def test_numbers_too_small_to_divide_are_drawn_as_zero(tiny):
    assert bars(("a", tiny), ("b", 1)).data["datasets"][0]["data"] == [0, 1]


@pytest.mark.parametrize("kind", ["line", "bar", "stacked"])
@pytest.mark.parametrize("x", [FIRST_DAY, datetime(2021, 1, 1, 14, 35, tzinfo=UTC), "France", 7])
@pytest.mark.parametrize("value", [0, 5, -5, 10**15, 0.5])
def test_one_row_is_a_chart(kind, x, value):
    figure = line((x, value), type=kind)
    assert (len(figure.labels), numbers(figure)) == (1, [Decimal(str(value))])


# Tooltips


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [
        ("money", Decimal("1234567.895"), "1,234,567.90"),
        ("money", Decimal("12345678901234567890123456789.01"), "12,345,678,901,234,567,890,123,456,789.01"),
        ("money", Decimal(-3), "-3.00"),
        ("percent", Decimal("12.345678901234"), "12.3%"),
        ("", Decimal("57.27456"), "57.27456"),
        ("", Decimal("10.500"), "10.5"),
        ("", 1_234_000, "1,234,000"),
        ("count", Decimal("1234000.00"), "1,234,000"),
        ("", 0.1, "0.1"),
    ],
)
def test_tooltips_have_the_number_in_the_format_of_its_column(kind, value, text):
    assert texts(bars(("a", value), formats={"sales": kind})) == [text]


def test_the_y_axis_has_percents_if_all_series_are_percentages():
    assert bars(("a", 40), formats={"sales": "percent"}).unit == "%"
    assert bars(("a", 40), formats={"sales": "money"}).unit == ""
    two = {"columns": ["name", "share", "sales"], "type": "bar", "x": "name", "y": ["share", "sales"]}
    assert draw([("a", 40, 3)], formats={"share": "percent"}, **two).unit == ""


@pytest.mark.parametrize("kind", ["line", "bar"])
def test_counts_on_the_x_axis_have_thousands_separators(kind):
    chart = {"columns": ["buyers", "sales"], "type": kind, "x": "buyers", "y": ["sales"]}
    assert draw([(1_234, 5)], formats={"buyers": "count"}, **chart).labels == ["1,234"]
    assert draw([(1_234, 5)], **chart).labels == ["1234"]


# Links


def test_a_point_links_to_the_same_page_as_its_cell():
    figure = bars(("a", 1), ("b", 2), urls=[["/name", "/sales?a"], ["/name", "/sales?b"]])
    assert urls_of(figure) == ["/sales?a", "/sales?b"]


def test_a_sum_has_a_link_only_if_all_its_numbers_have_the_same_link():
    figure = bars(*[("a", 1)] * 2, *[("b", 2)] * 2, urls=[["", "/1"], ["", "/2"], ["", "/3"], ["", "/3"]])
    assert urls_of(figure) == ["", "/3"]


# Series


def test_the_smallest_of_many_series_are_added_up_as_others():
    figure = lines(*((FIRST_DAY, f"brand {number}", number) for number in range(1, 13)), type="stacked")
    assert legend(figure) == [f"brand {number}" for number in range(12, 5, -1)] + ["Others (5)"]
    assert texts(figure, 7) == ["15"]
    assert figure.notes == ["“Others” adds up the smallest series: 5 values of brand."]


def test_others_have_no_link():
    rows = [(FIRST_DAY, f"brand {number}", number) for number in range(1, 13)]
    figure = lines(*rows, urls=[["", "", "/sales"]] * 12)
    assert [urls_of(figure, index) for index in (0, 7)] == [["/sales"], [""]]


def test_lines_of_percentages_are_not_added_up():
    rows = [(FIRST_DAY, f"cohort {number:02}", number) for number in range(1, 13)]
    figure = lines(*rows, type="line", formats={"sales": "percent"})
    assert legend(figure) == [f"cohort {number:02}" for number in range(12, 5, -1)]
    assert figure.notes == ["The 5 smallest series of brand are not drawn."]


def test_eight_series_all_have_their_own_name():
    figure = lines(*((FIRST_DAY, f"brand {number}", number) for number in range(8)))
    assert (len(legend(figure)), figure.notes) == (8, [])


def test_of_nine_series_seven_have_their_own_name():
    figure = lines(*((FIRST_DAY, f"brand {number}", number) for number in range(9)))
    assert legend(figure)[-2:] == ["brand 2", "Others (2)"]


def test_a_brand_named_others_stays_a_series_of_its_own():
    rows = [(FIRST_DAY, f"brand {number}", number) for number in range(1, 9)]
    figure = lines((FIRST_DAY, "Others (2)", 100), *rows)
    assert (legend(figure)[0], legend(figure)[-1], texts(figure, 7)) == ("Others (2)", "Others (2)", ["3"])


def test_refunds_count_for_the_size_of_a_series():
    assert legend(lines((FIRST_DAY, "sales", 5), (FIRST_DAY, "refunds", -50))) == ["refunds", "sales"]


def test_several_columns_are_series_in_their_order():
    figure = draw([("a", 1, 9)], ["name", "low", "high"], type="bar", x="name", y=["low", "high"])
    assert (legend(figure), figure.has_legend) == (["low", "high"], True)


def test_a_chart_of_one_column_has_no_legend():
    assert not bars(("a", 1)).has_legend
    assert lines((FIRST_DAY, "only brand", 1)).has_legend


def test_rows_without_a_series_are_one_series():
    assert legend(lines((FIRST_DAY, None, 5), (FIRST_DAY, "", 4))) == ["no brand", "(empty)"]


# The x axis


def test_texts_keep_the_order_of_the_rows():
    assert bars(("b", 2), ("a", 1)).labels == ["b", "a"]


def test_days_are_sorted():
    figure = line((DAYS[1], 2), (DAYS[0], 1))
    assert (figure.labels, numbers(figure)) == (["2021-01-01", "2021-01-02"], [1, 2])


def test_missing_days_are_gaps():
    figure = line((DAYS[0], 1), (DAYS[1], 2), (DAYS[4], 5))
    assert figure.labels == [f"2021-01-0{day}" for day in range(1, 6)]
    assert numbers(figure) == [1, 2, None, None, 5]


def test_missing_weeks_are_gaps_of_a_week():
    assert bars((DAYS[0], 1), (DAYS[7], 2), (DAYS[21], 3)).labels == [str(DAYS[day]) for day in (0, 7, 14, 21)]


def test_missing_months_are_gaps():
    figure = bars((date(2020, 11, 1), 1), (date(2020, 12, 1), 2), (date(2021, 2, 1), 3))
    assert figure.labels == ["2020-11-01", "2020-12-01", "2021-01-01", "2021-02-01"]
    assert numbers(figure) == [1, 2, None, 3]


def test_missing_hours_are_gaps():
    hours = [datetime(2021, 1, 1, hour, tzinfo=UTC) for hour in (0, 1, 3)]
    assert line(*((hour, 1) for hour in hours)).labels == [
        "2021-01-01",
        "2021-01-01 01:00:00",
        "2021-01-01 02:00:00",
        "2021-01-01 03:00:00",
    ]


def test_missing_whole_numbers_are_gaps_in_a_line():
    figure = line((2020, 1), (2021, 2), (2023, 3))
    assert (figure.labels, numbers(figure)) == (["2020", "2021", "2022", "2023"], [1, 2, None, 3])


def test_other_numbers_are_sorted():
    assert line((Decimal("1.5"), 2), (Decimal("0.25"), 1)).labels == ["0.25", "1.5"]


@pytest.mark.parametrize(
    "timestamps",
    [
        [date.min, date.min + timedelta(1), date.max],
        [datetime(2021, 1, 1, tzinfo=UTC), datetime(2021, 1, 1, 0, 0, 1, tzinfo=UTC), datetime(2022, 1, 1, tzinfo=UTC)],
    ],
)
def test_gaps_that_would_hide_everything_else_are_not_filled(timestamps):
    assert len(bars(*((timestamp, 1) for timestamp in timestamps)).labels) == 3


def test_timestamps_are_in_utc():
    timestamp = datetime.fromisoformat("2021-01-01T00:30+01:00")
    assert line((timestamp, 1)).labels == ["2020-12-31 23:30:00"]


def test_rows_without_a_day_are_counted_in_a_note():
    figure = line((None, 3), (FIRST_DAY, 1), (None, 2))
    assert (numbers(figure), figure.notes) == ([1], ["2 rows without day are not drawn."])
    assert line((None, 3), (FIRST_DAY, 1)).notes == ["1 row without day is not drawn."]


def test_control_characters_are_visible():
    assert bars(("a\x1bb", 1)).labels == ["a\\x1bb"]


def test_the_first_15_of_many_bars_are_drawn_from_left_to_right():
    figure = bars(*((f"Country number {number}", number) for number in range(1, 3_001)))
    assert (len(figure.labels), figure.labels[-1], figure.is_horizontal) == (15, "Country number 15", True)
    assert figure.notes == ["The chart shows the first 15 of 3,000 bars."]
    figure = bars(*((day, 1) for day in DAYS))
    assert (len(figure.labels), figure.is_horizontal, figure.notes) == (50, False, [])
