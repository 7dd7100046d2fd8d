"""Build the chart that a report's header declares from the rows of its result."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Context, Decimal
from itertools import pairwise
from math import gcd
from typing import Any, NamedTuple

from analytics.definitions.headers import MAX_SERIES, Chart
from analytics.output.chart_words import ChartWords
from analytics.output.colors import series_colors
from analytics.output.formats import text_for_people
from salesengine.backoffice.charts import ChartFigure, Point, Series, is_drawable
from salesengine.backoffice.numbers import count, exact_text, money_text, percent

MAX_BARS = 15  # of a chart whose x values are texts
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
    titles: Mapping[str, str],
    formats: Mapping[str, str],
    urls: Sequence[Sequence[str]],
    suffix: str = "",
) -> ChartFigure | None:
    """Return the chart of `rows`, or None if there is nothing to draw.

    `columns` has the names of a row's values, `titles` their headings, and `formats` says which are "money", "percent"
    or "count". `urls` has for each value the page that a click on it opens, or "". `suffix` ends the chart's title.
    Numbers with the same x and series are added up. Nulls and numbers that are not finite are gaps. Rows without x are
    counted in a note. Bars of texts are horizontal, and the first MAX_BARS are drawn.
    """
    words = ChartWords(chart, titles)
    cells = _cells(chart, list(columns), rows, urls, words)
    drawn = [cell for cell in cells if cell.x is not None]
    if all(cell.number is None for cell in drawn):
        return None
    notes = words.notes_on_rows((len(cells) - len(drawn)) // len(chart.y))
    return _figure(chart, drawn, words, formats, suffix=suffix, notes=notes)


def _figure(
    chart: Chart,
    drawn: list[ChartCell],
    words: ChartWords,
    formats: Mapping[str, str],
    *,
    suffix: str,
    notes: list[str],
) -> ChartFigure:
    sums, hidden = _series(chart, drawn, formats)
    x_values = _fill_gaps(list(dict.fromkeys(cell.x for cell in drawn)))
    is_horizontal = chart.type == "bar" and isinstance(x_values[0], str)
    shown = x_values[:MAX_BARS] if is_horizontal else x_values
    names = [name if chart.series else words.of(name) for name, _ in sums]
    points = [_points(its_sums, shown, _kind(chart, name, formats)) for name, its_sums in sums]
    return ChartFigure(
        chart.type,
        title=(title := words.title + suffix),
        description=words.description(title, len(shown)),
        labels=[_label(x, formats.get(chart.x[0], "") if chart.x else "") for x in shown],
        series=list(map(Series, names, points, _colors(chart, names, hidden, words))),
        unit="%" if all(formats.get(name) == "percent" for name in chart.y) else "",
        measure=words.measure,
        label_title=words.x,
        series_title=words.series,
        is_horizontal=is_horizontal,
        has_legend=len(sums) > 1 or chart.series is not None,
        notes=words.notes_on_bars(len(shown), len(x_values))
        + words.notes_on_series(hidden, adds_up=_adds_up(chart, formats))
        + notes,
    )


# From rows to cells


def _cells(
    chart: Chart,
    columns: list[str],
    rows: Sequence[Sequence[Any]],
    urls: Sequence[Sequence[str]],
    words: ChartWords,
) -> list[ChartCell]:
    """Return the cells to draw; none if a column is missing or a y column has values that are not numbers.

    Timestamps and numbers on x are sorted; texts keep the order of the rows.
    """
    if not {*chart.x, *chart.y, *filter(None, [chart.series])} <= set(columns):
        return []
    index = {name: columns.index(name) for name in columns}
    if not all(row[index[name]] is None or _is_number(row[index[name]]) for row in rows for name in chart.y):
        return []
    values = [_joined([row[index[name]] for name in chart.x]) for row in rows]
    to_x = _x_converter(values, keeps_numbers=chart.type in {"line", "heatmap"})
    cells = []
    for row, value, row_urls in zip(rows, values, urls, strict=True):
        for name in chart.y:
            x, series = (to_x(value), name) if chart.x else (words.of(name), "")
            if chart.series:
                value_of_series = row[index[chart.series]]
                series = words.no_series if value_of_series is None else _text(value_of_series)
            cells.append(ChartCell(x, series, _drawable(row[index[name]]), row_urls[index[name]]))
    return cells if to_x is _text else sorted(cells, key=lambda cell: (cell.x is not None, cell.x))


def _joined(values: list[Any]) -> Any:
    return values[0] if len(values) == 1 else " / ".join(map(_text, values))


def _x_converter(values: Iterable[Any], *, keeps_numbers: bool) -> Callable[[Any], Any]:
    known = [value for value in values if value is not None]
    if known and all(isinstance(value, date) for value in known):
        return _timestamp
    if known and keeps_numbers and all(_drawable(value) is not None for value in known):
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

    The series of a column's values are sorted by size, and the smallest are added up as "Others". A heatmap has a row
    for each value, sorted by name.
    """
    sums: dict[str, Sums] = {cell.series: {} for cell in cells}
    for cell in cells:
        if cell.number is not None:
            _add(sums[cell.series], cell.x, cell.number, cell.url)
    series = list(sums.items())
    if chart.type == "heatmap":
        return sorted(series), 0
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


def _colors(chart: Chart, names: list[str], hidden: int, words: ChartWords) -> list[str]:
    """Return the color of each series. A value of a column has the same color in every chart."""
    if not chart.series or chart.type == "heatmap":
        return [str(number) for number in range(1, len(names) + 1)]
    has_others = hidden > 0 and len(names) == MAX_SERIES
    named = names[:-1] if has_others else names
    return series_colors(named, none=words.no_series) + ["others"] * has_others


def _kind(chart: Chart, series: str, formats: Mapping[str, str]) -> str:
    """Return the format of a series' numbers."""
    kinds = {formats.get(name, "") for name in (chart.y if chart.series or not chart.x else [series])}
    return kinds.pop() if len(kinds) == 1 else ""


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
