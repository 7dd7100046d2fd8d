"""Build the chart that a report's header declares from the rows of its result."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Context, Decimal
from itertools import pairwise
from math import gcd
from typing import Any, NamedTuple

from analytics.definitions.headers import MAX_SERIES, Chart
from analytics.output.formats import text_for_people
from salesengine.backoffice.charts import ChartFigure, Point, Series, is_drawable
from salesengine.backoffice.numbers import count, exact_text, money_text, percent
from salesengine.plurals import counted

MAX_X_VALUES = 1_000  # on an x axis with filled gaps: more bars would be thinner than a pixel
# A drawable `numeric` has at most 100 digits before the point and 16,383 after it, so sums are never rounded.
EXACT = Context(prec=20_000)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


class ChartCell(NamedTuple):
    """A number of the result with its x, its series, and the page that a click opens."""

    x: Any
    series: str
    number: Decimal | None
    url: str


Sums = dict[Any, tuple[Decimal, str]]  # of one series, by x: the sum and its URL


def report_chart(
    chart: Chart,
    columns: Sequence[str],
    rows: Sequence[Sequence[Any]],
    *,
    title: str,
    formats: Mapping[str, str],
    urls: Sequence[Sequence[str]],
) -> ChartFigure | None:
    """Return the chart of `rows`, or None if there is nothing to draw.

    `columns` has the names of a row's values, `formats` says which columns are "money", "percent" or "count", and
    `urls` has for each value the page that a click on it opens, or "". Numbers with the same x and series are added
    up. Nulls and numbers that are not finite are gaps. Rows without x are counted in a note.
    """
    cells = _cells(chart, list(columns), rows, urls)
    drawn = [cell for cell in cells if cell.x is not None]
    if all(cell.number is None for cell in drawn):
        return None
    series, hidden = _series(chart, drawn, formats)
    x_values = _fill_gaps(list(dict.fromkeys(cell.x for cell in drawn)))
    kinds = [formats.get(chart.y[0] if chart.series else name, "") for name, _ in series]
    return ChartFigure(
        chart.type,
        title=title,
        description=_description(chart, title, len(x_values)),
        labels=[_label(x, formats.get(chart.x, "")) for x in x_values],
        series=[Series(name, _points(sums, x_values, kind)) for (name, sums), kind in zip(series, kinds, strict=True)],
        unit="%" if set(kinds) == {"percent"} else "",
        has_legend=len(series) > 1 or chart.series is not None,
        notes=_notes(chart, hidden, (len(cells) - len(drawn)) // len(chart.y), adds_up=_adds_up(chart, formats)),
    )


# From rows to cells


def _cells(
    chart: Chart, columns: list[str], rows: Sequence[Sequence[Any]], urls: Sequence[Sequence[str]]
) -> list[ChartCell]:
    """Return the cells to draw; none if a column is missing or a y column has values that are not numbers.

    Timestamps and numbers on x are sorted; texts keep the order of the rows.
    """
    if not {chart.x, *chart.y, *filter(None, [chart.series])} <= set(columns):
        return []
    index = {name: columns.index(name) for name in columns}
    if not all(row[index[name]] is None or _is_number(row[index[name]]) for row in rows for name in chart.y):
        return []
    to_x = _x_converter([row[index[chart.x]] for row in rows], is_line=chart.type == "line")
    cells = []
    for row, row_urls in zip(rows, urls, strict=True):
        x = to_x(row[index[chart.x]])
        for name in chart.y:
            series = _text(row[index[chart.series]]) if chart.series else name
            cells.append(ChartCell(x, series, _drawable(row[index[name]]), row_urls[index[name]]))
    return cells if to_x is _text else sorted(cells, key=lambda cell: (cell.x is not None, cell.x))


def _x_converter(values: Iterable[Any], *, is_line: bool) -> Callable[[Any], Any]:
    known = [value for value in values if value is not None]
    if known and all(isinstance(value, date) for value in known):
        return _timestamp
    if known and is_line and all(_drawable(value) is not None for value in known):
        return _drawable
    return _text


def _timestamp(value: date | None) -> datetime | None:
    """Return a timestamp in UTC: the beginning of a day, or a timestamp, which is in UTC if it has no time zone."""
    if value is None:
        return None
    if not isinstance(value, datetime):
        return datetime.combine(value, time(), UTC)
    return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool)


def _drawable(value: Any) -> Decimal | None:
    if not _is_number(value):
        return None
    number = Decimal(str(value))
    return number if is_drawable(number) else None


def _text(value: Any) -> str:
    return "(none)" if value is None else text_for_people(value) or "(empty)"


# Series


def _series(chart: Chart, cells: list[ChartCell], formats: Mapping[str, str]) -> tuple[list[tuple[str, Sums]], int]:
    """Return at most MAX_SERIES named series, and how many others have no name of their own.

    The series of a column's values are sorted by size, and the smallest are added up as "Others".
    """
    sums: dict[str, Sums] = {cell.series: {} for cell in cells}
    for cell in cells:
        if cell.number is not None:
            _add(sums[cell.series], cell.x, cell.number, cell.url)
    series = list(sums.items())
    if chart.series:
        series.sort(key=lambda item: -sum(abs(number) for number, _ in item[1].values()))
    if len(series) <= MAX_SERIES:
        return series, 0
    shown, smallest = series[: MAX_SERIES - 1], series[MAX_SERIES - 1 :]
    if _adds_up(chart, formats):
        others: Sums = {}
        for _, its_sums in smallest:
            for x, (number, _) in its_sums.items():
                _add(others, x, number, "")
        shown.append((f"Others ({count(len(smallest))})", others))
    return shown, len(smallest)


def _add(sums: Sums, x: Any, number: Decimal, url: str) -> None:
    if x in sums:
        before, url_before = sums[x]
        sums[x] = EXACT.add(before, number), url if url == url_before else ""
    else:
        sums[x] = number, url


def _adds_up(chart: Chart, formats: Mapping[str, str]) -> bool:
    """Return whether a sum of series is meaningful. Percentages can be added only in a stacked chart, as shares."""
    return chart.type == "stacked" or formats.get(chart.y[0]) != "percent"


def _points(sums: Sums, x_values: list[Any], kind: str) -> list[Point | None]:
    return [Point(sums[x][0], _number_text(sums[x][0], kind), url=sums[x][1]) if x in sums else None for x in x_values]


def _number_text(number: Decimal, kind: str) -> str:
    if kind == "money":
        return money_text(number)
    if kind == "percent":
        return percent(number)
    text = exact_text(number)
    return text.rstrip("0").rstrip(".") if "." in text else text


# The x axis


def _fill_gaps(x_values: list[Any]) -> list[Any]:
    """Fill in the timestamps or whole numbers that are missing between sorted ones, so that the chart shows gaps.

    The step is the largest that reaches all of them, such as a month, a week or a second. Texts stay unchanged.
    """
    if isinstance(x_values[0], datetime):
        if all(x.day == 1 and x.time() == time() for x in x_values):
            numbers = [x.year * 12 + x.month - 1 for x in x_values]
            return [datetime(n // 12, n % 12 + 1, 1, tzinfo=UTC) for n in _filled(numbers)]
        return [EPOCH + n * MICROSECOND for n in _filled([(x - EPOCH) // MICROSECOND for x in x_values])]
    if isinstance(x_values[0], Decimal) and all(x == int(x) for x in x_values):
        return list(map(Decimal, _filled(list(map(int, x_values)))))
    return x_values


def _filled(numbers: list[int]) -> Sequence[int]:
    step = gcd(*(after - before for before, after in pairwise(numbers)))
    if not step or (numbers[-1] - numbers[0]) // step >= MAX_X_VALUES:
        return numbers
    return range(numbers[0], numbers[-1] + 1, step)


def _label(x: Any, kind: str) -> str:
    if isinstance(x, datetime):
        return x.date().isoformat() if x.time() == time() else x.replace(tzinfo=None).isoformat(" ")
    text = text_for_people(x)
    return count(int(text)) if kind == "count" and text.isdecimal() else text


# Words


def _description(chart: Chart, title: str, x_count: int) -> str:
    """Return what a screen reader reads instead of the chart."""
    kind = {"line": "Line chart", "bar": "Bar chart", "stacked": "Stacked bar chart"}[chart.type]
    by = f" for each {chart.series}" if chart.series else ""
    return f"{title}. {kind} of {', '.join(chart.y)} by {chart.x}{by}, {counted(x_count, 'value')} of {chart.x}."


def _notes(chart: Chart, hidden: int, rows_without_x: int, *, adds_up: bool) -> list[str]:
    notes = []
    if hidden and adds_up:
        notes.append(f"“Others” adds up the smallest series: {count(hidden)} values of {chart.series}.")
    elif hidden:
        notes.append(f"The {count(hidden)} smallest series of {chart.series} are not drawn.")
    if rows_without_x:
        verb = "is" if rows_without_x == 1 else "are"
        notes.append(f"{counted(rows_without_x, 'row')} without {chart.x} {verb} not drawn.")
    return notes
